use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::attribute_map_type;

/// A column of a dataset: its Arrow field, and what it means.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name, in files and in SQL.
    pub name: &'static str,
    /// Its type.
    pub data_type: DataType,
    /// Whether it may be null.
    pub nullable: bool,
    /// One sentence for people.
    pub description: &'static str,
}

impl Column {
    /// The column as an Arrow field, without its description, which would weigh on every file.
    pub fn field(&self) -> Field {
        Field::new(self.name, self.data_type.clone(), self.nullable)
    }
}

/// The entity columns, in schema order: the monitored application's own words
/// for who acted, on what, from where (see `entity_rules`). All are text but
/// `roles`, a list of text.
pub const ENTITY_COLUMNS: [(&str, &str); 13] = [
    ("user_id", "the user the application acted for"),
    ("roles", "that user's roles"),
    ("role", "the first of roles"),
    ("auth_method", "how that user authenticated"),
    ("trust_level", "how far the application trusts the session"),
    ("data_classification", "the class of the data touched, such as PII"),
    ("data_subject_id", "the person the data is about"),
    ("session_id", "the user's session"),
    ("client_address", "the address the request came from"),
    ("peer_address", "the host or domain that was called"),
    ("region", "the region the request came from"),
    ("app_tenant_id", "the application's tenant, of the caller"),
    ("resource_tenant_id", "the application's tenant, of the data"),
];

pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

pub(crate) fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}

pub(crate) fn list_of_struct(fields: Vec<Field>) -> DataType {
    let element = DataType::Struct(Fields::from(fields));
    DataType::List(Arc::new(Field::new("item", element, false)))
}

fn required(name: &'static str, data_type: DataType, description: &'static str) -> Column {
    Column { name, data_type, nullable: false, description }
}

fn optional(name: &'static str, data_type: DataType, description: &'static str) -> Column {
    Column { name, data_type, nullable: true, description }
}

fn text(name: &'static str, description: &'static str) -> Column {
    optional(name, DataType::Utf8, description)
}

fn attributes(name: &'static str, description: &'static str) -> Column {
    required(name, attribute_map_type(), description)
}

fn entity_columns() -> impl Iterator<Item = Column> {
    ENTITY_COLUMNS.into_iter().map(|(name, description)| match name {
        "roles" => optional(name, list_of(DataType::Utf8), description),
        _ => text(name, description),
    })
}

/// The columns of resource and scope, the same for all signals.
fn origin_columns() -> Vec<Column> {
    let entity_refs = list_of_struct(vec![
        Field::new("schema_url", DataType::Utf8, false),
        Field::new("type", DataType::Utf8, false),
        Field::new("id_keys", list_of(DataType::Utf8), false),
        Field::new("description_keys", list_of(DataType::Utf8), false),
    ]);
    vec![
        text("service_name", "resource['service.name']"),
        attributes("resource", "the resource's attributes"),
        required(
            "resource_dropped_attributes_count",
            DataType::UInt32,
            "attributes the resource lost before it was sent",
        ),
        optional("resource_entity_refs", entity_refs, "the entities that the resource describes; null when none"),
        text("resource_schema_url", "the schema of the resource; null when empty"),
        text("scope_name", "the instrumentation scope's name; null when empty"),
        text("scope_version", "the instrumentation scope's version; null when empty"),
        attributes("scope", "the instrumentation scope's attributes"),
        required("scope_dropped_attributes_count", DataType::UInt32, "attributes the scope lost before it was sent"),
        text("scope_schema_url", "the schema of the scope's records; null when empty"),
    ]
}

fn receipt_columns() -> Vec<Column> {
    vec![
        required("ingest_time", timestamp(), "when Tracehound received the record"),
        text("ingest_key_id", "the key it was sent with; null on a server without keys"),
        optional(
            "time_flags",
            list_of(DataType::Utf8),
            "what is odd about its times: zero, overflow, end_before_start, future, from_observed, from_ingest; null when nothing is",
        ),
    ]
}

pub(crate) fn span_columns() -> Vec<Column> {
    let event = list_of_struct(vec![
        Field::new("time", timestamp(), false),
        Field::new("name", DataType::Utf8, false),
        Field::new("attributes", attribute_map_type(), false),
        Field::new("dropped_attributes_count", DataType::UInt32, false),
    ]);
    let link = list_of_struct(vec![
        Field::new("trace_id", DataType::FixedSizeBinary(16), true),
        Field::new("span_id", DataType::FixedSizeBinary(8), true),
        Field::new("trace_state", DataType::Utf8, true),
        Field::new("attributes", attribute_map_type(), false),
        Field::new("dropped_attributes_count", DataType::UInt32, false),
        Field::new("flags", DataType::UInt32, false),
    ]);
    let mut columns = vec![
        required("start_time", timestamp(), "when the span began"),
        required("end_time", timestamp(), "when the span ended"),
        required("duration_ns", DataType::Int64, "end minus start, in nanoseconds"),
        required("trace_id", DataType::FixedSizeBinary(16), "the trace it belongs to"),
        required("span_id", DataType::FixedSizeBinary(8), "its id within the trace"),
        optional("parent_span_id", DataType::FixedSizeBinary(8), "the span that caused it; null for a root"),
        text("trace_state", "W3C tracestate; null when empty"),
        required("flags", DataType::UInt32, "W3C trace flags and OTLP's is-remote bits"),
        required("name", DataType::Utf8, "the operation"),
        required(
            "kind",
            DataType::Utf8,
            "UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER, or an unknown kind's number",
        ),
        required("status_code", DataType::Utf8, "UNSET, OK, ERROR, or an unknown code's number"),
        text("status_message", "the status's message; null when empty"),
        optional("events", event, "what happened during the span; null when nothing did"),
        required("dropped_events_count", DataType::UInt32, "events lost before it was sent"),
        optional("links", link, "other spans it relates to; null when none"),
        required("dropped_links_count", DataType::UInt32, "links lost before it was sent"),
        attributes("attributes", "the span's own attributes"),
        required("dropped_attributes_count", DataType::UInt32, "attributes lost before it was sent"),
        required(
            "sample_weight",
            DataType::Float64,
            "how many spans it stands for, from tracestate's ot=th; 1 when unknown",
        ),
    ];
    columns.extend(origin_columns());
    columns.extend(receipt_columns());
    columns.extend(entity_columns());
    columns
}

