//! Spans: one row each.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringBuilder, UInt32Array, UInt32Builder};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use tracehound_schema::{Dataset, DecodeLimits, Decoded, Signal};

use crate::Error;
use crate::attributes::{AttributeMaps, check_attributes, map_bytes};
use crate::budget::Budget;
use crate::decode::Context;
use crate::entities::{Entities, Found};
use crate::ids::{Ids, check_optional, check_required};
use crate::lists::Lists;
use crate::names::{SPAN_KINDS, STATUS_CODES, name_of};
use crate::origin::{Origin, Origins};
use crate::receipt::{TimeFlags, TimeFlagsColumn, ingest_times, key_ids, stored, times};
use crate::rejects::{Rejection, Rejects};
use crate::sampling::sample_weight;
use crate::text::append_text;

/// Decodes a request's spans.
///
/// # Errors
/// [`Error::TooLarge`] if the rows would be: resource and scope stand in each.
pub(crate) fn decode(request: &ExportTraceServiceRequest, context: Context<'_>) -> Result<Decoded, Error> {
    let mut budget = Budget::new(context.limits.decoded_bytes_max);
    let mut rejects = Rejects::new(context, Signal::Traces);
    let mut columns = Columns::default();
    let (no_resource, no_scope) = Default::default();
    for of_resource in &request.resource_spans {
        let resource = of_resource.resource.as_ref().unwrap_or(&no_resource);
        let found = Found::on_resource(&resource.attributes);
        for of_scope in &of_resource.scope_spans {
            if of_scope.spans.is_empty() {
                continue;
            }
            let origin = Origin {
                resource,
                resource_schema_url: &of_resource.schema_url,
                scope: of_scope.scope.as_ref().unwrap_or(&no_scope),
                scope_schema_url: &of_scope.schema_url,
            };
            let origin_check = origin.check(context.limits);
            let origin_bytes = origin.bytes();
            if origin_check.is_ok() {
                budget.take("the rows", origin_bytes)?;
                columns.origins.begin(&origin);
            }
            for span in &of_scope.spans {
                match origin_check.clone().and_then(|()| check(span, context.limits)) {
                    Ok(()) => {
                        let found = found.on_record(&span.attributes);
                        let bytes = origin_bytes + row_bytes(span) + Entities::bytes(&found);
                        budget.take("the rows", bytes)?;
                        columns.append(span, &found, context);
                    }
                    Err(rejection) => {
                        let service = origin.service_name();
                        rejects.push(&rejection, service.as_deref(), &span.name, span, &mut budget)?;
                    }
                }
            }
        }
    }
    let rows = columns.finish(context);
    let (rejects, message) = rejects.finish(rows.num_rows());
    Ok(Decoded { rows, rejects, message })
}

fn check(span: &Span, limits: &DecodeLimits) -> Result<(), Rejection> {
    check_required::<16>(["trace_id_length", "trace_id_zero"], "trace_id", &span.trace_id)?;
    check_required::<8>(["span_id_length", "span_id_zero"], "span_id", &span.span_id)?;
    check_optional::<8>("parent_span_id_length", "parent_span_id", &span.parent_span_id)?;
    check_attributes("the span", &span.attributes, limits)?;
    for (what, count) in [("events", span.events.len()), ("links", span.links.len())] {
        check_children(what, count, limits)?;
    }
    for event in &span.events {
        check_attributes("an event", &event.attributes, limits)?;
    }
    for link in &span.links {
        check_optional::<16>("trace_id_length", "a link's trace_id", &link.trace_id)?;
        check_optional::<8>("span_id_length", "a link's span_id", &link.span_id)?;
        check_attributes("a link", &link.attributes, limits)?;
    }
    Ok(())
}

/// Checks the number of a record's `what` against the limit.
pub(crate) fn check_children(what: &str, count: usize, limits: &DecodeLimits) -> Result<(), Rejection> {
    if count <= limits.children_max {
        return Ok(());
    }
    let detail = format!("it has {count} {what}, at most {} are accepted", limits.children_max);
    Err(Rejection::new("children_count", detail))
}

/// What a span takes in its row, about.
fn row_bytes(span: &Span) -> usize {
    let event = |event: &Event| 48 + event.name.len() + map_bytes(&event.attributes);
    let link = |link: &Link| 64 + link.trace_state.len() + map_bytes(&link.attributes);
    let message = span.status.as_ref().map_or(0, |status| status.message.len());
    300 + span.name.len()
        + span.trace_state.len()
        + message
        + map_bytes(&span.attributes)
        + span.events.iter().map(event).sum::<usize>()
        + span.links.iter().map(link).sum::<usize>()
}

#[derive(Debug, Default)]
struct Columns {
    start_time: Vec<i64>,
    end_time: Vec<i64>,
    duration_ns: Vec<i64>,
    trace_id: Ids<16>,
    span_id: Ids<8>,
    parent_span_id: Ids<8>,
    trace_state: StringBuilder,
    flags: Vec<u32>,
    name: StringBuilder,
    kind: StringBuilder,
    status_code: StringBuilder,
    status_message: StringBuilder,
    events: Events,
    dropped_events_count: Vec<u32>,
    links: Links,
    dropped_links_count: Vec<u32>,
    attributes: AttributeMaps,
    dropped_attributes_count: Vec<u32>,
    sample_weight: Vec<f64>,
    origins: Origins,
    time_flags: TimeFlagsColumn,
    entities: Entities,
}

