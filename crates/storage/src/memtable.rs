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
#[derive(Debug, Clone, Default)]
pub(crate) struct Memtable {
    datasets: [Batches; 4],
    /// The frames behind the rows, in sequence order.
    frames: Vec<Frame>,
    /// When the first rows came, nanoseconds.
    pub(crate) since_ns: i64,
    bytes: usize,
}

/// A frame, and what it brought.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) sequence: u64,
    pub(crate) payload: Payload,
    /// How many rows it brought to which datasets; none once they turned out to be elsewhere.
    pub(crate) rows: [(Dataset, usize); 2],
    /// Its payload is in an entry of another writer: it has to be covered, but not stored.
    pub(crate) is_elsewhere: bool,
}

/// What becomes of a frame in memory when another's entry comes into view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    /// Its rows are in the entry's files, under another frame.
    Elsewhere,
    /// The entry covers the frame itself.
    Covered,
}

/// The rows of one dataset. Small batches are merged as they come, 32 of a
/// kind at a time, so that a table of many one-row batches is a few dozen
/// batches and each row is copied at most three times.
#[derive(Debug, Clone, Default)]
struct Batches {
    batches: Vec<RecordBatch>,
    /// How often the rows of each batch were merged, or as if they had been.
    levels: Vec<u8>,
}

impl Memtable {
    /// Appends a frame with its rows.
    pub(crate) fn insert(&mut self, sequence: u64, payload: Payload, rows: [(Dataset, RecordBatch); 2], now_ns: i64) {
        if self.frames.is_empty() {
            self.since_ns = now_ns;
        }
        self.bytes += size_of::<Frame>() + payload.m.len();
        let counts = [0, 1].map(|place| (rows[place].0, rows[place].1.num_rows()));
        self.frames.push(Frame { sequence, payload, rows: counts, is_elsewhere: false });
        for (dataset, batch) in rows {
            if batch.num_rows() > 0 {
                self.bytes += batch.get_array_memory_size();
                let (freed, taken) = self.datasets[dataset as usize].push(batch);
                self.bytes = (self.bytes + taken).saturating_sub(freed);
            }
        }
    }

    /// Appends a frame whose payload is in an entry of another writer.
    pub(crate) fn insert_elsewhere(&mut self, sequence: u64, payload: Payload, now_ns: i64) {
        let none = [(Dataset::IngestRejects, 0); 2];
        if self.frames.is_empty() {
            self.since_ns = now_ns;
        }
        self.bytes += size_of::<Frame>() + payload.m.len();
        self.frames.push(Frame { sequence, payload, rows: none, is_elsewhere: true });
    }

    /// Takes rows out that came into files by another's entry. Memory is given back when the rest is flushed.
    pub(crate) fn cut(&mut self, fate: impl Fn(&Frame) -> Fate) {
        let mut kept: [Vec<(usize, usize)>; 4] = Default::default();
        let mut at = [0; 4];
        for frame in &self.frames {
            let stays = fate(frame) == Fate::Stays;
            for (dataset, rows) in frame.rows {
                let place = dataset as usize;
                if stays && rows > 0 {
                    kept[place].push((at[place], rows));
                }
                at[place] += rows;
            }
        }
        for (dataset, kept) in self.datasets.iter_mut().zip(kept) {
            dataset.keep(&kept);
        }
        self.frames.retain_mut(|frame| {
            let fate = fate(frame);
            if fate == Fate::Elsewhere {
                frame.is_elsewhere = true;
                frame.rows = frame.rows.map(|(dataset, _)| (dataset, 0));
            }
            fate != Fate::Covered
        });
    }

    /// The frames behind the rows, in sequence order.
    pub(crate) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The payloads that a flush stores.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = &Payload> {
        self.frames.iter().filter(|frame| !frame.is_elsewhere).map(|frame| &frame.payload)
    }

    /// The first and the last sequence of the frames behind the rows.
    pub(crate) fn sequences(&self) -> Option<(u64, u64)> {
        Some((self.frames.first()?.sequence, self.frames.last()?.sequence))
    }

    /// The memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no frame went into it.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
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

impl Batches {
    /// Keeps these rows only: rising ranges of first row and number of rows.
    fn keep(&mut self, kept: &[(usize, usize)]) {
        let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        if kept.iter().map(|(_, rows)| rows).sum::<usize>() == rows {
            return;
        }
        let mut left = Vec::new();
        let mut start = 0;
        for batch in &self.batches {
            let end = start + batch.num_rows();
            for (first, rows) in kept {
                let (from, to) = (start.max(*first), end.min(first + rows));
                if from < to {
                    left.push(batch.slice(from - start, to - from));
                }
            }
            start = end;
        }
        self.levels = vec![LEVELS; left.len()];
        self.batches = left;
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
