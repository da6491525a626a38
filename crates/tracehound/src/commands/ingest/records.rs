use std::sync::LazyLock;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use serde_json::Value;
use tracehound_schema::{Encoding, Signal};

static NOTHING: LazyLock<Vec<Value>> = LazyLock::new(Vec::new);

/// The records of a message: spans, log records or data points. A server's answer says only how many it rejected.
/// A message that cannot be read has none; the server says what is wrong with it.
pub(super) fn count(signal: Signal, encoding: Encoding, body: &[u8]) -> u64 {
    let count = match encoding {
        Encoding::Protobuf => of_protobuf(signal, body),
        Encoding::Json => of_json(signal, body),
    };
    u64::try_from(count.unwrap_or(0)).unwrap_or(u64::MAX)
}

fn of_protobuf(signal: Signal, body: &[u8]) -> Option<usize> {
    Some(match signal {
        Signal::Traces => {
            let message = ExportTraceServiceRequest::decode(body).ok()?;
            message
                .resource_spans
                .iter()
                .flat_map(|resource| &resource.scope_spans)
                .map(|scope| scope.spans.len())
                .sum()
        }
        Signal::Logs => {
            let message = ExportLogsServiceRequest::decode(body).ok()?;
            message
                .resource_logs
                .iter()
                .flat_map(|resource| &resource.scope_logs)
                .map(|scope| scope.log_records.len())
                .sum()
        }
        Signal::Metrics => {
            let message = ExportMetricsServiceRequest::decode(body).ok()?;
            let scopes = message.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
            scopes.flat_map(|scope| &scope.metrics).map(|metric| points(metric.data.as_ref())).sum()
        }
    })
}

fn points(data: Option<&Data>) -> usize {
    match data {
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
        None => 0,
    }
}

fn of_json(signal: Signal, body: &[u8]) -> Option<usize> {
    let message: Value = serde_json::from_slice(body).ok()?;
    let (resources, scopes, records) = match signal {
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        Signal::Metrics => ("resourceMetrics", "scopeMetrics", "metrics"),
    };
    let records = list(&message, resources)
        .iter()
        .flat_map(|resource| list(resource, scopes))
        .flat_map(|scope| list(scope, records));
    Some(match signal {
        Signal::Metrics => {
            const KINDS: [&str; 5] = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];
            let points = |metric: &Value| {
                KINDS
                    .iter()
                    .filter_map(|kind| metric.get(kind))
                    .map(|data| list(data, "dataPoints").len())
                    .sum::<usize>()
            };
            records.map(points).sum()
        }
        _ => records.count(),
    })
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).unwrap_or(&NOTHING)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    use super::*;

    #[test]
    fn records_are_counted_in_both_encodings() {
        let spans = |count| ScopeSpans { spans: vec![Span::default(); count], ..ScopeSpans::default() };
        let resource = ResourceSpans { scope_spans: vec![spans(2), spans(3)], ..ResourceSpans::default() };
        let message = ExportTraceServiceRequest { resource_spans: vec![resource] };
        assert_eq!(count(Signal::Traces, Encoding::Protobuf, &message.encode_to_vec()), 5);
        let json = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"dataPoints":[{},{}]}},{"gauge":{"dataPoints":[{}]}},{"name":"none"}]}]}]}"#;
        assert_eq!(count(Signal::Metrics, Encoding::Json, json), 3);
        let json = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{}]}]},{"scopeLogs":null}]}"#;
        assert_eq!(count(Signal::Logs, Encoding::Json, json), 2);
        assert_eq!(count(Signal::Logs, Encoding::Json, b"{"), 0);
    }
}
