//! The normal form of OTLP requests.
//!
//! Two requests with the same normal form say the same. Decoding a request's
//! accepted records to rows, and encoding the rows, keeps the normal form.
//!
//! 1. **Grouping.** A request is a bag of records, each with its resource
//!    (attributes, dropped count, entity references, schema URL), its scope (name, version, attributes,
//!    dropped count, schema URL), and, for a data point, its metric (name,
//!    description, unit, metadata, kind, temporality, monotonicity). Equal resources become one, equal scopes
//!    of a resource one, equal metrics of a scope one. Equal means equal as
//!    protobuf bytes, after the rules below.
//! 2. **Order.** Resources, scopes, metrics and records are sorted by their protobuf bytes. The same record
//!    twice stays twice.
//! 3. **Empty groups** go: resources without scopes, scopes without records, metrics without points or without data.
//! 4. **Absent messages.** An absent resource, scope, span status or bucket
//!    message is the default one, and is written out.
//! 5. **Values.** A value with nothing in it is absent, on an attribute, inside a map, and as a
//!    log body; inside an array it stays, as a value with nothing in it. References to a string
//!    table (`string_value_strindex`, `key_strindex`), which only profiles have, go.
//! 6. **Attributes** keep their order and their duplicates, on every level.
//! 7. **Ids** that are all zeros are empty, whatever their length.
//! 8. **Unknown fields** go. Unknown enum numbers stay.
//! 9. **Numbers** keep their bits, but negative zero in a field without presence (a
//!    summary's sum, quantiles and their values, the zero threshold) is zero, as in proto3.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use crate::ids::is_zero;

/// Things by their protobuf bytes, with what belongs to each.
type Groups<K, V> = BTreeMap<Vec<u8>, (K, V)>;

