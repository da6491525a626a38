//! What a file's bytes are.

use std::fmt;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use tracehound_schema::{DecodeLimits, Signal};

use super::Form;
use crate::bound;
use crate::budget::Budget;

/// Field 1 with a length: how every request begins. It is also a line feed.
const FIRST_TAG: u8 = 0x0a;

/// The form of a file that begins with `start`; `None` if it is blank.
pub(super) fn form(start: &[u8], message_bytes_max: usize) -> Result<Option<Form>, &'static str> {
    const UNKNOWN: &str = "neither JSON objects, nor a protobuf message, nor protobuf messages after their lengths";
    let text = start.trim_ascii_start();
    if text.is_empty() {
        return Ok(None);
    }
    if text.starts_with(b"{") && (start[0] != FIRST_TAG || begins_object(text)) {
        return Ok(Some(Form::Json));
    }
    match *start {
        [FIRST_TAG, ..] => Ok(Some(Form::Protobuf)),
        [a, b, c, d, ..] => {
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            let tag = start.get(4).is_none_or(|tag| *tag == FIRST_TAG || length == 0);
            if length <= message_bytes_max && tag {
                Ok(Some(Form::LengthPrefixed))
            } else if start.starts_with(&[0x1f, 0x8b]) || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
                Err("still compressed: decompress it first")
            } else if start[4..].starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
                Err("each message is compressed with zstd: write the file without compression")
            } else {
                Err(UNKNOWN)
            }
        }
        _ => Err(UNKNOWN),
    }
}

/// Whether `{` and what follows is a JSON object rather than the inside of a
/// protobuf message, whose lengths may be whitespace, a brace and a quote too
/// but not with a letter after them.
fn begins_object(text: &[u8]) -> bool {
    match *text[1..].trim_ascii_start() {
        [] | [b'}', ..] | [b'"'] => true,
        [b'"', first, ..] => first.is_ascii_graphic() || first >= 0x80,
        _ => false,
    }
}

/// Finds the end of a JSON object, piece by piece.
#[derive(Debug, Default)]
pub(super) struct Braces {
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Braces {
    /// Where in `piece` the object ends, if it does; an error if none began.
    pub(super) fn end(&mut self, piece: &[u8]) -> Result<Option<usize>, ()> {
        for (index, byte) in piece.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'{' | b'[' if self.depth > 0 || *byte == b'{' => self.depth += 1,
                _ if self.depth == 0 => return Err(()),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(Some(index + 1));
                    }
                }
                b'"' => self.in_text = true,
                _ => {}
            }
        }
        Ok(None)
    }
}

/// The signal of a JSON message, by its top-level key.
pub(super) fn json_signal(body: &[u8]) -> Result<Signal, String> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let signals = json.deserialize_map(Signals).map_err(|error| error.to_string())?;
    match signals[..] {
        [signal] => Ok(signal),
        [] => Err("has none of resourceSpans, resourceLogs and resourceMetrics".to_owned()),
        _ => Err("has more than one of resourceSpans, resourceLogs and resourceMetrics".to_owned()),
    }
}

struct Signals;

impl<'de> Visitor<'de> for Signals {
    type Value = Vec<Signal>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut signals = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let signal = match key.as_str() {
                "resourceSpans" => Some(Signal::Traces),
                "resourceLogs" => Some(Signal::Logs),
                "resourceMetrics" => Some(Signal::Metrics),
                _ => None,
            };
            signals.extend(signal.filter(|signal| !signals.contains(signal)));
            map.next_value::<IgnoredAny>()?;
        }
        Ok(signals)
    }
}

/// The signal of a protobuf message, which does not say: the one as which most records make sense.
pub(super) fn protobuf_signal(body: &[u8]) -> Result<Signal, String> {
    let counts = Signal::ALL.map(|signal| (sensible(signal, body), signal));
    let most = counts.iter().filter_map(|(count, _)| count.as_ref().ok()).max().copied();
    let best =
        |(count, signal): &(Result<usize, String>, Signal)| (count.as_ref().ok() == most.as_ref()).then_some(*signal);
    let best: Vec<Signal> = counts.iter().filter_map(best).collect();
    match (most, best.as_slice()) {
        (Some(0), _) => Err("cannot tell its signal: it has no spans, log records or data points".to_owned()),
        (Some(_), [signal]) => Ok(*signal),
        (Some(_), _) => Err("cannot tell its signal: it could be more than one; send it as JSON".to_owned()),
        (None, _) => {
            let [(error, _), ..] = counts;
            Err(format!("not an OTLP message: {}", error.err().unwrap_or_default()))
        }
    }
}

/// How many records of `body`, as a message of `signal`, have what such a record needs.
fn sensible(signal: Signal, body: &[u8]) -> Result<usize, String> {
    let limits = DecodeLimits::default();
    let mut budget = Budget::new(limits.decoded_bytes_max);
    bound::check(signal, body, &limits, &mut budget).map_err(|error| error.to_string())?;
    match signal {
        Signal::Traces => {
            let request = ExportTraceServiceRequest::decode(body).map_err(|error| error.to_string())?;
            let scopes = request.resource_spans.iter().flat_map(|of| &of.scope_spans);
            let spans = scopes.flat_map(|of| &of.spans);
            Ok(spans.filter(|span| span.trace_id.len() == 16 && span.span_id.len() == 8).count())
        }
        Signal::Logs => {
            let request = ExportLogsServiceRequest::decode(body).map_err(|error| error.to_string())?;
            let scopes = request.resource_logs.iter().flat_map(|of| &of.scope_logs);
            let timed = |log: &&LogRecord| log.time_unix_nano != 0 || log.observed_time_unix_nano != 0;
            let says = |log: &&LogRecord| log.body.is_some() || log.severity_number != 0 || !log.attributes.is_empty();
            Ok(scopes.flat_map(|of| &of.log_records).filter(|log| timed(log) || says(log)).count())
        }
        Signal::Metrics => {
            let request = ExportMetricsServiceRequest::decode(body).map_err(|error| error.to_string())?;
            let scopes = request.resource_metrics.iter().flat_map(|of| &of.scope_metrics);
            let metrics = scopes.flat_map(|of| &of.metrics);
            Ok(metrics.filter(|metric| !metric.name.is_empty() && metric.data.is_some()).count())
        }
    }
}
