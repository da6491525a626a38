use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tracehound_schema::{Dataset, Hour, Payload, Signal, TenantId};

use super::{Appended, Engine};
use crate::testing::{NOW_NS, decode, decoder, fixed_clock, names, payload, spans, texts};
use crate::{Error, Options};

/// All of event time.
const ALL: std::ops::RangeInclusive<i64> = i64::MIN..=i64::MAX;

pub(super) async fn open_with(dir: &Path, change: impl FnOnce(&mut Options)) -> Result<Engine, Error> {
    let mut options = Options::new(dir, fixed_clock());
    change(&mut options);
    Engine::open(options, decoder()).await
}

async fn open(dir: &Path) -> Engine {
    open_with(dir, |_| {}).await.unwrap()
}

pub(super) async fn append(engine: &Engine, payload: Payload) -> Result<Appended, Error> {
    let decoded = decode(&payload).unwrap();
    engine.append(payload, decoded).await
}

pub(super) async fn span_names(engine: &Engine, tenant: &str) -> Vec<String> {
    let snapshot = engine.snapshot(&tenant.parse().unwrap());
    names(engine.object_store(), &snapshot, Dataset::Spans).await
}

/// Copies a data directory as a crash would leave it: what was durable when
/// the copy began is in it. Manifests come before the files that they name,
/// and the WAL before both.
fn crash(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    copy(&from.join("wal"), &to.path().join("wal"), &|_| true);
    let is_entry = |path: &Path| path.extension().is_some_and(|found| found == "json");
    copy(&from.join("store"), &to.path().join("store"), &is_entry);
    copy(&from.join("store"), &to.path().join("store"), &|path| !is_entry(path));
    to
}

pub(super) fn copy(from: &Path, to: &Path, wanted: &dyn Fn(&Path) -> bool) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let path = found.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target, wanted);
        } else if wanted(&path) {
            // A segment may be removed, a temporary file renamed, while we look.
            let _ = fs::copy(&path, &target);
        }
    }
}

/// All files below a folder, with their bytes.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for path in fs::read_dir(next).unwrap().map(|found| found.unwrap().path()) {
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[tokio::test]
async fn rows_are_visible_at_once_and_survive_flush_and_restart() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let first = append(&engine, spans("acme", &["a", "b"])).await.unwrap();
    let expected = Appended { accepted: 2, rejected: 0, message: String::new(), duplicate: false };
    assert_eq!(first, expected);
    assert_eq!(span_names(&engine, "acme").await, ["a", "b"]);
    assert_eq!(span_names(&engine, "beta").await, [""; 0]);
    engine.flush().await.unwrap();
    let snapshot = engine.snapshot(&"acme".parse().unwrap());
    assert_eq!((snapshot.entry(), snapshot.rows(Dataset::Spans).len()), (1, 0));
    append(&engine, spans("acme", &["c"])).await.unwrap();
    assert_eq!(span_names(&engine, "acme").await, ["a", "b", "c"]);
    engine.close().await.unwrap();
    let engine = open(dir.path()).await;
    assert_eq!(span_names(&engine, "acme").await, ["a", "b", "c"]);
    let replay = engine.status().replay;
    assert_eq!(replay.frames, replay.frames_covered, "all was flushed on close");
    assert_eq!(engine.tenants(), ["acme".parse().unwrap()]);
}

#[tokio::test]
async fn a_crash_before_the_flush_loses_and_doubles_nothing() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    append(&engine, spans("acme", &["a"])).await.unwrap();
    append(&engine, payload("beta", Signal::Traces, "1 s x\n! bad")).await.unwrap();
    let before = crash(dir.path());
    engine.flush().await.unwrap();
    let after = crash(dir.path());
    for crashed in [&before, &after] {
        let engine = open(crashed.path()).await;
        assert_eq!(span_names(&engine, "acme").await, ["a"]);
        assert_eq!(span_names(&engine, "beta").await, ["x"]);
        engine.flush().await.unwrap();
        let crashed = crash(crashed.path());
        let engine = open(crashed.path()).await;
        assert_eq!(span_names(&engine, "acme").await, ["a"]);
    }
}

