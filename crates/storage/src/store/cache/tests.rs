use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{CHUNK_BYTES, Cached};
use crate::store::faulty::Faulty;

const MIB: u64 = 1 << 20;

/// An object's content: each place has its own bytes.
fn content(bytes: u64) -> Bytes {
    (0..bytes).map(|i| u8::try_from((i / 7 + i / CHUNK_BYTES) % 251).unwrap()).collect::<Vec<_>>().into()
}

struct World {
    store: Faulty,
    dir: TempDir,
    bytes_max: u64,
}

impl World {
    async fn new(bytes_max: u64, objects: &[(&str, u64)]) -> Self {
        let store = Faulty::default();
        for (object, bytes) in objects {
            store.put(&path(object), content(*bytes).into()).await.unwrap();
        }
        Self { store, dir: TempDir::new().unwrap(), bytes_max }
    }

    /// The cache as a start finds it.
    fn open(&self) -> Cached {
        let cached = Cached::new(Arc::new(self.store.clone()), "memory:/", self.dir.path(), self.bytes_max);
        cached.rediscover();
        cached
    }

    fn gets(&self) -> u64 {
        self.store.state.gets.swap(0, Ordering::SeqCst)
    }

    /// The cache's files, once everything is written that is on its way.
    async fn files(&self, cached: &Cached) -> Vec<PathBuf> {
        while !cached.shared.in_flight().is_empty() {
            tokio::task::yield_now().await;
        }
        cached.shared.disk.rediscover().unwrap();
        let mut dirs = vec![self.dir.path().to_owned()];
        let mut files = Vec::new();
        while let Some(dir) = dirs.pop() {
            for found in fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
                if found.path().is_dir() { dirs.push(found.path()) } else { files.push(found.path()) }
            }
        }
        files
    }
}

fn path(object: &str) -> ObjectPath {
    ObjectPath::from(object)
}

#[tokio::test]
async fn what_was_read_once_is_not_fetched_again_not_even_after_a_restart() {
    let world = World::new(100 * MIB, &[("a.parquet", 3 * MIB + 5), ("small.index", 100)]).await;
    let cached = world.open();
    let expected = content(3 * MIB + 5);
    let range = MIB - 10..2 * MIB + 10;
    let bytes = cached.get_range(&path("a.parquet"), range.clone()).await.unwrap();
    assert_eq!(bytes, expected.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()));
    assert_eq!(world.gets(), 1, "three chunks in a row are one request");
    assert_eq!(cached.get_range(&path("small.index"), 5..10).await.unwrap(), content(100).slice(5..10));
    assert_eq!(world.gets(), 1);
    assert_eq!(world.files(&cached).await.len(), 4);
    for cached in [cached, world.open()] {
        assert_eq!(cached.get_range(&path("a.parquet"), range.clone()).await.unwrap(), bytes);
        assert_eq!(cached.get_range(&path("small.index"), 0..100).await.unwrap(), content(100));
        assert_eq!(world.gets(), 0);
    }
    // The last chunk is short, and only now fetched.
    let tail = world.open().get_range(&path("a.parquet"), 3 * MIB..3 * MIB + 5).await.unwrap();
    assert_eq!((tail, world.gets()), (expected.slice(3 * (1 << 20)..), 1));
}

#[tokio::test]
async fn only_what_never_changes_is_cached() {
    let world = World::new(100 * MIB, &[("manifest/1.json", 100)]).await;
    let cached = world.open();
    for _ in 0..3 {
        cached.get_range(&path("manifest/1.json"), 0..10).await.unwrap();
        cached.get_ranges(&path("manifest/1.json"), std::slice::from_ref(&(0..10))).await.unwrap();
    }
    assert_eq!(world.gets(), 6);
    assert_eq!(world.files(&cached).await.len(), 0);
}

#[tokio::test]
async fn readers_at_the_same_time_fetch_once() {
    let world = World::new(100 * MIB, &[("a.parquet", 4 * MIB)]).await;
    let cached = world.open();
    let readers = (0..50).map(|_| {
        let cached = cached.clone();
        tokio::spawn(async move { cached.get_range(&path("a.parquet"), 100..4 * MIB).await.unwrap().len() })
    });
    for reader in futures::future::join_all(readers).await {
        assert_eq!(reader.unwrap() as u64, 4 * MIB - 100);
    }
    assert_eq!((world.gets(), cached.status().fetched_bytes), (1, 4 * MIB));
}

