use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{SummaryDataPoint, metric};
use opentelemetry_proto::tonic::trace::v1::Span;
use tracehound_schema::{DecodeLimits, Signal};

use super::{FromJson, parse};
use crate::Error;
use crate::budget::Budget;

fn read<M: FromJson>(signal: Signal, json: &str) -> Result<M, Error> {
    let limits = DecodeLimits::default();
    parse(signal, json.as_bytes(), &limits, &mut Budget::new(limits.decoded_bytes_max))
}

fn traces(json: &str) -> Result<ExportTraceServiceRequest, Error> {
    read(Signal::Traces, json)
}

/// A span with these fields.
fn span(fields: &str) -> Result<Span, Error> {
    let request = traces(&format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#))?;
    Ok(request.resource_spans[0].scope_spans[0].spans[0].clone())
}

/// A log body, which may be any value.
fn value(json: &str) -> Result<Option<AnyValue>, Error> {
    let request: ExportLogsServiceRequest =
        read(Signal::Logs, &format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{json}}}]}}]}}]}}"#))?;
    Ok(request.resource_logs[0].scope_logs[0].log_records[0].body.clone())
}

/// A summary point with these fields.
fn point(fields: &str) -> Result<SummaryDataPoint, Error> {
    let request: ExportMetricsServiceRequest = read(
        Signal::Metrics,
        &format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"summary":{{"dataPoints":[{{{fields}}}]}}}}]}}]}}]}}"#
        ),
    )?;
    match &request.resource_metrics[0].scope_metrics[0].metrics[0].data {
        Some(metric::Data::Summary(summary)) => Ok(summary.data_points[0].clone()),
        data => panic!("{data:?}"),
    }
}

#[track_caller]
fn assert_malformed<T: std::fmt::Debug>(read: Result<T, Error>, part: &str) {
    match read {
        Err(Error::Malformed { detail, .. }) => assert!(detail.contains(part), "{detail}"),
        other => panic!("{other:?} instead of {part}"),
    }
}

#[test]
fn nothing_is_an_empty_request() {
    for json in ["", " \n", "{}", r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[]}"#] {
        assert_eq!(traces(json), Ok(ExportTraceServiceRequest::default()), "{json}");
    }
}