#[tokio::test]
async fn frames_whose_segment_outlived_their_flush_are_not_replayed() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    append(&engine, spans("acme", &["a"])).await.unwrap();
    let wal = crash(dir.path());
    engine.close().await.unwrap();
    copy(&wal.path().join("wal"), &dir.path().join("wal"), &|_| true);
    let engine = open(dir.path()).await;
    assert_eq!(span_names(&engine, "acme").await, ["a"]);
    let replay = engine.status().replay;
    assert_eq!((replay.frames, replay.frames_covered), (1, 1));
    // What comes next is not taken for covered.
    append(&engine, spans("acme", &["b"])).await.unwrap();
    let crashed = crash(dir.path());
    let engine = open(crashed.path()).await;
    assert_eq!(span_names(&engine, "acme").await, ["a", "b"]);
}

#[tokio::test]
async fn a_retry_is_not_stored_again_across_restarts() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let retry = || payload("acme", Signal::Traces, "1 s x\n! bad");
    let first = append(&engine, retry()).await.unwrap();
    assert_eq!((first.accepted, first.rejected, first.message.as_str()), (1, 1, "1 rejected"));
    let expected = Appended { duplicate: true, ..first };
    assert_eq!(append(&engine, retry()).await.unwrap(), expected);
    assert!(!append(&engine, payload("beta", Signal::Traces, "1 s x")).await.unwrap().duplicate);

    let crashed = crash(dir.path());
    let replayed = open(crashed.path()).await;
    assert_eq!(append(&replayed, retry()).await.unwrap(), expected, "known from the WAL");
    assert_eq!(span_names(&replayed, "acme").await, ["x"]);

    engine.close().await.unwrap();
    let engine = open(dir.path()).await;
    assert_eq!(append(&engine, retry()).await.unwrap(), expected, "known from the manifest");
    let late = Payload { received_at_ns: NOW_NS + 601_000_000_000, ..retry() };
    assert!(!append(&engine, late).await.unwrap().duplicate, "past the window");
    assert_eq!(span_names(&engine, "acme").await, ["x", "x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_in_flight_share_one_outcome() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let tasks = (0..32).map(|_| {
        let engine = engine.clone();
        tokio::spawn(async move { append(&engine, spans("acme", &["a"])).await.unwrap() })
    });
    let outcomes = futures::future::join_all(tasks).await;
    let firsts = outcomes.iter().filter(|found| !found.as_ref().unwrap().duplicate).count();
    assert_eq!(firsts, 1);
    assert_eq!(span_names(&engine, "acme").await, ["a"]);
}

#[tokio::test]
async fn a_payload_without_records_is_not_stored() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let empty = append(&engine, spans("acme", &[])).await.unwrap();
    assert_eq!((empty.accepted, empty.duplicate), (0, false));
    assert!(!append(&engine, spans("acme", &[])).await.unwrap().duplicate);
    let crashed = crash(dir.path());
    let engine = open(crashed.path()).await;
    assert_eq!(engine.status().replay.frames, 0);
}

#[tokio::test]
async fn a_full_disk_refuses_one_append_and_spoils_nothing() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    append(&engine, spans("acme", &["a"])).await.unwrap();
    for written in [0, 1, 20, 60, 10_000] {
        *engine.faults().write_after.lock().unwrap() = Some(written);
        let error = append(&engine, spans("acme", &["lost"])).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        let name = format!("after-{written:05}");
        append(&engine, spans("acme", &[&name])).await.unwrap();
    }
    let expected = ["a", "after-00000", "after-00001", "after-00020", "after-00060", "after-10000"];
    assert_eq!(span_names(&engine, "acme").await, expected);
    let copied = crash(dir.path());
    let crashed = open(copied.path()).await;
    assert_eq!(span_names(&crashed, "acme").await, expected);
    assert_eq!(crashed.status().damage, []);
    assert!(!append(&crashed, spans("acme", &["lost"])).await.unwrap().duplicate);
}

