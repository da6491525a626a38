//! `GET /api/v1/traces/{id}`: the spans of a trace.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use tracehound_query::{ParamValue, QueryRequest};

use super::problem::Problem;
use super::query::{Pairs, caller, form, read, run};
use super::reply::reply;
use crate::app::App;

const SQL: &str = "SELECT * FROM spans WHERE trace_id = $trace_id ORDER BY start_time, span_id";

/// The spans of a trace, by start time.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let caller = caller(&app, &headers)?;
    let form = form(&read(pairs)?, &headers)?;
    if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Problem::new(400, "sql-bad-id", "a trace id is 32 hex digits"));
    }
    let mut request = QueryRequest::new(SQL);
    request.params.insert("trace_id".to_owned(), ParamValue::text(id.clone()));
    let answer = run(&app, &caller.tenant, request).await?;
    if answer.rows() == 0 {
        return Err(Problem::new(404, "not-found", format!("there is no span of trace {id}")));
    }
    reply(answer, form).await
}
