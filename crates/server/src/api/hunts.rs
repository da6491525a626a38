//! `/api/v1/hunts`: the library, and running one of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tracehound_query::QueryRequest;
use tracehound_query::hunts::{self, Hunt};

use super::problem::Problem;
use super::query::{Pairs, caller, document, form, json as read_json, read, run as run_query};
use super::reply::reply;
use super::request::{LimitsBody, TimeRangeBody, hunt_range, rfc3339};
use crate::app::App;

/// The body of `POST /api/v1/hunts/{name}/run`; may be empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunBody {
    #[serde(default)]
    params: BTreeMap<String, Value>,
    time_range: Option<TimeRangeBody>,
    limits: Option<LimitsBody>,
}

/// All hunts, without their SQL.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller(&app, &headers)?;
    let hunts: Vec<_> = hunts::list()
        .iter()
        .map(|hunt| json!({"name": hunt.name, "title": hunt.title, "attack": hunt.attack, "window": hunt.window}))
        .collect();
    Ok(document(&json!({"hunts": hunts})))
}

/// One hunt, whole.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller(&app, &headers)?;
    Ok(document(&whole(hunts::get(&name)?)))
}

/// Runs a hunt over a range of time, by default its own window up to now.
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    pairs: Pairs,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let caller = caller(&app, &headers)?;
    let form = form(&read(pairs)?, &headers)?;
    let hunt = hunts::get(&name)?;
    let body = match body {
        Ok(body) if body.is_empty() => RunBody::default(),
        body => read_json::<RunBody>(&app, body)?,
    };
    let range = hunt_range(body.time_range.as_ref(), hunt.window_ns, app.now_ns())?;
    let limits = body.limits.unwrap_or_default();
    let request = QueryRequest {
        sql: hunt.sql.clone(),
        params: hunt.bind(&texts(body.params)?)?,
        time_range: Some(range),
        max_rows: limits.max_rows,
        max_bytes: limits.max_bytes,
        timeout: limits.timeout_ms.map(std::time::Duration::from_millis),
        ..QueryRequest::default()
    };
    let mut response = reply(run_query(&app, &caller.tenant, request).await?, form).await?;
    for (header, time_ns) in [("x-tracehound-from", range.from_ns), ("x-tracehound-to", range.to_ns)] {
        if let Ok(value) = rfc3339(time_ns).parse() {
            response.headers_mut().insert(header, value);
        }
    }
    Ok(response)
}

/// A hunt knows its parameters' types, so values are taken as text.
fn texts(params: BTreeMap<String, Value>) -> Result<BTreeMap<String, String>, Problem> {
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        Value::Bool(_) | Value::Number(_) => Ok((name, value.to_string())),
        _ => {
            let detail = format!("parameter {name}: give text, a number, true or false");
            Err(Problem::new(422, "parameter-invalid", detail))
        }
    };
    params.into_iter().map(text).collect()
}

fn whole(hunt: &Hunt) -> Value {
    let parameters: Vec<_> = hunt
        .parameters
        .iter()
        .map(|p| json!({"name": p.name, "type": p.kind.as_str(), "default": p.default, "help": p.help}))
        .collect();
    json!({
        "name": hunt.name, "title": hunt.title, "finds": hunt.finds, "why": hunt.why,
        "attack": hunt.attack, "window": hunt.window, "parameters": parameters,
        "benign": hunt.benign, "next": hunt.next, "sql": hunt.sql,
    })
}
