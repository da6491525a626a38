//! `GET` and `POST /api/v1/query`, and `POST /api/v1/query/explain`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;
use tracehound_query::{Answer, QueryRequest, render};
use tracehound_schema::TenantId;

use super::format::Format;
use super::problem::Problem;
use super::reply::{Form, reply};
use super::request::{QueryBody, from_query_string};
use crate::app::App;
use crate::auth::{AuthError, Caller};

/// The query string as pairs, in order.
pub(super) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// Runs a query given in the query string, for dashboards and curl.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let caller = caller(&app, &headers)?;
    let pairs = read(pairs)?;
    let form = form(&pairs, &headers)?;
    let request = from_query_string(&pairs, app.now_ns())?;
    let answer = run(&app, &caller.tenant, request).await?;
    reply(answer, form).await
}

/// Runs a query given in the body.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    pairs: Pairs,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let caller = caller(&app, &headers)?;
    let form = form(&read(pairs)?, &headers)?;
    let request = json::<QueryBody>(&app, body)?.into_request(app.now_ns())?;
    let answer = run(&app, &caller.tenant, request).await?;
    reply(answer, form).await
}

/// Plans a query and says what it would read, without running it.
pub(crate) async fn explain(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let caller = caller(&app, &headers)?;
    let request = json::<QueryBody>(&app, body)?.into_request(app.now_ns())?;
    let (request, id) = named(request);
    let answer = app.queries.explain(&caller.tenant, request).await;
    let answer = answer.map_err(|error| Problem::from(error).of_query(&id))?;
    reply(answer, Form { format: Format::Json, rows: render::Rows::Arrays }).await
}

/// Runs a query and counts its outcome.
pub(super) async fn run(
    app: &App,
    tenant: &TenantId,
    request: QueryRequest,
) -> Result<Answer, Problem> {
    let (request, id) = named(request);
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

/// Gives a query an id, so that an error can name it too.
fn named(mut request: QueryRequest) -> (QueryRequest, String) {
    let id = request.query_id.get_or_insert_with(|| ulid::Ulid::new().to_string()).clone();
    (request, id)
}

/// Who calls.
pub(super) fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, AuthError> {
    app.keys.authenticate(|name| headers.get(name)?.to_str().ok())
}

/// The query string, or why it is none.
pub(super) fn read(pairs: Pairs) -> Result<Vec<(String, String)>, Problem> {
    match pairs {
        Ok(Query(pairs)) => Ok(pairs),
        Err(error) => Err(Problem::bad_request(format!("the query string cannot be read: {}", error.body_text()))),
    }
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

/// A JSON body, or why it is none.
pub(super) fn json<T: DeserializeOwned>(
    app: &App,
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    let body = body.map_err(|error| {
        if error.status().as_u16() == 413 {
            let max = app.config.limits.request_bytes;
            Problem::new(413, "too-large", format!("a request may have at most {max} bytes"))
        } else {
            Problem::bad_request("the body could not be read")
        }
    })?;
    serde_json::from_slice(&body).map_err(|error| Problem::bad_request(format!("the body is not what is expected here: {error}")))
}

/// A small JSON document.
pub(super) fn document(value: &serde_json::Value) -> Response {
    let mut response = json!(value).to_string().into_response();
    let json = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, json);
    response
}
