//! Rows on standard output, in the form that was asked for.

mod answer;
mod delimited;
mod json;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::failure::Failure;
use crate::terminal::{self, Output};

pub(crate) use answer::{Answer, Rows};

/// The rows of a table when nobody says how many.
const TABLE_ROWS_MAX: usize = 1000;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// table on a terminal, ndjson in a pipe
    #[default]
    Auto,
    /// Columns side by side
    Table,
    /// A line for each value
    Vertical,
    /// A Markdown table
    Markdown,
    /// RFC 4180, with a header
    Csv,
    /// Tabs between values, \t \n \r \\ escaped, with a header
    Tsv,
    /// One array of objects
    Json,
    /// One object a line
    Ndjson,
}

impl Format {
    /// What `auto` stands for here.
    pub(crate) fn resolve(self) -> Self {
        match self {
            Self::Auto if io::stdout().is_terminal() => Self::Table,
            Self::Auto => Self::Ndjson,
            format => format,
        }
    }

    /// The rows to ask for: what the user said (0: all), else a screenful for people and all for programs.
    pub(crate) fn rows_max(self, asked: Option<usize>) -> usize {
        match asked {
            Some(0) => usize::MAX,
            Some(rows) => rows,
            None if self.is_for_people() => TABLE_ROWS_MAX,
            None => usize::MAX,
        }
    }

    fn is_for_people(self) -> bool {
        matches!(self.resolve(), Self::Table | Self::Vertical | Self::Markdown)
    }
}

/// What the destination of the rows allows.
#[derive(Debug, Clone, Copy)]
struct Screen {
    is_terminal: bool,
    columns: usize,
    unicode: bool,
    colour: bool,
}

/// Writes an answer to stdout, and on stderr says what was cut and, on a terminal, what was read.
/// Returns the number of rows.
pub(crate) fn write(answer: Answer, format: Format) -> anyhow::Result<usize> {
    let screen = Screen {
        is_terminal: io::stdout().is_terminal(),
        columns: terminal::columns(),
        unicode: terminal::shows_unicode(),
        colour: terminal::colour_on_stdout(),
    };
    let format = format.resolve();
    let (truncated, stats) = (answer.truncated.clone(), answer.stats.clone());
    let mut out = Output::new();
    let written = write_to(answer, format, screen, &mut out)?;
    out.flush()?;
    drop(out);
    if let Some(truncated) = truncated {
        terminal::say(format!(
            "notice: {}; --max-rows N asks for more, --max-rows 0 for all",
            terminal::escape(&truncated)
        ));
    }
    if written.cut_cells {
        terminal::say("notice: long values end in …; -o vertical or -o json shows them whole");
    }
    if io::stderr().is_terminal() {
        terminal::say(stats_line(written.rows, &stats));
    }
    Ok(written.rows)
}

/// Writes a list of our own, such as the hunts, in the same formats.
pub(crate) fn write_list(columns: &[&str], rows: Vec<Vec<Value>>, format: Format) -> anyhow::Result<()> {
    let mut answer = Answer::of(columns, rows);
    answer.stats = Value::Null;
    write(answer, format).map(drop)
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Written {
    rows: usize,
    cut_cells: bool,
}

fn write_to(answer: Answer, format: Format, screen: Screen, out: &mut dyn Write) -> anyhow::Result<Written> {
    match format {
        Format::Auto | Format::Table => table::columns(answer, screen, out),
        Format::Vertical => table::vertical(answer, screen, out),
        Format::Markdown => table::markdown(answer, out),
        Format::Csv => delimited::csv(answer, screen, out),
        Format::Tsv => delimited::tsv(answer, screen, out),
        Format::Json => json::array(answer, out),
        Format::Ndjson => json::lines(answer, out),
    }
}

/// `12 rows · 34 ms · 5 of 20 files read · INCOMPLETE: … · 1203 unflushed rows · entry 42`.
fn stats_line(rows: usize, stats: &Value) -> String {
    let mut line = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    let number = |key: &str| stats.get(key).and_then(Value::as_u64);
    if let Some(elapsed_ns) = number("elapsed_ns") {
        line.push_str(&format!(" · {} ms", elapsed_ns.div_ceil(1_000_000)));
    }
    if let (Some(read), Some(planned)) = (number("files_read"), number("files_planned")) {
        line.push_str(&format!(" · {read} of {planned} files read"));
    }
    if let Some(left_out) = number("files_quarantined").filter(|files| *files > 0) {
        line.push_str(&format!(" · INCOMPLETE: {left_out} damaged files left out"));
    }
    if let Some(unflushed) = number("rows_unflushed").filter(|rows| *rows > 0) {
        line.push_str(&format!(" · {unflushed} unflushed rows"));
    }
    if let Some(entry) = number("entry") {
        line.push_str(&format!(" · entry {entry}"));
    }
    line
}

/// A value as plain text; `None` is null.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The error for a row that does not have the columns of its answer.
fn ragged() -> Failure {
    Failure::failed("protocol", "the answer has a row of another length than its columns")
        .hint("is the server of this release?")
}
