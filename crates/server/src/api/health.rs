//! `/healthz`, `/readyz` and `/metrics`; they need no key and tell no tenant's name.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::query::document;
use crate::app::App;

/// The process serves.
pub(crate) async fn healthz() -> Response {
    document(&json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// The server takes data: 503 while writes are refused.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    match app.engine.status().poisoned {
        None => document(&json!({"status": "ready"})),
        Some(_) => {
            let mut response = document(&json!({"status": "writes refused until a restart"}));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
    }
}

/// Counters and gauges, as Prometheus text.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.counters.render(&app.engine.status(), app.in_flight.bytes());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
