//! The messages of OTLP as the walk needs them: the size of the decoded
//! struct and the known fields. Source: opentelemetry-proto 1.x, `*.proto`.

use opentelemetry_proto::tonic::collector::{logs, metrics as metrics_service, trace};
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::logs::v1 as log;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as span;
use tracehound_schema::Signal;

use super::Depth;

/// A message: its decoded size, and its fields.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) bytes: usize,
    /// Levels of messages it adds to a value's depth; 0 for what is not a value.
    pub(super) value_levels: usize,
    fields: &'static [Field],
}

pub(super) struct Field {
    pub(super) number: u32,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Message(&'static Shape),
    Messages(&'static Shape),
    /// A string or bytes.
    Text,
    Texts,
    Varint,
    Varints,
    Fixed32,
    Fixed64,
    Fixed64s,
}

impl Shape {
    pub(super) fn field(&self, number: u32) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.number == number)
    }
}

/// The request of a signal.
pub(super) fn request(signal: Signal) -> &'static Shape {
    match signal {
        Signal::Traces => &TRACES,
        Signal::Logs => &LOGS,
        Signal::Metrics => &METRICS,
    }
}

macro_rules! shapes {
    ($($id:ident = $levels:expr, $message:ty { $($number:literal: $kind:ident $(($of:ident))?),* $(,)? })*) => {
        $(static $id: Shape = Shape {
            name: unqualified(stringify!($message)),
            bytes: size_of::<$message>(),
            value_levels: $levels,
            fields: &[$(Field { number: $number, kind: Kind::$kind $((&$of))? }),*],
        };)*
    };
}

/// `Span` of `span::Span`.
const fn unqualified(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut start = bytes.len();
    while start > 0 && bytes[start - 1] != b':' && bytes[start - 1] != b' ' {
        start -= 1;
    }
    path.split_at(start).1
}

