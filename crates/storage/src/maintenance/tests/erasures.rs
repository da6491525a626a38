use sha2::{Digest, Sha256};
use tracehound_schema::{Dataset, Signal};

use super::{GRACE, Rig, acme, objects};
use crate::testing::{read_parquet, texts};
use crate::{ErasureRequest, Subject, VerifyOptions};

fn request(subject: Subject) -> ErasureRequest {
    ErasureRequest { subject, why: "a request by letter".into(), by: "dpo".into(), dry_run: false, now: false }
}

fn user(name: &str) -> Subject {
    Subject::User(name.to_owned())
}

/// The names of all rows in all Parquet files that are on the disk, live or not.
fn physical(rig: &Rig) -> Vec<String> {
    let mut names = Vec::new();
    for (path, bytes) in objects(&rig.store()) {
        if super::has_suffix(&path, ".parquet") {
            for batch in read_parquet(bytes.into()) {
                if batch.column_by_name("name").is_some() {
                    names.extend(texts(&batch, "name"));
                }
            }
        }
    }
    names.sort_unstable();
    names
}

async fn names(rig: &Rig) -> Vec<String> {
    rig.rows().await.into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn a_user_is_erased_from_every_file_and_the_chain_still_verifies() {
    let rig = Rig::new().await;
    rig.spans(&[(0, "login@alice"), (0, "login@bob"), (3, "read@alice")]).await;
    rig.append(Signal::Metrics, &[(0, "count@alice"), (0, "count")]).await;
    rig.spans(&[(0, "pay@bob"), (80, "old@alice")]).await;
    rig.engine.maintenance().compact(&acme(), None, None).await.unwrap();
    // Only in the WAL so far.
    rig.append(Signal::Traces, &[(0, "late@alice"), (0, "late@bob")]).await;
    let before = rig.rows().await;

    let dry = ErasureRequest { dry_run: true, ..request(user("alice")) };
    let dry = rig.engine.maintenance().erase(&acme(), &dry).await.unwrap();
    assert_eq!(dry.rows, 4, "unflushed rows are not counted by a dry run");
    assert_eq!(rig.rows().await, before);

    let report = rig.engine.maintenance().erase(&acme(), &request(user("alice"))).await.unwrap();
    assert_eq!((report.rows, report.datasets[&Dataset::Spans], report.datasets[&Dataset::Metrics]), (5, 4, 1));
    assert!(report.gone_at_ns.is_some() && !report.entries.is_empty() && report.unreadable.is_empty());
    let left = ["metrics:count", "spans:late@bob", "spans:login@bob", "spans:pay@bob"];
    assert_eq!(names(&rig).await, left);
    let commits = |name: &str| before.iter().find(|row| row.0 == name).map(|row| row.1);
    for (name, commit) in rig.rows().await {
        if !name.contains("late") {
            assert_eq!(Some(commit), commits(&name), "what stays keeps its _commit");
        }
    }
    assert!(physical(&rig).iter().any(|name| name.contains("alice")), "within the grace");
    rig.pass(GRACE * 2);
    rig.engine.maintenance().sweep(&acme()).await.unwrap();
    assert!(!physical(&rig).iter().any(|name| name.contains("alice")), "and then gone");

    let options = VerifyOptions { deep: true, quarantine: false };
    let verified = rig.engine.maintenance().verify(&acme(), &options, &|_| {}).await.unwrap();
    assert_eq!(verified.defects, []);
    let rig = rig.reopen().await;
    assert_eq!(names(&rig).await, left);
    let again = rig.engine.maintenance().erase(&acme(), &request(user("alice"))).await.unwrap();
    assert_eq!((again.rows, again.entries.len()), (0, 0));
    assert_eq!((again.subject, again.key), (report.subject, report.key), "the key stays");
}

#[tokio::test]
async fn the_manifest_names_the_subject_by_hmac_only() {
    let rig = Rig::new().await;
    rig.spans(&[(0, "login@alice"), (0, "login@bob")]).await;
    let report = rig.engine.maintenance().erase(&acme(), &request(user("alice"))).await.unwrap();
    let entries = rig.on_disk(".json");
    let texts: Vec<_> = entries.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert!(texts.iter().all(|text| !text.contains("alice")));
    let erasing: Vec<_> = texts.iter().filter(|text| text.contains(&report.subject)).collect();
    assert_eq!(erasing.len(), 1);
    assert!(erasing[0].contains("a request by letter") && erasing[0].contains("\"by\":\"dpo\""));
    let key = std::fs::read(rig.dir.path().join("erasure.key")).unwrap();
    assert_eq!(key.len(), 32);
    assert_eq!(report.key, hex::encode(&Sha256::digest(&key)[..4]));
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(rig.dir.path().join("erasure.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_trace_is_erased_by_its_id_and_at_once_if_asked() {
    let rig = Rig::new().await;
    rig.spans(&[(0, "a"), (0, "b"), (5, "a")]).await;
    rig.engine.maintenance().compact(&acme(), None, None).await.unwrap();
    let trace = *Sha256::digest("a").first_chunk::<16>().unwrap();
    let now = ErasureRequest { now: true, ..request(Subject::Trace(trace)) };
    let report = rig.engine.maintenance().erase(&acme(), &now).await.unwrap();
    assert_eq!((report.rows, report.gone_at_ns), (2, None));
    assert_eq!(names(&rig).await, ["spans:b"]);
    assert_eq!(physical(&rig), ["b"], "files that were merged before went too");
}

#[tokio::test]
async fn a_tenant_is_erased_and_its_log_stays() {
    let rig = Rig::new().await;
    rig.spans(&[(0, "a"), (200, "b"), (0, "!bad")]).await;
    let now = ErasureRequest { now: true, ..request(Subject::Tenant) };
    let report = rig.engine.maintenance().erase(&acme(), &now).await.unwrap();
    assert_eq!(report.rows, 3);
    assert_eq!(names(&rig).await, [""; 0]);
    assert!(rig.on_disk(".parquet").is_empty() && rig.on_disk(".index").is_empty());
    assert!(!rig.on_disk(".json").is_empty());
    rig.spans(&[(0, "new")]).await;
    let rig = rig.reopen().await;
    assert_eq!(names(&rig).await, ["spans:new"], "it can go on");
}
