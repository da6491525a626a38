//! OTLP/gRPC: the three Export methods, gzip and zstd.
//!
//! tonic runs the connections; the messages are read here as bytes, because the
//! bytes as they were sent go to the write-ahead log, and because limits have
//! to hold before anything is decompressed or decoded.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use axum::routing::any;
use bytes::{BufMut, Bytes};
use tokio::net::TcpListener;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{EncodeBody, EncodeBuf, Encoder, SingleMessageCompressionOverride};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracehound_schema::{Encoding, Signal};

use super::body::Incoming;
use super::compression::Compression;
use super::frame;
use super::receiver::Receiver;
use super::refusal::Refusal;
use super::reply;
use crate::app::App;
use crate::ingest::Accepted;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The streams that one connection may have open.
const STREAMS_MAX: u32 = 1024;
/// What a client may send on one stream, and on one connection, before we have read it.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const HEADER_LIST_BYTES_MAX: u32 = 32 << 10;
/// A connection on which nothing is heard is asked after this time, and closed without an answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until `shutdown`; then says GOAWAY and finishes what is in flight.
pub(crate) fn serve(
    app: Arc<App>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = Result<(), tonic::transport::Error>> {
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(Routes::from(router(app)))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), shutdown)
}

fn router(app: Arc<App>) -> Router {
    let receiver = Receiver::new(app, "grpc");
    let mut router = Router::new().fallback(unimplemented);
    for signal in Signal::ALL {
        let receiver = receiver.clone();
        let handler = any(move |request: Request| export(receiver, signal, request));
        router = router.route(&format!("/{}/Export", service(signal)), handler);
    }
    router
}

/// The service that takes a signal.
fn service(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "opentelemetry.proto.collector.trace.v1.TraceService",
        Signal::Logs => "opentelemetry.proto.collector.logs.v1.LogsService",
        Signal::Metrics => "opentelemetry.proto.collector.metrics.v1.MetricsService",
    }
}

async fn unimplemented(request: Request) -> Response<Body> {
    let path = request.uri().path();
    let message =
        format!("there is no method {path}: this is OTLP, its services are {}", Signal::ALL.map(service).join(", "));
    refused(&Refusal::unimplemented(message))
}

async fn export(receiver: Receiver, signal: Signal, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST || !is_grpc(&parts.headers) {
        let mut response = refused(&Refusal::media_type("gRPC is expected: POST with Content-Type application/grpc"));
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let mut incoming = receiver.incoming(body);
    let outcome = receive(&receiver, signal, &parts.headers, &mut incoming).await;
    receiver.count(signal, outcome.as_ref());
    match outcome {
        Ok(accepted) => replied(reply::encode(signal, Encoding::Protobuf, &accepted)),
        Err(refusal) => refused(&refusal),
    }
}

async fn receive(
    receiver: &Receiver,
    signal: Signal,
    headers: &HeaderMap,
    incoming: &mut Incoming,
) -> Result<Accepted, Refusal> {
    let caller = receiver.caller(headers)?;
    let named = match headers.get(GRPC_ENCODING) {
        Some(value) => Compression::parse(value.to_str().unwrap_or("?"))?,
        None => None,
    };
    let mut raw = receiver.buffer();
    let applied = frame::read(incoming, &mut raw, named, receiver.app.config.limits.body_bytes).await?;
    receiver.accept(caller, signal, Encoding::Protobuf, raw, applied.into_iter().collect()).await
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let essence = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.split(';').next());
    matches!(essence.map(str::trim), Some("application/grpc" | "application/grpc+proto"))
}

/// A response of one message, and OK in its trailers.
fn replied(message: Vec<u8>) -> Response<Body> {
    let messages = tokio_stream::once(Ok::<_, Status>(Bytes::from(message)));
    let uninflated = SingleMessageCompressionOverride::Disable;
    let body = EncodeBody::new_server(RawEncoder, messages, None, uninflated, None);
    with_headers(Response::new(Body::new(body)))
}

/// A response of a status only.
fn refused(refusal: &Refusal) -> Response<Body> {
    with_headers(refusal.to_grpc().into_http())
}

fn with_headers(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("gzip,zstd,identity"));
    response
}

/// Passes encoded messages on.
#[derive(Debug)]
struct RawEncoder;

impl Encoder for RawEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}
