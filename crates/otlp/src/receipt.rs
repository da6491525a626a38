//! The columns that say when and with which key a record came, and what is odd about its times.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringArray, StringBuilder, TimestampNanosecondArray};

/// `count` times the receive time.
pub(crate) fn ingest_times(received_at_ns: i64, count: usize) -> ArrayRef {
    times(vec![received_at_ns; count])
}

/// `count` times the key's id.
pub(crate) fn key_ids(ingest_key_id: Option<&str>, count: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter(std::iter::repeat_n(ingest_key_id, count)))
}

/// A column of times.
pub(crate) fn times(values: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(values).with_timezone("UTC"))
}

/// A column of times that may be absent.
pub(crate) fn optional_times(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(values).with_timezone("UTC"))
}

/// A time as it is stored, its bits kept.
pub(crate) fn stored(time: u64) -> i64 {
    time.cast_signed()
}

/// What is odd about the times of one record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TimeFlags {
    pub(crate) zero: bool,
    pub(crate) overflow: bool,
    pub(crate) end_before_start: bool,
    pub(crate) future: bool,
    pub(crate) from_observed: bool,
    pub(crate) from_ingest: bool,
}

impl TimeFlags {
    /// How far a time may lie after its receipt without being odd.
    const FUTURE_NS: i64 = 3_600_000_000_000;

    /// Flags for times that were sent: `overflow` and `future`.
    pub(crate) fn of(times: &[u64], received_at_ns: i64) -> Self {
        let latest = received_at_ns.saturating_add(Self::FUTURE_NS);
        Self {
            overflow: times.iter().any(|time| stored(*time) < 0),
            future: times.iter().any(|time| stored(*time) > latest),
            ..Self::default()
        }
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.zero, "zero"),
            (self.overflow, "overflow"),
            (self.end_before_start, "end_before_start"),
            (self.future, "future"),
            (self.from_observed, "from_observed"),
            (self.from_ingest, "from_ingest"),
        ]
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
    }
}

/// Builds the column of time flags.
#[derive(Debug)]
pub(crate) struct TimeFlagsColumn(ListBuilder<StringBuilder>);

impl Default for TimeFlagsColumn {
    fn default() -> Self {
        Self(ListBuilder::new(StringBuilder::new()))
    }
}

impl TimeFlagsColumn {
    pub(crate) fn append(&mut self, flags: TimeFlags) {
        let any = flags != TimeFlags::default();
        if any {
            flags.names().for_each(|name| self.0.values().append_value(name));
        }
        self.0.append(any);
    }

    pub(crate) fn finish(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}
