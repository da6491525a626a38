//! `GET /api/v1/traces/{id}`: the spans of a trace.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use tracehound_query::{ParamValue, QueryRequest};

use super::problem::Problem;
use super::query::{Pairs, caller, form, read, run};
use super::reply::reply;
use super::request::{FORM, new_id, number, only, segment};
use crate::app::App;

const SQL: &str = "SELECT * FROM spans WHERE trace_id = $trace_id ORDER BY start_time, span_id";

/// The spans of a trace, by start time. `max_rows` is for traces of more spans than an answer has by default.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let caller = caller(&app, &headers)?;
    let pairs = read(pairs)?;
    only(&pairs, &[FORM, &["max_rows"]].concat())?;
    let form = form(&pairs, &headers)?;
    let id = segment(id)?;
    if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Problem::new(400, "sql-bad-id", "a trace id is 32 hex digits"));
    }
    let mut request = QueryRequest::new(SQL);
    request.params.insert("trace_id".to_owned(), ParamValue::text(id.clone()));
    request.query_id = Some(new_id());
    for (key, value) in pairs.iter().filter(|(key, _)| key == "max_rows") {
        request.max_rows = Some(usize::try_from(number(key, value)?).unwrap_or(usize::MAX));
    }
    let answer = run(&app, &caller.tenant, request).await?;
    if answer.rows() == 0 {
        return Err(Problem::new(404, "not-found", format!("there is no span of trace {id}")));
    }
    reply(answer, form).await
}
