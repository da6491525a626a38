use std::fs;

use super::{Rig, acme};
use crate::{DefectKind, Error, VerifyOptions};

const DEEP: VerifyOptions = VerifyOptions { deep: true, quarantine: false };

async fn defects(rig: &Rig) -> Vec<(DefectKind, String)> {
    let report = rig.engine.maintenance().verify(&acme(), &DEEP, &|_| {}).await.unwrap();
    report.defects.into_iter().map(|defect| (defect.kind, defect.path)).collect()
}

async fn mixed() -> Rig {
    let rig = Rig::new().await;
    rig.spans(&[(0, "a"), (1, "b@bob"), (0, "!bad")]).await;
    rig.spans(&[(0, "c"), (1, "d")]).await;
    rig.engine.maintenance().compact(&acme(), None, None).await.unwrap();
    rig.spans(&[(0, "e")]).await;
    rig
}

#[tokio::test]
async fn what_was_written_verifies() {
    let rig = mixed().await;
    let report = rig.engine.maintenance().verify(&acme(), &DEEP, &|_| {}).await.unwrap();
    assert_eq!(report.defects, []);
    assert_eq!((report.files, report.rows, report.entries), (4, 6, report.entry));
    assert!(report.unnamed > 0, "superseded files are counted");
    let rig = rig.reopen().await;
    assert_eq!(defects(&rig).await, []);
}

/// Each bit of each object that an answer or its proof comes from, by sample.
#[tokio::test]
async fn verify_finds_flipped_bits_and_names_their_object() {
    let rig = mixed().await;
    let rig = rig.reopen().await;
    let live = rig.engine.snapshot(&acme());
    let mut wanted = Vec::new();
    for dataset in tracehound_schema::Dataset::ALL {
        for file in live.files(dataset, i64::MIN..=i64::MAX).await.unwrap() {
            wanted.push(file.path.to_string());
            wanted.extend(file.sidecar.as_ref().map(|sidecar| sidecar.path.to_string()));
        }
    }
    let proofs = rig
        .on_disk(".json")
        .into_iter()
        .map(|path| path.strip_prefix(rig.store()).unwrap().to_str().unwrap().to_owned());
    wanted.extend(proofs);
    assert!(wanted.len() > 6);
    let mut flips = 0;
    for object in wanted {
        let path = rig.store().join(&object);
        let whole = fs::read(&path).unwrap();
        let step = (whole.len() / 12).max(1);
        for at in (0..whole.len()).step_by(step) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, &flipped).unwrap();
            let found = match rig.engine.maintenance().verify(&acme(), &DEEP, &|_| {}).await {
                Ok(report) => report.defects.iter().any(|defect| object.ends_with(&defect.path)),
                // Of a newer format, as it seems.
                Err(Error::NewerFormat { path, .. }) => path.ends_with(&object),
                Err(error) => panic!("{error}"),
            };
            assert!(found, "byte {at} of {object}");
            flips += 1;
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(!defects(&rig).await.is_empty(), "{object} cut short");
        fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert!(!defects(&rig).await.is_empty(), "{object} with more");
        fs::remove_file(&path).unwrap();
        let missing = defects(&rig).await;
        // Nobody misses an old root.
        assert!(!missing.is_empty() || object.contains("/checkpoint/"), "{object} is gone");
        fs::write(&path, &whole).unwrap();
    }
    assert!(flips > 60, "{flips} flips");
    assert_eq!(defects(&rig).await, []);
}

#[tokio::test]
async fn a_damaged_file_is_quarantined_by_verify_and_released_by_hand() {
    let rig = mixed().await;
    let path = rig.on_disk(".parquet").into_iter().last().unwrap();
    let files =
        rig.engine.snapshot(&acme()).files(tracehound_schema::Dataset::Spans, i64::MIN..=i64::MAX).await.unwrap();
    let file = files.last().unwrap();
    let path = path.parent().map(|_| rig.store().join(file.path.as_ref())).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    fs::write(&path, damaged).unwrap();
    let options = VerifyOptions { deep: false, quarantine: true };
    let report = rig.engine.maintenance().verify(&acme(), &options, &|_| {}).await.unwrap();
    assert_eq!(report.quarantined.len(), 1);
    assert!(rig.engine.snapshot(&acme()).quarantined(file).is_some());
    assert_eq!(rig.engine.status().maintenance.quarantined, 1);
    let rig = rig.reopen().await;
    let snapshot = rig.engine.snapshot(&acme());
    assert!(snapshot.quarantined(file).is_some(), "it is known after a restart");
    fs::write(&path, whole).unwrap();
    assert_eq!(rig.engine.maintenance().quarantined(&acme()).await.unwrap().len(), 1);
    assert!(rig.engine.maintenance().release(&acme(), &report.quarantined[0]).await.unwrap());
    assert!(rig.engine.snapshot(&acme()).quarantined(file).is_none());
    let missing = rig.engine.maintenance().quarantine(&acme(), "spans/hour=x/y.parquet", "test").await;
    assert!(matches!(missing, Err(Error::NoSuchFile { .. })));
}

#[tokio::test]
async fn a_damaged_input_does_not_stop_the_other_hours() {
    let rig = Rig::new().await;
    rig.spans(&[(0, "a"), (1, "b")]).await;
    rig.spans(&[(0, "c"), (1, "d")]).await;
    let files =
        rig.engine.snapshot(&acme()).files(tracehound_schema::Dataset::Spans, i64::MIN..=i64::MAX).await.unwrap();
    let path = rig.store().join(files[0].path.as_ref());
    let mut bytes = fs::read(&path).unwrap();
    for byte in &mut bytes[4..200] {
        *byte ^= 0x55;
    }
    fs::write(&path, bytes).unwrap();
    let report = rig.engine.maintenance().compact(&acme(), None, None).await.unwrap();
    assert_eq!(report.quarantined.len(), 1);
    assert_eq!(rig.files(tracehound_schema::Dataset::Spans).await, 3, "the other hour is one file now");
}
