//! The response messages of the three services.

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use serde_json::json;
use tracehound_schema::{Encoding, Signal};

use super::refusal::cut;
use crate::ingest::Accepted;

/// The most bytes of a message about rejected records; a response has to stay far below 4 MiB.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Encodes the response to an accepted request.
///
/// `partial_success` is set only if records were rejected or there is a warning.
pub(crate) fn encode(signal: Signal, encoding: Encoding, accepted: &Accepted) -> Vec<u8> {
    let partial = accepted.rejected > 0 || !accepted.message.is_empty();
    let error_message = cut(accepted.message.clone(), MESSAGE_BYTES_MAX);
    let rejected = i64::try_from(accepted.rejected).unwrap_or(i64::MAX);
    match (encoding, signal) {
        (Encoding::Json, _) if !partial => b"{}".to_vec(),
        (Encoding::Json, _) => {
            let count = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Logs => "rejectedLogRecords",
                Signal::Metrics => "rejectedDataPoints",
            };
            json!({"partialSuccess": {count: rejected.to_string(), "errorMessage": error_message}}).to_string().into()
        }
        (Encoding::Protobuf, _) if !partial => Vec::new(),
        (Encoding::Protobuf, Signal::Traces) => {
            let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
        (Encoding::Protobuf, Signal::Logs) => {
            let partial = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message };
            ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
        (Encoding::Protobuf, Signal::Metrics) => {
            let partial = ExportMetricsPartialSuccess { rejected_data_points: rejected, error_message };
            ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(rejected: u64, message: &str) -> Accepted {
        Accepted { accepted: 1, rejected, message: message.to_owned(), duplicate: false }
    }

    #[test]
    fn case_08_success_leaves_partial_success_unset() {
        for signal in Signal::ALL {
            assert_eq!(encode(signal, Encoding::Protobuf, &accepted(0, "")), b"");
            assert_eq!(encode(signal, Encoding::Json, &accepted(0, "")), b"{}");
        }
    }

    #[test]
    fn case_10_a_warning_rejects_nothing_and_has_a_message() {
        let bytes = encode(Signal::Traces, Encoding::Protobuf, &accepted(0, "odd"));
        let response = ExportTraceServiceResponse::decode(bytes.as_slice()).expect("a response");
        let partial = response.partial_success.expect("set");
        assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (0, "odd"));
        for signal in Signal::ALL {
            let json = encode(signal, Encoding::Json, &accepted(0, "odd"));
            let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
            assert_eq!(json["partialSuccess"]["errorMessage"], "odd");
        }
    }

    #[test]
    fn case_30_a_response_is_shortened_to_stay_below_4_mib() {
        for signal in Signal::ALL {
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                // The worst case in JSON: each byte of a control character becomes six.
                let bytes = encode(signal, encoding, &accepted(3, &"\u{1}".repeat(5 << 20)));
                assert!(bytes.len() < 1 << 20, "{signal} {encoding:?}: {} bytes", bytes.len());
            }
        }
    }
}
