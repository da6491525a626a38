//! What a task did: a table and a sentence for people, the whole report for programs.

use std::io::Write;

use serde_json::Value;

use crate::output::{self, Format};
use crate::terminal::{self, Output};

/// Writes a report: `json` and `ndjson` as one object, other formats as a table of what it lists, with a sentence on stderr.
pub(super) fn write(task: &str, report: &Value, format: Format) -> anyhow::Result<()> {
    let format = format.resolve();
    if matches!(format, Format::Json | Format::Ndjson) {
        let mut out = Output::new();
        writeln!(out, "{report}")?;
        return Ok(out.flush()?);
    }
    let (list, columns) = table(task);
    let objects = report.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !objects.is_empty() {
        let row =
            |object: &Value| columns.iter().map(|column| object.get(column).cloned().unwrap_or_default()).collect();
        output::write_list(columns, objects.iter().map(row).collect(), format)?;
    }
    sentences(task, report).iter().for_each(|sentence| terminal::say(terminal::escape(sentence)));
    Ok(())
}

/// What a report lists: the name of the list, and its columns.
fn table(task: &str) -> (&'static str, &'static [&'static str]) {
    match task {
        "verify" => ("defects", &["kind", "path", "detail", "advice"]),
        "retention" => ("files", &["dataset", "last_hour", "rows", "bytes", "reason", "path"]),
        "erase" => ("files", &["dataset", "path", "rows", "erased"]),
        "backup" | "restore" => ("tenants", &["tenant", "entry", "files", "rows", "bytes"]),
        _ => ("", &[]),
    }
}

fn sentences(task: &str, report: &Value) -> Vec<String> {
    let number = |key: &str| report.get(key).and_then(Value::as_u64).unwrap_or_default();
    let size = |key: &str| bytes(number(key));
    let list = |key: &str| report.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let text = |key: &str| report.get(key).and_then(Value::as_str).unwrap_or_default();
    let dry = report.get("dry_run").and_then(Value::as_bool).unwrap_or_default();
    let mut lines = match task {
        "compact" if number("units") == 0 => vec!["nothing to merge".to_owned()],
        "compact" => vec![format!(
            "{} ({}) became {} ({}): {} in {}",
            count(number("files_before"), "file"),
            size("bytes_before"),
            count(number("files_after"), "file"),
            size("bytes_after"),
            count(number("rows"), "row"),
            count(number("units"), "merge"),
        )],
        "verify" => vec![
            format!(
                "{}, {} with {} and {} read: {}; {}",
                count_y(number("entries"), "entr"),
                count(number("files"), "file"),
                count(number("rows"), "row"),
                count(number("sidecars"), "sidecar"),
                size("bytes"),
                match list("defects").len() {
                    0 => "all as they were written".to_owned(),
                    defects => count(defects as u64, "defect"),
                }
            ),
            format!(
                "{} that no entry needs any more: {}; they go when their grace has passed",
                count(number("unnamed"), "object"),
                size("unnamed_bytes")
            ),
        ],
        "retention" => vec![format!(
            "{} with {}, {}, {}",
            count(list("files").len() as u64, "file"),
            count(number("rows"), "row"),
            size("bytes"),
            if dry { "would go" } else { "went; the disk has the room back when the grace has passed" },
        )],
        "erase" => vec![format!(
            "{} in {} {}",
            count(number("rows"), "row"),
            count(list("files").len() as u64, "file"),
            if dry { "would be erased" } else { "erased" },
        )],
        "sweep" => vec![format!(
            "{} removed: {}; {} within their grace: {}",
            count(number("removed"), "object"),
            size("removed_bytes"),
            count(number("waiting"), "object"),
            size("waiting_bytes"),
        )],
        "backup" | "restore" => vec![format!(
            "{}: {} copied ({}), {} there already; every object was read back and compared",
            text("backup"),
            count(number("copied"), "object"),
            size("copied_bytes"),
            number("kept"),
        )],
        "quarantine" => vec![format!("{}: queries go on without it, and say so", text("path"))],
        "release" if report.get("released") == Some(&Value::Bool(true)) => {
            vec![format!("{}: queries read it again", text("path"))]
        }
        "release" => vec![format!("{} was not in quarantine", text("path"))],
        _ => Vec::new(),
    };
    if task == "verify" && number("unnamed") == 0 {
        lines.truncate(1);
    }
    if let Some(gone_at_ns) = report.get("gone_at_ns").and_then(Value::as_i64) {
        let time = tracehound_query::time::rfc3339(gone_at_ns);
        lines.push(format!("the old files go from the store at {time}"));
    }
    let texts = |key: &str| list(key).iter().filter_map(Value::as_str);
    lines.extend(texts("quarantined").map(|path| format!("warning: {path} is damaged; it is in quarantine now")));
    lines.extend(texts("unreadable").map(|path| format!("warning: {path} could not be read")));
    lines.extend(list("damaged").iter().map(|pair| {
        let part = |at: usize| pair.get(at).and_then(Value::as_str).unwrap_or_default();
        format!("warning: {} is missing or damaged: {}", part(0), part(1))
    }));
    lines.extend(texts("remarks").map(|remark| format!("note: {remark}")));
    lines
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn count_y(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "y" } else { "ies" })
}

/// A size for people.
fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_short() {
        for (size, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_599, "1.6 KiB"),
            (5 << 20, "5.0 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn reports_are_told_in_sentences() {
        let check = |task: &str, report: Value, expected: &[&str]| assert_eq!(sentences(task, &report), expected);
        check("compact", json!({"units": 0}), &["nothing to merge"]);
        check(
            "compact",
            json!({"units": 1, "files_before": 3, "files_after": 1, "rows": 10, "bytes_before": 2048, "bytes_after": 1024, "quarantined": ["a"]}),
            &[
                "3 files (2.0 KiB) became 1 file (1.0 KiB): 10 rows in 1 merge",
                "warning: a is damaged; it is in quarantine now",
            ],
        );
        check(
            "verify",
            json!({"entries": 1, "files": 2, "rows": 3, "sidecars": 2, "bytes": 10, "defects": [], "unnamed": 0}),
            &["1 entry, 2 files with 3 rows and 2 sidecars read: 10 B; all as they were written"],
        );
        check("erase", json!({"dry_run": true, "rows": 1, "files": [{}]}), &["1 row in 1 file would be erased"]);
        check(
            "erase",
            json!({"rows": 2, "files": [{}, {}], "gone_at_ns": 0, "remarks": ["logs"]}),
            &[
                "2 rows in 2 files erased",
                "the old files go from the store at 1970-01-01T00:00:00.000000000Z",
                "note: logs",
            ],
        );
    }
}
