use std::fs;

use tempfile::TempDir;
use tracehound_schema::Signal;

use super::{GRACE, Rig, acme, objects, options, rows};
use crate::testing::decoder;
use crate::{BackupOptions, BackupPlace, Engine, Error, RestoreOptions, StoreOptions, VerifyOptions, backup, restore};

fn restore_to(dir: &TempDir) -> RestoreOptions {
    let store = StoreOptions::default();
    RestoreOptions { data_dir: dir.path().to_owned(), store, tenants: Vec::new(), backup: None }
}

async fn restored(rig: &Rig, from: &BackupPlace, change: impl FnOnce(&mut RestoreOptions)) -> Vec<(String, u64)> {
    let dir = TempDir::new().unwrap();
    let mut to = restore_to(&dir);
    change(&mut to);
    restore(from, &to, &|_, _| {}).await.unwrap();
    let engine = Engine::open(options(dir.path(), &rig.clock), decoder()).await.unwrap();
    let deep = VerifyOptions { deep: true, quarantine: false };
    let report = engine.maintenance().verify(&acme(), &deep, &|_| {}).await.unwrap();
    assert_eq!(report.defects, []);
    let rows = rows(&engine).await;
    engine.close().await.unwrap();
    rows
}

#[tokio::test]
async fn a_backup_restores_to_the_same_rows_and_goes_on_where_it_was() {
    let rig = Rig::new().await;
    let target = TempDir::new().unwrap();
    let place = BackupPlace::Folder(target.path().to_owned());
    rig.spans(&[(0, "a"), (1, "b")]).await;
    rig.append(Signal::Metrics, &[(0, "unflushed")]).await;
    let first = backup(&rig.engine, &place, &BackupOptions::default(), &|_, _| {}).await.unwrap();
    assert_eq!((first.tenants.len(), first.tenants[0].rows, first.kept), (1, 3, 0));
    let at_first = rig.rows().await;
    assert_eq!(restored(&rig, &place, |_| {}).await, at_first);

    rig.spans(&[(0, "c")]).await;
    rig.engine.maintenance().compact(&acme(), None, None).await.unwrap();
    rig.pass(std::time::Duration::from_secs(1));
    let second = backup(&rig.engine, &place, &BackupOptions::default(), &|_, _| {}).await.unwrap();
    assert!(second.kept > 0 && second.copied < first.copied + 6, "{second:?}");
    assert_eq!(restored(&rig, &place, |_| {}).await, rig.rows().await);
    assert_eq!(restored(&rig, &place, |to| to.backup = Some(first.backup)).await, at_first);
}

#[tokio::test]
async fn a_backup_as_of_an_entry_needs_its_files() {
    let rig = Rig::new().await;
    let target = TempDir::new().unwrap();
    let place = BackupPlace::Folder(target.path().to_owned());
    rig.spans(&[(0, "a")]).await;
    let at_first = rig.rows().await;
    rig.spans(&[(0, "b")]).await;
    rig.engine.maintenance().compact(&acme(), None, None).await.unwrap();
    let as_of = |entry| BackupOptions { tenants: vec![acme()], as_of: Some(entry) };
    backup(&rig.engine, &place, &as_of(1), &|_, _| {}).await.unwrap();
    assert_eq!(restored(&rig, &place, |_| {}).await, at_first);
    let beyond = backup(&rig.engine, &place, &as_of(9), &|_, _| {}).await;
    assert!(matches!(beyond, Err(Error::NoSuchEntry { latest: 3, .. })), "{beyond:?}");
    rig.pass(GRACE * 2);
    rig.engine.maintenance().sweep(&acme()).await.unwrap();
    let other = BackupPlace::Folder(target.path().join("other"));
    let gone = backup(&rig.engine, &other, &as_of(1), &|_, _| {}).await;
    assert!(matches!(gone, Err(Error::Gone { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_damaged_copy_is_replaced_and_a_damaged_source_is_said() {
    let rig = Rig::new().await;
    let target = TempDir::new().unwrap();
    let place = BackupPlace::Folder(target.path().to_owned());
    rig.spans(&[(0, "a"), (1, "b")]).await;
    backup(&rig.engine, &place, &BackupOptions::default(), &|_, _| {}).await.unwrap();
    let (path, bytes) =
        objects(target.path()).into_iter().find(|(path, _)| super::has_suffix(path, ".parquet")).unwrap();
    let mut flipped = bytes.clone();
    flipped[100] ^= 4;
    fs::write(&path, &flipped).unwrap();
    let dir = TempDir::new().unwrap();
    let broken = restore(&place, &restore_to(&dir), &|_, _| {}).await.unwrap();
    assert_eq!(broken.damaged.len(), 1, "a damaged file is not restored, and said");
    rig.pass(std::time::Duration::from_secs(1));
    let again = backup(&rig.engine, &place, &BackupOptions::default(), &|_, _| {}).await.unwrap();
    assert_eq!((again.copied, again.damaged.len()), (1, 0));
    assert_eq!(fs::read(&path).unwrap(), bytes);

    let source = rig.on_disk(".parquet").remove(0);
    fs::write(&source, &flipped).unwrap();
    fs::remove_dir_all(target.path()).unwrap();
    let report = backup(&rig.engine, &place, &BackupOptions::default(), &|_, _| {}).await.unwrap();
    assert_eq!(report.damaged.len(), 1);
}

#[tokio::test]
async fn a_restore_does_not_touch_other_data() {
    let rig = Rig::new().await;
    let target = TempDir::new().unwrap();
    let place = BackupPlace::Folder(target.path().to_owned());
    rig.spans(&[(0, "a")]).await;
    let empty = restore(&place, &restore_to(&TempDir::new().unwrap()), &|_, _| {}).await;
    assert!(matches!(empty, Err(Error::NoBackup { .. })), "{empty:?}");
    backup(&rig.engine, &place, &BackupOptions::default(), &|_, _| {}).await.unwrap();
    let locked = restore(&place, &restore_to(&rig.dir), &|_, _| {}).await;
    assert!(matches!(locked, Err(Error::Locked { .. })), "{locked:?}");
    let other = Rig::new().await;
    other.spans(&[(0, "x")]).await;
    other.spans(&[(0, "y")]).await;
    let dir = other.dir;
    let clock = other.clock;
    other.engine.close().await.unwrap();
    let refused = restore(&place, &restore_to(&dir), &|_, _| {}).await;
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    let engine = Engine::open(options(dir.path(), &clock), decoder()).await.unwrap();
    let names: Vec<_> = rows(&engine).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["spans:x", "spans:y"]);
}
