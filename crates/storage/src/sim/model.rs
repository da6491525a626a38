//! What clients were told, against which the engine's answers are held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStoreExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};
use tracehound_schema::{Dataset, Hour, TenantId};

use crate::testing::texts;
use crate::{DataFile, Engine, Error, Snapshot};

/// The datasets that histories write to.
pub(crate) const DATASETS: [Dataset; 2] = [Dataset::Spans, Dataset::IngestRejects];

/// A record: its dataset and its name, which no other record has.
pub(crate) type Record = (Dataset, String);

/// What is known of all records, and what files were found to hold.
#[derive(Clone, Default)]
pub(crate) struct Model {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    records: BTreeMap<TenantId, BTreeMap<Record, Fate>>,
    /// Rows with their `_commit` by file; files never change.
    files: BTreeMap<String, Arc<Vec<(Record, u64)>>>,
    /// What the files of a tenant held as of an entry, where it was looked at.
    as_of: BTreeMap<(TenantId, u64), BTreeSet<Record>>,
}

#[derive(Debug, Clone, Copy)]
struct Fate {
    acknowledged: bool,
    copies_max: u64,
}

impl Model {
    /// Notes records that are about to be sent for the first time.
    pub(crate) fn sent(&self, tenant: &TenantId, records: &[Record]) {
        let mut inner = self.lock();
        let known = inner.records.entry(tenant.clone()).or_default();
        for record in records {
            known.insert(record.clone(), Fate { acknowledged: false, copies_max: 1 });
        }
    }

    /// Notes that they are sent again so late that nobody promised to recognise them.
    pub(crate) fn sent_late(&self, tenant: &TenantId, records: &[Record]) {
        self.change(tenant, records, |fate| fate.copies_max += 1);
    }

    /// Notes that the client was told they are stored.
    pub(crate) fn acknowledged(&self, tenant: &TenantId, records: &[Record]) {
        self.change(tenant, records, |fate| fate.acknowledged = true);
    }

