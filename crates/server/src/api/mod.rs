//! The HTTP API: queries, hunts, traces, the schema, the stored data, and the server's state.
//!
//! One file a resource. Every error is `application/problem+json` (RFC 9457).

mod body;
mod data;
mod format;
mod health;
mod hunts;
mod pieces;
mod problem;
mod query;
mod reply;
mod request;
mod schema;
mod traces;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};

use crate::app::App;
use problem::Problem;

/// The API's routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/api/v1/query", get(query::get).post(query::post))
        .route("/api/v1/query/explain", post(query::explain))
        .route("/api/v1/schema", get(schema::get))
        .route("/api/v1/traces/{id}", get(traces::get))
        .route("/api/v1/hunts", get(hunts::list))
        .route("/api/v1/hunts/{name}", get(hunts::get))
        .route("/api/v1/hunts/{name}/run", post(hunts::run))
        .route("/api/v1/data/{name}", get(data::look).post(data::act))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(map_response(with_headers))
        .with_state(app)
}

/// Answers hold what monitored users sent: browsers must not guess that it is a page, nor keep it.
async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(404, "not-found", format!("there is nothing at {}", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(405, "method-not-allowed", format!("{} does not take {method}", uri.path()))
}
