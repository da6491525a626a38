//! Bytes that change behind everybody's back: each change is found, or does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::error::ArrowError;
use object_store::ObjectStoreExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tracehound_schema::{Dataset, Signal, TenantId};

use super::model::{DATASETS, Record, name_column, names};
use super::{Rng, SimDisk, fork_rng, now_ns, pause, run, spawn_on};
use crate::disk::Disk;
use crate::testing::{decode, decoder, payload};
use crate::{DataFile, Engine, Error, MaintenanceOptions, Options, VerifyOptions};

/// How many changes are tried on one set of files.
const CHANGES_PER_SET: u64 = 100;

/// What became of changes, by the kind of file.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// The start was refused, damage reported, or found by verification.
    found: u64,
    /// All rows were as before, and rightly so.
    harmless: u64,
    /// The end of the newest WAL segment, which looks like a write that the power interrupted; cut, and counted.
    torn: u64,
    /// Found, but a reader that checks no hash would have seen other rows.
    silent_in_pages: u64,
}

fn options(disk: &SimDisk) -> Options {
    Options {
        disk: Disk::Simulated(disk.clone()),
        wal_segment_bytes: 400,
        group_commit_delay: Duration::ZERO,
        maintenance: MaintenanceOptions { background: false, ..MaintenanceOptions::default() },
        ..Options::new("/data", Arc::new(now_ns))
    }
}

fn tenants() -> [TenantId; 2] {
    ["acme", "beta"].map(|name| name.parse().unwrap())
}

/// A disk with everything on it that the engine writes, and what it says.
async fn written(rng: Rng) -> (SimDisk, BTreeMap<TenantId, BTreeSet<Record>>) {
    let disk = SimDisk::new(1, rng, &[Path::new("/"), Path::new("/data")]);
    let engine = spawn_on(1, Engine::open(options(&disk), decoder())).await.unwrap().unwrap();
    let mut expected: BTreeMap<TenantId, BTreeSet<Record>> = BTreeMap::new();
    for round in 0..5 {
        for tenant in tenants() {
            let (name, reason) = (format!("span-{round}"), format!("reject-{round}"));
            let text = format!("{} shop {name}\n! {reason}", now_ns());
            let sent = payload(tenant.as_str(), Signal::Traces, &text);
            let engine = engine.clone();
            let decoded = decode(&sent).unwrap();
            spawn_on(1, async move { engine.append(sent, decoded).await }).await.unwrap().unwrap();
            expected.entry(tenant).or_default().extend([(Dataset::Spans, name), (Dataset::IngestRejects, reason)]);
        }
        if round < 3 {
            let engine = engine.clone();
            spawn_on(1, async move { engine.flush().await }).await.unwrap().unwrap();
        }
        if round == 1 {
            for tenant in tenants() {
                let engine = engine.clone();
                // What it writes is tried too.
                let _ = spawn_on(1, async move { engine.maintenance().compact(&tenant, None, None).await }).await;
            }
        }
    }
    disk.crash(false);
    (disk.restarted(), expected)
}

/// What a file is for.
fn kind_of(path: &Path) -> &'static str {
    let text = path.to_str().unwrap();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("wal") => "segment",
        Some("parquet") => "parquet",
        Some("index") => "sidecar",
        Some("json") if text.contains("/checkpoint/") => "checkpoint",
        Some("json") => "entry",
        _ if text.ends_with("/wal/ID") => "id",
        _ => "other",
    }
}

fn change(bytes: &mut Vec<u8>, rng: &mut Rng) -> String {
    if bytes.is_empty() {
        bytes.push(1);
        return "a byte in an empty file".to_owned();
    }
    let at = rng.index(bytes.len());
    match rng.below(10) {
        0..=5 => {
            let bit = rng.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at}")
        }
        6 | 7 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        8 => {
            let end = bytes.len().min(at + 1 + rng.index(64));
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end}")
        }
        _ => {
            let count = 1 + rng.index(32);
            bytes.extend((0..count).map(|_| rng.next().to_le_bytes()[0]));
            format!("{count} bytes more")
        }
    }
}

/// The rows of a file as a reader sees them that checks no hash.
fn rows_unchecked(file: &DataFile, bytes: bytes::Bytes) -> Result<Vec<Record>, ArrowError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), [name_column(file.dataset)]);
    let mut rows = Vec::new();
    for batch in builder.with_projection(mask).build()? {
        let batch = batch?;
        if batch.column_by_name(name_column(file.dataset)).is_none() {
            return Err(ArrowError::SchemaError("a column is missing".to_owned()));
        }
        rows.extend(names(&batch, file.dataset).into_iter().map(|name| (file.dataset, name)));
    }
    Ok(rows)
}

