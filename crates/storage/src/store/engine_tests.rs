//! The engine over stores that fail, go away and lie.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use object_store::ObjectStore;
use tempfile::TempDir;
use tracehound_schema::{Dataset, TenantId};

use super::faulty::Faulty;
use crate::testing::{decode, decoder, fixed_clock, names, spans};
use crate::{Engine, Error, Options};

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

async fn open(store: &Faulty, dir: &Path) -> Result<Engine, Error> {
    let mut options = Options::new(dir, fixed_clock());
    options.holder = dir.file_name().unwrap().to_str().unwrap().to_owned();
    options.store.object_store = Some(Arc::new(store.clone()));
    options.store.url = Some("s3://bucket/prefix".parse().unwrap());
    Engine::open(options, decoder()).await
}

async fn append(engine: &Engine, name: &str) -> Result<(), Error> {
    let payload = spans("acme", &[name]);
    let decoded = decode(&payload).unwrap();
    engine.append(payload, decoded).await.map(|_| ())
}

async fn found(engine: &Engine) -> Vec<String> {
    let snapshot = engine.snapshot(&tenant());
    names(engine.object_store(), &snapshot, Dataset::Spans).await
}

/// A fifth of all requests fail, many of them after they were done.
#[tokio::test]
async fn a_failing_store_loses_and_doubles_nothing() {
    let (store, dir) = (Faulty::default(), TempDir::new().unwrap());
    let engine = open(&store, dir.path()).await.unwrap();
    store.state.fails_percent.store(20, Ordering::SeqCst);
    let mut expected = Vec::new();
    let mut failures = 0;
    for piece in 0..30 {
        let name = format!("span-{piece:02}");
        append(&engine, &name).await.unwrap();
        expected.push(name);
        while let Err(error) = engine.flush().await {
            assert!(matches!(error, Error::Unavailable { .. }), "{error}");
            failures += 1;
        }
    }
    assert!(failures > 2, "{failures} failures");
    store.state.fails_percent.store(0, Ordering::SeqCst);
    assert_eq!(found(&engine).await, expected);
    engine.close().await.unwrap();
    // Another machine, with nothing but the store.
    let elsewhere = TempDir::new().unwrap();
    let engine = open(&store, elsewhere.path()).await.unwrap();
    assert_eq!(found(&engine).await, expected);
}

/// Appends go on into the WAL while the store is away; restarted or not, everything arrives.
#[tokio::test]
async fn a_store_that_is_away_stops_flushes_only() {
    let (store, dir) = (Faulty::default(), TempDir::new().unwrap());
    let engine = open(&store, dir.path()).await.unwrap();
    append(&engine, "a").await.unwrap();
    engine.flush().await.unwrap();
    Faulty::set(&store.state.is_down);
    append(&engine, "b").await.unwrap();
    let error = engine.flush().await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable { detail, .. } if detail.contains("s3://bucket/prefix")), "{error}");
    append(&engine, "c").await.unwrap();
    engine.close().await.unwrap_err();
    assert!(matches!(open(&store, dir.path()).await.err().unwrap(), Error::Unavailable { .. }));
    store.state.is_down.store(false, Ordering::SeqCst);
    let engine = open(&store, dir.path()).await.unwrap();
    assert_eq!(found(&engine).await, ["a", "b", "c"]);
    engine.flush().await.unwrap();
    assert_eq!(found(&engine).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_store_that_lies_has_one_writer() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = Faulty::default();
    Faulty::set(&store.state.ignores_create);
    let engine = open(&store, first.path()).await.unwrap();
    let status = engine.status().store;
    assert!(status.probe.unwrap().single_writer.is_some() && !status.is_shared);
    append(&engine, "a").await.unwrap();
    let error = open(&store, second.path()).await.err().unwrap();
    let holder = first.path().file_name().unwrap().to_str().unwrap();
    assert!(error.to_string().contains(holder) && error.to_string().contains("raced"), "{error}");
    assert!(matches!(error, Error::StoreHeld { wait_seconds: 1..=61, .. }), "{error:?}");
    engine.close().await.unwrap();
    let engine = open(&store, second.path()).await.unwrap();
    assert_eq!(found(&engine).await, ["a"]);
}

#[tokio::test]
async fn a_store_that_keeps_writers_apart_may_have_several() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = Faulty::default();
    let engines = [open(&store, first.path()).await.unwrap(), open(&store, second.path()).await.unwrap()];
    assert!(engines.iter().all(|engine| engine.status().store.is_shared));
    let leases = store.get_opts(&"writer.json".into(), object_store::GetOptions::default()).await;
    assert!(leases.is_err(), "a lease that nobody needs");
}

/// A WAL holds rows for one store: opened with another, they would go astray.
#[tokio::test]
async fn a_data_directory_keeps_to_its_store() {
    let (store, dir) = (Faulty::default(), TempDir::new().unwrap());
    open(&store, dir.path()).await.unwrap().close().await.unwrap();
    let local = Engine::open(Options::new(dir.path(), fixed_clock()), decoder()).await.err().unwrap();
    assert!(local.to_string().contains("belongs to the store \"s3://bucket/prefix\""), "{local}");
    assert_eq!(crate::store_of(dir.path()).unwrap().unwrap().as_str(), "s3://bucket/prefix");

    let dir = TempDir::new().unwrap();
    let engine = Engine::open(Options::new(dir.path(), fixed_clock()), decoder()).await.unwrap();
    engine.close().await.unwrap();
    let remote = open(&store, dir.path()).await.err().unwrap();
    assert!(matches!(remote, Error::StoreUnusable { .. }), "{remote}");
}
