use std::io::Write;

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use super::{Answer, Screen, Written, text};
use crate::terminal;

/// What one cell shows at most on a terminal.
const CELL_COLUMNS_MAX: usize = 120;

/// Columns side by side; on a terminal as wide as that, elsewhere as wide as the values.
pub(super) fn columns(answer: Answer, screen: Screen, out: &mut dyn Write) -> anyhow::Result<Written> {
    let mut table = Table::new();
    table.load_preset(if screen.unicode { presets::UTF8_FULL_CONDENSED } else { presets::ASCII_FULL_CONDENSED });
    if screen.is_terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(screen.columns).unwrap_or(u16::MAX));
    }
    if screen.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let header = answer.columns.iter().map(|column| {
        let cell = Cell::new(terminal::escape(column));
        if screen.colour { cell.add_attribute(Attribute::Bold) } else { cell }
    });
    table.set_header(header);
    let mut cut_cells = false;
    let rows = answer.for_each(|row| {
        let cells = row.iter().map(|value| {
            let shown = shown(value);
            let short = if screen.is_terminal {
                terminal::cut(&shown, CELL_COLUMNS_MAX, if screen.unicode { '…' } else { '~' })
            } else {
                shown.clone()
            };
            cut_cells |= short != shown;
            let cell = Cell::new(short);
            let cell = if screen.colour && value.is_null() { cell.add_attribute(Attribute::Dim) } else { cell };
            if value.is_number() { cell.set_alignment(CellAlignment::Right) } else { cell }
        });
        table.add_row(cells.collect::<Vec<_>>());
        Ok(())
    })?;
    if !table.is_empty() || table.column_count() > 0 {
        writeln!(out, "{table}")?;
    }
    Ok(Written { rows, cut_cells })
}

/// A line for each value.
pub(super) fn vertical(answer: Answer, screen: Screen, out: &mut dyn Write) -> anyhow::Result<Written> {
    let names: Vec<_> = answer.columns.iter().map(|column| terminal::escape(column).into_owned()).collect();
    let widest = names.iter().map(|name| terminal::width(name)).max().unwrap_or(0);
    let (bold, plain) = if screen.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut number = 0;
    let rows = answer.for_each(|row| {
        number += 1;
        writeln!(out, "{bold}── row {number}{plain}")?;
        for (name, value) in names.iter().zip(&row) {
            let indent = " ".repeat(widest - terminal::width(name));
            writeln!(out, "{indent}{name} │ {}", shown(value))?;
        }
        Ok(())
    })?;
    Ok(Written { rows, cut_cells: false })
}

/// A table as GitHub's Markdown has it.
pub(super) fn markdown(answer: Answer, out: &mut dyn Write) -> anyhow::Result<Written> {
    let header: Vec<_> = answer.columns.iter().map(|column| markdown_cell(&terminal::escape(column))).collect();
    writeln!(out, "| {} |", header.join(" | "))?;
    writeln!(out, "|{}", " --- |".repeat(header.len()))?;
    let rows = answer.for_each(|row| {
        let cells: Vec<_> = row.iter().map(|value| markdown_cell(&shown(value))).collect();
        Ok(writeln!(out, "| {} |", cells.join(" | "))?)
    })?;
    Ok(Written { rows, cut_cells: false })
}

/// A value as people see it: null by name, and nothing that a terminal obeys.
fn shown(value: &Value) -> String {
    text(value).map_or_else(|| "NULL".to_owned(), |text| terminal::escape(&text).into_owned())
}

fn markdown_cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('`', "\\`")
}