/// What a tenant's rows look like, and whether something is wrong with its files.
async fn looked_at(engine: &Engine, tenant: &TenantId) -> Result<(Vec<Record>, bool), Error> {
    let snapshot = engine.snapshot(tenant);
    let (mut rows, mut broken) = (Vec::new(), false);
    for dataset in DATASETS {
        for name in snapshot.rows(dataset).iter().flat_map(|batch| names(batch, dataset)) {
            rows.push((dataset, name));
        }
        for file in snapshot.files(dataset, i64::MIN..=i64::MAX).await? {
            let found = engine.object_store().get(&file.path).await.map_err(Error::internal)?;
            match rows_unchecked(&file, found.bytes().await.map_err(Error::internal)?) {
                Ok(found) => rows.extend(found),
                Err(_) => broken = true,
            }
        }
    }
    Ok((rows, broken))
}

/// Starts an engine on the damaged disk and holds what it says against what was written.
async fn judged(
    disk: &SimDisk,
    kind: &str,
    expected: &BTreeMap<TenantId, BTreeSet<Record>>,
    what: &str,
    counts: &mut Counts,
) {
    let engine = match spawn_on(2, Engine::open(options(disk), decoder())).await.unwrap() {
        Ok(engine) => engine,
        Err(Error::Corrupt { .. } | Error::NewerFormat { .. }) => {
            counts.found += 1;
            return;
        }
        Err(error) => panic!("{what}: {}", error.chain()),
    };
    let status = engine.status();
    let (mut found, mut same, mut known) = (!status.damage.is_empty(), true, true);
    for tenant in tenants() {
        let (rows, broken) = looked_at(&engine, &tenant).await.unwrap();
        let distinct: BTreeSet<Record> = rows.iter().cloned().collect();
        same &= !broken && rows.len() == distinct.len() && distinct == expected[&tenant];
        known &= rows.len() == distinct.len() && distinct.is_subset(&expected[&tenant]);
        if engine.tenants().contains(&tenant) {
            let deep = VerifyOptions { deep: true, quarantine: false };
            match engine.maintenance().verify(&tenant, &deep, &|_| {}).await {
                Ok(report) => found |= !report.defects.is_empty(),
                Err(Error::Corrupt { .. } | Error::NewerFormat { .. }) => found = true,
                Err(error) => panic!("{what}: {}", error.chain()),
            }
        }
    }
    if found {
        counts.found += 1;
        counts.silent_in_pages += u64::from(!known);
        assert!(known || kind == "parquet", "{what}: wrong rows");
    } else if same {
        counts.harmless += 1;
    } else {
        // The end of the log: what was never synced looks the same.
        assert!(kind == "segment" && known, "{what}: rows are missing or wrong, and nothing was found");
        counts.torn += 1;
    }
}

/// Tries changes, so many in all. Panics at one that is not found and changes an answer.
fn try_changes(count: u64, seed: u64) -> BTreeMap<&'static str, Counts> {
    let mut total: BTreeMap<&'static str, Counts> = BTreeMap::new();
    for set in 0..count.div_ceil(CHANGES_PER_SET) {
        let changes = CHANGES_PER_SET.min(count - set * CHANGES_PER_SET);
        let (counts, _) = run(seed + set, async move {
            let mut rng = fork_rng();
            let (written, expected) = written(rng.fork()).await;
            let mut files: BTreeMap<&'static str, Vec<PathBuf>> = BTreeMap::new();
            for path in written.files() {
                files.entry(kind_of(&path)).or_default().push(path);
            }
            files.remove("other");
            let kinds: Vec<_> = files.keys().copied().collect();
            let mut counts: BTreeMap<&'static str, Counts> = BTreeMap::new();
            for _ in 0..changes {
                let kind = kinds[rng.index(kinds.len())];
                let path = &files[kind][rng.index(files[kind].len())];
                let disk = written.copy(2);
                let mut how = String::new();
                disk.damage(path, |bytes| how = change(bytes, &mut rng));
                let what = format!("seed {}: {}: {how}", seed + set, path.display());
                judged(&disk, kind, &expected, &what, counts.entry(kind).or_default()).await;
                disk.crash(false);
                // Its tasks end after this step.
                pause().await;
            }
            counts
        });
        for (kind, found) in counts {
            let sum = total.entry(kind).or_default();
            sum.found += found.found;
            sum.harmless += found.harmless;
            sum.torn += found.torn;
            sum.silent_in_pages += found.silent_in_pages;
        }
    }
    total
}

#[test]
fn a_changed_byte_is_found_or_does_no_harm() {
    let count = std::env::var("CORRUPTIONS").map_or(300, |text| text.parse().unwrap());
    let total = try_changes(count, 1);
    for (kind, counts) in &total {
        println!("corruption: {kind}: {counts:?}");
    }
    for kind in ["entry", "parquet", "segment", "id"] {
        assert!(total[kind].found > 0, "{kind}: {total:?}");
    }
}
