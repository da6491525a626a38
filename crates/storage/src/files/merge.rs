//! Sorted files become fewer, larger ones.

mod cursors;
mod outputs;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use tracehound_schema::{Dataset, Hour, Promoted, TenantId};

use self::cursors::Cursors;
use self::outputs::{Buckets, Outputs};
use super::counts::{Counter, KeyCounts};
use super::promote;
use super::read::{Input, times};
use super::sidecar::{self, NEEDLE_COLUMNS};
use super::write::ROWS_AT_ONCE;
use super::writer::Layout;
use crate::manifest::File;
use crate::store::Store;
use crate::{DataFile, Error, Origin, runtime};

/// What a decoded row takes, about.
const ROW_BYTES: usize = 1024;
const ROWS_AT_ONCE_MIN: usize = 128;

/// Tells which rows of a batch stay. The batch has the dataset's columns, then `_commit`.
pub(crate) type Keep = Arc<dyn Fn(&RecordBatch) -> Result<BooleanArray, Error> + Send + Sync>;

/// How rows are dealt to files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// A file for each hour.
    Hours,
    /// A file for each day.
    Day,
    /// A file for each hour that has at least `rows_min` rows or is one of
    /// `own`, for at most `hours_max` hours; one late file for all others.
    Split {
        /// The rows from which on an hour gets a file of its own.
        rows_min: u64,
        /// Hours that get a file of their own whatever their rows.
        own: BTreeSet<Hour>,
        /// The most hours that get files of their own, those with most rows first.
        hours_max: usize,
    },
}

/// Bounds of a merge, and what it leaves out.
#[derive(Clone)]
pub(crate) struct MergeOptions {
    /// The most memory it may take, bytes: the row groups of inputs and outputs that are open at a time.
    pub(crate) memory_bytes: usize,
    /// The size after which an output is followed by another.
    pub(crate) file_bytes_max: u64,
    /// The most attribute keys that become columns of a file.
    pub(crate) promoted_max: usize,
    /// The fewest rows that must have a key before it becomes a column, unless the file has fewer.
    pub(crate) promoted_rows_min: u64,
    /// Rows to keep; absent: all.
    pub(crate) keep: Option<Keep>,
}

impl Default for MergeOptions {
    fn default() -> Self {
        Self { memory_bytes: 256 << 20, file_bytes_max: 512 << 20, promoted_max: 256, promoted_rows_min: 8, keep: None }
    }
}

/// Merges files of one dataset into sorted, promoted files that no entry names yet.
///
/// Rows in = rows out + rows that `keep` drops, checked before it returns.
/// Dropped before it is done, it stops and removes what it wrote.
///
/// # Errors
/// [`Error::Corrupt`] names an input that breaks the format, [`Error::TooLarge`]
/// says that fewer inputs must be merged at once, otherwise what the store
/// says. Outputs written by then are removed.
pub(crate) async fn merge(
    store: &Store,
    tenant: &TenantId,
    dataset: Dataset,
    inputs: &[Arc<DataFile>],
    output: Output,
    options: &MergeOptions,
) -> Result<Vec<File>, Error> {
    let needed = memory_bytes(inputs);
    if needed > options.memory_bytes {
        return Err(Error::TooLarge { bytes: needed, bytes_max: options.memory_bytes });
    }
    let stop = StopOnDrop(Arc::default());
    let merge = Merge {
        store: store.clone(),
        tenant: tenant.clone(),
        dataset,
        inputs: inputs.to_vec(),
        options: options.clone(),
        stopped: Arc::clone(&stop.0),
    };
    runtime::blocking(move || merge.run(&output)).await?
}

