//! CSV as RFC 4180 has it, and TSV with backslash escapes.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::{cell, columns};
use crate::Error;

/// The header line of CSV.
pub fn csv_header(schema: &Schema, out: &mut Vec<u8>) {
    line(columns(schema).iter().map(|column| Some(column.name.as_str())), b',', csv_cell, b"\r\n", out);
}

/// A batch as CSV lines. Null is an empty cell, empty text a quoted one.
///
/// # Errors
/// [`Error::Internal`] for a value of a type that has no form here.
pub fn csv(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
    rows(batch, b',', csv_cell, b"\r\n", out)
}

/// The header line of TSV.
pub fn tsv_header(schema: &Schema, out: &mut Vec<u8>) {
    line(columns(schema).iter().map(|column| Some(column.name.as_str())), b'\t', tsv_cell, b"\n", out);
}

/// A batch as TSV lines: tab, line feed, carriage return and backslash are escaped by a backslash.
///
/// # Errors
/// [`Error::Internal`] for a value of a type that has no form here.
pub fn tsv(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
    rows(batch, b'\t', tsv_cell, b"\n", out)
}

type WriteCell = fn(&str, &mut Vec<u8>);

fn rows(batch: &RecordBatch, between: u8, write: WriteCell, end: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    for row in 0..batch.num_rows() {
        let cells: Vec<_> = batch.columns().iter().map(|column| cell::text(column, row)).collect::<Result<_, _>>()?;
        line(cells.iter().map(Option::as_deref), between, write, end, out);
    }
    Ok(())
}

fn line<'a>(
    cells: impl Iterator<Item = Option<&'a str>>,
    between: u8,
    write: WriteCell,
    end: &[u8],
    out: &mut Vec<u8>,
) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(between);
        }
        if let Some(cell) = cell {
            write(cell, out);
        }
    }
    out.extend_from_slice(end);
}

fn csv_cell(text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() && !text.contains([',', '"', '\r', '\n']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

fn tsv_cell(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            other => out.push(other),
        }
    }
}
