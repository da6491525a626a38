use std::io::BufReader;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tracehound_schema::{Encoding, Signal};

use super::{Error, MessageReader};

const BYTES_MAX: usize = 1 << 16;

/// Reads with a buffer of a few bytes, so that everything is met in pieces.
fn read(file: &[u8]) -> Result<Vec<(Signal, Encoding, Bytes)>, Error> {
    MessageReader::new(BufReader::with_capacity(3, file), BYTES_MAX).collect()
}

fn traces() -> Vec<u8> {
    let span = Span { trace_id: vec![1; 16], span_id: vec![2; 8], ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let of_resource = ResourceSpans { scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![of_resource] }.encode_to_vec()
}

fn logs() -> Vec<u8> {
    let body = Some(AnyValue { value: Some(Value::StringValue("hello".to_owned())) });
    let log = LogRecord { body, ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![log], ..ScopeLogs::default() }];
    let of_resource = ResourceLogs { scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![of_resource] }.encode_to_vec()
}

fn metrics() -> Vec<u8> {
    let data_points = vec![NumberDataPoint { time_unix_nano: 7, ..NumberDataPoint::default() }];
    let data = Some(metric::Data::Gauge(Gauge { data_points }));
    let metric = Metric { name: "m".to_owned(), data, ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let of_resource = ResourceMetrics { scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![of_resource] }.encode_to_vec()
}

fn with_lengths(messages: &[Vec<u8>]) -> Vec<u8> {
    let framed = |message: &Vec<u8>| {
        let length = u32::try_from(message.len()).unwrap();
        [length.to_be_bytes().as_slice(), message].concat()
    };
    messages.iter().flat_map(framed).collect()
}

#[track_caller]
fn assert_error(file: &[u8], expected: &str) {
    let Err(error) = read(file) else { panic!("accepted") };
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn json_objects_follow_each_other_in_any_layout() {
    let objects = [
        r#"{"resourceSpans":[{"schemaUrl":"}\"{"}]}"#,
        "{\n  \"other\": [[]],\n  \"resourceLogs\": []\n}",
        r#"{"resourceMetrics":null}"#,
    ];
    for separator in ["\n", "", "\r\n\n  ", " "] {
        let file = format!("\n{}{separator}", objects.join(separator));
        let expected: Vec<_> = Signal::ALL
            .into_iter()
            .zip(objects)
            .map(|(signal, object)| (signal, Encoding::Json, Bytes::from(object)))
            .collect();
        assert_eq!(read(file.as_bytes()).unwrap(), expected, "{separator:?}");
    }
}

#[test]
fn protobuf_says_its_signal_by_its_records() {
    for (signal, message) in Signal::ALL.into_iter().zip([traces(), logs(), metrics()]) {
        let expected = vec![(signal, Encoding::Protobuf, Bytes::from(message.clone()))];
        assert_eq!(read(&message).unwrap(), expected);
        assert_eq!(read(&with_lengths(&[message])).unwrap(), expected);
    }
}

#[test]
fn messages_after_their_lengths_may_mix_signals() {
    let messages = read(&with_lengths(&[traces(), logs(), metrics()])).unwrap();
    let signals: Vec<_> = messages.iter().map(|(signal, _, _)| *signal).collect();
    assert_eq!(signals, Signal::ALL);
}

#[test]
fn a_protobuf_message_that_looks_like_json_is_none() {
    // Its first bytes are a line feed, a brace, a line feed and a quote.
    let key = "k".repeat(24);
    let attribute = [vec![0x0a, 24], key.into_bytes()].concat();
    let resource = [vec![0x0a, 26], attribute, vec![0x0a, 4, 0x0a, 2, b'a', b'b']].concat();
    assert_eq!(resource.len(), 0x22);
    let span = [vec![0x0a, 16], vec![1; 16], vec![0x12, 8], vec![2; 8], vec![0x2a, 40], vec![b'n'; 40]].concat();
    let scope = [vec![0x12, u8::try_from(span.len()).unwrap()], span].concat();
    let content = [vec![0x0a, 0x22], resource, vec![0x12, u8::try_from(scope.len()).unwrap()], scope].concat();
    let pad = 0x7b - content.len();
    let content = [content, vec![0x1a, u8::try_from(pad - 2).unwrap()], vec![b'u'; pad - 2]].concat();
    let file = [vec![0x0a, 0x7b], content].concat();
    assert_eq!(file[..4], *b"\n{\n\"");
    assert_eq!(read(&file).unwrap()[0].1, Encoding::Protobuf);
}

#[test]
fn nothing_is_no_message() {
    for file in ["", "\n", "  \n\n"] {
        assert!(read(file.as_bytes()).unwrap().is_empty());
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let spans = r#"{"resourceSpans":[]}"#;
    for (file, expected) in [
        (format!("{spans}\n{{}}"), "message 2 at byte 21: has none of resourceSpans"),
        (format!("{spans}\n[1]"), "message 2 at byte 21: expected a JSON object"),
        (format!("{spans}\n{{\"a\":"), "message 2 at byte 21: the JSON object does not end"),
        (r#"{"resourceSpans":[],"resourceLogs":[]}"#.to_owned(), "more than one of"),
        ("hello".to_owned(), "message 1 at byte 0: neither JSON objects"),
        ("PK".to_owned(), "neither JSON objects"),
    ] {
        assert_error(file.as_bytes(), expected);
    }
    assert_error(&[0x1f, 0x8b, 8, 0, 0], "still compressed");
    assert_error(&[0, 0, 0, 9, 0x28, 0xb5, 0x2f, 0xfd, 0], "compressed with zstd");
    assert_error(&[0x0a, 9, 1], "not an OTLP message: malformed ExportTraceServiceRequest");
    assert_error(&[0x0a, 0], "no spans, log records or data points");
    let framed = with_lengths(&[traces(), logs()]);
    assert_error(&framed[..framed.len() - 1], "message 2 at byte");
    assert_error(&framed[..traces().len() + 6], "the file ends within a length");
}

#[test]
fn large_messages_are_refused_without_being_held() {
    let open = r#"{"resourceSpans":[{"schemaUrl":""#;
    let endless = std::io::Read::chain(open.as_bytes(), std::io::repeat(b'x'));
    let mut reader = MessageReader::new(BufReader::new(endless), BYTES_MAX);
    assert!(matches!(reader.next(), Some(Err(Error::TooLarge { message: 1, offset: 0, .. }))));
    assert!(reader.next().is_none());
    let endless = std::io::Read::chain(&[0x0a_u8, 5][..], std::io::repeat(0));
    let mut reader = MessageReader::new(BufReader::new(endless), BYTES_MAX);
    assert!(matches!(reader.next(), Some(Err(Error::TooLarge { .. }))));
}