impl Columns {
    fn append(&mut self, span: &Span, found: &Found<'_>, context: Context<'_>) {
        let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
        self.start_time.push(stored(start));
        self.end_time.push(stored(end));
        self.duration_ns.push(duration_ns(start, end));
        self.trace_id.append(&span.trace_id);
        self.span_id.append(&span.span_id);
        self.parent_span_id.append(&span.parent_span_id);
        append_text(&mut self.trace_state, &span.trace_state);
        self.flags.push(span.flags);
        self.name.append_value(&span.name);
        self.kind.append_value(name_of(SPAN_KINDS, span.kind));
        let (code, message) = span.status.as_ref().map_or((0, ""), |status| (status.code, &status.message));
        self.status_code.append_value(name_of(STATUS_CODES, code));
        append_text(&mut self.status_message, message);
        self.events.append(&span.events);
        self.dropped_events_count.push(span.dropped_events_count);
        self.links.append(&span.links);
        self.dropped_links_count.push(span.dropped_links_count);
        self.attributes.append(&span.attributes);
        self.dropped_attributes_count.push(span.dropped_attributes_count);
        self.sample_weight.push(sample_weight(&span.trace_state));
        self.origins.append();
        self.time_flags.append(TimeFlags {
            zero: start == 0 || end == 0,
            end_before_start: end < start,
            ..TimeFlags::of(&[start, end], context.received_at_ns)
        });
        self.entities.append(found, span.kind);
    }

    fn finish(mut self, context: Context<'_>) -> RecordBatch {
        let rows = self.start_time.len();
        let mut columns: Vec<ArrayRef> = vec![
            times(self.start_time),
            times(self.end_time),
            Arc::new(Int64Array::from(self.duration_ns)),
            self.trace_id.finish(),
            self.span_id.finish(),
            self.parent_span_id.finish(),
            Arc::new(self.trace_state.finish()),
            Arc::new(UInt32Array::from(self.flags)),
            Arc::new(self.name.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.status_code.finish()),
            Arc::new(self.status_message.finish()),
            self.events.finish(),
            Arc::new(UInt32Array::from(self.dropped_events_count)),
            self.links.finish(),
            Arc::new(UInt32Array::from(self.dropped_links_count)),
            self.attributes.finish(),
            Arc::new(UInt32Array::from(self.dropped_attributes_count)),
            Arc::new(Float64Array::from(self.sample_weight)),
        ];
        columns.extend(self.origins.finish());
        columns.push(ingest_times(context.received_at_ns, rows));
        columns.push(key_ids(context.ingest_key_id, rows));
        columns.push(self.time_flags.finish());
        columns.extend(self.entities.finish());
        RecordBatch::try_new(Dataset::Spans.schema(), columns).expect("columns stand in the order of the schema")
    }
}

/// End minus start; the nearest `i64` if it is none.
fn duration_ns(start: u64, end: u64) -> i64 {
    let difference = i128::from(end) - i128::from(start);
    let most = if difference < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(difference).unwrap_or(most)
}

#[derive(Debug, Default)]
struct Events {
    lists: Lists,
    time: Vec<i64>,
    name: StringBuilder,
    attributes: AttributeMaps,
    dropped_attributes_count: UInt32Builder,
}

impl Events {
    fn append(&mut self, events: &[Event]) {
        self.lists.append_some(events.len());
        for event in events {
            self.time.push(stored(event.time_unix_nano));
            self.name.append_value(&event.name);
            self.attributes.append(&event.attributes);
            self.dropped_attributes_count.append_value(event.dropped_attributes_count);
        }
    }

    fn finish(mut self) -> ArrayRef {
        let schema = Dataset::Spans.schema();
        let field = schema.field_with_name("events").expect("spans have events");
        self.lists.finish(
            field.data_type(),
            vec![
                times(self.time),
                Arc::new(self.name.finish()),
                self.attributes.finish(),
                Arc::new(self.dropped_attributes_count.finish()),
            ],
        )
    }
}

#[derive(Debug, Default)]
struct Links {
    lists: Lists,
    trace_id: Ids<16>,
    span_id: Ids<8>,
    trace_state: StringBuilder,
    attributes: AttributeMaps,
    dropped_attributes_count: UInt32Builder,
    flags: UInt32Builder,
}

impl Links {
    fn append(&mut self, links: &[Link]) {
        self.lists.append_some(links.len());
        for link in links {
            self.trace_id.append(&link.trace_id);
            self.span_id.append(&link.span_id);
            append_text(&mut self.trace_state, &link.trace_state);
            self.attributes.append(&link.attributes);
            self.dropped_attributes_count.append_value(link.dropped_attributes_count);
            self.flags.append_value(link.flags);
        }
    }

    fn finish(mut self) -> ArrayRef {
        let schema = Dataset::Spans.schema();
        let field = schema.field_with_name("links").expect("spans have links");
        self.lists.finish(
            field.data_type(),
            vec![
                self.trace_id.finish(),
                self.span_id.finish(),
                Arc::new(self.trace_state.finish()),
                self.attributes.finish(),
                Arc::new(self.dropped_attributes_count.finish()),
                Arc::new(self.flags.finish()),
            ],
        )
    }
}
