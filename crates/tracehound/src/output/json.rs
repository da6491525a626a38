use std::io::Write;

use serde_json::Value;

use super::{Answer, Written};
use crate::terminal;

/// One object a line, keys in the order of the columns.
pub(super) fn lines(answer: Answer, out: &mut dyn Write) -> anyhow::Result<Written> {
    let names = unique_names(&answer.columns)?;
    let rows = answer.for_each(|row| {
        out.write_all(object(&names, &row)?.as_bytes())?;
        Ok(out.write_all(b"\n")?)
    })?;
    Ok(Written { rows, cut_cells: false })
}

/// One array of objects, a line each.
pub(super) fn array(answer: Answer, out: &mut dyn Write) -> anyhow::Result<Written> {
    let names = unique_names(&answer.columns)?;
    let mut before = "[\n";
    let rows = answer.for_each(|row| {
        out.write_all(std::mem::replace(&mut before, ",\n").as_bytes())?;
        Ok(out.write_all(object(&names, &row)?.as_bytes())?)
    })?;
    out.write_all(if rows == 0 { b"[]\n" } else { b"\n]\n" })?;
    Ok(Written { rows, cut_cells: false })
}

fn object(names: &[String], row: &[Value]) -> anyhow::Result<String> {
    let mut text = String::from("{");
    for (index, (name, value)) in names.iter().zip(row).enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(name);
        text.push(':');
        text.push_str(&serde_json::to_string(value)?);
    }
    text.push('}');
    Ok(escape(text))
}

/// Characters that a terminal obeys or hides can stand only inside strings of JSON, where `\u` says the same.
fn escape(text: String) -> String {
    if !text.contains(terminal::is_unsafe) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if terminal::is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The column names as JSON text, a repeated one with its number: `x`, `x_2`.
fn unique_names(columns: &[String]) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = column.clone();
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{column}_{number}");
            number += 1;
        }
        names.push(name);
    }
    names.iter().map(|name| Ok(serde_json::to_string(name)?)).collect()
}
