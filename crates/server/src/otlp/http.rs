//! OTLP/HTTP: `/v1/traces`, `/v1/logs` and `/v1/metrics`, protobuf and JSON.
//!
//! Replies and errors have the request's encoding. An error of a request whose
//! Content-Type is missing or not OTLP's is JSON, which people can read.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, HeaderValue, Method, Response, Version};
use axum::routing::post;
use tracehound_schema::{Encoding, Signal};

use super::body::{Incoming, check_announced};
use super::compression::Compression;
use super::receiver::Receiver;
use super::refusal::Refusal;
use super::reply;
use crate::app::App;
use crate::ingest::Accepted;

/// The three routes, and a `google.rpc.Status` for every other path: a server of its own.
pub(crate) fn router(app: Arc<App>) -> Router {
    routes(app).fallback(not_found)
}

/// The three routes with their 405s, to be merged into another router.
pub(crate) fn routes(app: Arc<App>) -> Router {
    let receiver = Receiver::new(app, "http");
    let mut router = Router::new();
    for signal in Signal::ALL {
        let receiver = receiver.clone();
        let handler = post(move |request: Request| export(receiver, signal, request)).fallback(method_not_allowed);
        router = router.route(&format!("/v1/{signal}"), handler);
    }
    router
}

async fn not_found(request: Request) -> Response<Body> {
    let path = request.uri().path();
    let message = format!("there is nothing at {path}: OTLP goes to /v1/traces, /v1/logs and /v1/metrics");
    Refusal::not_found(message).to_http(encoding_for_errors(request.headers()))
}

async fn method_not_allowed(method: Method, headers: HeaderMap) -> Response<Body> {
    Refusal::method(format!("OTLP is sent with POST, not {method}")).to_http(encoding_for_errors(&headers))
}

async fn export(receiver: Receiver, signal: Signal, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut incoming = receiver.incoming(body);
    let outcome = receive(&receiver, signal, &parts.headers, &mut incoming).await;
    receiver.count(signal, outcome.as_ref().map(|(_, accepted)| accepted));
    match outcome {
        Ok((encoding, accepted)) => {
            let mut response = Response::new(Body::from(reply::encode(signal, encoding, &accepted)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type(encoding)));
            response
        }
        Err(refusal) => {
            // A client that waits for "100 Continue" has not begun to send.
            if parts.version <= Version::HTTP_11 && !parts.headers.contains_key(EXPECT) {
                incoming.discard(receiver.app.config.limits.body_bytes).await;
            }
            refusal.to_http(encoding_for_errors(&parts.headers))
        }
    }
}

async fn receive(
    receiver: &Receiver,
    signal: Signal,
    headers: &HeaderMap,
    incoming: &mut Incoming,
) -> Result<(Encoding, Accepted), Refusal> {
    let caller = receiver.caller(headers)?;
    let encoding = encoding(headers)?;
    let applied = Compression::of(headers)?;
    check_announced(headers, receiver.app.config.limits.body_bytes)?;
    let mut raw = receiver.buffer();
    incoming.read_into(&mut raw).await?;
    let accepted = receiver.accept(caller, signal, encoding, raw, applied).await?;
    Ok((encoding, accepted))
}

/// The encoding that Content-Type names, whatever its parameters.
fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let expected = "application/x-protobuf or application/json is expected";
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Err(Refusal::media_type(format!("the Content-Type is missing: {expected}")));
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-protobuf") {
        Ok(Encoding::Protobuf)
    } else if essence.eq_ignore_ascii_case("application/json") {
        Ok(Encoding::Json)
    } else {
        Err(Refusal::media_type(format!("the Content-Type {essence:?} is not known here: {expected}")))
    }
}

fn encoding_for_errors(headers: &HeaderMap) -> Encoding {
    encoding(headers).unwrap_or(Encoding::Json)
}

fn media_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    }
}