/// What merging these files takes at least: a row group of each, and a batch.
pub(crate) fn memory_bytes(inputs: &[Arc<DataFile>]) -> usize {
    const ROW_GROUP_ROWS: u64 = 131_072;
    let row_group = |file: &Arc<DataFile>| match file.rows {
        0 => 0,
        rows => (file.bytes / rows).saturating_mul(rows.min(ROW_GROUP_ROWS)),
    };
    let bytes = inputs.iter().map(|file| row_group(file) + (ROWS_AT_ONCE_MIN * ROW_BYTES) as u64);
    usize::try_from(bytes.fold(0_u64, u64::saturating_add)).unwrap_or(usize::MAX)
}

/// Tells the working thread that nobody waits for it.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A merge at work, on a thread that may block.
struct Merge {
    store: Store,
    tenant: TenantId,
    dataset: Dataset,
    inputs: Vec<Arc<DataFile>>,
    options: MergeOptions,
    stopped: Arc<AtomicBool>,
}

impl Merge {
    fn run(&self, output: &Output) -> Result<Vec<File>, Error> {
        let (promoted, distinct) = self.choose()?;
        let layout = Layout {
            dataset: self.dataset,
            origin: self.origin(),
            many_values: self.many_values(&promoted)?,
            merged: Some(promoted),
            distinct,
        };
        let memory_bytes = self.options.memory_bytes.saturating_sub(memory_bytes(&self.inputs)).max(1 << 20);
        let mut outputs = Outputs::new(&self.store, &self.tenant, layout, self.options.file_bytes_max, memory_bytes);
        let merged = self.buckets(output).and_then(|buckets| self.pass(&buckets, &mut outputs));
        let merged = merged.and_then(|()| self.check_stopped()).and_then(|()| outputs.finish());
        if merged.is_err() {
            runtime::block_on(outputs.discard());
        }
        merged?;
        Ok(outputs.into_files())
    }

    /// Reads, merges and writes all rows.
    fn pass(&self, buckets: &Buckets, outputs: &mut Outputs<'_>) -> Result<(), Error> {
        let at_once = self.options.memory_bytes / 4 / ROW_BYTES / self.inputs.len().max(1);
        let at_once = at_once.clamp(ROWS_AT_ONCE_MIN, ROWS_AT_ONCE);
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for file in &self.inputs {
            inputs.push(runtime::block_on(Input::open(&self.store, file, at_once))?);
        }
        let mut cursors = Cursors::new(self.dataset, inputs)?;
        let (mut read, mut dropped) = (0, 0);
        while let Some(rows) = cursors.next()? {
            self.check_stopped()?;
            read += rows.num_rows() as u64;
            let kept = match &self.options.keep {
                None => rows,
                Some(keep) => {
                    let kept = filter_record_batch(&rows, &keep(&rows)?).map_err(Error::internal)?;
                    dropped += (rows.num_rows() - kept.num_rows()) as u64;
                    kept
                }
            };
            outputs.write(&kept, buckets)?;
        }
        if read != self.rows_in() || read != outputs.rows() + dropped {
            let (expected, written) = (self.rows_in(), outputs.rows());
            return Err(Error::internal(format!(
                "merged {read} of {expected} rows to {written} and dropped {dropped}"
            )));
        }
        Ok(())
    }

    fn rows_in(&self) -> u64 {
        self.inputs.iter().map(|file| file.rows).sum()
    }

    /// What the inputs have in common.
    fn origin(&self) -> Origin {
        let mut origins = self.inputs.iter().map(|file| file.origin);
        let first = origins.next().unwrap_or(Origin::Live);
        if origins.all(|origin| origin == first) { first } else { Origin::Live }
    }

