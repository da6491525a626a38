//! A tenant's unflushed rows.

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use tracehound_schema::Dataset;

use crate::manifest::Payload;

/// How many neighbouring small batches are merged into one.
const FAN_IN: usize = 32;
/// Batches of at least this many rows are never merged.
const LEVELS: u8 = 3;
/// Merging stops at this size, so that it stays cheap and offsets never overflow.
const MERGED_BYTES_MAX: usize = 16 << 20;

/// The unflushed rows of a tenant, in sequence order, with what a flush has to
/// say about them.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    datasets: [Batches; 4],
    /// The first and the last sequence of the frames behind the rows.
    pub(crate) sequences: Option<(u64, u64)>,
    /// The payloads behind the rows.
    pub(crate) payloads: Vec<Payload>,
    /// When the first rows came, nanoseconds.
    pub(crate) since_ns: i64,
    bytes: usize,
}

/// The rows of one dataset. Small batches are merged as they come, 32 of a
/// kind at a time, so that a table of many one-row batches is a few dozen
/// batches and each row is copied at most three times.
#[derive(Debug, Default)]
struct Batches {
    batches: Vec<RecordBatch>,
    /// How often the rows of each batch were merged, or as if they had been.
    levels: Vec<u8>,
}

impl Memtable {
    /// Appends rows. Batches are not empty checked: empty ones are left out.
    pub(crate) fn insert(&mut self, dataset: Dataset, batch: RecordBatch) {
        if batch.num_rows() == 0 {
            return;
        }
        self.bytes += batch.get_array_memory_size();
        let (freed, taken) = self.datasets[dataset as usize].push(batch);
        self.bytes = (self.bytes + taken).saturating_sub(freed);
    }

    /// Notes the frame that rows came from.
    pub(crate) fn note(&mut self, sequence: u64, payload: Payload, now_ns: i64) {
        match &mut self.sequences {
            Some((_, last)) => *last = sequence,
            None => {
                self.sequences = Some((sequence, sequence));
                self.since_ns = now_ns;
            }
        }
        self.bytes += size_of::<Payload>() + payload.m.len();
        self.payloads.push(payload);
    }

    /// The memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no frame went into it.
    pub(crate) fn is_empty(&self) -> bool {
        self.sequences.is_none()
    }

    /// The rows of a dataset, in sequence order.
    pub(crate) fn batches(&self, dataset: Dataset) -> &[RecordBatch] {
        &self.datasets[dataset as usize].batches
    }

    /// The number of rows, over all datasets.
    pub(crate) fn rows(&self) -> u64 {
        let batches = self.datasets.iter().flat_map(|dataset| &dataset.batches);
        batches.map(|batch| batch.num_rows() as u64).sum()
    }
}

impl Batches {
    /// Appends a batch and merges; returns the bytes freed and taken by merging.
    fn push(&mut self, batch: RecordBatch) -> (usize, usize) {
        let level = match batch.num_rows() {
            0..32 => 0,
            32..1024 => 1,
            1024..32_768 => 2,
            _ => LEVELS,
        };
        self.batches.push(batch);
        self.levels.push(level);
        let (mut freed, mut taken) = (0, 0);
        for level in 0..LEVELS {
            let tail = self.levels.iter().rev().take_while(|found| **found <= level).count();
            if tail < FAN_IN {
                continue;
            }
            let from = self.batches.len() - tail;
            let before = bytes_of(&self.batches[from..]);
            if before > MERGED_BYTES_MAX {
                self.levels[from..].fill(LEVELS);
                continue;
            }
            let schema = self.batches[from].schema();
            let Ok(merged) = concat_batches(&schema, &self.batches[from..]) else {
                self.levels[from..].fill(LEVELS);
                continue;
            };
            freed += before;
            taken += merged.get_array_memory_size();
            self.batches.truncate(from);
            self.levels.truncate(from);
            self.batches.push(merged);
            self.levels.push(level + 1);
        }
        (freed, taken)
    }
}

fn bytes_of(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::get_array_memory_size).sum()
}

/// Gives back memory that builders reserved and did not use.
pub(crate) fn shrunk(batch: RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let (_, mut columns, rows) = batch.into_parts();
    for column in &mut columns {
        column.shrink_to_fit();
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).expect("the columns are those of a valid batch")
}

#[cfg(test)]
mod tests;
