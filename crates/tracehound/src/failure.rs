//! Errors as people and scripts see them: code, message, hint, place in the SQL, and the exit code.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;

use crate::terminal;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed,
    Usage,
    Retryable,
    NotAuthorised,
    CheckFailed,
    Interrupted,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Retryable => 3,
            Self::NotAuthorised => 4,
            Self::CheckFailed => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A part of a SQL text, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlPart {
    /// The whole line.
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) length: usize,
}

impl SqlPart {
    /// The part of `sql` at a place that an error names; `None` where the text has no such place.
    pub(crate) fn find(sql: &str, line: Option<u64>, column: Option<u64>, length: Option<u64>) -> Option<Self> {
        let line = usize::try_from(line?).ok()?;
        let column = usize::try_from(column?).ok()?.max(1);
        let text = sql.lines().nth(line.checked_sub(1)?)?.to_owned();
        let length = usize::try_from(length.unwrap_or(1)).ok()?.max(1);
        Some(Self { text, line, column, length })
    }
}

/// An error with a stable code and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) part: Option<SqlPart>,
    pub(crate) did_you_mean: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { exit, code, message, hint: None, part: None, did_you_mean: Vec::new() }
    }

    pub(crate) fn failed(code: &str, message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, code, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An error of the query crate; `sql` is the text that was asked.
    pub(crate) fn query(error: &tracehound_query::Error, sql: &str) -> Self {
        use tracehound_query::Error as Query;
        let exit = match error {
            Query::Parameter { .. } => Exit::Usage,
            _ if error.retryable() => Exit::Retryable,
            _ => Exit::Failed,
        };
        let mut failure = Self::new(exit, error.code(), error.to_string());
        failure.did_you_mean = error.did_you_mean().to_vec();
        if let Query::Sql(wrong) = error {
            failure.part = SqlPart::find(sql, wrong.line, wrong.column, wrong.length);
        }
        failure
    }

    /// An error of the storage crate.
    pub(crate) fn storage(error: &tracehound_storage::Error) -> Self {
        use tracehound_storage::Error as Storage;
        let mut message = error.to_string();
        if let Some(source) = std::error::Error::source(error) {
            message = format!("{message}: {source}");
        }
        match error {
            Storage::Locked { holder, .. } => {
                let url =
                    holder.split_whitespace().find(|word| word.starts_with("http://") || word.starts_with("https://"));
                let hint = match url {
                    Some(url) => format!("ask that server instead: --url {}", url.trim_end_matches([',', ';', ')'])),
                    None => "wait until it has ended, or use another --data-dir".to_owned(),
                };
                Self::new(Exit::Retryable, "locked", message).hint(hint)
            }
            Storage::Overloaded { .. } | Storage::Unavailable { .. } => {
                Self::new(Exit::Retryable, "storage-unavailable", message)
                    .hint("check the free space of the disk, or that the store answers, and try again")
            }
            Storage::Poisoned { .. } => {
                Self::new(Exit::Retryable, "storage-poisoned", message).hint("check the disk, then restart")
            }
            Storage::Corrupt { .. } => Self::failed("storage-corrupt", message)
                .hint("restore the file from a backup; `tracehound doctor` checks the rest"),
            Storage::NewerFormat { .. } => {
                Self::failed("storage-newer", message).hint("use the release that wrote it, or a newer one")
            }
            Storage::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Self::new(Exit::Retryable, "disk-full", message).hint("free some space on that disk and try again")
            }
            Storage::Io { .. } => {
                Self::failed("io", message).hint("check that the directory exists and that you may write to it")
            }
            Storage::Conflict { .. } => Self::new(Exit::Retryable, "storage-conflict", message).hint("try again"),
            Storage::NoSuchTenant { .. } => {
                Self::failed("not-found", message).hint("`tracehound data tenants` lists those that there are")
            }
            Storage::NoSuchEntry { .. }
            | Storage::NoSuchFile { .. }
            | Storage::Gone { .. }
            | Storage::NoBackup { .. } => Self::failed("not-found", message),
            Storage::StoreUnusable { .. } => Self::new(Exit::Usage, "store-unusable", message)
                .hint("docs/stores.md says how each store is configured"),
            Storage::StoreHeld { store, wait_seconds, .. } => Self::new(Exit::Retryable, "store-held", message).hint(format!(
                "stop the other writer, or use a store that keeps writers apart; if it is dead, try again in {wait_seconds} s, or delete {}/writer.json now",
                store.trim_end_matches('/')
            )),
            Storage::Exists { .. } | Storage::TooLarge { .. } | Storage::Closed | Storage::Internal { .. } => Self::failed("storage", message),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Standard output was closed by its reader, who has seen enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct OutputClosed;

/// Writes an error to stderr, and says how the process ends.
pub(crate) fn report(error: &anyhow::Error, as_json: bool) -> ExitCode {
    if is_output_closed(error) {
        return ExitCode::SUCCESS;
    }
    let failure =
        error.downcast_ref::<Failure>().cloned().unwrap_or_else(|| Failure::failed("failed", format!("{error:#}")));
    let text = if as_json { to_json(&failure) } else { to_text(&failure, terminal::colour_on_stderr()) };
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "{text}");
    failure.exit.into()
}

fn is_output_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.is_some_and(|inner| inner.is::<OutputClosed>())
    })
}

