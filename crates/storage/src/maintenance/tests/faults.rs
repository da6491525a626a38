//! Maintenance that is killed at any point, and stores that fail at any call.

use std::fmt;
use std::future::Future;
use std::path::Path as FilePath;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::Poll;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use proptest::prelude::*;
use tempfile::TempDir;
use tracehound_schema::{Dataset, Signal};

use super::{GRACE, Rig, acme, body, objects, options, rows};
use crate::testing::{decode, decoder};
use crate::{Engine, ErasureRequest, Options, Subject, VerifyOptions};

/// Copies a data directory as a kill would leave it; manifests before the files that they name.
fn crash(from: &FilePath) -> TempDir {
    let to = TempDir::new().unwrap();
    let manifest = |path: &FilePath| super::has_suffix(path, ".json");
    for first in [true, false] {
        for (path, bytes) in objects(from).into_iter().filter(|(path, _)| manifest(path) == first) {
            let target = to.path().join(path.strip_prefix(from).unwrap());
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, bytes).unwrap();
        }
    }
    to
}

/// Polls a future so often, then drops it; whether it ended before.
async fn polled<F: Future>(future: F, times: u32) -> bool {
    let mut future = Box::pin(future);
    let mut left = times;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match Pin::as_mut(&mut future).poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn reopened(dir: &FilePath, clock: &Arc<AtomicI64>) -> Engine {
    Engine::open(options(dir, clock), decoder()).await.unwrap()
}

async fn assert_verifies(engine: &Engine) {
    let deep = VerifyOptions { deep: true, quarantine: false };
    let report = engine.maintenance().verify(&acme(), &deep, &|_| {}).await.unwrap();
    assert_eq!(report.defects, []);
}

async fn filled() -> Rig {
    let rig = Rig::new().await;
    for names in [["a", "b@bob"], ["c", "d"], ["e@bob", "f"]] {
        rig.append(Signal::Metrics, &[(0, names[0])]).await;
        rig.spans(&[(0, names[0]), (0, "x@bob"), (1, names[1])]).await;
    }
    rig
}

#[tokio::test]
async fn compaction_killed_at_any_point_keeps_every_row_once() {
    for times in 0..200 {
        let rig = filled().await;
        let before = rig.rows().await;
        let maintenance = rig.engine.maintenance();
        let ended = polled(maintenance.compact(&acme(), None, None), times).await;
        assert_eq!(rig.rows().await, before, "killed after {times} polls");
        let left = crash(rig.dir.path());
        let engine = reopened(left.path(), &rig.clock).await;
        assert_eq!(rows(&engine).await, before, "killed after {times} polls, and restarted");
        engine.maintenance().compact(&acme(), None, None).await.unwrap();
        assert_eq!(rows(&engine).await, before);
        assert_verifies(&engine).await;
        // What the kill left goes after the grace.
        super::age(&left.path().join("store"));
        engine.maintenance().sweep(&acme()).await.unwrap();
        rig.pass(GRACE * 2);
        engine.maintenance().sweep(&acme()).await.unwrap();
        let live: usize =
            objects(&left.path().join("store")).into_keys().filter(|p| super::has_suffix(p, ".parquet")).count();
        let mut files = 0;
        for dataset in Dataset::ALL {
            files += engine.snapshot(&acme()).files(dataset, i64::MIN..=i64::MAX).await.unwrap().len();
        }
        assert_eq!(live, files, "no orphans");
        assert_eq!(rows(&engine).await, before);
        // The process that did not learn whether it committed must not sweep what it did commit.
        super::age(&rig.store());
        for _ in 0..2 {
            rig.engine.maintenance().sweep(&acme()).await.unwrap();
            rig.pass(GRACE * 2);
        }
        let rig = rig.reopen().await;
        assert_eq!(rig.rows().await, before, "killed after {times} polls, and swept");
        if ended {
            return;
        }
    }
    panic!("compaction does not end");
}

#[tokio::test]
async fn an_erasure_killed_at_any_point_can_be_asked_for_again() {
    let request = ErasureRequest {
        subject: Subject::User("bob".to_owned()),
        why: String::new(),
        by: "test".to_owned(),
        dry_run: false,
        now: false,
    };
    for times in (0..400).step_by(3) {
        let rig = filled().await;
        let others =
            |rows: Vec<(String, u64)>| rows.into_iter().filter(|row| !row.0.contains("bob")).collect::<Vec<_>>();
        let before = others(rig.rows().await);
        let ended = polled(rig.engine.maintenance().erase(&acme(), &request), times).await;
        let left = crash(rig.dir.path());
        let engine = reopened(left.path(), &rig.clock).await;
        assert_eq!(others(rows(&engine).await), before, "killed after {times} polls");
        engine.maintenance().erase(&acme(), &request).await.unwrap();
        assert_eq!(rows(&engine).await, before);
        assert_verifies(&engine).await;
        if ended {
            return;
        }
    }
    panic!("erasing does not end");
}

/// A store that fails one call, before or after it did what was asked.
#[derive(Debug)]
struct Failing {
    inner: InMemory,
    calls: AtomicU64,
    fails_at: AtomicU64,
    applied: bool,
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that fails")
    }
}

