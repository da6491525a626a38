use arrow::array::{Array, BinaryArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampNanosecondType, UInt32Type};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

use super::origin::Origins;
use super::rows::{Attributes, Columns, Ids, Numbers, TextLists, Texts, any_value};
use crate::Error;

/// Turns rows of `logs` back into the request they came in.
///
/// # Errors
/// [`Error::Rows`] if a column is missing or of another type, or holds what no decoding gives.
pub fn encode_logs(rows: &RecordBatch) -> Result<ExportLogsServiceRequest, Error> {
    let columns = Columns::of_rows(rows);
    let mut origins = Origins::new(&columns)?;
    let logs = Logs::new(&columns)?;
    let mut resource_logs: Vec<ResourceLogs> = Vec::new();
    for row in 0..rows.num_rows() {
        let origin = origins.next(row)?;
        if origin.new_resource {
            resource_logs.push(ResourceLogs {
                resource: Some(origin.resource),
                scope_logs: Vec::new(),
                schema_url: origin.resource_schema_url,
            });
        }
        let of_resource = resource_logs.last_mut().expect("the first row has a new resource");
        if origin.new_scope {
            of_resource.scope_logs.push(ScopeLogs {
                scope: Some(origin.scope),
                log_records: Vec::new(),
                schema_url: origin.scope_schema_url,
            });
        }
        let of_scope = of_resource.scope_logs.last_mut().expect("a resource begins with a scope");
        of_scope.log_records.push(logs.get(row)?);
    }
    Ok(ExportLogsServiceRequest { resource_logs })
}

struct Logs {
    time: Numbers<TimestampNanosecondType>,
    observed_time: Numbers<TimestampNanosecondType>,
    time_flags: TextLists,
    trace_id: Ids,
    span_id: Ids,
    flags: Numbers<UInt32Type>,
    severity_number: Numbers<Int32Type>,
    severity_text: Texts,
    event_name: Texts,
    body: Texts,
    body_other: BinaryArray,
    attributes: Attributes,
    dropped_attributes_count: Numbers<UInt32Type>,
}

impl Logs {
    fn new(columns: &Columns) -> Result<Self, Error> {
        Ok(Self {
            time: columns.numbers("time")?,
            observed_time: columns.numbers("observed_time")?,
            time_flags: columns.text_lists("time_flags")?,
            trace_id: columns.ids("trace_id")?,
            span_id: columns.ids("span_id")?,
            flags: columns.numbers("flags")?,
            severity_number: columns.numbers("severity_number")?,
            severity_text: columns.texts("severity_text")?,
            event_name: columns.texts("event_name")?,
            body: columns.texts("body")?,
            body_other: columns.binary("body_other")?,
            attributes: columns.attributes("attributes")?,
            dropped_attributes_count: columns.numbers("dropped_attributes_count")?,
        })
    }

    fn get(&self, row: usize) -> Result<LogRecord, Error> {
        Ok(LogRecord {
            time_unix_nano: self.time(row),
            observed_time_unix_nano: self.observed_time.get(row).cast_unsigned(),
            severity_number: self.severity_number.get(row),
            severity_text: self.severity_text.get(row),
            body: self.body(row)?,
            attributes: self.attributes.get(row)?,
            dropped_attributes_count: self.dropped_attributes_count.get(row),
            flags: self.flags.get(row),
            trace_id: self.trace_id.get(row),
            span_id: self.span_id.get(row),
            event_name: self.event_name.get(row),
        })
    }

    /// The time as it was sent: 0 where the row has another's.
    fn time(&self, row: usize) -> u64 {
        let borrowed = ["from_observed", "from_ingest"];
        if borrowed.iter().any(|flag| self.time_flags.contains(row, flag)) {
            return 0;
        }
        self.time.get(row).cast_unsigned()
    }

    fn body(&self, row: usize) -> Result<Option<AnyValue>, Error> {
        if self.body_other.is_valid(row) {
            return any_value(self.body_other.value(row)).map(Some);
        }
        let text = self.body.optional(row);
        Ok(text.map(|text| AnyValue { value: Some(Value::StringValue(text.to_owned())) }))
    }
}