#[tokio::test]
async fn a_failed_sync_refuses_everything_until_restart() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    append(&engine, spans("acme", &["a"])).await.unwrap();
    *engine.faults().sync.lock().unwrap() = true;
    let mut refused = Vec::new();
    for name in ["b", "c"] {
        refused.push(append(&engine, spans("acme", &[name])).await.unwrap_err());
    }
    refused.push(engine.flush().await.unwrap_err());
    for error in refused {
        assert!(matches!(error, Error::Poisoned { .. }), "{error}");
    }
    assert!(engine.status().poisoned.is_some());
    assert_eq!(span_names(&engine, "acme").await, ["a"], "reads go on");
    let copied = crash(dir.path());
    let crashed = open(copied.path()).await;
    let found = span_names(&crashed, "acme").await;
    assert!(found == ["a"] || found == ["a", "b"], "b's outcome is open: {found:?}");
    append(&crashed, spans("acme", &["d"])).await.unwrap();
}

/// Invariant 8: everything from outside is bounded.
#[tokio::test]
async fn invariant_8_unflushed_data_is_bounded() {
    let dir = TempDir::new().unwrap();
    let tight = |options: &mut Options| {
        options.memtable_bytes_max = 1;
        options.flush_age_busy = Duration::MAX;
        options.flush_age_quiet = Duration::MAX;
    };
    let engine = open_with(dir.path(), tight).await.unwrap();
    // One always fits; the second has to wait for a flush, which pressure brings.
    let mut refused = 0;
    for index in 0..20 {
        while let Err(error) = append(&engine, spans("acme", &[&format!("{index:02}")])).await {
            let Error::Overloaded { retry_after, .. } = error else { panic!("{error}") };
            assert!(retry_after > Duration::ZERO);
            refused += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(refused > 0);
    assert_eq!(span_names(&engine, "acme").await.len(), 20);

    let dir = TempDir::new().unwrap();
    let tight = |options: &mut Options| options.wal_bytes_max = 2000;
    let engine = open_with(dir.path(), tight).await.unwrap();
    // A flush cannot succeed, so the WAL fills up to its bound and stays there.
    fs::write(dir.path().join("store/tenant=acme"), "in the way").unwrap();
    let mut stored = 0;
    let error = loop {
        match append(&engine, spans("acme", &[&format!("{stored:02}")])).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Overloaded { .. }), "{error}");
    assert!(engine.status().wal_bytes < 2200, "{}", engine.status().wal_bytes);
    assert_eq!(span_names(&engine, "acme").await.len(), stored);
}

#[tokio::test]
async fn a_failed_flush_is_reported_and_tried_again() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    append(&engine, spans("acme", &["a"])).await.unwrap();
    let blocker = dir.path().join("store/tenant=acme");
    fs::write(&blocker, "in the way").unwrap();
    assert!(engine.flush().await.is_err());
    let status = engine.status();
    assert!(status.tenants[&"acme".parse::<TenantId>().unwrap()].flush_error.is_some());
    assert_eq!(span_names(&engine, "acme").await, ["a"]);
    fs::remove_file(&blocker).unwrap();
    engine.flush().await.unwrap();
    let status = &engine.status().tenants[&"acme".parse::<TenantId>().unwrap()];
    assert_eq!((status.entry, status.unflushed_rows, &status.flush_error), (1, 0, &None));
    assert_eq!(span_names(&engine, "acme").await, ["a"]);
}