fn broken() -> StoreError {
    StoreError::Generic { store: "test", source: "500".into() }
}

impl Failing {
    fn is_now(&self) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed) == self.fails_at.load(Ordering::Relaxed)
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let fails = self.is_now();
        if fails && !self.applied {
            return Err(broken());
        }
        let outcome = work.await;
        if fails { Err(broken()) } else { outcome }
    }
}

impl ObjectStore for Failing {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> BoxFuture<'c, Result<PutResult>>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(self.call(self.inner.put_opts(location, payload, opts)))
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        opts: PutMultipartOptions,
    ) -> BoxFuture<'c, Result<Box<dyn MultipartUpload>>>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(self.call(self.inner.put_multipart_opts(location, opts)))
    }

    fn get_opts<'a, 'b, 'c>(&'a self, location: &'b Path, options: GetOptions) -> BoxFuture<'c, Result<GetResult>>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(self.call(self.inner.get_opts(location, options)))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if self.is_now() {
            return futures::stream::once(async { Err(broken()) }).boxed();
        }
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.is_now() {
            return futures::stream::once(async { Err(broken()) }).boxed();
        }
        self.inner.list(prefix)
    }

    fn list_with_delimiter<'a, 'b, 'c>(&'a self, prefix: Option<&'b Path>) -> BoxFuture<'c, Result<ListResult>>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(self.call(self.inner.list_with_delimiter(prefix)))
    }

    fn copy_opts<'a, 'b, 'c, 'd>(
        &'a self,
        from: &'b Path,
        to: &'c Path,
        options: CopyOptions,
    ) -> BoxFuture<'d, Result<()>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
    {
        Box::pin(self.call(self.inner.copy_opts(from, to, options)))
    }
}

