use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::Store;
use crate::Error;

/// A store of each kind, with a folder for what it needs.
fn stores() -> Vec<(TempDir, Store)> {
    let dirs = [(); 3].map(|()| TempDir::new().unwrap());
    let staging = dirs[1].path().join("staging");
    let stores = [
        Store::local(&dirs[0].path().join("store")).unwrap(),
        Store::remote(Arc::new(InMemory::new()), "memory:/", Some(staging)),
        Store::remote(Arc::new(InMemory::new()), "memory:/", None),
    ];
    dirs.into_iter().zip(stores).collect()
}

async fn names(store: &Store, folder: &str) -> Vec<String> {
    let mut names: Vec<_> = store.list(folder).await.unwrap().into_iter().map(|found| found.object).collect();
    names.sort_unstable();
    names
}

fn files_below(dir: &Path) -> usize {
    let found = fs::read_dir(dir).into_iter().flatten().map(|found| found.unwrap().path());
    found.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn an_object_is_created_once() {
    for (_dir, store) in stores() {
        store.create("tenant=a/manifest/1.json", Bytes::from("first")).await.unwrap();
        let again = store.create("tenant=a/manifest/1.json", Bytes::from("second")).await;
        assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
        assert_eq!(store.read("tenant=a/manifest/1.json").await.unwrap().unwrap(), "first");
        assert_eq!(store.read("tenant=a/manifest/2.json").await.unwrap(), None);
        assert_eq!(names(&store, "").await, ["tenant=a/manifest/1.json"]);
    }
}

#[tokio::test]
async fn of_sixteen_racers_one_creates() {
    for (_dir, store) in stores() {
        let racers = (0..16).map(|racer: u32| {
            let store = store.clone();
            tokio::spawn(async move { store.create("x/race", racer.to_string().into()).await.is_ok() })
        });
        let outcomes = futures::future::join_all(racers).await;
        let winners: Vec<_> = (0..16).filter(|racer| *outcomes[*racer].as_ref().unwrap()).collect();
        let [winner] = winners[..] else { panic!("{winners:?}") };
        assert_eq!(store.read("x/race").await.unwrap().unwrap(), winner.to_string());
    }
}

#[tokio::test]
async fn put_replaces_and_delete_may_repeat() {
    for (_dir, store) in stores() {
        store.put("a/b", Bytes::from("one")).await.unwrap();
        store.put("a/b", Bytes::from("two")).await.unwrap();
        assert_eq!(store.read("a/b").await.unwrap().unwrap(), "two");
        store.delete("a/b").await.unwrap();
        store.delete("a/b").await.unwrap();
        store.delete("never/was").await.unwrap();
        assert_eq!(store.read("a/b").await.unwrap(), None);
    }
}

#[tokio::test]
async fn listings_are_whole() {
    for (_dir, store) in stores() {
        for object in ["tenant=b/spans/hour=1/x.parquet", "tenant=b/spans/y", "tenant=a/manifest/1", "top"] {
            store.put(object, Bytes::from("12345")).await.unwrap();
        }
        assert_eq!(names(&store, "tenant=b").await, ["tenant=b/spans/hour=1/x.parquet", "tenant=b/spans/y"]);
        assert_eq!(names(&store, "").await.len(), 4);
        assert_eq!(names(&store, "tenant=c").await, [""; 0]);
        let found = store.list("tenant=a").await.unwrap();
        assert!(found[0].bytes == 5 && found[0].modified_ns > 1_600_000_000_000_000_000, "{found:?}");
        assert_eq!(store.folders("").await.unwrap(), ["tenant=a", "tenant=b"]);
        assert_eq!(store.folders("tenant=b/spans").await.unwrap(), ["hour=1"]);
        assert_eq!(store.folders("tenant=c").await.unwrap(), [""; 0]);
    }
}

#[tokio::test]
async fn ranges_are_exact_or_an_error_that_names_the_object() {
    for (_dir, store) in stores() {
        store.put("a/b", Bytes::from("0123456789")).await.unwrap();
        assert_eq!(store.read_range("a/b", 2..5).await.unwrap(), "234");
        assert_eq!(store.read_range("a/b", 3..3).await.unwrap(), "");
        for (object, range) in [("a/b", 5..11), ("a/b", 10..12), ("a/c", 0..1)] {
            let error = store.read_range(object, range).await.unwrap_err();
            assert!(matches!(&error, Error::Corrupt { path, .. } if *path == store.name(object)), "{error}");
        }
    }
}

/// From nothing over the limit of a single put to several parts.
#[tokio::test]
async fn a_new_file_arrives_whole_with_its_hash() {
    for bytes in [0, 5, 16 << 20, (16 << 20) + 1, (24 << 20) + 7] {
        for (dir, store) in stores() {
            let content: Vec<u8> = (0..bytes as u32).map(|i| (i % 251) as u8).collect();
            let (writer, expected) = (store.clone(), content.clone());
            let written = tokio::task::spawn_blocking(move || {
                let mut file = writer.new_file("spans/x.parquet").unwrap();
                for piece in content.chunks(1 << 20) {
                    file.write_all(piece).unwrap();
                }
                file
            });
            let written = written.await.unwrap();
            assert_eq!(store.read_range("spans/x.parquet", 0..1).await.ok(), None, "it has its name too early");
            let written = written.finish().await.unwrap();
            assert_eq!((written.bytes, written.sha256), (bytes as u64, hex::encode(Sha256::digest(&expected))));
            assert!(store.read("spans/x.parquet").await.unwrap().unwrap() == expected, "{bytes} bytes differ");
            assert!(files_below(dir.path()) <= 1, "something is left in the staging folder");
        }
    }
}

#[tokio::test]
async fn an_unfinished_file_leaves_nothing() {
    for (dir, store) in stores() {
        let mut file = store.new_file("spans/x.parquet").unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(names(&store, "").await, [""; 0]);
        assert_eq!(files_below(dir.path()), 0);
    }
}