fn to_json(failure: &Failure) -> String {
    let mut error = json!({
        "code": failure.code,
        "message": failure.message,
        "exit_code": failure.exit.code(),
        "retryable": failure.exit == Exit::Retryable,
    });
    if let Some(hint) = &failure.hint {
        error["hint"] = json!(hint);
    }
    if let Some(part) = &failure.part {
        error["sql"] = json!({"line": part.line, "column": part.column, "length": part.length});
    }
    if !failure.did_you_mean.is_empty() {
        error["did_you_mean"] = json!(failure.did_you_mean);
    }
    json!({ "error": error }).to_string()
}

fn to_text(failure: &Failure, colour: bool) -> String {
    let (red, bold, plain) = if colour { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
    let code = terminal::escape(&failure.code);
    let mut text = format!("{red}error[{code}]{plain}{bold}:{plain} {}", terminal::escape_lines(&failure.message));
    if let Some(part) = &failure.part {
        let number = part.line.to_string();
        let margin = " ".repeat(number.len());
        let before: String = part.text.chars().take(part.column - 1).collect();
        let wrong: String = part.text.chars().skip(part.column - 1).take(part.length).collect();
        let indent = " ".repeat(terminal::width(&terminal::escape(&before)));
        let marks = "^".repeat(terminal::width(&terminal::escape(&wrong)).max(1));
        let line = terminal::escape(&part.text);
        text.push_str(&format!("\n{margin} |\n{number} | {line}\n{margin} | {indent}{red}{marks}{plain}"));
    }
    let mean = (!failure.did_you_mean.is_empty()).then(|| format!("did you mean {}?", failure.did_you_mean.join(", ")));
    // The message may say it already.
    let mean = mean.filter(|_| !failure.message.contains("did you mean"));
    for hint in failure.hint.iter().chain(&mean) {
        text.push_str(&format!("\n{bold}hint:{plain} {}", terminal::escape_lines(hint)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_part_of_the_sql_is_marked() {
        let mut failure = Failure::failed("sql-unknown-column", "there is no column servce_name");
        failure.part = SqlPart::find("SELECT 1,\n  servce_name FROM spans", Some(2), Some(3), Some(11));
        failure.did_you_mean = vec!["service_name".to_owned()];
        let expected = "error[sql-unknown-column]: there is no column servce_name\n  |\n2 |   servce_name FROM spans\n  |   ^^^^^^^^^^^\nhint: did you mean service_name?";
        assert_eq!(to_text(&failure, false), expected);
    }

    #[test]
    fn places_outside_the_text_are_not_marked() {
        assert_eq!(SqlPart::find("SELECT 1", Some(0), Some(1), None), None);
        assert_eq!(SqlPart::find("SELECT 1", Some(9), Some(1), None), None);
        assert_eq!(SqlPart::find("SELECT 1", None, None, None), None);
        let mut failure = Failure::failed("sql-syntax", "ends too early");
        failure.part = SqlPart::find("SELECT", Some(1), Some(40), Some(7));
        assert!(to_text(&failure, false).ends_with("|       ^"), "{}", to_text(&failure, false));
    }

    #[test]
    fn errors_hold_no_terminal_commands() {
        let failure = Failure::failed("x", "a\u{1b}[2Jb\nc").hint("d\u{9b}e");
        assert_eq!(to_text(&failure, false), "error[x]: a\\u{1b}[2Jb\nc\nhint: d\\u{9b}e");
    }

    #[test]
    fn a_lock_hints_at_its_holder() {
        let check = |holder: &str, expected: &str| {
            let error = tracehound_storage::Error::Locked { path: "d/LOCK".into(), holder: holder.to_owned() };
            let failure = Failure::storage(&error);
            assert_eq!((failure.code.as_str(), failure.exit), ("locked", Exit::Retryable));
            assert!(failure.message.contains(holder), "{}", failure.message);
            assert!(failure.hint.as_ref().is_some_and(|hint| hint.contains(expected)), "{:?}", failure.hint);
        };
        check("process 12, http://127.0.0.1:4320", "--url http://127.0.0.1:4320");
        check("process 12", "another --data-dir");
    }

    #[test]
    fn a_closed_output_is_no_failure() {
        let closed = io::Error::new(io::ErrorKind::BrokenPipe, OutputClosed);
        assert!(is_output_closed(&anyhow::Error::from(closed).context("writing")));
        assert!(!is_output_closed(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
    }
}
