//! How long a start takes and what idle tenants cost: `cargo nextest run -p tracehound-storage --run-ignored only start_`
//! prints the figures.

use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;
use tracehound_schema::{Dataset, Hour, TenantId};
use ulid::Ulid;

use super::tests::open_with;
use crate::manifest::{
    Attempt, Entries, File, Head, Intent, Operation, SegmentCache, State, Time, Writer, attempt, checkpoint,
};
use crate::store::Store;
use crate::testing::NOW_NS;
use crate::{Engine, Options, Origin};

const DIRECTORY: Ulid = Ulid(7);

fn file(id: u64) -> File {
    let dataset = Dataset::ALL[usize::try_from(id % 3).unwrap()];
    // About two weeks for ten thousand files, a year for three hundred thousand.
    let hour = Hour::containing(NOW_NS - i64::try_from(id / 35).unwrap() * Hour::LENGTH_NS);
    let path = format!("{dataset}/hour={hour}/{}", Ulid(u128::from(id) << 64 | u128::from(id)));
    let sidecar =
        crate::manifest::Sidecar { path: format!("{path}.index"), bytes: 20_000, sha256: format!("{id:064x}") };
    File {
        dataset,
        path: format!("{path}.parquet"),
        bytes: 4 << 20,
        rows: 100_000,
        sha256: format!("{id:064x}"),
        hours: (hour, hour),
        event_time: (Time(hour.start_ns()), Time(hour.end_ns() - 1)),
        ingest_time: (Time(NOW_NS), Time(NOW_NS)),
        sort: "slice10m,service_name,name,start_time".to_owned(),
        schema: 1,
        mapping: 1,
        origin: Origin::Live,
        sidecar: Some(sidecar),
        commits: Some((1, 2)),
    }
}

/// Writes the manifest of a tenant with so many files, without the files.
async fn tenant(dir: &Path, id: &str, files: u64, files_per_entry: u64, with_checkpoint: bool) {
    let store = Store::local(&dir.join("store")).unwrap();
    let tenant: TenantId = id.parse().unwrap();
    let entries = Entries { store, tenant: tenant.clone(), segments: SegmentCache::new(1 << 30) };
    let mut head = Head::new(State::new(tenant.clone(), DIRECTORY));
    let mut next = 0;
    while next < files {
        let until = (next + files_per_entry).min(files);
        let intent = Intent {
            tenant: tenant.clone(),
            operation: Operation::Flush,
            writer: Writer { epoch: Ulid(1), commit: Ulid::new() },
            add: (next..until).map(file).collect(),
            remove: Vec::new(),
            wal: None,
            payloads: Vec::new(),
            reason: None,
            erasure: None,
        };
        let Attempt::Committed(_) = attempt(&entries, &mut head, &intent, NOW_NS).await.unwrap() else { panic!() };
        next = until;
        let is_due = head.state.entry() - head.state.base().entry >= 256 || next == files;
        if with_checkpoint && is_due {
            let base = checkpoint::write(&entries, &head.state, head.hash.as_ref().unwrap()).await.unwrap();
            head.state.rebase(base);
        }
    }
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

async fn open(dir: &Path) -> Engine {
    open_with(dir, |options: &mut Options| options.maintenance.background = false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo nextest run -p tracehound-storage --run-ignored only start_ --no-capture"]
async fn start_with_many_files() {
    for files in [10_000, 300_000] {
        let dir = TempDir::new().unwrap();
        tenant(dir.path(), "acme", files, 40, true).await;
        let before = resident_bytes();
        let began = Instant::now();
        let engine = open(dir.path()).await;
        let opened = began.elapsed();
        let snapshot = engine.snapshot(&"acme".parse().unwrap());
        assert_eq!(Dataset::ALL.iter().map(|dataset| snapshot.totals(*dataset).files).sum::<u64>(), files);
        let began = Instant::now();
        let hour = snapshot.files(Dataset::Spans, NOW_NS - Hour::LENGTH_NS..=NOW_NS).await.unwrap().len();
        let of_an_hour = began.elapsed();
        let idle = resident_bytes().saturating_sub(before);
        let began = Instant::now();
        let all = snapshot.files(Dataset::Spans, i64::MIN..=i64::MAX).await.unwrap().len();
        let of_all = began.elapsed();
        let entry = snapshot.entry();
        println!(
            "{files} files in {entry} entries: open {opened:?}, {hour} files of an hour {of_an_hour:?}, \
             all {all} files of spans {of_all:?}, {idle} bytes before those"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo nextest run -p tracehound-storage --run-ignored only start_ --no-capture"]
async fn start_with_a_thousand_tenants() {
    let dir = TempDir::new().unwrap();
    for index in 0..1000 {
        tenant(dir.path(), &format!("tenant-{index}"), 40, 2, index % 2 == 0).await;
    }
    let before = resident_bytes();
    let began = Instant::now();
    let engine = open(dir.path()).await;
    let (opened, after) = (began.elapsed(), resident_bytes());
    assert_eq!(engine.tenants().len(), 1000);
    println!("1000 tenants: open {opened:?}, {} bytes a tenant", after.saturating_sub(before) / 1000);
}
