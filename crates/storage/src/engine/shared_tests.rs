//! Several engines on one store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::memory::InMemory;
use tempfile::TempDir;
use tracehound_schema::TenantId;

use super::Engine;
use super::tests::{append, copy, open_with, span_names};
use crate::testing::{NOW_NS, spans};
use crate::{StoreOptions, open};

async fn open_on(dir: &Path, store: &Arc<InMemory>) -> Engine {
    let store = Arc::clone(store) as Arc<dyn object_store::ObjectStore>;
    open_with(dir, |options| {
        options.store = StoreOptions { object_store: Some(store), ..StoreOptions::default() };
        options.maintenance.background = false;
    })
    .await
    .unwrap()
}

/// The data directory as a crash would leave it: the WAL, since the store is elsewhere.
fn crash(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    copy(&from.join("wal"), &to.path().join("wal"), &|_| true);
    to
}

/// Reads what other engines wrote, however lately that was done.
async fn look(engine: &Engine, tenant: &str) {
    let tenant: TenantId = tenant.parse().unwrap();
    let core = &engine.inner.core;
    match core.find_tenant(&tenant) {
        Some(tenant) => tenant.follow(core).await.unwrap(),
        None => drop(open::tenant(core, tenant).await.unwrap()),
    }
}

#[tokio::test]
async fn what_another_wrote_comes_into_view() {
    let (store, dirs) = (Arc::new(InMemory::new()), [TempDir::new().unwrap(), TempDir::new().unwrap()]);
    let (one, two) = (open_on(dirs[0].path(), &store).await, open_on(dirs[1].path(), &store).await);
    append(&one, spans("acme", &["a"])).await.unwrap();
    one.flush().await.unwrap();
    assert_eq!(span_names(&two, "acme").await, [""; 0]);
    two.refresh(&"acme".parse().unwrap()).await.unwrap();
    assert_eq!(span_names(&two, "acme").await, ["a"]);
    let retry = append(&two, spans("acme", &["a"])).await.unwrap();
    assert!(retry.duplicate, "known from the other's entry");
    append(&two, spans("acme", &["b"])).await.unwrap();
    two.flush().await.unwrap();
    look(&one, "acme").await;
    assert_eq!(span_names(&one, "acme").await, ["a", "b"]);
    assert_eq!(one.entries(&"acme".parse().unwrap(), 0..=u64::MAX).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_retry_that_came_to_both_is_stored_once_whoever_flushes_first() {
    let (store, dirs) = (Arc::new(InMemory::new()), [TempDir::new().unwrap(), TempDir::new().unwrap()]);
    let (one, two) = (open_on(dirs[0].path(), &store).await, open_on(dirs[1].path(), &store).await);
    for engine in [&one, &two] {
        assert!(!append(engine, spans("acme", &["both", "both too"])).await.unwrap().duplicate);
    }
    append(&one, spans("acme", &["one"])).await.unwrap();
    append(&two, spans("acme", &["two"])).await.unwrap();
    one.flush().await.unwrap();
    // It loses the race for entry 1, and finds there what it was about to store.
    two.flush().await.unwrap();
    look(&one, "acme").await;
    for engine in [&one, &two] {
        assert_eq!(span_names(engine, "acme").await, ["both", "both too", "one", "two"]);
    }
    // Both WALs are covered, so a restart brings nothing back.
    drop(two);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let crashed = crash(dirs[1].path());
    let two = open_on(crashed.path(), &store).await;
    assert_eq!(span_names(&two, "acme").await, ["both", "both too", "one", "two"]);
    let replay = two.status().replay;
    assert_eq!(replay.frames, replay.frames_covered);
}

#[tokio::test]
async fn a_payload_that_another_stored_while_this_one_was_down_is_not_stored_again() {
    let (store, dirs) = (Arc::new(InMemory::new()), [TempDir::new().unwrap(), TempDir::new().unwrap()]);
    let (one, two) = (open_on(dirs[0].path(), &store).await, open_on(dirs[1].path(), &store).await);
    append(&one, spans("acme", &["a"])).await.unwrap();
    append(&one, spans("acme", &["b"])).await.unwrap();
    let crashed = crash(dirs[0].path());
    append(&two, spans("acme", &["a"])).await.unwrap();
    two.flush().await.unwrap();
    let one = open_on(crashed.path(), &store).await;
    assert_eq!(span_names(&one, "acme").await, ["a", "b"]);
    one.flush().await.unwrap();
    look(&two, "acme").await;
    for engine in [&one, &two] {
        assert_eq!(span_names(engine, "acme").await, ["a", "b"]);
    }
}

/// A store may carry out what a process asked for after that process died, and after the next one looked.
#[tokio::test]
async fn an_entry_that_the_dead_asked_for_covers_the_frames_that_were_replayed() {
    let (store, dir) = (Arc::new(InMemory::new()), TempDir::new().unwrap());
    let dying = open_on(dir.path(), &store).await;
    append(&dying, spans("acme", &["a"])).await.unwrap();
    let crashed = crash(dir.path());
    let engine = open_on(crashed.path(), &store).await;
    append(&engine, spans("acme", &["b"])).await.unwrap();
    dying.flush().await.unwrap();
    assert_eq!(span_names(&engine, "acme").await, ["a", "b"]);
    look(&engine, "acme").await;
    assert_eq!(span_names(&engine, "acme").await, ["a", "b"]);
    engine.flush().await.unwrap();
    assert_eq!(span_names(&engine, "acme").await, ["a", "b"]);
    assert_eq!(engine.status().memtable_bytes, 0);
}

/// A generator of numbers that a seed repeats.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_on_one_store_lose_and_double_nothing() {
    const APPENDERS: usize = 4;
    const APPENDS: usize = 60;
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(NOW_NS.unsigned_abs());
    println!("SEED={seed}");
    let (store, dirs) = (Arc::new(InMemory::new()), [TempDir::new().unwrap(), TempDir::new().unwrap()]);
    let engines = [open_on(dirs[0].path(), &store).await, open_on(dirs[1].path(), &store).await];
    let done = Arc::new(AtomicBool::new(false));
    let appenders = (0..APPENDERS).map(|appender| {
        let engines = engines.clone();
        tokio::spawn(async move {
            let mut numbers = Numbers(seed + appender as u64);
            for index in 0..APPENDS {
                let sent = spans("acme", &[&format!("{appender}.{index:02}"), &format!("{appender}.{index:02}b")]);
                let first = usize::from(numbers.below(2) == 0);
                append(&engines[first], sent.clone()).await.unwrap();
                // A reply that was lost brings the client back, often to the other one.
                for _ in 0..numbers.below(3) {
                    tokio::time::sleep(std::time::Duration::from_millis(numbers.below(20))).await;
                    append(&engines[usize::from(numbers.below(3) == 0)], sent.clone()).await.unwrap();
                }
            }
        })
    });
    let appenders: Vec<_> = appenders.collect();
    let others = [0, 1].map(|place| {
        let (engine, done) = (engines[place].clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut numbers = Numbers(seed ^ place as u64);
            while !done.load(Ordering::Acquire) {
                match numbers.below(3) {
                    0 => engine.flush().await.unwrap(),
                    1 => look(&engine, "acme").await,
                    _ => {
                        let found = span_names(&engine, "acme").await;
                        let mut distinct = found.clone();
                        distinct.dedup();
                        assert_eq!(found, distinct, "a row is doubled");
                    }
                }
                tokio::time::sleep(std::time::Duration::from_millis(numbers.below(5))).await;
            }
        })
    });
    for appender in appenders {
        appender.await.unwrap();
    }
    done.store(true, Ordering::Release);
    for other in others {
        other.await.unwrap();
    }
    let mut expected = Vec::new();
    for appender in 0..APPENDERS {
        expected.extend(
            (0..APPENDS).flat_map(|index| [format!("{appender}.{index:02}"), format!("{appender}.{index:02}b")]),
        );
    }
    for engine in &engines {
        engine.flush().await.unwrap();
    }
    for engine in &engines {
        look(engine, "acme").await;
        assert_eq!(span_names(engine, "acme").await, expected);
    }
}