/// A request's traces in normal form.
pub fn normalize_traces(request: ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    let mut resources: Groups<ResourceSpans, Groups<ScopeSpans, Vec<Span>>> = Groups::new();
    for mut of_resource in request.resource_spans {
        let scopes = std::mem::take(&mut of_resource.scope_spans);
        resource(&mut of_resource.resource);
        for mut of_scope in scopes {
            let mut spans = std::mem::take(&mut of_scope.spans);
            scope(&mut of_scope.scope);
            spans.iter_mut().for_each(span);
            if !spans.is_empty() {
                let scopes = group(&mut resources, of_resource.clone());
                group(scopes, of_scope).extend(spans);
            }
        }
    }
    let scope_spans = |(mut of_scope, spans): (ScopeSpans, Vec<Span>)| {
        of_scope.spans = spans;
        sort(&mut of_scope.spans);
        of_scope
    };
    let resource_spans = resources.into_values().map(|(mut of_resource, scopes)| {
        of_resource.scope_spans = scopes.into_values().map(scope_spans).collect();
        of_resource
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

/// A request's logs in normal form.
pub fn normalize_logs(request: ExportLogsServiceRequest) -> ExportLogsServiceRequest {
    let mut resources: Groups<ResourceLogs, Groups<ScopeLogs, Vec<LogRecord>>> = Groups::new();
    for mut of_resource in request.resource_logs {
        let scopes = std::mem::take(&mut of_resource.scope_logs);
        resource(&mut of_resource.resource);
        for mut of_scope in scopes {
            let mut logs = std::mem::take(&mut of_scope.log_records);
            scope(&mut of_scope.scope);
            logs.iter_mut().for_each(log);
            if !logs.is_empty() {
                let scopes = group(&mut resources, of_resource.clone());
                group(scopes, of_scope).extend(logs);
            }
        }
    }
    let scope_logs = |(mut of_scope, logs): (ScopeLogs, Vec<LogRecord>)| {
        of_scope.log_records = logs;
        sort(&mut of_scope.log_records);
        of_scope
    };
    let resource_logs = resources.into_values().map(|(mut of_resource, scopes)| {
        of_resource.scope_logs = scopes.into_values().map(scope_logs).collect();
        of_resource
    });
    ExportLogsServiceRequest { resource_logs: resource_logs.collect() }
}

/// A request's metrics in normal form.
pub fn normalize_metrics(request: ExportMetricsServiceRequest) -> ExportMetricsServiceRequest {
    type Scopes = Groups<ScopeMetrics, Groups<Metric, Vec<Metric>>>;
    let mut resources: Groups<ResourceMetrics, Scopes> = Groups::new();
    for mut of_resource in request.resource_metrics {
        let scopes = std::mem::take(&mut of_resource.scope_metrics);
        resource(&mut of_resource.resource);
        for mut of_scope in scopes {
            let metrics = std::mem::take(&mut of_scope.metrics);
            scope(&mut of_scope.scope);
            for mut metric in metrics {
                attributes(&mut metric.metadata);
                let identity = without_points(&metric);
                if metric.data.as_mut().is_some_and(|data| points(data) > 0) {
                    let scopes = group(&mut resources, of_resource.clone());
                    let metrics = group(scopes, of_scope.clone());
                    group(metrics, identity).push(metric);
                }
            }
        }
    }
    let scope_metrics = |(mut of_scope, metrics): (ScopeMetrics, Groups<Metric, Vec<Metric>>)| {
        of_scope.metrics = metrics.into_values().map(|(identity, parts)| joined(identity, parts)).collect();
        of_scope
    };
    let resource_metrics = resources.into_values().map(|(mut of_resource, scopes)| {
        of_resource.scope_metrics = scopes.into_values().map(scope_metrics).collect();
        of_resource
    });
    ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }
}

/// The group of `key`, which is new if no equal one was there.
fn group<K: Message, V: Default>(groups: &mut Groups<K, V>, key: K) -> &mut V {
    &mut groups.entry(key.encode_to_vec()).or_insert_with(|| (key, V::default())).1
}

fn sort<M: Message>(records: &mut [M]) {
    records.sort_by_cached_key(Message::encode_to_vec);
}

fn resource(resource: &mut Option<Resource>) {
    attributes(&mut resource.get_or_insert_default().attributes);
}

fn scope(scope: &mut Option<InstrumentationScope>) {
    attributes(&mut scope.get_or_insert_default().attributes);
}

fn attributes(attributes: &mut [KeyValue]) {
    for attribute in attributes {
        attribute.key_strindex = 0;
        value(&mut attribute.value);
    }
}

fn value(value: &mut Option<AnyValue>) {
    value.iter_mut().for_each(element);
    if value.as_ref().is_some_and(|value| value.value.is_none()) {
        *value = None;
    }
}

fn element(element: &mut AnyValue) {
    match &mut element.value {
        Some(Value::StringValueStrindex(_)) => element.value = None,
        Some(Value::ArrayValue(array)) => array.values.iter_mut().for_each(self::element),
        Some(Value::KvlistValue(map)) => attributes(&mut map.values),
        _ => {}
    }
}

fn id(id: &mut Vec<u8>) {
    if is_zero(id) {
        id.clear();
    }
}

fn span(span: &mut Span) {
    id(&mut span.trace_id);
    id(&mut span.span_id);
    id(&mut span.parent_span_id);
    attributes(&mut span.attributes);
    span.status.get_or_insert_default();
    for event in &mut span.events {
        attributes(&mut event.attributes);
    }
    for link in &mut span.links {
        id(&mut link.trace_id);
        id(&mut link.span_id);
        attributes(&mut link.attributes);
    }
}

fn log(log: &mut LogRecord) {
    id(&mut log.trace_id);
    id(&mut log.span_id);
    value(&mut log.body);
    attributes(&mut log.attributes);
}

/// Brings points to normal form, and counts them.
fn points(data: &mut Data) -> usize {
    match data {
        Data::Gauge(data) => each(&mut data.data_points, number),
        Data::Sum(data) => each(&mut data.data_points, number),
        Data::Histogram(data) => each(&mut data.data_points, histogram),
        Data::ExponentialHistogram(data) => each(&mut data.data_points, exponential),
        Data::Summary(data) => each(&mut data.data_points, summary),
    }
}

fn each<P>(points: &mut [P], normalize: fn(&mut P)) -> usize {
    points.iter_mut().for_each(normalize);
    points.len()
}

fn number(point: &mut NumberDataPoint) {
    attributes(&mut point.attributes);
    point.exemplars.iter_mut().for_each(exemplar);
}

fn histogram(point: &mut HistogramDataPoint) {
    attributes(&mut point.attributes);
    point.exemplars.iter_mut().for_each(exemplar);
}

fn exponential(point: &mut ExponentialHistogramDataPoint) {
    attributes(&mut point.attributes);
    point.exemplars.iter_mut().for_each(exemplar);
    point.positive.get_or_insert_default();
    point.negative.get_or_insert_default();
}

fn summary(point: &mut SummaryDataPoint) {
    attributes(&mut point.attributes);
}

fn exemplar(exemplar: &mut Exemplar) {
    id(&mut exemplar.trace_id);
    id(&mut exemplar.span_id);
    attributes(&mut exemplar.filtered_attributes);
}

/// What is equal in all points of a metric.
fn without_points(metric: &Metric) -> Metric {
    let mut identity = metric.clone();
    match &mut identity.data {
        None => {}
        Some(Data::Gauge(data)) => data.data_points.clear(),
        Some(Data::Sum(data)) => data.data_points.clear(),
        Some(Data::Histogram(data)) => data.data_points.clear(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.clear(),
        Some(Data::Summary(data)) => data.data_points.clear(),
    }
    identity
}

/// One metric with the points of all its parts, which are of its kind.
fn joined(mut metric: Metric, parts: Vec<Metric>) -> Metric {
    for part in parts {
        match (&mut metric.data, part.data) {
            (Some(Data::Gauge(all)), Some(Data::Gauge(data))) => {
                all.data_points.extend(data.data_points);
            }
            (Some(Data::Sum(all)), Some(Data::Sum(data))) => {
                all.data_points.extend(data.data_points);
            }
            (Some(Data::Histogram(all)), Some(Data::Histogram(data))) => {
                all.data_points.extend(data.data_points);
            }
            (Some(Data::ExponentialHistogram(all)), Some(Data::ExponentialHistogram(data))) => {
                all.data_points.extend(data.data_points);
            }
            (Some(Data::Summary(all)), Some(Data::Summary(data))) => {
                all.data_points.extend(data.data_points);
            }
            _ => {}
        }
    }
    match &mut metric.data {
        None => {}
        Some(Data::Gauge(data)) => sort(&mut data.data_points),
        Some(Data::Sum(data)) => sort(&mut data.data_points),
        Some(Data::Histogram(data)) => sort(&mut data.data_points),
        Some(Data::ExponentialHistogram(data)) => sort(&mut data.data_points),
        Some(Data::Summary(data)) => sort(&mut data.data_points),
    }
    metric
}
