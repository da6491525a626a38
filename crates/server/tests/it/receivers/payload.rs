//! OTLP messages: good ones, bad ones, deep ones; the same for the three signals.

use std::io::Write;

use serde_json::{Value, json};
use tracehound_schema::{Encoding, Signal};

pub(crate) const ENCODINGS: [Encoding; 2] = [Encoding::Protobuf, Encoding::Json];

pub(crate) fn media_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    }
}

/// A message with one good record for each of `marks`, and `bad` ones whose trace id is too short.
pub(crate) fn records(signal: Signal, encoding: Encoding, marks: std::ops::Range<u8>, bad: usize) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            let good = marks.map(|mark| good(signal, mark));
            envelope(&good.chain((0..bad).map(|_| short_id(signal))).collect::<Vec<_>>())
        }
        Encoding::Json => {
            let good = marks.map(|mark| good_json(signal, mark));
            json_envelope(signal, &good.chain((0..bad).map(|_| short_id_json(signal))).collect::<Vec<_>>())
        }
    }
}

/// A message with one good record.
pub(crate) fn one(signal: Signal, encoding: Encoding, mark: u8) -> Vec<u8> {
    records(signal, encoding, mark..mark + 1, 0)
}

/// The envelope is the same in all signals: resource 1, scope 2, record 2.
pub(crate) fn envelope(records: &[Vec<u8>]) -> Vec<u8> {
    let records: Vec<u8> = records.iter().flat_map(|record| field(2, record)).collect();
    field(1, &field(2, &records))
}

fn good(signal: Signal, mark: u8) -> Vec<u8> {
    match signal {
        Signal::Traces => [field(1, &[mark.max(1); 16]), field(2, &[mark.max(1); 8]), field(5, b"good")].concat(),
        Signal::Logs => field(5, &field(1, format!("good {mark}").as_bytes())),
        Signal::Metrics => [field(1, b"good"), field(5, &field(1, &[0x31, mark, 0, 0, 0, 0, 0, 0, 0]))].concat(),
    }
}

fn short_id(signal: Signal) -> Vec<u8> {
    match signal {
        Signal::Traces => [field(1, &[1; 15]), field(2, &[1; 8])].concat(),
        Signal::Logs => field(9, &[1; 15]),
        Signal::Metrics => {
            field(5, &field(1, &[vec![0x31, 1, 0, 0, 0, 0, 0, 0, 0], field(5, &field(5, &[1; 15]))].concat()))
        }
    }
}

/// A good record with more attributes, each an encoded KeyValue.
pub(crate) fn with_attributes(signal: Signal, attributes: &[u8], number: impl Fn(u32, &[u8]) -> Vec<u8>) -> Vec<u8> {
    match signal {
        Signal::Traces => [good(signal, 1), number(9, attributes)].concat(),
        Signal::Logs => [good(signal, 1), number(6, attributes)].concat(),
        Signal::Metrics => {
            let point = [vec![0x31, 1, 0, 0, 0, 0, 0, 0, 0], number(7, attributes)].concat();
            [field(1, b"good"), field(5, &field(1, &point))].concat()
        }
    }
}

/// A message with good records that carry so many bytes together, in attributes of 1 KB.
pub(crate) fn ballast(signal: Signal, bytes: usize) -> Vec<u8> {
    let attribute = [field(1, b"k"), field(2, &field(1, &[b'x'; 1000]))].concat();
    let record = with_attributes(signal, &attribute, |number, one| field(number, one).repeat(1000));
    envelope(&vec![record; bytes / 1_000_000])
}

/// A message with an attribute nested so deep.
pub(crate) fn deep(signal: Signal, encoding: Encoding, depth: usize) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            let attribute = [field(1, b"deep"), field(2, &nested(depth))].concat();
            envelope(&[with_attributes(signal, &attribute, field)])
        }
        Encoding::Json => {
            let value = format!(
                "{}{}{}",
                r#"{"arrayValue":{"values":["#.repeat(depth),
                r#"{"stringValue":"leaf"}"#,
                "]}}".repeat(depth)
            );
            let attribute = format!(r#"[{{"key":"deep","value":{value}}}]"#);
            let record = match signal {
                Signal::Metrics => {
                    json!({"name": "good", "gauge": {"dataPoints": [{"asInt": "1", "attributes": "HERE"}]}})
                }
                _ => {
                    let mut record = good_json(signal, 1);
                    record["attributes"] = "HERE".into();
                    record
                }
            };
            let text = String::from_utf8(json_envelope(signal, &[record])).expect("text");
            text.replace("\"HERE\"", &attribute).into_bytes()
        }
    }
}

/// An AnyValue of arrays in arrays, built from the inside.
fn nested(depth: usize) -> Vec<u8> {
    let leaf = field(1, b"leaf");
    let mut length = leaf.len();
    let mut headers = Vec::new();
    for _ in 0..depth {
        for number in [1_u8, 5] {
            let mut header = vec![number << 3 | 2];
            varint(length as u64, &mut header);
            length += header.len();
            headers.push(header);
        }
    }
    headers.into_iter().rev().chain([leaf]).flatten().collect()
}

pub(crate) fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    varint(u64::from(number << 3 | 2), &mut out);
    varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(low_bits(value));
}

fn low_bits(value: u64) -> u8 {
    u8::try_from(value & 0x7f).expect("seven bits")
}

pub(crate) fn json_envelope(signal: Signal, records: &[Value]) -> Vec<u8> {
    let (resource, scope, record) = match signal {
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        Signal::Metrics => ("resourceMetrics", "scopeMetrics", "metrics"),
    };
    json!({resource: [{scope: [{record: records}]}]}).to_string().into_bytes()
}

fn good_json(signal: Signal, mark: u8) -> Value {
    match signal {
        Signal::Traces => {
            json!({"traceId": hex::encode([mark.max(1); 16]), "spanId": hex::encode([mark.max(1); 8]), "name": "good"})
        }
        Signal::Logs => json!({"body": {"stringValue": format!("good {mark}")}}),
        Signal::Metrics => json!({"name": "good", "gauge": {"dataPoints": [{"asInt": mark.to_string()}]}}),
    }
}

fn short_id_json(signal: Signal) -> Value {
    json_with_trace_id(signal, &"01".repeat(15))
}

/// A record whose trace id is this text.
pub(crate) fn json_with_trace_id(signal: Signal, id: &str) -> Value {
    match signal {
        Signal::Traces => json!({"traceId": id, "spanId": "0101010101010101"}),
        Signal::Logs => json!({"traceId": id}),
        Signal::Metrics => {
            json!({"name": "m", "gauge": {"dataPoints": [{"asInt": 1, "exemplars": [{"asInt": 1, "traceId": id}]}]}})
        }
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 0).expect("in memory")
}
