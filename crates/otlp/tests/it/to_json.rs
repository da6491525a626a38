//! OTLP/JSON of requests, as a sender writes it. Only tests need this.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, SummaryDataPoint, exemplar, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::{Value as Json, json};

/// A message as OTLP/JSON.
pub(crate) trait ToJson {
    fn to_json(&self) -> Json;
}

impl<T: ToJson> ToJson for Vec<T> {
    fn to_json(&self) -> Json {
        self.iter().map(ToJson::to_json).collect()
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn to_json(&self) -> Json {
        self.as_ref().map_or(Json::Null, ToJson::to_json)
    }
}

impl ToJson for f64 {
    fn to_json(&self) -> Json {
        match *self {
            value if value.is_nan() => json!("NaN"),
            f64::INFINITY => json!("Infinity"),
            f64::NEG_INFINITY => json!("-Infinity"),
            value => json!(value),
        }
    }
}

/// 64-bit integers are text.
impl ToJson for u64 {
    fn to_json(&self) -> Json {
        json!(self.to_string())
    }
}

macro_rules! plain {
    ($($t:ty),*) => {$(impl ToJson for $t { fn to_json(&self) -> Json { json!(self) } })*};
}
plain!(String, u32, i32, bool);

/// An id.
struct Hex<'a>(&'a [u8]);

impl ToJson for Hex<'_> {
    fn to_json(&self) -> Json {
        json!(hex::encode(self.0))
    }
}

macro_rules! fields {
    ($($message:ty { $($key:literal: $field:ident),* $(; $($id_key:literal: $id:ident),*)? })*) => {$(
        impl ToJson for $message {
            fn to_json(&self) -> Json {
                let mut object = serde_json::Map::new();
                $(object.insert($key.to_owned(), self.$field.to_json());)*
                $($(object.insert($id_key.to_owned(), Hex(&self.$id).to_json());)*)?
                Json::Object(object)
            }
        }
    )*};
}

fields! {
    ExportTraceServiceRequest { "resourceSpans": resource_spans }
    ResourceSpans { "resource": resource, "scopeSpans": scope_spans, "schemaUrl": schema_url }
    ScopeSpans { "scope": scope, "spans": spans, "schemaUrl": schema_url }
    Span {
        "traceState": trace_state, "flags": flags, "name": name, "kind": kind,
        "startTimeUnixNano": start_time_unix_nano, "endTimeUnixNano": end_time_unix_nano,
        "attributes": attributes, "droppedAttributesCount": dropped_attributes_count,
        "events": events, "droppedEventsCount": dropped_events_count, "links": links,
        "droppedLinksCount": dropped_links_count, "status": status;
        "traceId": trace_id, "spanId": span_id, "parentSpanId": parent_span_id
    }
    Event {
        "timeUnixNano": time_unix_nano, "name": name, "attributes": attributes,
        "droppedAttributesCount": dropped_attributes_count
    }
    Link {
        "traceState": trace_state, "attributes": attributes,
        "droppedAttributesCount": dropped_attributes_count, "flags": flags;
        "traceId": trace_id, "spanId": span_id
    }
    Status { "message": message, "code": code }

    ExportLogsServiceRequest { "resourceLogs": resource_logs }
    ResourceLogs { "resource": resource, "scopeLogs": scope_logs, "schemaUrl": schema_url }
    ScopeLogs { "scope": scope, "logRecords": log_records, "schemaUrl": schema_url }
    LogRecord {
        "timeUnixNano": time_unix_nano, "observedTimeUnixNano": observed_time_unix_nano,
        "severityNumber": severity_number, "severityText": severity_text, "body": body,
        "attributes": attributes, "droppedAttributesCount": dropped_attributes_count,
        "flags": flags, "eventName": event_name;
        "traceId": trace_id, "spanId": span_id
    }

    ExportMetricsServiceRequest { "resourceMetrics": resource_metrics }
    ResourceMetrics { "resource": resource, "scopeMetrics": scope_metrics, "schemaUrl": schema_url }
    ScopeMetrics { "scope": scope, "metrics": metrics, "schemaUrl": schema_url }
    HistogramDataPoint {
        "attributes": attributes, "startTimeUnixNano": start_time_unix_nano,
        "timeUnixNano": time_unix_nano, "count": count, "sum": sum,
        "bucketCounts": bucket_counts, "explicitBounds": explicit_bounds,
        "exemplars": exemplars, "flags": flags, "min": min, "max": max
    }
    ExponentialHistogramDataPoint {
        "attributes": attributes, "startTimeUnixNano": start_time_unix_nano,
        "timeUnixNano": time_unix_nano, "count": count, "sum": sum, "scale": scale,
        "zeroCount": zero_count, "positive": positive, "negative": negative, "flags": flags,
        "exemplars": exemplars, "min": min, "max": max, "zeroThreshold": zero_threshold
    }
    Buckets { "offset": offset, "bucketCounts": bucket_counts }
    SummaryDataPoint {
        "attributes": attributes, "startTimeUnixNano": start_time_unix_nano,
        "timeUnixNano": time_unix_nano, "count": count, "sum": sum,
        "quantileValues": quantile_values, "flags": flags
    }
    ValueAtQuantile { "quantile": quantile, "value": value }

    Resource {
        "attributes": attributes, "droppedAttributesCount": dropped_attributes_count,
        "entityRefs": entity_refs
    }
    EntityRef {
        "schemaUrl": schema_url, "type": r#type, "idKeys": id_keys,
        "descriptionKeys": description_keys
    }
    InstrumentationScope {
        "name": name, "version": version, "attributes": attributes,
        "droppedAttributesCount": dropped_attributes_count
    }
    KeyValue { "key": key, "value": value, "keyStrindex": key_strindex }
}