shapes! {
    TRACES = 0, trace::v1::ExportTraceServiceRequest { 1: Messages(RESOURCE_SPANS) }
    RESOURCE_SPANS = 0, span::ResourceSpans { 1: Message(RESOURCE), 2: Messages(SCOPE_SPANS), 3: Text }
    SCOPE_SPANS = 0, span::ScopeSpans { 1: Message(SCOPE), 2: Messages(SPAN), 3: Text }
    SPAN = 0, span::Span {
        1: Text, 2: Text, 3: Text, 4: Text, 5: Text, 6: Varint, 7: Fixed64, 8: Fixed64,
        9: Messages(KEY_VALUE), 10: Varint, 11: Messages(EVENT), 12: Varint,
        13: Messages(LINK), 14: Varint, 15: Message(STATUS), 16: Fixed32,
    }
    EVENT = 0, span::span::Event { 1: Fixed64, 2: Text, 3: Messages(KEY_VALUE), 4: Varint }
    LINK = 0, span::span::Link { 1: Text, 2: Text, 3: Text, 4: Messages(KEY_VALUE), 5: Varint, 6: Fixed32 }
    STATUS = 0, span::Status { 2: Text, 3: Varint }

    LOGS = 0, logs::v1::ExportLogsServiceRequest { 1: Messages(RESOURCE_LOGS) }
    RESOURCE_LOGS = 0, log::ResourceLogs { 1: Message(RESOURCE), 2: Messages(SCOPE_LOGS), 3: Text }
    SCOPE_LOGS = 0, log::ScopeLogs { 1: Message(SCOPE), 2: Messages(LOG_RECORD), 3: Text }
    LOG_RECORD = 0, log::LogRecord {
        1: Fixed64, 2: Varint, 3: Text, 5: Message(ANY_VALUE), 6: Messages(KEY_VALUE), 7: Varint,
        8: Fixed32, 9: Text, 10: Text, 11: Fixed64, 12: Text,
    }

    METRICS = 0, metrics_service::v1::ExportMetricsServiceRequest { 1: Messages(RESOURCE_METRICS) }
    RESOURCE_METRICS = 0, metrics::ResourceMetrics { 1: Message(RESOURCE), 2: Messages(SCOPE_METRICS), 3: Text }
    SCOPE_METRICS = 0, metrics::ScopeMetrics { 1: Message(SCOPE), 2: Messages(METRIC), 3: Text }
    METRIC = 0, metrics::Metric {
        1: Text, 2: Text, 3: Text, 5: Message(GAUGE), 7: Message(SUM), 9: Message(HISTOGRAM),
        10: Message(EXPONENTIAL), 11: Message(SUMMARY), 12: Messages(KEY_VALUE),
    }
    GAUGE = 0, metrics::Gauge { 1: Messages(NUMBER_POINT) }
    SUM = 0, metrics::Sum { 1: Messages(NUMBER_POINT), 2: Varint, 3: Varint }
    HISTOGRAM = 0, metrics::Histogram { 1: Messages(HISTOGRAM_POINT), 2: Varint }
    EXPONENTIAL = 0, metrics::ExponentialHistogram { 1: Messages(EXPONENTIAL_POINT), 2: Varint }
    SUMMARY = 0, metrics::Summary { 1: Messages(SUMMARY_POINT) }
    NUMBER_POINT = 0, metrics::NumberDataPoint {
        2: Fixed64, 3: Fixed64, 4: Fixed64, 5: Messages(EXEMPLAR), 6: Fixed64,
        7: Messages(KEY_VALUE), 8: Varint,
    }
    HISTOGRAM_POINT = 0, metrics::HistogramDataPoint {
        2: Fixed64, 3: Fixed64, 4: Fixed64, 5: Fixed64, 6: Fixed64s, 7: Fixed64s,
        8: Messages(EXEMPLAR), 9: Messages(KEY_VALUE), 10: Varint, 11: Fixed64, 12: Fixed64,
    }
    EXPONENTIAL_POINT = 0, metrics::ExponentialHistogramDataPoint {
        1: Messages(KEY_VALUE), 2: Fixed64, 3: Fixed64, 4: Fixed64, 5: Fixed64, 6: Varint,
        7: Fixed64, 8: Message(BUCKETS), 9: Message(BUCKETS), 10: Varint, 11: Messages(EXEMPLAR),
        12: Fixed64, 13: Fixed64, 14: Fixed64,
    }
    BUCKETS = 0, metrics::exponential_histogram_data_point::Buckets { 1: Varint, 2: Varints }
    SUMMARY_POINT = 0, metrics::SummaryDataPoint {
        2: Fixed64, 3: Fixed64, 4: Fixed64, 5: Fixed64, 6: Messages(QUANTILE),
        7: Messages(KEY_VALUE), 8: Varint,
    }
    QUANTILE = 0, metrics::summary_data_point::ValueAtQuantile { 1: Fixed64, 2: Fixed64 }
    EXEMPLAR = 0, metrics::Exemplar {
        2: Fixed64, 3: Fixed64, 4: Text, 5: Text, 6: Fixed64, 7: Messages(KEY_VALUE),
    }

    RESOURCE = 0, resource::Resource { 1: Messages(KEY_VALUE), 2: Varint, 3: Messages(ENTITY_REF) }
    ENTITY_REF = 0, common::EntityRef { 1: Text, 2: Text, 3: Texts, 4: Texts }
    SCOPE = 0, common::InstrumentationScope { 1: Text, 2: Text, 3: Messages(KEY_VALUE), 4: Varint }
    KEY_VALUE = 0, common::KeyValue { 1: Text, 2: Message(ANY_VALUE), 3: Varint }
    ANY_VALUE = 0, common::AnyValue {
        1: Text, 2: Varint, 3: Varint, 4: Fixed64, 5: Message(ARRAY), 6: Message(MAP), 7: Text,
        8: Varint,
    }
    ARRAY = Depth::ARRAY, common::ArrayValue { 1: Messages(ANY_VALUE) }
    MAP = Depth::MAP, common::KeyValueList { 1: Messages(KEY_VALUE) }
}
