//! What replies and statuses have to look like, whatever the signal and encoding.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use serde_json::Value;
use tonic::Code;
use tracehound_schema::{Encoding, Signal};

use super::grpc::{GrpcReply, call, channel, path};
use super::http::{Reply, Request};
use super::payload::{ENCODINGS, media_type};
use super::server::TestServer;

pub(crate) fn export(signal: Signal, encoding: Encoding, body: Vec<u8>) -> Request {
    Request::post(&format!("/v1/{signal}")).header("content-type", media_type(encoding)).body(body)
}

/// Every signal in every encoding, with a number of its own.
pub(crate) fn table() -> impl Iterator<Item = (Signal, Encoding, u8)> {
    let all = Signal::ALL.into_iter().flat_map(|signal| ENCODINGS.map(|encoding| (signal, encoding)));
    all.zip(10_u8..).map(|((signal, encoding), mark)| (signal, encoding, mark))
}

/// A `google.rpc.Status`, from either encoding.
#[derive(Debug)]
pub(crate) struct RpcStatus {
    code: i32,
    message: String,
    /// The last part of each detail's type.
    details: Vec<String>,
}

/// The body has to be a Status in this encoding.
pub(crate) fn rpc_status(reply: &Reply, encoding: Encoding) -> RpcStatus {
    assert_eq!(reply.header("content-type"), Some(media_type(encoding)), "{}", reply.text());
    let name = |url: &str| url.rsplit('.').next().unwrap_or_default().to_owned();
    let status = match encoding {
        Encoding::Json => {
            let json = reply.json();
            let details = json["details"].as_array().cloned().unwrap_or_default();
            RpcStatus {
                code: i32::try_from(json["code"].as_i64().expect("a code")).expect("small"),
                message: json["message"].as_str().expect("a message").to_owned(),
                details: details.iter().map(|detail| name(detail["@type"].as_str().expect("a type"))).collect(),
            }
        }
        Encoding::Protobuf => {
            let status = tonic_types::Status::decode(reply.body.as_slice()).expect("a Status");
            let details = status.details.iter().map(|detail| name(&detail.type_url)).collect();
            RpcStatus { code: status.code, message: status.message, details }
        }
    };
    assert!(status.code != 0 && !status.message.is_empty(), "{status:?}");
    status
}

/// An HTTP status and a Status of this code in the request's encoding, with these details.
pub(crate) fn check_refused(reply: &Reply, encoding: Encoding, http: u16, code: Code, details: &[&str]) {
    assert_eq!(reply.status, http, "{}", reply.text());
    let status = rpc_status(reply, encoding);
    assert_eq!(status.code, code as i32, "{status:?}");
    assert_eq!(status.details, details, "{status:?}");
    let retryable = details.contains(&"RetryInfo");
    let seconds = reply.header("retry-after").map(|value| value.parse::<u64>().expect("whole seconds"));
    assert_eq!(seconds.is_some_and(|seconds| seconds > 0), retryable, "case 28: Retry-After");
}

/// Rejected count and message of a success.
pub(crate) fn partial(signal: Signal, encoding: Encoding, body: &[u8]) -> Option<(i64, String)> {
    match (encoding, signal) {
        (Encoding::Json, _) => {
            let json: Value = serde_json::from_slice(body).expect("JSON");
            let partial = json.get("partialSuccess")?;
            let name = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Logs => "rejectedLogRecords",
                Signal::Metrics => "rejectedDataPoints",
            };
            let rejected = partial[name].as_str().expect("int64 as text").parse().expect("a number");
            Some((rejected, partial["errorMessage"].as_str().expect("a message").to_owned()))
        }
        (Encoding::Protobuf, Signal::Traces) => {
            let partial = ExportTraceServiceResponse::decode(body).expect("a response").partial_success?;
            Some((partial.rejected_spans, partial.error_message))
        }
        (Encoding::Protobuf, Signal::Logs) => {
            let partial = ExportLogsServiceResponse::decode(body).expect("a response").partial_success?;
            Some((partial.rejected_log_records, partial.error_message))
        }
        (Encoding::Protobuf, Signal::Metrics) => {
            let partial = ExportMetricsServiceResponse::decode(body).expect("a response").partial_success?;
            Some((partial.rejected_data_points, partial.error_message))
        }
    }
}

pub(crate) fn grpc(server: &TestServer, signal: Signal, headers: &[(&str, &str)], body: Vec<u8>) -> GrpcReply {
    server.runtime.block_on(async { call(channel(server.running().otlp_grpc), path(signal), headers, body).await })
}

pub(crate) fn check_grpc(reply: &GrpcReply, code: Code, retry: bool, bad_request: bool) {
    assert_eq!(reply.code, code, "{reply:?}");
    assert!(code == Code::Ok || !reply.message.is_empty());
    let delay = reply.details.retry_info().and_then(|info| info.retry_delay);
    assert_eq!(delay.is_some_and(|delay| !delay.is_zero()), retry, "{reply:?}");
    assert_eq!(reply.details.bad_request().is_some(), bad_request, "{reply:?}");
}
