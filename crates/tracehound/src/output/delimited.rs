use std::io::Write;

use super::{Answer, Screen, Written, text};
use crate::terminal;

/// RFC 4180: null is an empty cell, empty text a quoted one. On a terminal controls are escaped.
pub(super) fn csv(answer: Answer, screen: Screen, out: &mut dyn Write) -> anyhow::Result<Written> {
    write(answer, b",", b"\r\n", |cell| csv_cell(shown(cell, screen, "\n\t").as_ref()), out)
}

/// Tab, line feed, carriage return and backslash are escaped by a backslash.
pub(super) fn tsv(answer: Answer, screen: Screen, out: &mut dyn Write) -> anyhow::Result<Written> {
    write(answer, b"\t", b"\n", |cell| shown(&tsv_cell(cell), screen, "").into_owned(), out)
}

fn shown<'a>(cell: &'a str, screen: Screen, kept: &str) -> std::borrow::Cow<'a, str> {
    if screen.is_terminal { terminal::escape_but(cell, kept) } else { cell.into() }
}

fn write(
    answer: Answer,
    between: &[u8],
    end: &[u8],
    cell: impl Fn(&str) -> String,
    out: &mut dyn Write,
) -> anyhow::Result<Written> {
    let header: Vec<_> = answer.columns.iter().map(|column| cell(column)).collect();
    let mut line = |cells: Vec<String>| -> anyhow::Result<()> {
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                out.write_all(between)?;
            }
            out.write_all(cell.as_bytes())?;
        }
        Ok(out.write_all(end)?)
    };
    line(header)?;
    let rows = answer.for_each(|row| {
        line(row.iter().map(|value| text(value).map_or_else(String::new, |text| cell(&text))).collect())
    })?;
    Ok(Written { rows, cut_cells: false })
}

fn csv_cell(text: &str) -> String {
    if !text.is_empty() && !text.contains([',', '"', '\r', '\n']) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn tsv_cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}
