//! gRPC with frames made by hand, over tonic's connections.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, Request, Response};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::ServiceExt;
use tracehound_schema::Signal;

#[derive(Debug)]
pub(crate) struct GrpcReply {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: ErrorDetails,
    /// The message of a success, without its frame.
    pub(crate) body: Vec<u8>,
}

pub(crate) fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

/// A connection that is made when first used, and dies when a ping is not answered; needs the runtime's context.
pub(crate) fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let endpoint = endpoint
        .http2_keep_alive_interval(Duration::from_millis(100))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true);
    endpoint.connect_lazy()
}

/// One message and its prefix.
pub(crate) fn frame(message: &[u8], compressed: bool) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("below 4 GiB");
    [&[u8::from(compressed)], length.to_be_bytes().as_slice(), message].concat()
}

/// Any request over HTTP/2.
pub(crate) async fn h2(
    channel: Channel,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Response<tonic::body::Body> {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(tonic::body::Body::new(body.into())).expect("a request");
    channel.oneshot(request).await.expect("a response")
}

/// One call with a body as it stands.
pub(crate) async fn call(channel: Channel, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> GrpcReply {
    let fixed = [("content-type", "application/grpc"), ("te", "trailers")];
    let headers: Vec<_> = fixed.into_iter().chain(headers.iter().copied()).collect();
    let (parts, body) = h2(channel, path, &headers, body).await.into_parts();
    let (body, trailers) = read(body).await;
    // A status stands in the headers of a response without a message, else in the trailers.
    let status =
        Status::from_header_map(&parts.headers).or_else(|| Status::from_header_map(&trailers)).expect("a status");
    let details = status.get_error_details();
    let body = match body.split_at_checked(5) {
        Some((prefix, message)) => {
            assert_eq!(frame(message, false)[..5], *prefix, "exactly one message, not compressed");
            message.to_vec()
        }
        None => body,
    };
    GrpcReply { code: status.code(), message: status.message().to_owned(), details, body }
}

async fn read(mut body: tonic::body::Body) -> (Vec<u8>, HeaderMap) {
    let mut bytes = Vec::new();
    let mut trailers = HeaderMap::new();
    while let Some(part) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match part.expect("a whole response").into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(part) => trailers.extend(part.into_trailers().expect("data or trailers")),
        }
    }
    (bytes, trailers)
}