impl ToJson for Metric {
    fn to_json(&self) -> Json {
        let mut metric = json!({
            "name": self.name,
            "description": self.description,
            "unit": self.unit,
            "metadata": self.metadata.to_json(),
        });
        let (key, data) = match &self.data {
            None => return metric,
            Some(Data::Gauge(data)) => ("gauge", json!({"dataPoints": data.data_points.to_json()})),
            Some(Data::Sum(data)) => (
                "sum",
                json!({
                    "dataPoints": data.data_points.to_json(),
                    "aggregationTemporality": data.aggregation_temporality,
                    "isMonotonic": data.is_monotonic,
                }),
            ),
            Some(Data::Histogram(data)) => (
                "histogram",
                json!({
                    "dataPoints": data.data_points.to_json(),
                    "aggregationTemporality": data.aggregation_temporality,
                }),
            ),
            Some(Data::ExponentialHistogram(data)) => (
                "exponentialHistogram",
                json!({
                    "dataPoints": data.data_points.to_json(),
                    "aggregationTemporality": data.aggregation_temporality,
                }),
            ),
            Some(Data::Summary(data)) => ("summary", json!({"dataPoints": data.data_points.to_json()})),
        };
        metric[key] = data;
        metric
    }
}

impl ToJson for NumberDataPoint {
    fn to_json(&self) -> Json {
        let mut point = json!({
            "attributes": self.attributes.to_json(),
            "startTimeUnixNano": self.start_time_unix_nano.to_json(),
            "timeUnixNano": self.time_unix_nano.to_json(),
            "exemplars": self.exemplars.to_json(),
            "flags": self.flags,
        });
        match self.value {
            None => {}
            Some(number_data_point::Value::AsDouble(value)) => point["asDouble"] = value.to_json(),
            Some(number_data_point::Value::AsInt(value)) => point["asInt"] = json!(value.to_string()),
        }
        point
    }
}

impl ToJson for Exemplar {
    fn to_json(&self) -> Json {
        let mut exemplar = json!({
            "filteredAttributes": self.filtered_attributes.to_json(),
            "timeUnixNano": self.time_unix_nano.to_json(),
            "spanId": Hex(&self.span_id).to_json(),
            "traceId": Hex(&self.trace_id).to_json(),
        });
        match self.value {
            None => {}
            Some(exemplar::Value::AsDouble(value)) => exemplar["asDouble"] = value.to_json(),
            Some(exemplar::Value::AsInt(value)) => exemplar["asInt"] = json!(value),
        }
        exemplar
    }
}

impl ToJson for AnyValue {
    fn to_json(&self) -> Json {
        match &self.value {
            None => json!({}),
            Some(Value::StringValue(value)) => json!({"stringValue": value}),
            Some(Value::BoolValue(value)) => json!({"boolValue": value}),
            Some(Value::IntValue(value)) => json!({"intValue": value.to_string()}),
            Some(Value::DoubleValue(value)) => json!({"doubleValue": value.to_json()}),
            Some(Value::BytesValue(value)) => json!({"bytesValue": STANDARD.encode(value)}),
            Some(Value::ArrayValue(array)) => {
                json!({"arrayValue": {"values": array.values.to_json()}})
            }
            Some(Value::KvlistValue(map)) => json!({"kvlistValue": {"values": map.values.to_json()}}),
            Some(Value::StringValueStrindex(value)) => json!({"stringValueStrindex": value}),
        }
    }
}