#[tokio::test]
async fn old_rows_are_flushed_by_themselves() {
    let dir = TempDir::new().unwrap();
    let now_ns = Arc::new(AtomicI64::new(NOW_NS));
    let clock = Arc::clone(&now_ns);
    let tell = move |options: &mut Options| {
        options.clock = Arc::new(move || clock.load(Ordering::Acquire));
    };
    let engine = open_with(dir.path(), tell).await.unwrap();
    append(&engine, spans("acme", &["a"])).await.unwrap();
    let tenant: TenantId = "acme".parse().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(engine.snapshot(&tenant).entry(), 0, "it is not old yet");
    now_ns.fetch_add(60_000_000_000, Ordering::AcqRel);
    for _ in 0..200 {
        if engine.snapshot(&tenant).entry() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not flushed in 10 s");
}

#[tokio::test]
async fn a_second_process_is_told_who_holds_the_directory() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    engine.set_holder("process 42 at http://127.0.0.1:4320");
    let Err(error) = open_with(dir.path(), |_| {}).await else { panic!("it opened twice") };
    let Error::Locked { holder, .. } = error else { panic!("{error}") };
    assert_eq!(holder, "process 42 at http://127.0.0.1:4320");
    engine.close().await.unwrap();
    open(dir.path()).await;
}

#[tokio::test]
async fn a_closed_engine_refuses() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let other = engine.clone();
    engine.close().await.unwrap();
    assert!(matches!(append(&other, spans("acme", &["a"])).await, Err(Error::Closed)));
    assert!(matches!(other.flush().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_manifest_that_is_not_whole_stops_the_start() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    for name in ["a", "b", "c"] {
        append(&engine, spans("acme", &[name])).await.unwrap();
        engine.flush().await.unwrap();
    }
    engine.close().await.unwrap();
    let entry =
        |crashed: &TempDir, number: u64| crashed.path().join(format!("store/tenant=acme/manifest/{number:020}.json"));
    let check = async |change: &dyn Fn(&TempDir), named: u64, detail: &str| {
        let crashed = crash(dir.path());
        change(&crashed);
        let Err(error) = open_with(crashed.path(), |_| {}).await else { panic!("{detail}: opened") };
        let Error::Corrupt { path, detail: found } = error else { panic!("{error}") };
        assert_eq!(path, entry(&crashed, named));
        assert!(found.contains(detail), "{found}");
    };
    check(&|crashed| fs::remove_file(entry(crashed, 2)).unwrap(), 2, "missing").await;
    let alter = |crashed: &TempDir| {
        let text = fs::read_to_string(entry(crashed, 1)).unwrap();
        fs::write(entry(crashed, 1), text.replace("\"a\":1", "\"a\":2")).unwrap();
    };
    check(&alter, 1, "hash that it names").await;
    check(&|crashed| fs::write(entry(crashed, 3), "{\"format\":2}").unwrap(), 3, "too short").await;
}

#[tokio::test]
async fn an_older_entry_can_be_looked_at() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let tenant: TenantId = "acme".parse().unwrap();
    for name in ["a", "b"] {
        append(&engine, spans("acme", &[name])).await.unwrap();
        engine.flush().await.unwrap();
    }
    append(&engine, spans("acme", &["c"])).await.unwrap();
    for (entry, expected) in [(0, &[][..]), (1, &["a"][..]), (2, &["a", "b"][..])] {
        let snapshot = engine.snapshot_as_of(&tenant, entry).await.unwrap();
        assert_eq!(snapshot.entry(), entry);
        assert_eq!(names(engine.object_store(), &snapshot, Dataset::Spans).await, expected);
        let files = snapshot.files(Dataset::Spans, ALL).await.unwrap();
        let commits: Vec<_> = files.iter().map(|f| f.commit).collect();
        assert_eq!(commits, (1..=entry).collect::<Vec<_>>());
    }
    let error = engine.snapshot_as_of(&tenant, 3).await.unwrap_err();
    assert_eq!(error.to_string(), "tenant acme has no manifest entry 3: the latest is 2");
}

