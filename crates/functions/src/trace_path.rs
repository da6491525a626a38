use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampNanosecondType};
use datafusion::common::cast::{as_fixed_size_binary_array, as_string_array};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::aggregate_doc_sections::DOC_SECTION_GENERAL;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Documentation, Signature, Volatility};

use crate::span_rows::{Reader, Writer};

/// The most services that a path shows; it says how many more there are.
const SERVICES_MAX: usize = 64;

/// `trace_path(service_name, span_id, parent_span_id, start_time)`, grouped by trace: the services in the order
/// they were entered, such as `gateway → auth → billing → export`.
///
/// A service is entered by a span whose parent is of another service, or unknown. Consecutive repeats are one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct TracePath {
    signature: Signature,
}

impl Default for TracePath {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for TracePath {
    fn name(&self) -> &str {
        "trace_path"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let id = DataType::FixedSizeBinary(8);
        match arg_types {
            [_, span, parent, DataType::Timestamp(..)]
                if *span == id && (*parent == id || *parent == DataType::Null) =>
            {
                let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
                Ok(vec![DataType::Utf8, id.clone(), id, time])
            }
            _ => plan_err!("trace_path takes service_name, span_id, parent_span_id and start_time"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[spans]", args.name), DataType::LargeBinary, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Path::default()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOC: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(
                DOC_SECTION_GENERAL,
                "The services of a trace in the order they were entered, such as gateway → auth → billing.",
                "trace_path(service_name, span_id, parent_span_id, start_time)",
            )
            .with_sql_example("SELECT trace_id, trace_path(service_name, span_id, parent_span_id, start_time) FROM spans GROUP BY trace_id")
            .build()
        });
        Some(&DOC)
    }
}

#[derive(Debug, Default)]
struct Path {
    rows: Writer,
}

impl Accumulator for Path {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [services, spans, parents, times] = values else { return exec_err!("trace_path takes four columns") };
        let services = as_string_array(services)?;
        let (spans, parents) = (as_fixed_size_binary_array(spans)?, as_fixed_size_binary_array(parents)?);
        let times = times.as_primitive::<TimestampNanosecondType>();
        for row in 0..spans.len() {
            if spans.is_null(row) {
                continue;
            }
            self.rows.text(services.is_valid(row).then(|| services.value(row)));
            self.rows.id(Some(spans.value(row)));
            self.rows.id(parents.is_valid(row).then(|| parents.value(row)));
            self.rows.time(times.value(row));
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Utf8(path(&read(&self.rows.bytes)?)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.bytes.capacity()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::LargeBinary(Some(std::mem::take(&mut self.rows.bytes)))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for state in states[0].as_binary::<i64>().iter().flatten() {
            self.rows.bytes.extend_from_slice(state);
        }
        Ok(())
    }
}

struct Span<'a> {
    service: &'a str,
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    time_ns: i64,
}

fn read(bytes: &[u8]) -> Result<Vec<Span<'_>>> {
    let mut reader = Reader::new(bytes);
    let mut spans = Vec::new();
    while !reader.is_empty() {
        let service = reader.text()?.unwrap_or("unknown");
        let id = reader.id()?.unwrap_or_default();
        spans.push(Span { service, id, parent: reader.id()?, time_ns: reader.time()? });
    }
    Ok(spans)
}

/// `None` for a trace without spans.
fn path(spans: &[Span<'_>]) -> Option<String> {
    let services: HashMap<_, _> = spans.iter().map(|span| (span.id, span.service)).collect();
    let enters = |span: &&Span<'_>| span.parent.and_then(|parent| services.get(&parent)) != Some(&span.service);
    let mut entries: Vec<_> = spans.iter().filter(enters).collect();
    if entries.is_empty() {
        // Only a cycle of parents within one service has no entry.
        entries.extend(spans.iter().min_by_key(|span| (span.time_ns, span.id)));
    }
    // A root before what it called at the same instant.
    entries.sort_by_key(|span| (span.time_ns, span.parent.is_some(), span.id));
    let mut names: Vec<_> = entries.iter().map(|span| span.service).collect();
    names.dedup();
    let more = names.len().saturating_sub(SERVICES_MAX);
    names.truncate(SERVICES_MAX);
    let text = (!names.is_empty()).then(|| names.join(" → "))?;
    Some(if more == 0 { text } else { format!("{text} → … ({more} more)") })
}

#[cfg(test)]
mod tests;