    fn check_stopped(&self) -> Result<(), Error> {
        if self.stopped.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// The keys that become columns, and how many values needle columns have at most.
    fn choose(&self) -> Result<(Vec<Promoted>, HashMap<String, u64>), Error> {
        let mut counts = Vec::new();
        let mut distinct: HashMap<String, u64> = HashMap::new();
        for file in &self.inputs {
            self.check_stopped()?;
            match runtime::block_on(sidecar::load(&self.store, file))? {
                Some(sidecar) => {
                    for bloom in &sidecar.header.blooms {
                        // An estimate; a little more costs nothing, a little less hardly anything.
                        *distinct.entry(bloom.column.clone()).or_default() += bloom.distinct + bloom.distinct / 16 + 16;
                    }
                    counts.push(sidecar.header.counts());
                }
                None => {
                    for column in NEEDLE_COLUMNS {
                        *distinct.entry(column.to_owned()).or_default() += file.rows;
                    }
                    counts.push(self.count(file)?);
                }
            }
        }
        let Self { dataset, options, .. } = self;
        let counts = KeyCounts::sum(&counts);
        let chosen =
            promote::choose(*dataset, &counts, self.rows_in(), options.promoted_max, options.promoted_rows_min);
        Ok((chosen, distinct))
    }

    /// The columns of promoted texts with many distinct values, told from the first rows of some inputs.
    fn many_values(&self, promoted: &[Promoted]) -> Result<Vec<String>, Error> {
        const INPUTS: usize = 4;
        const DISTINCT_MIN: usize = 256;
        const COLUMNS_MAX: usize = 16;
        let mut values: Vec<HashSet<u64>> = vec![HashSet::new(); promoted.len()];
        let hasher = RandomState::new();
        let mut splitter = promote::Splitter::new(self.dataset, promoted);
        let first = self.dataset.schema().fields().len();
        for file in self.inputs.iter().take(INPUTS) {
            let mut input = runtime::block_on(Input::open(&self.store, file, ROWS_AT_ONCE))?;
            let Some(rows) = runtime::block_on(input.next())? else { continue };
            let rows = rows.project(&(0..first).collect::<Vec<_>>()).map_err(Error::internal)?;
            let columns = splitter.split(&rows)?;
            for (column, values) in columns[first..].iter().zip(&mut values) {
                if let Some(texts) = column.as_string_opt::<i32>() {
                    values.extend(texts.iter().flatten().map(|text| hasher.hash_one(text)));
                }
            }
        }
        let mut many: Vec<_> = promoted.iter().zip(values).filter(|(_, values)| values.len() >= DISTINCT_MIN).collect();
        many.sort_by_key(|(_, values)| Reverse(values.len()));
        many.truncate(COLUMNS_MAX);
        Ok(many.into_iter().map(|(promoted, _)| promoted.column()).collect())
    }

    /// Counts the keys of a file without a sidecar.
    fn count(&self, file: &DataFile) -> Result<KeyCounts, Error> {
        let mut counter = Counter::new(self.dataset);
        let mut input = runtime::block_on(Input::open(&self.store, file, ROWS_AT_ONCE))?;
        while let Some(rows) = runtime::block_on(input.next())? {
            self.check_stopped()?;
            counter.count(&rows)?;
        }
        Ok(counter.finish())
    }

    fn buckets(&self, output: &Output) -> Result<Buckets, Error> {
        let inputs = self.inputs.clone();
        let Output::Split { rows_min, own, hours_max } = output else {
            return Ok(if *output == Output::Day { Buckets::Days(inputs) } else { Buckets::Hours(inputs) });
        };
        let mut hours: BTreeMap<Hour, u64> = BTreeMap::new();
        for file in &self.inputs {
            self.check_stopped()?;
            for time_ns in runtime::block_on(times(&self.store, file))? {
                *hours.entry(Hour::containing(time_ns)).or_default() += 1;
            }
        }
        let mut hours: Vec<_> = hours.into_iter().collect();
        hours.retain(|(hour, rows)| rows >= rows_min || own.contains(hour));
        hours.sort_by_key(|(_, rows)| Reverse(*rows));
        hours.truncate(*hours_max);
        let own: BTreeMap<_, _> = hours.into_iter().collect();
        let late = self.rows_in().saturating_sub(own.values().sum());
        Ok(Buckets::Split { own, late })
    }
}

#[cfg(test)]
mod tests;
