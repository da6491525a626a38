//! Rows for people and programs: JSON, NDJSON, CSV, TSV and plain cells.
//!
//! | SQL value | JSON | text, CSV |
//! | --- | --- | --- |
//! | id, bytes | lowercase hex text | the same |
//! | timestamp | RFC 3339 text, nanoseconds, `Z` | the same |
//! | date, time, interval, duration | text | the same |
//! | integer within ±2^53 | number | digits |
//! | integer beyond, decimal | text | digits |
//! | double | number; `NaN`, `Infinity`, `-Infinity` as text | the same |
//! | attributes | object, each value by its own type, the last of duplicate keys | JSON |
//! | list, struct, map | array, object, object | JSON |
//! | null | null | empty (`None` as a cell) |

mod cell;
mod delimited;
mod types;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde_json::{Value, json};

use crate::{Answer, Error};

pub use delimited::{csv, csv_header, tsv, tsv_header};
pub use types::type_name;

/// A column of an answer: its name, and its type in SQL-like words (see [`type_name`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name; two columns may share one.
    pub name: String,
    /// Such as `text`, `bigint`, `timestamp`, `id`, `list<text>`.
    pub type_name: String,
}

/// How JSON shows a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rows {
    /// As an array of values.
    #[default]
    Arrays,
    /// As an object; a second column of the same name is called `name_2`.
    Objects,
}

/// The columns of an answer.
pub fn columns(schema: &Schema) -> Vec<ColumnInfo> {
    let column = |field: &arrow::datatypes::FieldRef| ColumnInfo {
        name: field.name().clone(),
        type_name: type_name(field.data_type()),
    };
    schema.fields().iter().map(column).collect()
}

/// The rows of a batch as JSON values, by row.
///
/// # Errors
/// [`Error::Internal`] for a value of a type that has no form here.
pub fn json_rows(batch: &RecordBatch) -> Result<Vec<Vec<Value>>, Error> {
    let row = |row| batch.columns().iter().map(|column| cell::json(column, row)).collect();
    (0..batch.num_rows()).map(row).collect()
}

/// The rows of a batch as plain text, by row; `None` is null.
///
/// # Errors
/// [`Error::Internal`] for a value of a type that has no form here.
pub fn text_rows(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>, Error> {
    let row = |row| batch.columns().iter().map(|column| cell::text(column, row)).collect();
    (0..batch.num_rows()).map(row).collect()
}

/// A batch as NDJSON: one object a row, keys in the order of the columns.
///
/// # Errors
/// [`Error::Internal`] for a value of a type that has no form here.
pub fn ndjson(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
    let names = unique_names(&batch.schema());
    for row in 0..batch.num_rows() {
        write_object(&names, batch, row, out)?;
        out.push(b'\n');
    }
    Ok(())
}

/// The whole answer as the JSON document of the HTTP API:
/// `{"columns":[{"name","type"}],"rows":[…],"truncated":…,"incomplete":…,"stats":{…},"query_id":…,"as_of":{"entry":…}}`.
/// An incomplete answer names the damaged files that were left out: `"quarantined":[{"file","detail"}]`.
///
/// # Errors
/// [`Error::Internal`] for a value of a type that has no form here.
pub fn json(answer: &Answer, rows: Rows) -> Result<Vec<u8>, Error> {
    let columns = columns(&answer.schema).into_iter().map(|c| json!({"name": c.name, "type": c.type_name}));
    let mut out = b"{\"columns\":".to_vec();
    write(&Value::Array(columns.collect()), &mut out)?;
    out.extend_from_slice(b",\"rows\":[");
    let names = unique_names(&answer.schema);
    let mut first = true;
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            match rows {
                Rows::Objects => write_object(&names, batch, row, &mut out)?,
                Rows::Arrays => {
                    let values: Result<Vec<_>, _> = batch.columns().iter().map(|c| cell::json(c, row)).collect();
                    write(&Value::Array(values?), &mut out)?;
                }
            }
        }
    }
    out.extend_from_slice(b"],\"truncated\":");
    write(&Value::Bool(answer.truncated.is_some()), &mut out)?;
    if let Some(truncated) = answer.truncated {
        out.extend_from_slice(b",\"truncation\":");
        write(&Value::String(truncated.to_string()), &mut out)?;
    }
    let receipt = &answer.receipt;
    out.extend_from_slice(b",\"incomplete\":");
    write(&Value::Bool(receipt.incomplete()), &mut out)?;
    if receipt.incomplete() {
        let files = receipt.quarantined.iter().map(|file| json!({"file": file.file, "detail": file.detail}));
        out.extend_from_slice(b",\"quarantined\":");
        write(&Value::Array(files.collect()), &mut out)?;
    }
    out.extend_from_slice(b",\"stats\":");
    write(&stats(answer), &mut out)?;
    out.extend_from_slice(b",\"query_id\":");
    write(&Value::String(answer.query_id.clone()), &mut out)?;
    out.extend_from_slice(b",\"as_of\":");
    let mut as_of = json!({"entry": receipt.entry});
    if !receipt.entries_as_of.is_empty() {
        as_of["tables"] = receipt.entries_as_of.clone().into();
    }
    write(&as_of, &mut out)?;
    out.push(b'}');
    Ok(out)
}

/// The receipt of an answer as JSON.
pub fn stats(answer: &Answer) -> Value {
    let receipt = &answer.receipt;
    json!({
        "entry": receipt.entry,
        "files_planned": receipt.files_planned,
        "files_pruned": receipt.files_pruned,
        "files_pruned_by_bloom": receipt.files_pruned_by_bloom,
        "files_read": receipt.files_read,
        "files_failed": receipt.files_failed,
        "files_quarantined": receipt.quarantined.len(),
        "bytes_read": receipt.bytes_read,
        "row_groups_pruned": receipt.row_groups_pruned,
        "row_groups_read": receipt.row_groups_read,
        "rows_unflushed": receipt.rows_unflushed,
        "rows": receipt.rows,
        "elapsed_ns": receipt.elapsed_ns,
    })
}

fn write_object(names: &[String], batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    out.push(b'{');
    for (index, (name, column)) in names.iter().zip(batch.columns()).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(&Value::String(name.clone()), out)?;
        out.push(b':');
        write(&cell::json(column, row)?, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    serde_json::to_writer(out, value).map_err(Error::internal)
}

/// The column names, a repeated one with its number: `x`, `x_2`.
fn unique_names(schema: &Schema) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{}_{number}", field.name());
            number += 1;
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests;
