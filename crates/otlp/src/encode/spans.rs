use arrow::array::RecordBatch;
use arrow::datatypes::{TimestampNanosecondType, UInt32Type};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::origin::Origins;
use super::rows::{Attributes, Columns, Ids, Lists, Numbers, Texts};
use crate::Error;
use crate::names::{SPAN_KINDS, STATUS_CODES, number_of};

/// Turns rows of `spans` back into the request they came in.
///
/// # Errors
/// [`Error::Rows`] if a column is missing or of another type, or holds what no decoding gives.
pub fn encode_traces(rows: &RecordBatch) -> Result<ExportTraceServiceRequest, Error> {
    let columns = Columns::of_rows(rows);
    let mut origins = Origins::new(&columns)?;
    let spans = Spans::new(&columns)?;
    let mut resource_spans: Vec<ResourceSpans> = Vec::new();
    for row in 0..rows.num_rows() {
        let origin = origins.next(row)?;
        if origin.new_resource {
            resource_spans.push(ResourceSpans {
                resource: Some(origin.resource),
                scope_spans: Vec::new(),
                schema_url: origin.resource_schema_url,
            });
        }
        let of_resource = resource_spans.last_mut().expect("the first row has a new resource");
        if origin.new_scope {
            of_resource.scope_spans.push(ScopeSpans {
                scope: Some(origin.scope),
                spans: Vec::new(),
                schema_url: origin.scope_schema_url,
            });
        }
        let of_scope = of_resource.scope_spans.last_mut().expect("a resource begins with a scope");
        of_scope.spans.push(spans.get(row)?);
    }
    Ok(ExportTraceServiceRequest { resource_spans })
}

struct Spans {
    start_time: Numbers<TimestampNanosecondType>,
    end_time: Numbers<TimestampNanosecondType>,
    trace_id: Ids,
    span_id: Ids,
    parent_span_id: Ids,
    trace_state: Texts,
    flags: Numbers<UInt32Type>,
    name: Texts,
    kind: Texts,
    status_code: Texts,
    status_message: Texts,
    events: Events,
    dropped_events_count: Numbers<UInt32Type>,
    links: Links,
    dropped_links_count: Numbers<UInt32Type>,
    attributes: Attributes,
    dropped_attributes_count: Numbers<UInt32Type>,
}

impl Spans {
    fn new(columns: &Columns) -> Result<Self, Error> {
        Ok(Self {
            start_time: columns.numbers("start_time")?,
            end_time: columns.numbers("end_time")?,
            trace_id: columns.ids("trace_id")?,
            span_id: columns.ids("span_id")?,
            parent_span_id: columns.ids("parent_span_id")?,
            trace_state: columns.texts("trace_state")?,
            flags: columns.numbers("flags")?,
            name: columns.texts("name")?,
            kind: columns.texts("kind")?,
            status_code: columns.texts("status_code")?,
            status_message: columns.texts("status_message")?,
            events: Events::new(columns)?,
            dropped_events_count: columns.numbers("dropped_events_count")?,
            links: Links::new(columns)?,
            dropped_links_count: columns.numbers("dropped_links_count")?,
            attributes: columns.attributes("attributes")?,
            dropped_attributes_count: columns.numbers("dropped_attributes_count")?,
        })
    }

    fn get(&self, row: usize) -> Result<Span, Error> {
        Ok(Span {
            trace_id: self.trace_id.get(row),
            span_id: self.span_id.get(row),
            trace_state: self.trace_state.get(row),
            parent_span_id: self.parent_span_id.get(row),
            flags: self.flags.get(row),
            name: self.name.get(row),
            kind: number("kind", SPAN_KINDS, self.kind.str(row))?,
            start_time_unix_nano: self.start_time.get(row).cast_unsigned(),
            end_time_unix_nano: self.end_time.get(row).cast_unsigned(),
            attributes: self.attributes.get(row)?,
            dropped_attributes_count: self.dropped_attributes_count.get(row),
            events: self.events.get(row)?,
            dropped_events_count: self.dropped_events_count.get(row),
            links: self.links.get(row)?,
            dropped_links_count: self.dropped_links_count.get(row),
            status: Some(Status {
                message: self.status_message.get(row),
                code: number("status_code", STATUS_CODES, self.status_code.str(row))?,
            }),
        })
    }
}

/// The number of an enum's name in column `column`.
pub(super) fn number(column: &str, names: &[&str], name: &str) -> Result<i32, Error> {
    let unknown = || Error::Rows { detail: format!("column {column} holds {name:?}") };
    number_of(names, name).ok_or_else(unknown)
}

struct Events {
    lists: Lists,
    time: Numbers<TimestampNanosecondType>,
    name: Texts,
    attributes: Attributes,
    dropped_attributes_count: Numbers<UInt32Type>,
}

impl Events {
    fn new(columns: &Columns) -> Result<Self, Error> {
        let (lists, fields) = columns.structs("events")?;
        Ok(Self {
            lists,
            time: fields.numbers("time")?,
            name: fields.texts("name")?,
            attributes: fields.attributes("attributes")?,
            dropped_attributes_count: fields.numbers("dropped_attributes_count")?,
        })
    }

    fn get(&self, row: usize) -> Result<Vec<Event>, Error> {
        let event = |index| {
            Ok(Event {
                time_unix_nano: self.time.get(index).cast_unsigned(),
                name: self.name.get(index),
                attributes: self.attributes.get(index)?,
                dropped_attributes_count: self.dropped_attributes_count.get(index),
            })
        };
        self.lists.get(row).map(event).collect()
    }
}

struct Links {
    lists: Lists,
    trace_id: Ids,
    span_id: Ids,
    trace_state: Texts,
    attributes: Attributes,
    dropped_attributes_count: Numbers<UInt32Type>,
    flags: Numbers<UInt32Type>,
}

impl Links {
    fn new(columns: &Columns) -> Result<Self, Error> {
        let (lists, fields) = columns.structs("links")?;
        Ok(Self {
            lists,
            trace_id: fields.ids("trace_id")?,
            span_id: fields.ids("span_id")?,
            trace_state: fields.texts("trace_state")?,
            attributes: fields.attributes("attributes")?,
            dropped_attributes_count: fields.numbers("dropped_attributes_count")?,
            flags: fields.numbers("flags")?,
        })
    }

    fn get(&self, row: usize) -> Result<Vec<Link>, Error> {
        let link = |index| {
            Ok(Link {
                trace_id: self.trace_id.get(index),
                span_id: self.span_id.get(index),
                trace_state: self.trace_state.get(index),
                attributes: self.attributes.get(index)?,
                dropped_attributes_count: self.dropped_attributes_count.get(index),
                flags: self.flags.get(index),
            })
        };
        self.lists.get(row).map(link).collect()
    }
}