#[test]
fn what_is_not_one_object_is_malformed() {
    for json in ["[]", "null", "1", "\"x\"", "\u{feff}{}", "{} {}", "{}x", "{", r#"{"resourceSpans":[}"#] {
        assert_malformed(traces(json), "");
    }
    assert_malformed(traces(r#"{"resourceSpans":{}}"#), "expected an array at line 1 column");
    assert_malformed(traces("{\n \"resourceSpans\": [{\"scopeSpans\": 7}]}"), "line 2 column");
}

#[test]
fn ids_are_hex() {
    assert_eq!(span(r#""traceId":"5b8EFFf7""#).unwrap().trace_id, [0x5b, 0x8e, 0xff, 0xf7]);
    assert_eq!(span(r#""traceId":"""#).unwrap().trace_id, [0_u8; 0]);
    for id in ["5b8", "xy", "W47/95gDgQPSabYzgT/GDA==", "5b 8e"] {
        assert_malformed(span(&format!(r#""spanId":"{id}""#)), "is not an id in hex");
    }
    assert_malformed(span(r#""spanId":12"#), "12 is not an id in hex");
}

#[test]
fn integers_are_numbers_or_text() {
    for json in ["1000", "\"1000\"", "1e3", "\"1e3\"", "1000.0"] {
        let span = span(&format!(r#""startTimeUnixNano":{json},"flags":{json}"#)).unwrap();
        assert_eq!((span.start_time_unix_nano, span.flags), (1000, 1000), "{json}");
    }
    let all = span(r#""startTimeUnixNano":"18446744073709551615","endTimeUnixNano":18446744073709551615"#);
    let all = all.unwrap();
    assert_eq!((all.start_time_unix_nano, all.end_time_unix_nano), (u64::MAX, u64::MAX));
    for json in ["-1", "1.5", "18446744073709551616", "1e20", "\"\"", "\"x\"", "\" 1\"", "true", "\"0x1\"", "[]"] {
        assert_malformed(span(&format!(r#""startTimeUnixNano":{json}"#)), "an integer in range");
    }
    assert_malformed(span(r#""flags":4294967296"#), "is not an integer in range");
    assert_malformed(span(r#""flags":1e400"#), "out of range");
    let least = value(r#"{"intValue":"-9223372036854775808"}"#).unwrap().unwrap();
    assert_eq!(least.value, Some(Value::IntValue(i64::MIN)));
    assert_malformed(value(r#"{"intValue":"9223372036854775808"}"#), "is not an integer in range");
}

#[test]
fn doubles_are_numbers_or_text() {
    for (json, sum) in [
        ("1", 1.0),
        ("-2.5", -2.5),
        ("\"2.5e3\"", 2500.0),
        ("\"Infinity\"", f64::INFINITY),
        ("\"-Infinity\"", f64::NEG_INFINITY),
    ] {
        assert_eq!(point(&format!(r#""sum":{json}"#)).unwrap().sum, sum, "{json}");
    }
    assert!(point(r#""sum":"NaN""#).unwrap().sum.is_nan());
    for json in ["\"inf\"", "\"nan\"", "\"1e999\"", "\"\"", "true"] {
        assert_malformed(point(&format!(r#""sum":{json}"#)), "a number");
    }
}

#[test]
fn enums_are_numbers_and_names_do_no_harm() {
    for (json, kind) in [("2", 2), ("\"2\"", 2), ("77", 77), ("-1", -1), ("\"SPAN_KIND_SERVER\"", 2)] {
        assert_eq!(span(&format!(r#""kind":{json}"#)).unwrap().kind, kind, "{json}");
    }
    assert_malformed(span(r#""kind":"SERVER""#), "is not an enum's number");
}

#[test]
fn bytes_are_base64_of_either_alphabet() {
    for text in ["+/8=", "+/8", "-_8=", "-_8"] {
        let bytes = value(&format!(r#"{{"bytesValue":"{text}"}}"#)).unwrap().unwrap();
        assert_eq!(bytes.value, Some(Value::BytesValue(vec![0xfb, 0xff])), "{text}");
    }
    assert_malformed(value(r#"{"bytesValue":"%"}"#), "is not bytes in base64");
}

#[test]
fn null_is_absent_everywhere() {
    let fields = ["traceId", "name", "kind", "flags", "startTimeUnixNano", "attributes", "events", "status"];
    for field in fields {
        assert_eq!(span(&format!(r#""{field}":null"#)), Ok(Span::default()), "{field}");
    }
    assert_eq!(value("null"), Ok(None));
    assert_eq!(value(r#"{"stringValue":null}"#), Ok(Some(AnyValue::default())));
    assert_eq!(span(r#""events":[null]"#).unwrap().events.len(), 1);
}

#[test]
fn unknown_fields_are_passed_over_at_any_depth() {
    let unknown = r#""trace_id":"zz","span_id":7,"x":{"y":[{"z":null}]},"droppedattributescount":"#;
    assert_eq!(span(&format!("{unknown}1")), Ok(Span::default()));
    assert_eq!(value(r#"{"string_value":"x"}"#), Ok(Some(AnyValue::default())));
}

#[test]
fn of_duplicate_keys_the_last_wins() {
    assert_eq!(span(r#""name":"a","name":"b""#).unwrap().name, "b");
    let last = value(r#"{"stringValue":"a","intValue":1}"#).unwrap().unwrap();
    assert_eq!(last.value, Some(Value::IntValue(1)));
}

#[test]
fn empty_arrays_and_maps_are_values() {
    for json in [r#"{"arrayValue":{}}"#, r#"{"arrayValue":{"values":null}}"#] {
        let array = value(json).unwrap().unwrap();
        assert_eq!(array.value, Some(Value::ArrayValue(Default::default())), "{json}");
    }
    let escaped = value(r#"{"\u0073tringValue":"\ud83d\ude00"}"#).unwrap().unwrap();
    assert_eq!(escaped.value, Some(Value::StringValue("😀".to_owned())));
}

fn nested(levels: usize, open: &str, close: &str) -> Result<Option<AnyValue>, Error> {
    value(&format!("{}{{}}{}", open.repeat(levels), close.repeat(levels)))
}

#[test]
fn nesting_is_bounded() {
    const ARRAY: [&str; 2] = [r#"{"arrayValue":{"values":["#, "]}}"];
    const MAP: [&str; 2] = [r#"{"kvlistValue":{"values":[{"value":"#, "}]}}"];
    assert!(nested(40, ARRAY[0], ARRAY[1]).is_ok());
    assert!(nested(30, MAP[0], MAP[1]).is_ok());
    for (levels, [open, close]) in [(41, ARRAY), (31, MAP), (100_000, ARRAY), (100_000, MAP)] {
        let refused = nested(levels, open, close);
        assert!(matches!(refused, Err(Error::TooDeep { levels_max: 40, .. })), "{levels}");
    }
    for open in ["[", r#"{"a":"#, r#"{"resourceSpans":["#] {
        let refused = traces(&format!(r#"{{"unknown":{}"#, open.repeat(100_000)));
        assert!(matches!(refused, Err(Error::TooDeep { .. })), "{open}");
    }
    // Braces in text do not nest.
    let text = "{[".repeat(1000);
    assert_eq!(span(&format!(r#""name":"\"{text}""#)).unwrap().name, format!("\"{text}"));
}

#[test]
fn memory_is_bounded() {
    let limits = DecodeLimits { decoded_bytes_max: 1 << 20, ..DecodeLimits::default() };
    let spans = vec!["{}"; 10_000].join(",");
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
    let mut budget = Budget::new(limits.decoded_bytes_max);
    let refused: Result<ExportTraceServiceRequest, _> = parse(Signal::Traces, json.as_bytes(), &limits, &mut budget);
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
}

#[test]
fn errors_quote_little() {
    let Err(error) = span(&format!(r#""spanId":"{}""#, "z".repeat(100_000))) else { panic!("accepted") };
    assert!(error.to_string().len() < 300, "{error}");
}

/// serde_json's own doubles are off in the last bit for some of these.
#[test]
fn doubles_keep_every_bit() {
    let mut bits: u64 = 0x3FF3_C0CA_428C_59FB;
    for _ in 0..2_000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let double = f64::from_bits(bits);
        if double.is_finite() {
            let body = value(&format!(r#"{{"doubleValue":{double:?}}}"#)).unwrap().unwrap();
            assert_eq!(body.value, Some(Value::DoubleValue(double)), "{double:?}");
        }
    }
    assert_malformed(value(r#"{"doubleValue":1e999}"#), "is not a number");
    assert_malformed(value(r#"{"doubleValue":[1]}"#), "a number");
}