#[tokio::test]
async fn a_damaged_segment_is_kept_and_its_good_frames_are_used() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    for name in ["first", "second", "third"] {
        append(&engine, spans("acme", &[name])).await.unwrap();
    }
    let crashed = crash(dir.path());
    let segment = crashed.path().join("wal/00000000000000000001.wal");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|found| found == b"second").unwrap();
    bytes[at] = b'S';
    fs::write(&segment, &bytes).unwrap();
    for _ in 0..2 {
        let engine = open(crashed.path()).await;
        assert_eq!(span_names(&engine, "acme").await, ["first", "third"]);
        let kept = segment.with_extension("wal.corrupt");
        assert_eq!(engine.status().damage[0].path, kept);
        assert!(!kept.exists(), "its rows are nowhere else yet");
        drop(engine);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let engine = open(crashed.path()).await;
    engine.flush().await.unwrap();
    assert_eq!(fs::read(segment.with_extension("wal.corrupt")).unwrap(), bytes);
    assert!(!segment.exists());
    engine.close().await.unwrap();
    let engine = open(crashed.path()).await;
    assert_eq!(span_names(&engine, "acme").await, ["first", "third"]);
    assert_eq!(engine.status().damage, []);
}

#[tokio::test]
async fn a_wal_larger_than_memory_is_flushed_while_it_is_replayed() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    for index in 0..200 {
        append(&engine, spans("acme", &[&format!("{index:03}")])).await.unwrap();
    }
    let crashed = crash(dir.path());
    let small = |options: &mut Options| options.memtable_bytes_max = 100_000;
    let engine = open_with(crashed.path(), small).await.unwrap();
    assert!(engine.snapshot(&"acme".parse().unwrap()).entry() > 1);
    assert!(engine.status().memtable_bytes <= 50_000);
    assert_eq!(span_names(&engine, "acme").await.len(), 200);
}

/// Invariant 1: every row in a file belongs to that file's tenant and hours.
#[tokio::test]
async fn invariant_1_rows_belong_to_their_files_tenant_and_hours() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let tenants = ["acme", "beta", "gamma"];
    for (index, tenant) in (0_i64..).zip(tenants) {
        let lines: Vec<_> =
            (0..60).map(|hour| format!("{} {tenant} {tenant}-{hour}", hour * Hour::LENGTH_NS + index)).collect();
        append(&engine, payload(tenant, Signal::Traces, &lines.join("\n"))).await.unwrap();
    }
    engine.flush().await.unwrap();
    for tenant in tenants {
        let snapshot = engine.snapshot(&tenant.parse().unwrap());
        let files = snapshot.files(Dataset::Spans, ALL).await.unwrap();
        assert_eq!(files.len(), 49);
        for file in files {
            assert!(file.path.as_ref().starts_with(&format!("tenant={tenant}/spans/")));
            let bytes = fs::read(dir.path().join("store").join(file.path.as_ref())).unwrap();
            for batch in crate::testing::read_parquet(bytes.into()) {
                assert!(texts(&batch, "service_name").iter().all(|service| service == tenant));
                for name in texts(&batch, "name") {
                    let hour: i64 = name.rsplit('-').next().unwrap().parse().unwrap();
                    let hour = Hour::containing(hour * Hour::LENGTH_NS);
                    assert!(file.hours.0 <= hour && hour <= file.hours.1, "{hour} in {file:?}");
                    let own = file.path.as_ref().contains("hour=");
                    assert!(!own || file.path.as_ref().contains(&format!("hour={hour}/")));
                }
            }
        }
    }
}

/// Invariant 2: published files and manifest entries never change.
#[tokio::test]
async fn invariant_2_published_files_and_entries_never_change() {
    let dir = TempDir::new().unwrap();
    let mut published = BTreeMap::new();
    for round in 0..4 {
        let engine = open(dir.path()).await;
        append(&engine, spans("acme", &[&format!("{round}.1")])).await.unwrap();
        engine.flush().await.unwrap();
        append(&engine, spans("acme", &[&format!("{round}.2")])).await.unwrap();
        engine.close().await.unwrap();
        let now = contents(&dir.path().join("store"));
        assert_eq!(now.len(), published.len() + 6, "two entries, two files, two sidecars");
        assert!(published.iter().all(|(name, bytes)| now.get(name) == Some(bytes)));
        published = now;
    }
}

