//! What a terminal needs to know and must not be told.

use std::borrow::Cow;
use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use unicode_width::UnicodeWidthStr;

use crate::failure::OutputClosed;

const WIDTH_DEFAULT: usize = 100;

/// Whether stderr shows colours: `NO_COLOR`, then `CLICOLOR_FORCE`, then whether it is a terminal.
pub(crate) fn colour_on_stderr() -> bool {
    colour(io::stderr().is_terminal(), &|name| env::var(name).ok())
}

/// The same for stdout.
pub(crate) fn colour_on_stdout() -> bool {
    colour(io::stdout().is_terminal(), &|name| env::var(name).ok())
}

fn colour(is_terminal: bool, variable: &dyn Fn(&str) -> Option<String>) -> bool {
    if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return false;
    }
    match variable("CLICOLOR_FORCE").as_deref() {
        None | Some("" | "0") => is_terminal && variable("TERM").as_deref() != Some("dumb"),
        Some(_) => true,
    }
}

/// The columns of the terminal behind stdout, else of `COLUMNS`, else 100.
pub(crate) fn columns() -> usize {
    let of_terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    let of_variable = || env::var("COLUMNS").ok()?.parse().ok();
    of_terminal.or_else(of_variable).filter(|columns| *columns > 0).unwrap_or(WIDTH_DEFAULT)
}

/// Whether the locale shows more than ASCII.
pub(crate) fn shows_unicode() -> bool {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    // Without a locale, as in containers, terminals show UTF-8 all the same.
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// The columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Text with everything escaped that a terminal would obey, or that hides or reorders what is seen.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    escape_but(text, "")
}

/// The same, but line feeds stay.
pub(crate) fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_but(text, "\n")
}

/// The same, but what stands in `kept` stays.
pub(crate) fn escape_but<'a>(text: &'a str, kept: &str) -> Cow<'a, str> {
    let is_bad = |c: char| is_unsafe(c) && !kept.contains(c);
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_bad(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c => {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(safe)
}

/// Controls, direction marks and overrides, zero-width characters, line separators, tags.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The first `columns` columns of a text, with `…` (or `~`) where it was cut.
pub(crate) fn cut(text: &str, columns: usize, ellipsis: char) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if taken + wide + 1 > columns {
            break;
        }
        short.push(c);
        taken += wide;
    }
    if columns > 0 {
        short.push(ellipsis);
    }
    short
}

/// Standard output that tells a reader who has gone ([`OutputClosed`]) from every other error.
#[derive(Debug)]
pub(crate) struct Output(io::BufWriter<io::StdoutLock<'static>>);

impl Output {
    pub(crate) fn new() -> Self {
        Self(io::BufWriter::with_capacity(64 << 10, io::stdout().lock()))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(closed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(closed)
    }
}

fn closed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, OutputClosed),
        _ => error,
    }
}

/// Writes a line for people to stderr.
pub(crate) fn say(line: impl AsRef<str>) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "{}", line.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        let check = |text: &str, expected: &str| assert_eq!(escape(text), expected);
        check("plain ünïcode 漢字 🐕", "plain ünïcode 漢字 🐕");
        check("\u{1b}]0;owned\u{7}", "\\u{1b}]0;owned\\u{7}");
        check("a\r\nb\tc", "a\\r\\nb\\tc");
        check("\u{9b}2J", "\\u{9b}2J");
        check("user\u{202e}nimda", "user\\u{202e}nimda");
        check("ad\u{200b}min", "ad\\u{200b}min");
        check("\u{7f}", "\\u{7f}");
        assert_eq!(escape_but("a\tb\n\u{1b}", "\t"), "a\tb\\n\\u{1b}");
    }

    #[test]
    fn colours_follow_the_environment() {
        let check = |is_terminal, set: &[(&str, &str)], expected| {
            let variable =
                |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(colour(is_terminal, &variable), expected, "{is_terminal} {set:?}");
        };
        check(true, &[], true);
        check(false, &[], false);
        check(true, &[("NO_COLOR", "1")], false);
        check(true, &[("NO_COLOR", "")], true);
        check(false, &[("CLICOLOR_FORCE", "1")], true);
        check(false, &[("CLICOLOR_FORCE", "0")], false);
        check(false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false);
        check(true, &[("TERM", "dumb")], false);
    }

    #[test]
    fn texts_are_cut_by_columns() {
        let check = |text: &str, columns, expected: &str| {
            let short = cut(text, columns, '…');
            assert_eq!(short, expected);
            assert!(width(&short) <= columns);
        };
        check("gateway", 7, "gateway");
        check("gateway", 6, "gatew…");
        check("漢字漢字", 5, "漢字…");
        check("漢字漢字", 4, "漢…");
        check("abc", 0, "");
    }
}
