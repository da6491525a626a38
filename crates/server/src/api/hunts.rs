//! `/api/v1/hunts`: the library, and running one of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tracehound_query::hunts::{self, Hunt};
use tracehound_query::{QueryRequest, TimeRange};

use super::body;
use super::problem::Problem;
use super::query::{Pairs, caller, document, form, read, run as run_query};
use super::reply::reply;
use super::request::{FORM, LimitsBody, TimeRangeBody, as_of, hunt_range, id_or_new, only, rfc3339, segment};
use crate::app::App;

/// The body of `POST /api/v1/hunts/{name}/run`; may be empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunBody {
    params: Option<BTreeMap<String, Value>>,
    time_range: Option<TimeRangeBody>,
    limits: Option<LimitsBody>,
    as_of: Option<Value>,
    query_id: Option<String>,
}

/// All hunts, without their SQL.
pub(crate) async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
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
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller(&app, &headers)?;
    Ok(document(&whole(hunts::get(&segment(name)?)?)))
}

/// Runs a hunt over a range of time, by default its own window up to now.
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    pairs: Pairs,
    body: Body,
) -> Result<Response, Problem> {
    let caller = caller(&app, &headers)?;
    let pairs = read(pairs)?;
    only(&pairs, FORM)?;
    let form = form(&pairs, &headers)?;
    let hunt = hunts::get(&segment(name)?)?;
    let body = body::read(&app.config.limits, &headers, body).await?;
    let mut body: RunBody = if body.is_empty() { RunBody::default() } else { body::json(&body)? };
    let id = id_or_new(body.query_id.take())?;
    let (request, range) = request(hunt, body, app.now_ns()).map_err(|problem| problem.of_query(&id))?;
    let request = QueryRequest { query_id: Some(id), ..request };
    let mut response = reply(run_query(&app, &caller.tenant, request).await?, form).await?;
    for (header, time_ns) in [("x-tracehound-from", range.from_ns), ("x-tracehound-to", range.to_ns)] {
        if let Ok(value) = rfc3339(time_ns).parse() {
            response.headers_mut().insert(header, value);
        }
    }
    Ok(response)
}

/// The query of a hunt, and the range that it looks at.
fn request(hunt: &Hunt, body: RunBody, now_ns: i64) -> Result<(QueryRequest, TimeRange), Problem> {
    let range = hunt_range(body.time_range.as_ref(), hunt.window_ns, now_ns)?;
    let request = QueryRequest {
        sql: hunt.sql.clone(),
        params: hunt.bind(&texts(body.params.unwrap_or_default())?)?,
        time_range: Some(range),
        as_of: body.as_of.as_ref().map(|value| as_of(value, now_ns)).transpose()?.flatten(),
        ..body.limits.unwrap_or_default().request()
    };
    Ok((request, range))
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