pub(crate) fn log_columns() -> Vec<Column> {
    let mut columns = vec![
        required("time", timestamp(), "when it happened: the record's time, else its observed time, else ingest_time"),
        optional("observed_time", timestamp(), "when the collection system saw it; null when not sent"),
        optional("trace_id", DataType::FixedSizeBinary(16), "the trace it belongs to"),
        optional("span_id", DataType::FixedSizeBinary(8), "the span it belongs to"),
        required("flags", DataType::UInt32, "W3C trace flags"),
        required("severity_number", DataType::Int32, "1 (TRACE) to 24 (FATAL4); 0 when not sent"),
        text("severity_text", "the source's own word for the severity; null when empty"),
        text("event_name", "the event's name; null when empty"),
        text("body", "the body as text: strings bare, everything else as JSON"),
        optional("body_other", DataType::Binary, "the protobuf AnyValue of a body that is not a string"),
        attributes("attributes", "the record's own attributes"),
        required("dropped_attributes_count", DataType::UInt32, "attributes lost before it was sent"),
    ];
    columns.extend(origin_columns());
    columns.extend(receipt_columns());
    columns.extend(entity_columns());
    columns
}

pub(crate) fn metric_columns() -> Vec<Column> {
    let quantile = list_of_struct(vec![
        Field::new("quantile", DataType::Float64, false),
        Field::new("value", DataType::Float64, false),
    ]);
    let exemplar = list_of_struct(vec![
        Field::new("time", timestamp(), false),
        Field::new("value", DataType::Float64, true),
        Field::new("value_int", DataType::Int64, true),
        Field::new("trace_id", DataType::FixedSizeBinary(16), true),
        Field::new("span_id", DataType::FixedSizeBinary(8), true),
        Field::new("attributes", attribute_map_type(), false),
    ]);
    let counts = || list_of(DataType::UInt64);
    let mut columns = vec![
        required("time", timestamp(), "when the value was taken"),
        optional("start_time", timestamp(), "when counting began; null when not sent"),
        required("name", DataType::Utf8, "the metric's name"),
        text("description", "the metric's description; null when empty"),
        text("unit", "the metric's unit (UCUM); null when empty"),
        attributes("metadata", "the metric's metadata"),
        required("kind", DataType::Utf8, "gauge, sum, histogram, exponential_histogram or summary"),
        text("temporality", "UNSPECIFIED, DELTA, CUMULATIVE, or an unknown one's number; null for gauge and summary"),
        optional("is_monotonic", DataType::Boolean, "whether a sum never falls; null for other kinds"),
        required("series_id", DataType::FixedSizeBinary(16), "hash of resource, scope, metric and attributes"),
        required("flags", DataType::UInt32, "OTLP data point flags; 1 is no recorded value"),
        optional("value", DataType::Float64, "a gauge's or sum's value"),
        optional("value_int", DataType::Int64, "the same, exact, where it was sent as an integer"),
        optional("count", DataType::UInt64, "values in a histogram or summary"),
        optional("sum", DataType::Float64, "their sum; null when not sent"),
        optional("min", DataType::Float64, "the least of them; null when not sent"),
        optional("max", DataType::Float64, "the greatest of them; null when not sent"),
        optional("bucket_counts", counts(), "a histogram's counts per bucket"),
        optional("explicit_bounds", list_of(DataType::Float64), "a histogram's upper bounds"),
        optional("scale", DataType::Int32, "an exponential histogram's scale"),
        optional("zero_count", DataType::UInt64, "an exponential histogram's count of values near zero"),
        optional("zero_threshold", DataType::Float64, "what counts as near zero"),
        optional("positive_offset", DataType::Int32, "the first positive bucket's index"),
        optional("positive_bucket_counts", counts(), "counts per positive bucket"),
        optional("negative_offset", DataType::Int32, "the first negative bucket's index"),
        optional("negative_bucket_counts", counts(), "counts per negative bucket"),
        optional("quantiles", quantile, "a summary's quantiles"),
        optional("exemplars", exemplar, "sampled raw values; null when none"),
        attributes("attributes", "the point's own attributes"),
    ];
    columns.extend(origin_columns());
    columns.extend(receipt_columns());
    columns.extend(entity_columns());
    columns
}

pub(crate) fn ingest_reject_columns() -> Vec<Column> {
    vec![
        required("ingest_time", timestamp(), "when the record was received"),
        text("ingest_key_id", "the key it was sent with; null on a server without keys"),
        required("signal", DataType::Utf8, "traces, logs or metrics"),
        required("reason", DataType::Utf8, "why, as a code: such as trace_id_length or attributes_count"),
        required("detail", DataType::Utf8, "why, in words"),
        text("service_name", "resource['service.name']"),
        text("name", "the span's or metric's name, or the event's; null when empty"),
        required("record", DataType::Binary, "the record's protobuf bytes, from the first, as far as the limit allows"),
        required("record_bytes", DataType::UInt64, "how many bytes the whole record has"),
    ]
}