/// Invariant 4: received = accepted + rejected, and every rejection can be read.
#[tokio::test]
async fn invariant_4_rejections_are_counted_and_can_be_read() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let sent = payload("acme", Signal::Metrics, "1 s x\n! one\n2 s y\n! two\n! three");
    let appended = append(&engine, sent).await.unwrap();
    assert_eq!((appended.accepted, appended.rejected), (2, 3));
    let tenant: TenantId = "acme".parse().unwrap();
    let crashed = crash(dir.path());
    for engine in [engine.clone(), open(crashed.path()).await] {
        for _ in 0..2 {
            let (store, snapshot) = (engine.object_store(), engine.snapshot(&tenant));
            assert_eq!(names(store.clone(), &snapshot, Dataset::Metrics).await, ["x", "y"]);
            let rejects = names(store, &snapshot, Dataset::IngestRejects).await;
            assert_eq!(rejects, ["one", "three", "two"]);
            engine.flush().await.unwrap();
        }
    }
}

/// Invariant 3: an acknowledged record survives a crash at any instant, and
/// appears exactly once, in every snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_3_acknowledged_exactly_once() {
    const APPENDERS: usize = 6;
    const APPENDS: usize = 120;
    let dir = TempDir::new().unwrap();
    let small = |options: &mut Options| {
        options.wal_segment_bytes = 4000;
        options.flush_bytes = 60_000;
        options.group_commit_delay = Duration::from_micros(200);
    };
    let engine = open_with(dir.path(), small).await.unwrap();
    let acknowledged = Arc::new(std::sync::Mutex::new(Vec::<(String, String)>::new()));
    let done = Arc::new(AtomicBool::new(false));

    let appenders = (0..APPENDERS).map(|appender| {
        let (engine, acknowledged) = (engine.clone(), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            for index in 0..APPENDS {
                let tenant = ["acme", "beta"][(appender + index) % 2];
                let name = format!("{appender}.{index}");
                let sent = spans(tenant, &[&name]);
                // Every third is sent twice, as a client does whose reply was lost.
                for _ in 0..1 + usize::from(index % 3 == 0) {
                    append(&engine, sent.clone()).await.unwrap();
                }
                acknowledged.lock().unwrap().push((tenant.to_owned(), name));
            }
        })
    });
    let appenders: Vec<_> = appenders.collect();

    let flusher = {
        let (engine, done) = (engine.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            while !done.load(Ordering::Acquire) {
                engine.flush().await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    };

    let check = async |engine: &Engine, promised: Vec<(String, String)>, what: &str| {
        for tenant in ["acme", "beta"] {
            let found = span_names(engine, tenant).await;
            let mut distinct = found.clone();
            distinct.dedup();
            assert_eq!(found.len(), distinct.len(), "{what}: a row is doubled");
            for (_, name) in promised.iter().filter(|(of, _)| of == tenant) {
                assert!(found.binary_search(name).is_ok(), "{what}: {name} is missing");
            }
        }
    };

    let mut crashes = 0;
    while !appenders.iter().all(tokio::task::JoinHandle::is_finished) {
        let promised = acknowledged.lock().unwrap().clone();
        check(&engine, promised, "live").await;
        let promised = acknowledged.lock().unwrap().clone();
        let from = dir.path().to_owned();
        let crashed = tokio::task::spawn_blocking(move || crash(&from)).await.unwrap();
        let reopened = open(crashed.path()).await;
        check(&reopened, promised, "after a crash").await;
        crashes += 1;
    }
    for appender in appenders {
        appender.await.unwrap();
    }
    done.store(true, Ordering::Release);
    flusher.await.unwrap();
    assert!(crashes > 0);
    let promised = acknowledged.lock().unwrap().clone();
    assert_eq!(promised.len(), APPENDERS * APPENDS);
    check(&engine, promised.clone(), "at the end").await;
    engine.close().await.unwrap();
    let engine = open(dir.path()).await;
    check(&engine, promised, "reopened").await;
    let status = engine.status();
    assert_eq!(status.replay.frames, status.replay.frames_covered);
    let rows: u64 = status.tenants.values().map(|tenant| tenant.file_rows).sum();
    assert_eq!(rows, (APPENDERS * APPENDS) as u64);
}