#[tokio::test]
async fn a_store_that_fails_at_any_call_loses_and_doubles_nothing() {
    for applied in [false, true] {
        for fails_at in 0..400 {
            let store = Failing {
                inner: InMemory::new(),
                calls: AtomicU64::new(0),
                fails_at: AtomicU64::new(u64::MAX),
                applied,
            };
            let store = Arc::new(store);
            let rig = {
                let store = Arc::clone(&store) as Arc<dyn ObjectStore>;
                Rig::with(|options: &mut Options| options.store.object_store = Some(store)).await
            };
            for names in [["a", "b"], ["c", "d"]] {
                rig.spans(&[(0, names[0]), (1, names[1])]).await;
            }
            let before = rig.rows().await;
            store.calls.store(0, Ordering::Relaxed);
            store.fails_at.store(fails_at, Ordering::Relaxed);
            let maintenance = rig.engine.maintenance();
            let outcome = maintenance.compact(&acme(), None, None).await;
            let reached = store.calls.load(Ordering::Relaxed) > fails_at;
            store.fails_at.store(u64::MAX, Ordering::Relaxed);
            assert_eq!(rig.rows().await, before, "call {fails_at} failed, applied: {applied}: {outcome:?}");
            // A failed unit waits before it is tried again.
            rig.pass(GRACE);
            maintenance.compact(&acme(), None, None).await.unwrap();
            assert_eq!((rig.rows().await, rig.files(Dataset::Spans).await), (before, 2));
            assert_verifies(&rig.engine).await;
            if !reached {
                assert!(fails_at > 5, "nothing was called");
                break;
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(i64, u8)>),
    Flush,
    Compact,
    Sweep,
    Pass,
    Reopen,
    /// Retention and erasure of nothing.
    Nothing,
}

fn step() -> impl Strategy<Value = Step> {
    let rows = prop::collection::vec((prop_oneof![4 => 0i64..4, 1 => 0i64..2000], any::<u8>()), 1..60);
    prop_oneof![
        4 => rows.prop_map(Step::Append),
        3 => Just(Step::Flush),
        2 => Just(Step::Compact),
        1 => Just(Step::Sweep),
        1 => Just(Step::Pass),
        1 => Just(Step::Reopen),
        1 => Just(Step::Nothing),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Any mix of maintenance leaves every row, once, with the `_commit` it had.
    #[test]
    fn maintenance_changes_no_row(steps in prop::collection::vec(step(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut rig = Rig::new().await;
            let mut expected: Vec<String> = Vec::new();
            let mut commits = std::collections::BTreeMap::new();
            let mut number = 0;
            for step in steps {
                match step {
                    Step::Append(rows) => {
                        let lines: Vec<_> = rows.iter().map(|(hours, name)| {
                            number += 1;
                            (*hours, format!("{name}-{number}"))
                        }).collect();
                        let lines: Vec<_> = lines.iter().map(|(hours, name)| (*hours, name.as_str())).collect();
                        expected.extend(lines.iter().map(|(_, name)| format!("spans:{name}")));
                        let payload = body(Signal::Traces, &lines);
                        let decoded = decode(&payload).unwrap();
                        rig.engine.append(payload, decoded).await.unwrap();
                    }
                    Step::Flush => rig.engine.flush().await.unwrap(),
                    Step::Compact => {
                        if !expected.is_empty() {
                            rig.engine.maintenance().compact(&acme(), None, None).await.unwrap();
                        }
                    }
                    Step::Sweep => {
                        if !expected.is_empty() {
                            rig.engine.maintenance().sweep(&acme()).await.unwrap();
                        }
                    }
                    Step::Pass => rig.pass(GRACE),
                    Step::Reopen => rig = rig.reopen().await,
                    Step::Nothing => {
                        if !expected.is_empty() {
                            let policy = crate::RetentionPolicy::default();
                            rig.engine.maintenance().retain(&acme(), &policy, false).await.unwrap();
                            let subject = Subject::User("nobody".to_owned());
                            let request = ErasureRequest {
                                subject, why: String::new(), by: String::new(), dry_run: false, now: true,
                            };
                            rig.engine.maintenance().erase(&acme(), &request).await.unwrap();
                        }
                    }
                }
                let found = rig.rows().await;
                expected.sort_unstable();
                assert_eq!(found.iter().map(|row| row.0.clone()).collect::<Vec<_>>(), expected);
                for (name, commit) in found.into_iter().filter(|row| row.1 > 0) {
                    assert_eq!(*commits.entry(name).or_insert(commit), commit, "a row keeps its _commit");
                }
            }
            if !expected.is_empty() {
                rig.engine.flush().await.unwrap();
                assert_verifies(&rig.engine).await;
            }
        });
    }
}
