use std::fmt::Write;
use std::time::Duration;

use super::attacks::Truth;
use super::verdict::{Finding, Verdict};

/// A hunt, what it found and how long it took.
pub(super) struct HuntRun {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) findings: Vec<Finding>,
    pub(super) took: Duration,
}

/// The columns that say whom or what a finding is about, in the order shown.
const ABOUT: [&str; 12] = [
    "user_id",
    "region",
    "agent",
    "step",
    "role",
    "roles",
    "caller",
    "callee",
    "service_name",
    "domain",
    "app_tenant_id",
    "resource_tenant_id",
];
/// The columns that say what was seen, and what is usual.
const NUMBERS: [&str; 14] = [
    "touches",
    "subjects",
    "logins",
    "usual_logins",
    "users",
    "new_users",
    "usual_users",
    "traces",
    "usual_traces",
    "failures",
    "body_bytes",
    "jumps",
    "usual_callees",
    "usually_called_from",
];

/// What one hunt found, for people.
pub(super) fn hunt(run: &HuntRun) -> String {
    let count = run.findings.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut text =
        format!("\n{} — {}\n  {count} finding{plural} in {:.1} s\n", run.name, run.title, run.took.as_secs_f64());
    for finding in &run.findings {
        line(&mut text, "  • ", &about(finding, &ABOUT));
        line(&mut text, "    path    ", finding.text("service_path"));
        line(&mut text, "    seen    ", &about(finding, &NUMBERS));
        let ids = finding.trace_ids();
        let shown: Vec<&str> = ids.iter().take(2).copied().collect();
        line(&mut text, "    traces  ", &shown.join(" "));
    }
    text
}

fn line(text: &mut String, label: &str, value: &str) {
    if !value.is_empty() {
        let value = crate::terminal::escape(value);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{label}{value}");
    }
}

fn about(finding: &Finding, columns: &[&str]) -> String {
    let cell = |column: &&str| {
        let value = finding.row.get(*column)?;
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (value != "null" && !value.is_empty()).then(|| format!("{} {value}", column.replace('_', " ")))
    };
    columns.iter().filter_map(cell).collect::<Vec<_>>().join(" · ")
}

/// What was planted, and whether the hunts agree.
pub(super) fn verdict(truths: &[Truth], verdict: &Verdict) -> String {
    let mut text = String::from("\nPlanted:\n");
    for truth in truths {
        let by: Vec<&str> = truth.found_by.iter().map(|(hunt, _, _)| *hunt).collect();
        line(&mut text, "  ", &format!("{} (hunt {})", truth.story, by.join(", ")));
    }
    if verdict.is_right() {
        let all = format!("All {} attacks were found, and nothing else was listed.", truths.len());
        line(&mut text, "", &all);
    }
    for missed in &verdict.missed {
        line(&mut text, "  MISSED: ", missed);
    }
    for extra in &verdict.extra {
        line(&mut text, "  EXTRA: ", extra);
    }
    text
}

/// The commands to go on with; `place` says where the data is, as flags.
pub(super) fn next_commands(place: &str, from: &str, to: &str, trace: &str) -> String {
    format!(
        "\nGo on:\n  \
         tracehound hunts run lateral-movement {place} --from {from} --to {to}\n  \
         tracehound hunts show pii-by-non-admin\n  \
         tracehound trace view {trace} {place}\n  \
         tracehound sql {place} -c \"SELECT service_name, count(*) FROM spans GROUP BY 1 ORDER BY 2 DESC\"\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_finding_says_who_and_where_and_obeys_no_terminal() {
        let row = json!({
            "user_id": "u-1\u{1b}[2J", "role": null, "caller": "auth", "callee": "billing",
            "service_path": "gateway → auth → billing", "traces": 3, "trace_ids": ["0a", "0b", "0c"],
        });
        let Value::Object(row) = row else { panic!("an object") };
        let run = HuntRun {
            name: "lateral-movement".to_owned(),
            title: "A call".to_owned(),
            findings: vec![Finding { hunt: "lateral-movement".to_owned(), row }],
            took: Duration::from_millis(1250),
        };
        let expected = "\nlateral-movement — A call\n  1 finding in 1.2 s\n  \
            • user id u-1\\u{1b}[2J · caller auth · callee billing\n    \
            path    gateway → auth → billing\n    seen    traces 3\n    traces  0a 0b\n";
        assert_eq!(hunt(&run), expected);
    }
}
