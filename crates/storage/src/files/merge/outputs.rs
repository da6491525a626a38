//! The files that a merge writes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::TimestampNanosecondType;
use tracehound_schema::{Dataset, Hour, TenantId};

use crate::files::writer::{FileWriter, Layout, sidecar_path};
use crate::manifest::File;
use crate::store::Store;
use crate::{DataFile, Error, partition};

const DAY_NS: i64 = 24 * Hour::LENGTH_NS;

/// Rows that go to one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bucket {
    Hour(Hour),
    /// A day, by the hour that holds its first nanosecond.
    Day(Hour),
    Late,
}

/// Which bucket a row goes to, by its time.
pub(super) enum Buckets {
    /// An hour each, of these files.
    Hours(Vec<Arc<DataFile>>),
    /// A day each, of these files.
    Days(Vec<Arc<DataFile>>),
    /// These hours, with their rows; `late` is how many are left.
    Split { own: BTreeMap<Hour, u64>, late: u64 },
}

impl Buckets {
    fn of(&self, time_ns: i64) -> Bucket {
        let hour = Hour::containing(time_ns);
        match self {
            Self::Hours(_) => Bucket::Hour(hour),
            // The first day of `i64` began before it.
            Self::Days(_) => Bucket::Day(Hour::containing(time_ns.div_euclid(DAY_NS).saturating_mul(DAY_NS))),
            Self::Split { own, .. } if own.contains_key(&hour) => Bucket::Hour(hour),
            Self::Split { .. } => Bucket::Late,
        }
    }

    /// The most rows that a bucket can get.
    fn rows_max(&self, bucket: Bucket) -> u64 {
        let rows_within = |files: &[Arc<DataFile>], first: Hour, end_ns: i64| {
            let within = |file: &&Arc<DataFile>| file.hours.0.start_ns() < end_ns && file.hours.1 >= first;
            files.iter().filter(within).map(|file| file.rows).sum()
        };
        match (self, bucket) {
            (Self::Split { late, .. }, Bucket::Late) => *late,
            (Self::Split { own, .. }, Bucket::Hour(hour)) => own.get(&hour).copied().unwrap_or_default(),
            (Self::Hours(files), Bucket::Hour(hour)) => rows_within(files, hour, hour.end_ns()),
            (Self::Days(files), Bucket::Day(first)) => {
                rows_within(files, first, first.start_ns().saturating_add(DAY_NS))
            }
            // Rows of one merge are dealt in one way.
            _ => 0,
        }
    }
}

/// Files in the making, by bucket, and those that are done.
pub(super) struct Outputs<'a> {
    store: &'a Store,
    tenant: &'a TenantId,
    layout: Layout,
    file_bytes_max: u64,
    memory_bytes: usize,
    open: BTreeMap<Bucket, FileWriter>,
    done: Vec<File>,
    /// The paths of all files that were started.
    begun: Vec<String>,
    rows: u64,
}

impl<'a> Outputs<'a> {
    pub(super) fn new(
        store: &'a Store,
        tenant: &'a TenantId,
        layout: Layout,
        file_bytes_max: u64,
        memory_bytes: usize,
    ) -> Self {
        let (open, done, begun) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { store, tenant, layout, file_bytes_max, memory_bytes, open, done, begun, rows: 0 }
    }

    /// The rows written.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes sorted rows, each to the file of its time's bucket.
    pub(super) fn write(&mut self, rows: &RecordBatch, buckets: &Buckets) -> Result<(), Error> {
        let times = rows.column_by_name(self.layout.dataset.time_column());
        let times = times.and_then(|times| times.as_primitive_opt::<TimestampNanosecondType>());
        let times = times.ok_or_else(|| Error::internal("rows lack their time"))?.clone();
        let mut dealt: BTreeMap<Bucket, Vec<u32>> = BTreeMap::new();
        for (row, time_ns) in (0..).zip(times.values().iter()) {
            dealt.entry(buckets.of(*time_ns)).or_default().push(row);
        }
        let greatest = dealt.keys().rfind(|bucket| **bucket != Bucket::Late).copied();
        for (bucket, places) in dealt {
            if places.len() == rows.num_rows() {
                self.append(bucket, rows, buckets)?;
            } else {
                let rows = take_record_batch(rows, &UInt32Array::from(places)).map_err(Error::internal)?;
                self.append(bucket, &rows, buckets)?;
            }
        }
        if self.layout.dataset.sorts_by_slice() {
            // Time only goes on, so that earlier buckets are complete.
            while let (Some(first), Some(greatest)) = (self.open.first_key_value(), greatest) {
                let bucket = *first.0;
                if bucket >= greatest {
                    break;
                }
                self.end(bucket)?;
            }
        }
        self.bound_memory()
    }

    fn append(&mut self, bucket: Bucket, rows: &RecordBatch, buckets: &Buckets) -> Result<(), Error> {
        let file = match self.open.entry(bucket) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(new) => {
                let path = path(self.layout.dataset, bucket);
                self.begun.push(path.clone());
                let rows_max = buckets.rows_max(bucket);
                new.insert(FileWriter::create(self.store, self.tenant, path, &self.layout, rows_max)?)
            }
        };
        file.write(rows)?;
        self.rows += rows.num_rows() as u64;
        if file.bytes() > self.file_bytes_max {
            self.end(bucket)?;
        }
        Ok(())
    }

    fn end(&mut self, bucket: Bucket) -> Result<(), Error> {
        if let Some(file) = self.open.remove(&bucket) {
            self.done.push(file.finish()?);
        }
        Ok(())
    }

    /// Ends row groups early where many files are open.
    fn bound_memory(&mut self) -> Result<(), Error> {
        while self.open.values().map(FileWriter::memory_bytes).sum::<usize>() > self.memory_bytes {
            let largest = self.open.values_mut().max_by_key(|file| file.memory_bytes());
            match largest {
                Some(file) if file.rows_buffered() > 0 => file.end_row_group()?,
                _ => break,
            }
        }
        Ok(())
    }

    /// Makes all files durable.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        while let Some(bucket) = self.open.keys().next().copied() {
            self.end(bucket)?;
        }
        Ok(())
    }

    /// The files, once finished.
    pub(super) fn into_files(self) -> Vec<File> {
        self.done
    }

    /// Removes what was written.
    pub(super) async fn discard(&mut self) {
        self.open.clear();
        let folder = partition::tenant_dir(self.tenant);
        for path in self.begun.drain(..) {
            for path in [sidecar_path(&path), path] {
                // Best effort: the sweep removes what is left.
                let _ = self.store.delete(&format!("{folder}/{path}")).await;
            }
        }
    }
}

/// A new file for a bucket.
fn path(dataset: Dataset, bucket: Bucket) -> String {
    let id = crate::runtime::new_id();
    match bucket {
        Bucket::Hour(hour) => partition::data_file(dataset, Some(hour), id),
        Bucket::Day(first) => partition::day_file(dataset, first, id),
        Bucket::Late => partition::data_file(dataset, None, id),
    }
}
