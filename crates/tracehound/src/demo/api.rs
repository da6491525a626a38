use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::verdict::Finding;
use crate::waterfall::{self, Span};

/// Runs a hunt over a time range through the HTTP API, with its defaults.
///
/// # Errors
/// The server's own words when it does not answer with rows.
pub(super) fn run_hunt(url: &str, hunt: &str, from: &str, to: &str) -> anyhow::Result<Vec<Finding>> {
    let request = json!({"params": {}, "time_range": {"from": from, "to": to}});
    let rows = ask(&format!("{url}/api/v1/hunts/{hunt}/run"), &request).with_context(|| format!("hunt {hunt}"))?;
    Ok(rows.into_iter().map(|row| Finding { hunt: hunt.to_owned(), row }).collect())
}

/// The spans of a trace, as the waterfall draws them.
///
/// # Errors
/// The server's own words when it does not answer with rows.
pub(super) fn spans(url: &str, trace: &str) -> anyhow::Result<Vec<Span>> {
    let request = json!({"sql": waterfall::SQL, "params": {"trace_id": trace}});
    let rows = ask(&format!("{url}/api/v1/query"), &request).with_context(|| format!("trace {trace}"))?;
    Ok(rows.iter().map(Span::from_row).collect())
}

fn ask(url: &str, request: &Value) -> anyhow::Result<Vec<Map<String, Value>>> {
    let mut reply = agent()
        .post(url)
        .header("accept", "application/json")
        .send_json(request)
        .with_context(|| format!("no answer from {url}"))?;
    let status = reply.status();
    let text = reply.body_mut().read_to_string().context("the answer broke off")?;
    if !status.is_success() {
        bail!("{url} answered {status}: {text}");
    }
    let answer: Value = serde_json::from_str(&text).context("the answer is no JSON")?;
    let names: Vec<String> =
        array(&answer, "columns").iter().filter_map(|column| Some(column.get("name")?.as_str()?.to_owned())).collect();
    let row = |row: &Value| {
        let cells = row.as_array().cloned().unwrap_or_default();
        names.iter().cloned().zip(cells).collect()
    };
    Ok(array(&answer, "rows").iter().map(row).collect())
}

fn array<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(120)))
        .build()
        .into()
}
