use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::verdict::Finding;

/// Runs a hunt over a time range through the HTTP API, with its defaults.
///
/// # Errors
/// The server's own words when it does not answer with rows.
pub(super) fn run_hunt(url: &str, hunt: &str, from: &str, to: &str) -> anyhow::Result<Vec<Finding>> {
    let request = json!({"params": {}, "time_range": {"from": from, "to": to}});
    let mut reply = agent()
        .post(format!("{url}/api/v1/hunts/{hunt}/run?format=json"))
        .send_json(request)
        .with_context(|| format!("hunt {hunt} got no answer"))?;
    let status = reply.status();
    let text = reply.body_mut().read_to_string().with_context(|| format!("hunt {hunt}"))?;
    if !status.is_success() {
        bail!("hunt {hunt} failed with {status}: {text}");
    }
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("hunt {hunt}"))?;
    let names: Vec<String> = array(&answer, "columns")
        .iter()
        .filter_map(|column| Some(column.get("name")?.as_str()?.to_owned()))
        .collect();
    let finding = |row: &Value| {
        let cells = row.as_array().cloned().unwrap_or_default();
        let row: Map<String, Value> = names.iter().cloned().zip(cells).collect();
        Finding { hunt: hunt.to_owned(), row }
    };
    Ok(array(&answer, "rows").iter().map(finding).collect())
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
