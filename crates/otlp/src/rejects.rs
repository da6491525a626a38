//! Records that were not accepted, and why.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, RecordBatch, StringBuilder, UInt64Builder};
use prost::Message;
use tracehound_schema::{Dataset, Signal};

use crate::Error;
use crate::budget::Budget;
use crate::decode::Context;
use crate::receipt::{ingest_times, key_ids};
use crate::text::append_text;

/// Why one record was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
}

impl Rejection {
    pub(crate) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// How often one reason was given, with the first detail as an example.
#[derive(Debug)]
struct Tally {
    reason: &'static str,
    count: usize,
    example: String,
}

/// Builds the rows of `ingest_rejects`.
#[derive(Debug)]
pub(crate) struct Rejects<'a> {
    context: Context<'a>,
    signal: Signal,
    reason: StringBuilder,
    detail: StringBuilder,
    service_name: StringBuilder,
    name: StringBuilder,
    record: BinaryBuilder,
    record_bytes: UInt64Builder,
    count: usize,
    tallies: Vec<Tally>,
}

impl<'a> Rejects<'a> {
    pub(crate) fn new(context: Context<'a>, signal: Signal) -> Self {
        Self {
            context,
            signal,
            reason: StringBuilder::new(),
            detail: StringBuilder::new(),
            service_name: StringBuilder::new(),
            name: StringBuilder::new(),
            record: BinaryBuilder::new(),
            record_bytes: UInt64Builder::new(),
            count: 0,
            tallies: Vec::new(),
        }
    }

    /// Appends a rejected record with the start of its bytes.
    pub(crate) fn push(
        &mut self,
        rejection: &Rejection,
        service_name: Option<&str>,
        name: &str,
        record: &impl Message,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let bytes = record.encode_to_vec();
        let kept = &bytes[..bytes.len().min(self.context.limits.reject_bytes_max)];
        let service_name = cut(service_name.unwrap_or(""), self.context.limits.reject_bytes_max);
        let name = cut(name, self.context.limits.reject_bytes_max);
        let row = 200 + kept.len() + rejection.detail.len() + service_name.len() + name.len();
        budget.take("the rejected records", row)?;
        self.reason.append_value(rejection.reason);
        self.detail.append_value(&rejection.detail);
        append_text(&mut self.service_name, service_name);
        append_text(&mut self.name, name);
        self.record.append_value(kept);
        self.record_bytes.append_value(bytes.len() as u64);
        self.count += 1;
        match self.tallies.iter_mut().find(|tally| tally.reason == rejection.reason) {
            Some(tally) => tally.count += 1,
            None => self.tallies.push(Tally { reason: rejection.reason, count: 1, example: rejection.detail.clone() }),
        }
        Ok(())
    }

    /// The rows, and a sentence about them; `total` counts the accepted records too.
    pub(crate) fn finish(mut self, accepted: usize) -> (RecordBatch, String) {
        let message = self.message(accepted + self.count);
        let signal = std::iter::repeat_n(self.signal.as_str(), self.count);
        let columns: Vec<ArrayRef> = vec![
            ingest_times(self.context.received_at_ns, self.count),
            key_ids(self.context.ingest_key_id, self.count),
            Arc::new(arrow::array::StringArray::from_iter_values(signal)),
            Arc::new(self.reason.finish()),
            Arc::new(self.detail.finish()),
            Arc::new(self.service_name.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.record.finish()),
            Arc::new(self.record_bytes.finish()),
        ];
        let rows = RecordBatch::try_new(Dataset::IngestRejects.schema(), columns)
            .expect("columns stand in the order of the schema");
        (rows, message)
    }

    /// Bounded: there are few reasons, and examples quote little.
    fn message(&mut self, total: usize) -> String {
        if self.count == 0 {
            return String::new();
        }
        let records = match self.signal {
            Signal::Traces => "spans",
            Signal::Logs => "log records",
            Signal::Metrics => "data points",
        };
        self.tallies.sort_by_key(|tally| std::cmp::Reverse(tally.count));
        let mut message = format!("{} of {total} {records} rejected: ", self.count);
        for (index, Tally { reason, count, example }) in self.tallies.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(message, "{separator}{count} {reason} ({example})").expect("writing to text");
        }
        message
    }
}

/// At most `bytes_max` bytes of `text`, cut between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