    fn change(&self, tenant: &TenantId, records: &[Record], change: impl Fn(&mut Fate)) {
        let mut inner = self.lock();
        for record in records {
            change(inner.records.get_mut(tenant).unwrap().get_mut(record).unwrap());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks one tenant's snapshot: all that was acknowledged is there, nothing is there more often than it may.
    ///
    /// # Errors
    /// What the engine could not read. Panics at what it got wrong.
    pub(crate) async fn check(&self, engine: &Engine, tenant: &TenantId, when: &str) -> Result<(), Error> {
        let promised: Vec<Record> = {
            let inner = self.lock();
            let known = inner.records.get(tenant).into_iter().flatten();
            known.filter(|(_, fate)| fate.acknowledged).map(|(record, _)| record.clone()).collect()
        };
        let snapshot = engine.snapshot(tenant);
        let in_files = self.rows_in_files(engine, &snapshot).await?;
        let mut seen: BTreeMap<Record, u64> = BTreeMap::new();
        for (record, _) in &in_files {
            *seen.entry(record.clone()).or_default() += 1;
        }
        for dataset in DATASETS {
            for name in snapshot.rows(dataset).iter().flat_map(|batch| names(batch, dataset)) {
                *seen.entry((dataset, name)).or_default() += 1;
            }
        }
        for record in &promised {
            assert!(seen.contains_key(record), "{when}: {tenant} lost {record:?}, which was acknowledged");
        }
        {
            let inner = self.lock();
            let known = inner.records.get(tenant);
            for (record, copies) in &seen {
                let fate = known.and_then(|known| known.get(record));
                let fate = fate.unwrap_or_else(|| panic!("{when}: {tenant} has {record:?}, which nobody sent"));
                assert!(*copies <= fate.copies_max, "{when}: {tenant} has {record:?} {copies} times");
            }
        }
        let records: BTreeSet<Record> = in_files.iter().map(|(record, _)| record.clone()).collect();
        let key = (tenant.clone(), snapshot.entry());
        let before = self.lock().as_of.entry(key).or_insert_with(|| records.clone()).clone();
        assert_eq!(before, records, "{when}: {tenant} at entry {} is not what it was", snapshot.entry());
        Ok(())
    }

    /// Checks that older entries still say what they said.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) async fn check_history(&self, engine: &Engine, tenant: &TenantId, when: &str) -> Result<(), Error> {
        let latest = engine.snapshot(tenant).entry();
        let known: Vec<_> = {
            let inner = self.lock();
            let of_tenant = inner.as_of.iter().filter(|((of, _), _)| of == tenant);
            of_tenant.map(|((_, entry), records)| (*entry, records.clone())).collect()
        };
        for (entry, expected) in known {
            assert!(entry <= latest, "{when}: {tenant} forgot entry {entry}");
            let snapshot = engine.snapshot_as_of(tenant, entry).await?;
            let rows = self.rows_in_files(engine, &snapshot).await?;
            let rows: BTreeSet<Record> =
                rows.into_iter().filter(|(_, commit)| *commit <= entry).map(|(record, _)| record).collect();
            assert_eq!(rows, expected, "{when}: {tenant} as of entry {entry} is not what it was");
        }
        Ok(())
    }

    async fn rows_in_files(&self, engine: &Engine, snapshot: &Snapshot) -> Result<Vec<(Record, u64)>, Error> {
        let mut rows = Vec::new();
        for dataset in DATASETS {
            for file in snapshot.files(dataset, i64::MIN..=i64::MAX).await? {
                let known = self.lock().files.get(file.path.as_ref()).cloned();
                let found = match known {
                    Some(found) => found,
                    None => {
                        let bytes = engine.object_store().get(&file.path).await.map_err(Error::internal)?;
                        let bytes = bytes.bytes().await.map_err(Error::internal)?;
                        let found = Arc::new(read(&file, bytes));
                        self.lock().files.insert(file.path.to_string(), Arc::clone(&found));
                        found
                    }
                };
                rows.extend(found.iter().cloned());
            }
        }
        Ok(rows)
    }
}

pub(super) fn name_column(dataset: Dataset) -> &'static str {
    if dataset == Dataset::IngestRejects { "reason" } else { "name" }
}

pub(super) fn names(batch: &RecordBatch, dataset: Dataset) -> Vec<String> {
    texts(batch, name_column(dataset))
}

/// The rows of a file, after checking everything that the manifest says of it.
fn read(file: &DataFile, bytes: Bytes) -> Vec<(Record, u64)> {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampNanosecondType};

    assert_eq!(bytes.len() as u64, file.bytes, "{}", file.path);
    assert_eq!(hex::encode(Sha256::digest(&bytes)), file.sha256, "{}", file.path);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let columns = [name_column(file.dataset), file.dataset.time_column(), "_commit"];
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
    let mut rows = Vec::new();
    for batch in builder.with_projection(mask).build().unwrap() {
        let batch = batch.unwrap();
        let times = batch.column_by_name(file.dataset.time_column()).unwrap();
        for time in times.as_primitive::<TimestampNanosecondType>().values() {
            assert!(file.event_time.0 <= *time && *time <= file.event_time.1, "{time} in {file:?}");
            let hour = Hour::containing(*time);
            assert!(file.hours.0 <= hour && hour <= file.hours.1, "{hour} in {file:?}");
        }
        let commits = batch.column_by_name("_commit").map(|column| column.as_primitive::<Int64Type>().clone());
        assert_eq!(commits.is_some(), file.has_commit_column, "{}", file.path);
        for (row, name) in names(&batch, file.dataset).into_iter().enumerate() {
            let commit = commits.as_ref().map_or(file.commit, |commits| u64::try_from(commits.value(row)).unwrap());
            assert!(file.commits.0 <= commit && commit <= file.commits.1, "{commit} in {file:?}");
            rows.push(((file.dataset, name), commit));
        }
    }
    assert_eq!(rows.len() as u64, file.rows, "{}", file.path);
    rows
}
