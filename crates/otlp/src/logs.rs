//! Log records: one row each.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, Int32Array, RecordBatch, StringBuilder, UInt32Array};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use tracehound_schema::{Dataset, DecodeLimits, Decoded, Signal, any_value_to_text};

use crate::Error;
use crate::attributes::{AttributeMaps, check_attributes, map_bytes, value_bytes};
use crate::budget::Budget;
use crate::decode::Context;
use crate::entities::{Entities, Found};
use crate::ids::{Ids, check_optional};
use crate::origin::{Origin, Origins};
use crate::receipt::{TimeFlags, TimeFlagsColumn, ingest_times, key_ids, optional_times, stored, times};
use crate::rejects::{Rejection, Rejects};
use crate::text::{any_value, append_text};

/// Decodes a request's log records.
///
/// # Errors
/// [`Error::TooLarge`] if the rows would be: resource and scope stand in each.
pub(crate) fn decode(request: &ExportLogsServiceRequest, context: Context<'_>) -> Result<Decoded, Error> {
    let mut budget = Budget::new(context.limits.decoded_bytes_max);
    let mut rejects = Rejects::new(context, Signal::Logs);
    let mut columns = Columns::default();
    let (no_resource, no_scope) = Default::default();
    for of_resource in &request.resource_logs {
        let resource = of_resource.resource.as_ref().unwrap_or(&no_resource);
        let found = Found::on_resource(&resource.attributes);
        for of_scope in &of_resource.scope_logs {
            if of_scope.log_records.is_empty() {
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
            for log in &of_scope.log_records {
                match origin_check.clone().and_then(|()| check(log, context.limits)) {
                    Ok(()) => {
                        let found = found.on_record(&log.attributes);
                        let bytes = origin_bytes + row_bytes(log) + Entities::bytes(&found);
                        budget.take("the rows", bytes)?;
                        columns.append(log, &found, context);
                    }
                    Err(rejection) => {
                        let service = origin.service_name();
                        let name = &log.event_name;
                        rejects.push(&rejection, service.as_deref(), name, log, &mut budget)?;
                    }
                }
            }
        }
    }
    let rows = columns.finish(context);
    let (rejects, message) = rejects.finish(rows.num_rows());
    Ok(Decoded { rows, rejects, message })
}

fn check(log: &LogRecord, limits: &DecodeLimits) -> Result<(), Rejection> {
    check_optional::<16>("trace_id_length", "trace_id", &log.trace_id)?;
    check_optional::<8>("span_id_length", "span_id", &log.span_id)?;
    check_attributes("the log record", &log.attributes, limits)
}

/// What a log record takes in its row, about. A body stands there as text and as it was sent.
fn row_bytes(log: &LogRecord) -> usize {
    250 + log.severity_text.len()
        + log.event_name.len()
        + map_bytes(&log.attributes)
        + 3 * value_bytes(log.body.as_ref())
}

#[derive(Debug, Default)]
struct Columns {
    time: Vec<i64>,
    observed_time: Vec<Option<i64>>,
    trace_id: Ids<16>,
    span_id: Ids<8>,
    flags: Vec<u32>,
    severity_number: Vec<i32>,
    severity_text: StringBuilder,
    event_name: StringBuilder,
    body: StringBuilder,
    body_other: BinaryBuilder,
    attributes: AttributeMaps,
    dropped_attributes_count: Vec<u32>,
    origins: Origins,
    time_flags: TimeFlagsColumn,
    entities: Entities,
}

impl Columns {
    fn append(&mut self, log: &LogRecord, found: &Found<'_>, context: Context<'_>) {
        let (time, observed) = (log.time_unix_nano, log.observed_time_unix_nano);
        let shown = match (time, observed) {
            (0, 0) => context.received_at_ns,
            (0, observed) => stored(observed),
            (time, _) => stored(time),
        };
        self.time.push(shown);
        self.observed_time.push((observed != 0).then(|| stored(observed)));
        self.trace_id.append(&log.trace_id);
        self.span_id.append(&log.span_id);
        self.flags.push(log.flags);
        self.severity_number.push(log.severity_number);
        append_text(&mut self.severity_text, &log.severity_text);
        append_text(&mut self.event_name, &log.event_name);
        self.append_body(log.body.as_ref());
        self.attributes.append(&log.attributes);
        self.dropped_attributes_count.push(log.dropped_attributes_count);
        self.origins.append();
        self.time_flags.append(TimeFlags {
            from_observed: time == 0 && observed != 0,
            from_ingest: time == 0 && observed == 0,
            ..TimeFlags::of(&[time, observed], context.received_at_ns)
        });
        self.entities.append(found, 0);
    }

    fn append_body(&mut self, body: Option<&AnyValue>) {
        match any_value(body) {
            None => {
                self.body.append_null();
                self.body_other.append_null();
            }
            Some(Value::StringValue(text)) => {
                self.body.append_value(text);
                self.body_other.append_null();
            }
            Some(_) => {
                let bytes = body.map(Message::encode_to_vec).unwrap_or_default();
                self.body.append_option(any_value_to_text(&bytes));
                self.body_other.append_value(&bytes);
            }
        }
    }

    fn finish(mut self, context: Context<'_>) -> RecordBatch {
        let rows = self.time.len();
        let mut columns: Vec<ArrayRef> = vec![
            times(self.time),
            optional_times(self.observed_time),
            self.trace_id.finish(),
            self.span_id.finish(),
            Arc::new(UInt32Array::from(self.flags)),
            Arc::new(Int32Array::from(self.severity_number)),
            Arc::new(self.severity_text.finish()),
            Arc::new(self.event_name.finish()),
            Arc::new(self.body.finish()),
            Arc::new(self.body_other.finish()),
            self.attributes.finish(),
            Arc::new(UInt32Array::from(self.dropped_attributes_count)),
        ];
        columns.extend(self.origins.finish());
        columns.push(ingest_times(context.received_at_ns, rows));
        columns.push(key_ids(context.ingest_key_id, rows));
        columns.push(self.time_flags.finish());
        columns.extend(self.entities.finish());
        RecordBatch::try_new(Dataset::Logs.schema(), columns).expect("columns stand in the order of the schema")
    }
}
