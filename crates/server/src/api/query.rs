//! `GET` and `POST /api/v1/query`, and `POST /api/v1/query/explain`.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use tracehound_query::{Answer, QueryRequest, render};
use tracehound_schema::TenantId;

use super::body;
use super::format::Format;
use super::problem::Problem;
use super::reply::{Form, reply};
use super::request::{FORM, QueryBody, from_query_string, id_or_new, new_id, only};
use crate::app::App;
use crate::auth::Caller;

/// The query string as pairs, in order.
pub(super) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// Runs a query given in the query string, for dashboards and curl.
pub(crate) async fn get(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Result<Response, Problem> {
    let caller = caller(&app, &headers)?;
    let pairs = read(pairs)?;
    let form = form(&pairs, &headers)?;
    let id = id_or_new(pairs.iter().find(|(key, _)| key == "query_id").map(|(_, value)| value.clone()))?;
    let request = from_query_string(&pairs, app.now_ns()).map_err(|problem| problem.of_query(&id))?;
    let request = QueryRequest { query_id: Some(id), ..request };
    let answer = run(&app, &caller.tenant, request).await?;
    reply(answer, form).await
}

/// Runs a query given in the body.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    pairs: Pairs,
    body: Body,
) -> Result<Response, Problem> {
    let caller = caller(&app, &headers)?;
    let (request, form) = asked(&app, &headers, pairs, body).await?;
    let answer = run(&app, &caller.tenant, request).await?;
    reply(answer, form).await
}

/// Plans a query and says what it would read, without running it.
pub(crate) async fn explain(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    pairs: Pairs,
    body: Body,
) -> Result<Response, Problem> {
    let caller = caller(&app, &headers)?;
    let (request, form) = asked(&app, &headers, pairs, body).await?;
    let (request, id) = within_bounds(&app, request);
    let answer = app.queries.explain(&caller.tenant, request).await;
    let answer = answer.map_err(|error| Problem::from(error).of_query(&id))?;
    reply(answer, form).await
}

/// The query that a request asks for, and the form that it wants it in.
async fn asked(app: &App, headers: &HeaderMap, pairs: Pairs, body: Body) -> Result<(QueryRequest, Form), Problem> {
    let pairs = read(pairs)?;
    only(&pairs, FORM)?;
    let form = form(&pairs, headers)?;
    let body = body::read(&app.config.limits, headers, body).await?;
    let mut body: QueryBody = body::json(&body)?;
    let id = id_or_new(body.query_id.take())?;
    let request = body.into_request(app.now_ns()).map_err(|problem| problem.of_query(&id))?;
    Ok((QueryRequest { query_id: Some(id), ..request }, form))
}

/// Runs a query and counts its outcome.
pub(super) async fn run(app: &App, tenant: &TenantId, request: QueryRequest) -> Result<Answer, Problem> {
    let (request, id) = within_bounds(app, request);
    let answer = app.queries.run(tenant, request).await;
    app.counters.queried(match &answer {
        Ok(_) => "ok",
        Err(error) => error.code(),
    });
    answer.map_err(|error| {
        let problem = Problem::from(error).of_query(&id);
        tracing::debug!(%tenant, query_id = id, code = problem.code(), "query refused");
        problem
    })
}

/// The same query within the server's bounds, and its id.
///
/// A client may ask for more rows than the default, but for no more bytes than the server allows. Rows of
/// nulls take no bytes, so that the rows are bounded too: each counts as a byte at least.
fn within_bounds(app: &App, mut request: QueryRequest) -> (QueryRequest, String) {
    let limits = app.queries.limits();
    let bytes = request.max_bytes.unwrap_or(limits.max_bytes).min(limits.max_bytes);
    request.max_bytes = Some(bytes);
    request.max_rows = Some(request.max_rows.unwrap_or(limits.max_rows).min(limits.max_bytes));
    let id = request.query_id.get_or_insert_with(new_id).clone();
    (request, id)
}

/// Who calls.
///
/// A header that is not text, or a tenant's that stands twice, is refused rather than passed over: the
/// request would touch another tenant than it names.
pub(super) fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let tenant = "x-tracehound-tenant";
    if headers.get_all(tenant).iter().nth(1).is_some() {
        return Err(Problem::new(400, "bad-tenant", format!("the header {tenant} stands twice")));
    }
    let text = |name: &str| Some(headers.get(name)?.to_str().unwrap_or("(not text)"));
    Ok(app.keys.authenticate(text)?)
}

/// The query string, or why it is none.
pub(super) fn read(pairs: Pairs) -> Result<Vec<(String, String)>, Problem> {
    let Query(pairs) = pairs
        .map_err(|error| Problem::bad_request(format!("the query string cannot be read: {}", error.body_text())))?;
    let mut seen = HashSet::new();
    for (key, _) in &pairs {
        if !seen.insert(key) {
            return Err(Problem::bad_request(format!("{key:?} stands twice in the query string")));
        }
    }
    // Forms and dashboards send the fields that nobody filled in, too.
    Ok(pairs.into_iter().filter(|(key, value)| !value.is_empty() || key.starts_with("p.")).collect())
}

/// The form of the answer: `format` and `rows`.
pub(super) fn form(pairs: &[(String, String)], headers: &HeaderMap) -> Result<Form, Problem> {
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let rows = match value("rows") {
        None | Some("arrays") => render::Rows::Arrays,
        Some("objects") => render::Rows::Objects,
        Some(other) => return Err(Problem::bad_request(format!("rows={other:?}: arrays or objects"))),
    };
    Ok(Form { format: Format::choose(value("format"), headers)?, rows })
}

/// A small JSON document.
pub(super) fn document(value: &serde_json::Value) -> Response {
    let mut response = value.to_string().into_response();
    let json = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, json);
    response
}