/// Whatever happens to its files: the bytes are those of the store.
#[tokio::test]
async fn damaged_chunks_are_fetched_again() {
    let damages: [fn(&std::path::Path); 5] = [
        |file| fs::write(file, b"").unwrap(),
        |file| fs::write(file, b"THOUNDC1").unwrap(),
        |file| {
            let mut bytes = fs::read(file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(file, bytes).unwrap();
        },
        |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
        },
        // The place of another chunk.
        |file| fs::rename(file, file.with_file_name("00000001")).unwrap(),
    ];
    for damage in damages {
        let world = World::new(100 * MIB, &[("a.parquet", 2 * MIB)]).await;
        let cached = world.open();
        cached.get_range(&path("a.parquet"), 0..10).await.unwrap();
        let files = world.files(&cached).await;
        assert_eq!(files.len(), 1);
        damage(&files[0]);
        for cached in [cached, world.open()] {
            for range in [0..MIB, MIB..2 * MIB] {
                let expected =
                    content(2 * MIB).slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap());
                assert_eq!(cached.get_range(&path("a.parquet"), range).await.unwrap(), expected);
            }
        }
    }
}

#[tokio::test]
async fn its_size_is_bounded() {
    let world = World::new(5 * MIB, &[("a.parquet", 20 * MIB)]).await;
    let cached = world.open();
    for round in 0..2 {
        for chunk in 0..20 {
            cached.get_range(&path("a.parquet"), chunk * MIB..chunk * MIB + 1).await.unwrap();
        }
        let files = world.files(&cached).await;
        let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert!((MIB..=5 * MIB).contains(&bytes), "round {round}: {bytes} bytes in {} files", files.len());
        assert!(cached.status().bytes <= 5 * MIB);
    }
}

#[tokio::test]
async fn a_deleted_object_leaves_nothing_on_the_disk() {
    let world = World::new(100 * MIB, &[("a.parquet", 2 * MIB), ("b.parquet", 10)]).await;
    let cached = world.open();
    for object in ["a.parquet", "b.parquet"] {
        cached.get_range(&path(object), 0..10).await.unwrap();
    }
    assert_eq!(world.files(&cached).await.len(), 2);
    cached.forget("a.parquet");
    assert_eq!(world.files(&cached).await.len(), 1);
}

#[tokio::test]
async fn failures_are_passed_on_and_not_kept() {
    let world = World::new(100 * MIB, &[("a.parquet", 10)]).await;
    let cached = world.open();
    let missing = cached.get_range(&path("b.parquet"), 0..10).await;
    assert!(matches!(missing, Err(object_store::Error::NotFound { .. })), "{missing:?}");
    Faulty::set(&world.store.state.is_down);
    assert!(cached.get_range(&path("a.parquet"), 0..10).await.is_err());
    world.store.state.is_down.store(false, Ordering::SeqCst);
    while !cached.shared.in_flight().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(cached.get_range(&path("a.parquet"), 0..10).await.unwrap(), content(10));
    let beyond = cached.get_ranges(&path("a.parquet"), std::slice::from_ref(&(5..20))).await.unwrap_err();
    assert!(beyond.to_string().contains("object of 10"), "{beyond}");
    assert!(cached.get_range(&path("a.parquet"), 10..20).await.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Invariant 6: caching changes cost, never answers.
    #[test]
    fn ranges_read_through_the_cache_are_those_of_the_store(
        bytes in 1..40 * MIB,
        places in vec(vec((0.0..1.0_f64, 0.0..1.0_f64), 1..6), 1..8),
        bytes_max in prop_oneof![Just(2 * MIB), Just(100 * MIB)],
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new(bytes_max, &[("a.parquet", bytes)]).await;
            let cached = world.open();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "places within the object")]
            let at = |place: f64| (place * bytes as f64) as u64;
            for places in places {
                let ranges: Vec<_> = places
                    .iter()
                    .map(|(a, b)| at(a.min(*b))..at(a.max(*b)) + 1)
                    .map(|range| range.start..range.end.min(bytes).max(range.start))
                    .filter(|range| !range.is_empty())
                    .collect();
                let expected = world.store.get_ranges(&path("a.parquet"), &ranges).await.unwrap();
                prop_assert!(cached.get_ranges(&path("a.parquet"), &ranges).await.unwrap() == expected);
                for (range, expected) in ranges.into_iter().zip(expected) {
                    prop_assert!(cached.get_range(&path("a.parquet"), range).await.unwrap() == expected);
                }
            }
            Ok(())
        })?;
    }
}
