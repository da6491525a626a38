//! Maintenance on a real engine: on the local disk, or on a store that fails.

mod backups;
mod erasures;
mod faults;
mod verifying;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use tempfile::TempDir;
use tracehound_schema::{Dataset, Hour, Payload, Signal, TenantId};

use crate::maintenance::options::nanos;
use crate::testing::{NOW_NS, decode, decoder, payload, read_parquet, texts};
use crate::{Engine, Error, Options, RetentionLimits, RetentionPolicy, Snapshot};

const HOUR_NS: i64 = Hour::LENGTH_NS;
const GRACE: Duration = Duration::from_secs(3600);

/// An engine with a clock that the test moves, and no background.
struct Rig {
    dir: TempDir,
    clock: Arc<AtomicI64>,
    engine: Engine,
}

/// Options without background work.
fn options(dir: &Path, clock: &Arc<AtomicI64>) -> Options {
    let clock = Arc::clone(clock);
    let mut options = Options::new(dir, Arc::new(move || clock.load(Ordering::Relaxed)));
    options.maintenance.background = false;
    options.maintenance.grace = GRACE;
    options
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

impl Rig {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Arc::new(AtomicI64::new(NOW_NS));
        let mut options = options(dir.path(), &clock);
        change(&mut options);
        let engine = Engine::open(options, decoder()).await.unwrap();
        Self { dir, clock, engine }
    }

    async fn reopen(self) -> Self {
        self.engine.close().await.unwrap();
        let engine = Engine::open(options(self.dir.path(), &self.clock), decoder()).await.unwrap();
        Self { engine, ..self }
    }

    fn pass(&self, time: Duration) {
        self.clock.fetch_add(nanos(time), Ordering::Relaxed);
    }

    /// Sends spans, `(hours before now, name)`, and flushes them: one entry.
    async fn spans(&self, spans: &[(i64, &str)]) {
        self.append(Signal::Traces, spans).await;
        self.engine.flush().await.unwrap();
    }

    async fn append(&self, signal: Signal, records: &[(i64, &str)]) {
        let payload = body(signal, records);
        let decoded = decode(&payload).unwrap();
        self.engine.append(payload, decoded).await.unwrap();
    }

    async fn rows(&self) -> Vec<(String, u64)> {
        rows(&self.engine).await
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// The files on the disk below the tenant's folder whose names end so.
    fn on_disk(&self, suffix: &str) -> Vec<PathBuf> {
        let mut found: Vec<_> = objects(&self.store()).into_keys().filter(|path| has_suffix(path, suffix)).collect();
        found.sort();
        found
    }

    async fn files(&self, dataset: Dataset) -> usize {
        self.engine.snapshot(&acme()).files(dataset, i64::MIN..=i64::MAX).await.unwrap().len()
    }
}

/// Makes all files below a folder as old as the start of the test's clock.
fn age(dir: &Path) {
    let time = UNIX_EPOCH + Duration::from_nanos(NOW_NS.unsigned_abs());
    for path in objects(dir).into_keys() {
        fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }
}

fn has_suffix(path: &Path, suffix: &str) -> bool {
    path.to_string_lossy().ends_with(suffix)
}

fn body(signal: Signal, records: &[(i64, &str)]) -> Payload {
    let lines = records.iter().map(|(hours, name)| match name.strip_prefix('!') {
        Some(reason) => format!("! {reason}"),
        None => format!("{} shop {name}", NOW_NS - hours * HOUR_NS),
    });
    payload("acme", signal, &lines.collect::<Vec<_>>().join("\n"))
}

/// All files below a folder.
fn objects(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        let Ok(listing) = fs::read_dir(&next) else { continue };
        for path in listing.map(|found| found.unwrap().path()) {
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// `dataset:name` and `_commit` of all rows that are seen, sorted; unflushed rows have 0.
async fn rows(engine: &Engine) -> Vec<(String, u64)> {
    rows_of(engine, &engine.snapshot(&acme())).await
}

async fn rows_of(engine: &Engine, snapshot: &Snapshot) -> Vec<(String, u64)> {
    let store = engine.object_store();
    let mut found = Vec::new();
    for dataset in Dataset::ALL {
        let column = if dataset == Dataset::IngestRejects { "reason" } else { "name" };
        // Logs of the test decoder have no name; their body's order is enough: count them.
        let names = |batch: &arrow::array::RecordBatch| match batch.column_by_name(column) {
            Some(_) => texts(batch, column),
            None => vec!["row".to_owned(); batch.num_rows()],
        };
        for batch in snapshot.rows(dataset) {
            found.extend(names(batch).into_iter().map(|name| (format!("{dataset}:{name}"), 0)));
        }
        for file in snapshot.files(dataset, i64::MIN..=i64::MAX).await.unwrap() {
            let read = object_store::ObjectStoreExt::get(&store, &file.path).await.unwrap();
            let mut rows = 0;
            for batch in read_parquet(read.bytes().await.unwrap()) {
                let commits = batch.column_by_name("_commit").map(|column| column.as_primitive::<Int64Type>().clone());
                for (row, name) in names(&batch).into_iter().enumerate() {
                    let commit = commits.as_ref().map_or(file.commit, |commits| commits.value(row).try_into().unwrap());
                    assert!(file.commits.0 <= commit && commit <= file.commits.1);
                    found.push((format!("{dataset}:{name}"), commit));
                    rows += 1;
                }
            }
            assert_eq!(rows, file.rows);
        }
    }
    found.sort_unstable();
    found
}

#[tokio::test]
async fn compaction_makes_one_file_of_an_hour_and_keeps_rows_and_commits() {
    let rig = Rig::new().await;
    for names in [["a", "b"], ["c", "d"], ["e", "f"]] {
        rig.spans(&[(0, names[0]), (1, names[1])]).await;
    }
    let before = rig.rows().await;
    assert_eq!(rig.files(Dataset::Spans).await, 6);
    let report = rig.engine.maintenance().compact(&acme(), None, None).await.unwrap();
    assert_eq!((report.units, report.files_before, report.files_after, report.rows), (2, 6, 2, 6));
    assert_eq!(rig.files(Dataset::Spans).await, 2);
    assert_eq!(rig.rows().await, before);
    let again = rig.engine.maintenance().compact(&acme(), None, None).await.unwrap();
    assert_eq!(again.units, 0, "there is nothing left to do");
    let rig = rig.reopen().await;
    assert_eq!(rig.rows().await, before);
}

#[tokio::test]
async fn compaction_can_be_asked_for_one_dataset_and_some_hours() {
    let rig = Rig::new().await;
    for name in ["a", "b"] {
        rig.append(Signal::Metrics, &[(0, name)]).await;
        rig.spans(&[(0, name), (5, name)]).await;
    }
    let hour = Hour::containing(NOW_NS - 5 * HOUR_NS);
    let maintenance = rig.engine.maintenance();
    let report = maintenance.compact(&acme(), Some(Dataset::Spans), Some((hour, hour))).await.unwrap();
    assert_eq!(report.files_before, 2);
    assert_eq!((rig.files(Dataset::Spans).await, rig.files(Dataset::Metrics).await), (3, 2));
    let nobody = maintenance.compact(&"nobody".parse().unwrap(), None, None).await;
    assert!(matches!(nobody, Err(Error::NoSuchTenant { .. })));
}

#[tokio::test]
async fn old_files_stay_for_the_grace_and_then_go() {
    let rig = Rig::new().await;
    rig.spans(&[(0, "a")]).await;
    rig.spans(&[(0, "b")]).await;
    let old = rig.on_disk(".parquet");
    let leftover = rig.store().join("tenant=acme/spans/hour=2026-11-22T15/01ARZ3NDEKTSV4RRFFQ69G5FAV.parquet");
    rig.engine.maintenance().compact(&acme(), None, None).await.unwrap();
    let half = rig.store().join("tenant=acme/manifest/00000000000000000009.json.01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp");
    fs::write(&leftover, "never named").unwrap();
    fs::write(&half, "half an entry").unwrap();
    age(&rig.store());
    let sweep = rig.engine.maintenance().sweep(&acme()).await.unwrap();
    assert_eq!(sweep.removed, 0);
    assert!(old.iter().all(|path| path.exists()));
    rig.pass(GRACE / 2);
    assert_eq!(rig.engine.maintenance().sweep(&acme()).await.unwrap().removed, 0);
    rig.pass(GRACE);
    let sweep = rig.engine.maintenance().sweep(&acme()).await.unwrap();
    assert!(old.iter().all(|path| !path.exists()));
    assert!(!leftover.exists() && !half.exists());
    assert_eq!(sweep.waiting, 0);
    assert_eq!(rig.on_disk(".parquet").len(), 1, "what is live stays");
    assert_eq!(rig.rows().await.len(), 2);
}

#[tokio::test]
async fn a_sweep_after_a_restart_finds_what_was_left_and_waits_the_grace() {
    let rig = Rig::new().await;
    rig.spans(&[(0, "a")]).await;
    rig.spans(&[(0, "b")]).await;
    rig.engine.maintenance().compact(&acme(), None, None).await.unwrap();
    let rig = rig.reopen().await;
    age(&rig.store());
    rig.engine.maintenance().sweep(&acme()).await.unwrap();
    assert_eq!(rig.on_disk(".parquet").len(), 3);
    rig.pass(GRACE * 2);
    rig.engine.maintenance().sweep(&acme()).await.unwrap();
    assert_eq!(rig.on_disk(".parquet").len(), 1);
}

#[tokio::test]
async fn retention_removes_whole_files_by_age_and_by_size() {
    let rig = Rig::new().await;
    rig.append(Signal::Metrics, &[(100, "kept")]).await;
    for (hours, name) in [(50, "old"), (30, "middle"), (1, "new")] {
        rig.spans(&[(hours, name)]).await;
    }
    rig.pass(Duration::from_secs(86_400));
    let days = |days: u64| RetentionLimits { max_age: Some(Duration::from_secs(days * 86_400)), max_bytes: None };
    let policy = |limits| RetentionPolicy { datasets: BTreeMap::from([(Dataset::Spans, limits)]) };
    let maintenance = rig.engine.maintenance();
    let dry = maintenance.retain(&acme(), &policy(days(3)), true).await.unwrap();
    assert_eq!((dry.files.len(), dry.rows, dry.entries.len()), (1, 1, 0));
    assert_eq!(rig.files(Dataset::Spans).await, 3, "a dry run does nothing");
    let done = maintenance.retain(&acme(), &policy(days(3)), false).await.unwrap();
    assert_eq!((done.files, done.entries.len()), (dry.files, 1));
    assert_eq!(rig.files(Dataset::Spans).await, 2);
    let bytes = rig.engine.snapshot(&acme()).totals(Dataset::Spans).bytes;
    let limits = RetentionLimits { max_age: None, max_bytes: Some(bytes - 1) };
    let done = maintenance.retain(&acme(), &policy(limits), false).await.unwrap();
    assert_eq!(done.files.len(), 1);
    let names: Vec<_> = rig.rows().await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["metrics:kept", "spans:new"], "the oldest goes first, other datasets stay");
}

#[tokio::test]
async fn rows_with_a_broken_clock_can_be_seen_for_a_day() {
    let rig = Rig::new().await;
    rig.spans(&[(NOW_NS / HOUR_NS, "epoch"), (-24 * 365, "future")]).await;
    let limits = RetentionLimits { max_age: Some(Duration::from_secs(3 * 86_400)), max_bytes: None };
    let policy = RetentionPolicy { datasets: BTreeMap::from([(Dataset::Spans, limits)]) };
    let maintenance = rig.engine.maintenance();
    for (hours, left) in [(0, 2), (23, 2), (2, 1), (40, 1), (10, 0)] {
        rig.pass(Duration::from_secs(hours * 3600));
        maintenance.retain(&acme(), &policy, false).await.unwrap();
        assert_eq!(rig.files(Dataset::Spans).await, left, "{hours} hours later");
    }
}

#[tokio::test]
async fn the_background_merges_by_itself_and_says_so() {
    let rig = Rig::with(|options| {
        options.maintenance.background = true;
        options.maintenance.interval = Duration::from_millis(5);
    })
    .await;
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        rig.spans(&[(0, name)]).await;
    }
    let before = rig.rows().await.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    for _ in 0..400 {
        if rig.files(Dataset::Spans).await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rig.files(Dataset::Spans).await, 1);
    let status = rig.engine.status().maintenance;
    assert_eq!((status.units, status.files_read, status.rows, status.failing.len()), (1, 8, 8, 0));
    let after = rig.rows().await.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(after, before);
    rig.engine.close().await.unwrap();
}
