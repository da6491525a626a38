//! OTLP's messages: the name of each field in JSON, where it goes, and how it is read.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
    exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde::de::{IgnoredAny, MapAccess};

use super::read::{FromJson, List, Maybe, Object, One, Reader, next};
use super::scalar::{Base64, Bool, Double, Enum, EnumNames, Hex, Int, Text};
use crate::bound::Depth;

/// `"jsonName": field = how to read it`; after `one of`, the variants that share a field.
macro_rules! messages {
    ($($message:ty [$levels:expr] {
        $($key:literal: $field:ident = $read:ty,)*
        $(one of $oneof:ident { $($variant_key:literal: $variant:path = $variant_read:ty,)* })?
    })*) => {$(
        impl FromJson for $message {
            const VALUE_LEVELS: usize = $levels;

            fn field<'de, A: MapAccess<'de>>(
                &mut self,
                key: &str,
                map: &mut A,
                reader: &Reader<'_>,
            ) -> Result<(), A::Error> {
                match key {
                    $($key => self.$field = next::<$read, A>(map, reader)?,)*
                    $($($variant_key => {
                        if let Some(value) = next::<$variant_read, A>(map, reader)? {
                            self.$oneof = Some($variant(value));
                        }
                    })*)?
                    _ => {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(())
            }
        }
    )*};
}

messages! {
    ExportTraceServiceRequest [0] { "resourceSpans": resource_spans = List<Object<ResourceSpans>>, }
    ResourceSpans [0] {
        "resource": resource = Object<Resource>,
        "scopeSpans": scope_spans = List<Object<ScopeSpans>>,
        "schemaUrl": schema_url = One<Text>,
    }
    ScopeSpans [0] {
        "scope": scope = Object<InstrumentationScope>,
        "spans": spans = List<Object<Span>>,
        "schemaUrl": schema_url = One<Text>,
    }
    Span [0] {
        "traceId": trace_id = One<Hex>,
        "spanId": span_id = One<Hex>,
        "traceState": trace_state = One<Text>,
        "parentSpanId": parent_span_id = One<Hex>,
        "flags": flags = One<Int<u32>>,
        "name": name = One<Text>,
        "kind": kind = One<Enum<SpanKind>>,
        "startTimeUnixNano": start_time_unix_nano = One<Int<u64>>,
        "endTimeUnixNano": end_time_unix_nano = One<Int<u64>>,
        "attributes": attributes = List<Object<KeyValue>>,
        "droppedAttributesCount": dropped_attributes_count = One<Int<u32>>,
        "events": events = List<Object<Event>>,
        "droppedEventsCount": dropped_events_count = One<Int<u32>>,
        "links": links = List<Object<Link>>,
        "droppedLinksCount": dropped_links_count = One<Int<u32>>,
        "status": status = Object<Status>,
    }
    Event [0] {
        "timeUnixNano": time_unix_nano = One<Int<u64>>,
        "name": name = One<Text>,
        "attributes": attributes = List<Object<KeyValue>>,
        "droppedAttributesCount": dropped_attributes_count = One<Int<u32>>,
    }
    Link [0] {
        "traceId": trace_id = One<Hex>,
        "spanId": span_id = One<Hex>,
        "traceState": trace_state = One<Text>,
        "attributes": attributes = List<Object<KeyValue>>,
        "droppedAttributesCount": dropped_attributes_count = One<Int<u32>>,
        "flags": flags = One<Int<u32>>,
    }
    Status [0] { "message": message = One<Text>, "code": code = One<Enum<StatusCode>>, }

    ExportLogsServiceRequest [0] { "resourceLogs": resource_logs = List<Object<ResourceLogs>>, }
    ResourceLogs [0] {
        "resource": resource = Object<Resource>,
        "scopeLogs": scope_logs = List<Object<ScopeLogs>>,
        "schemaUrl": schema_url = One<Text>,
    }
    ScopeLogs [0] {
        "scope": scope = Object<InstrumentationScope>,
        "logRecords": log_records = List<Object<LogRecord>>,
        "schemaUrl": schema_url = One<Text>,
    }
    LogRecord [0] {
        "timeUnixNano": time_unix_nano = One<Int<u64>>,
        "observedTimeUnixNano": observed_time_unix_nano = One<Int<u64>>,
        "severityNumber": severity_number = One<Enum<SeverityNumber>>,
        "severityText": severity_text = One<Text>,
        "body": body = Object<AnyValue>,
        "attributes": attributes = List<Object<KeyValue>>,
        "droppedAttributesCount": dropped_attributes_count = One<Int<u32>>,
        "flags": flags = One<Int<u32>>,
        "traceId": trace_id = One<Hex>,
        "spanId": span_id = One<Hex>,
        "eventName": event_name = One<Text>,
    }

    ExportMetricsServiceRequest [0] { "resourceMetrics": resource_metrics = List<Object<ResourceMetrics>>, }
    ResourceMetrics [0] {
        "resource": resource = Object<Resource>,
        "scopeMetrics": scope_metrics = List<Object<ScopeMetrics>>,
        "schemaUrl": schema_url = One<Text>,
    }
    ScopeMetrics [0] {
        "scope": scope = Object<InstrumentationScope>,
        "metrics": metrics = List<Object<Metric>>,
        "schemaUrl": schema_url = One<Text>,
    }
    Metric [0] {
        "name": name = One<Text>,
        "description": description = One<Text>,
        "unit": unit = One<Text>,
        "metadata": metadata = List<Object<KeyValue>>,
        one of data {
            "gauge": metric::Data::Gauge = Object<Gauge>,
            "sum": metric::Data::Sum = Object<Sum>,
            "histogram": metric::Data::Histogram = Object<Histogram>,
            "exponentialHistogram": metric::Data::ExponentialHistogram = Object<ExponentialHistogram>,
            "summary": metric::Data::Summary = Object<Summary>,
        }
    }
    Gauge [0] { "dataPoints": data_points = List<Object<NumberDataPoint>>, }
    Sum [0] {
        "dataPoints": data_points = List<Object<NumberDataPoint>>,
        "aggregationTemporality": aggregation_temporality = One<Enum<AggregationTemporality>>,
        "isMonotonic": is_monotonic = One<Bool>,
    }
    Histogram [0] {
        "dataPoints": data_points = List<Object<HistogramDataPoint>>,
        "aggregationTemporality": aggregation_temporality = One<Enum<AggregationTemporality>>,
    }
    ExponentialHistogram [0] {
        "dataPoints": data_points = List<Object<ExponentialHistogramDataPoint>>,
        "aggregationTemporality": aggregation_temporality = One<Enum<AggregationTemporality>>,
    }
    Summary [0] { "dataPoints": data_points = List<Object<SummaryDataPoint>>, }
    NumberDataPoint [0] {
        "attributes": attributes = List<Object<KeyValue>>,
        "startTimeUnixNano": start_time_unix_nano = One<Int<u64>>,
        "timeUnixNano": time_unix_nano = One<Int<u64>>,
        "exemplars": exemplars = List<Object<Exemplar>>,
        "flags": flags = One<Int<u32>>,
        one of value {
            "asDouble": number_data_point::Value::AsDouble = Maybe<Double>,
            "asInt": number_data_point::Value::AsInt = Maybe<Int<i64>>,
        }
    }
    HistogramDataPoint [0] {
        "attributes": attributes = List<Object<KeyValue>>,
        "startTimeUnixNano": start_time_unix_nano = One<Int<u64>>,
        "timeUnixNano": time_unix_nano = One<Int<u64>>,
        "count": count = One<Int<u64>>,
        "sum": sum = Maybe<Double>,
        "bucketCounts": bucket_counts = List<One<Int<u64>>>,
        "explicitBounds": explicit_bounds = List<One<Double>>,
        "exemplars": exemplars = List<Object<Exemplar>>,
        "flags": flags = One<Int<u32>>,
        "min": min = Maybe<Double>,
        "max": max = Maybe<Double>,
    }
    ExponentialHistogramDataPoint [0] {
        "attributes": attributes = List<Object<KeyValue>>,
        "startTimeUnixNano": start_time_unix_nano = One<Int<u64>>,
        "timeUnixNano": time_unix_nano = One<Int<u64>>,
        "count": count = One<Int<u64>>,
        "sum": sum = Maybe<Double>,
        "scale": scale = One<Int<i32>>,
        "zeroCount": zero_count = One<Int<u64>>,
        "positive": positive = Object<Buckets>,
        "negative": negative = Object<Buckets>,
        "flags": flags = One<Int<u32>>,
        "exemplars": exemplars = List<Object<Exemplar>>,
        "min": min = Maybe<Double>,
        "max": max = Maybe<Double>,
        "zeroThreshold": zero_threshold = One<Double>,
    }
    Buckets [0] {
        "offset": offset = One<Int<i32>>,
        "bucketCounts": bucket_counts = List<One<Int<u64>>>,
    }
    SummaryDataPoint [0] {
        "attributes": attributes = List<Object<KeyValue>>,
        "startTimeUnixNano": start_time_unix_nano = One<Int<u64>>,
        "timeUnixNano": time_unix_nano = One<Int<u64>>,
        "count": count = One<Int<u64>>,
        "sum": sum = One<Double>,
        "quantileValues": quantile_values = List<Object<ValueAtQuantile>>,
        "flags": flags = One<Int<u32>>,
    }
    ValueAtQuantile [0] { "quantile": quantile = One<Double>, "value": value = One<Double>, }
    Exemplar [0] {
        "filteredAttributes": filtered_attributes = List<Object<KeyValue>>,
        "timeUnixNano": time_unix_nano = One<Int<u64>>,
        "spanId": span_id = One<Hex>,
        "traceId": trace_id = One<Hex>,
        one of value {
            "asDouble": exemplar::Value::AsDouble = Maybe<Double>,
            "asInt": exemplar::Value::AsInt = Maybe<Int<i64>>,
        }
    }

    Resource [0] {
        "attributes": attributes = List<Object<KeyValue>>,
        "droppedAttributesCount": dropped_attributes_count = One<Int<u32>>,
        "entityRefs": entity_refs = List<Object<EntityRef>>,
    }
    EntityRef [0] {
        "schemaUrl": schema_url = One<Text>,
        "type": r#type = One<Text>,
        "idKeys": id_keys = List<One<Text>>,
        "descriptionKeys": description_keys = List<One<Text>>,
    }
    InstrumentationScope [0] {
        "name": name = One<Text>,
        "version": version = One<Text>,
        "attributes": attributes = List<Object<KeyValue>>,
        "droppedAttributesCount": dropped_attributes_count = One<Int<u32>>,
    }
    KeyValue [0] {
        "key": key = One<Text>,
        "value": value = Object<AnyValue>,
        "keyStrindex": key_strindex = One<Int<i32>>,
    }
    AnyValue [0] {
        one of value {
            "stringValue": any_value::Value::StringValue = Maybe<Text>,
            "boolValue": any_value::Value::BoolValue = Maybe<Bool>,
            "intValue": any_value::Value::IntValue = Maybe<Int<i64>>,
            "doubleValue": any_value::Value::DoubleValue = Maybe<Double>,
            "arrayValue": any_value::Value::ArrayValue = Object<ArrayValue>,
            "kvlistValue": any_value::Value::KvlistValue = Object<KeyValueList>,
            "bytesValue": any_value::Value::BytesValue = Maybe<Base64>,
            "stringValueStrindex": any_value::Value::StringValueStrindex = Maybe<Int<i32>>,
        }
    }
    ArrayValue [Depth::ARRAY] { "values": values = List<Object<AnyValue>>, }
    KeyValueList [Depth::MAP] { "values": values = List<Object<KeyValue>>, }
}

macro_rules! enum_names {
    ($($enum:ty),*) => {$(
        impl EnumNames for $enum {
            fn number(name: &str) -> Option<i32> {
                Self::from_str_name(name).map(|value| value as i32)
            }
        }
    )*};
}

enum_names!(SpanKind, StatusCode, SeverityNumber, AggregationTemporality);
