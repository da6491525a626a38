use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::{fs, io, path::Path};

use bytes::Bytes;
use tracehound_schema::Dataset;
use ulid::Ulid;

use super::entry::{Entry, Erasure, ErasureKind, File, Operation, Payload, Removed, Sidecar, WalRange, Writer};
use super::log::{Attempt, EntryStore, Head, Intent, attempt};
use super::segment::{Segment, SegmentRef};
use super::{State, Time, Wanted};
use crate::partition::Part;
use crate::testing::NOW_NS;
use crate::{Error, Origin};

const DIRECTORY: Ulid = Ulid(7);

/// What a scripted store does with a create.
#[derive(Debug, Clone)]
enum Outcome {
    Created,
    /// The answer is lost: the entry is there all the same.
    ErrorButWritten,
    /// As when object_store repeats a create whose answer was lost.
    LoseToOneself,
    ErrorNotWritten,
    /// Somebody else was faster.
    OtherFirst(Box<Intent>),
    SyncFailed,
}

/// An in-memory store with scripted outcomes; then all goes well.
#[derive(Default)]
struct Scripted {
    entries: Mutex<BTreeMap<u64, Bytes>>,
    script: Mutex<VecDeque<Outcome>>,
    unreadable: Mutex<u32>,
}

fn failure(path: &Path) -> Error {
    Error::io(path, io::Error::other("scripted"))
}

impl EntryStore for Scripted {
    async fn create(&self, entry: u64, bytes: Bytes) -> Result<(), Error> {
        let outcome = self.script.lock().unwrap().pop_front().unwrap_or(Outcome::Created);
        let mut entries = self.entries.lock().unwrap();
        if entries.contains_key(&entry) {
            return Err(failure(&self.path(entry)));
        }
        match outcome {
            Outcome::Created => {
                entries.insert(entry, bytes);
                return Ok(());
            }
            Outcome::ErrorButWritten | Outcome::LoseToOneself => {
                entries.insert(entry, bytes);
            }
            Outcome::ErrorNotWritten => {}
            Outcome::OtherFirst(other) => {
                let mine = Entry::decode(Path::new("x"), &bytes).unwrap();
                let theirs = Entry { writer: other.writer, add: other.add, wal: other.wal, ..mine };
                entries.insert(entry, theirs.encode().into());
            }
            Outcome::SyncFailed => {
                entries.insert(entry, bytes);
                return Err(Error::Poisoned { detail: "scripted".to_owned() });
            }
        }
        Err(failure(&self.path(entry)))
    }

    async fn read(&self, entry: u64) -> Result<Option<Bytes>, Error> {
        let mut unreadable = self.unreadable.lock().unwrap();
        if *unreadable > 0 {
            *unreadable -= 1;
            return Err(failure(&self.path(entry)));
        }
        Ok(self.entries.lock().unwrap().get(&entry).cloned())
    }

    async fn segment(&self, _: (Dataset, Part), _: &SegmentRef) -> Result<Arc<Segment>, Error> {
        Err(Error::internal("there are no checkpoints here"))
    }

    fn path(&self, entry: u64) -> PathBuf {
        format!("manifest/{entry}").into()
    }
}

fn file(id: u64) -> File {
    File {
        dataset: Dataset::Spans,
        path: format!("spans/hour=2026-11-22T15/{}.parquet", Ulid(id.into())),
        bytes: 1234,
        rows: 5,
        sha256: "ab".repeat(32),
        hours: ("2026-11-22T15".parse().unwrap(), "2026-11-22T15".parse().unwrap()),
        event_time: (Time(NOW_NS), Time(NOW_NS + 1)),
        ingest_time: (Time(NOW_NS), Time(NOW_NS)),
        sort: "slice10m,service_name,name,start_time".to_owned(),
        schema: 1,
        mapping: 1,
        origin: Origin::Live,
        sidecar: None,
        commits: None,
    }
}

/// Tries until an intent is committed, whoever comes first.
async fn commit(store: &Scripted, head: &mut Head, intent: &Intent, now_ns: i64) -> Result<Entry, Error> {
    loop {
        if let Attempt::Committed(entry) = attempt(store, head, intent, now_ns).await? {
            return Ok(entry);
        }
    }
}

fn intent(id: u64, from: u64, to: u64) -> Intent {
    let payload = |h: u8, r: u64, m: &str| Payload { h: [h; 16], t: Time(NOW_NS), a: 2, r, m: m.to_owned() };
    Intent {
        tenant: "acme".parse().unwrap(),
        operation: Operation::Flush,
        writer: Writer { epoch: Ulid(1), commit: Ulid(id.into()) },
        add: vec![file(id)],
        remove: Vec::new(),
        wal: Some(WalRange { directory: DIRECTORY, from, to }),
        payloads: vec![payload(0xaa, 0, ""), payload(0xbb, 1, "1 rejected")],
        reason: None,
        erasure: None,
    }
}

fn head() -> Head {
    Head::new(State::new("acme".parse().unwrap(), DIRECTORY))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn check(script: &[Outcome], expected: Result<u64, &str>) {
    let store = Scripted { script: Mutex::new(script.iter().cloned().collect()), ..Default::default() };
    let mut head = head();
    let outcome = run(commit(&store, &mut head, &intent(9, 1, 4), NOW_NS));
    let entries = store.entries.lock().unwrap();
    let ours = |bytes: &&Bytes| Entry::decode(Path::new("x"), bytes).unwrap().writer.commit == Ulid(9);
    let written = entries.values().filter(ours).count();
    match expected {
        Ok(number) => {
            assert_eq!(outcome.unwrap().entry, number, "{script:?}");
            assert_eq!(written, 1, "{script:?}");
            assert_eq!(head.state.entry(), number);
            assert_eq!(head.state.committed_through(), Some(4));
        }
        Err(text) => {
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains(text), "{script:?}: {error}");
        }
    }
}

#[test]
fn an_intent_becomes_one_entry_whatever_the_store_answers() {
    use Outcome::*;
    let other = |wal| OtherFirst(Box::new(Intent { wal, ..intent(5, 0, 0) }));
    let elsewhere = Some(WalRange { directory: Ulid(99), from: 1, to: 4 });
    check(&[Created], Ok(1));
    check(&[ErrorButWritten], Ok(1));
    check(&[LoseToOneself], Ok(1));
    check(&[ErrorNotWritten, Created], Ok(1));
    check(&[ErrorNotWritten, ErrorNotWritten, ErrorButWritten], Ok(1));
    check(&[ErrorNotWritten, ErrorNotWritten, ErrorNotWritten], Err("i/o error"));
    check(&[other(None), Created], Ok(2));
    check(&[other(None), ErrorNotWritten, other(elsewhere), LoseToOneself], Ok(3));
    check(&[SyncFailed], Err("writes are refused until restart"));
}

#[test]
fn an_open_outcome_is_settled_by_committing_the_same_intent_again() {
    let store = Scripted::default();
    store.script.lock().unwrap().push_back(Outcome::ErrorButWritten);
    *store.unreadable.lock().unwrap() = 1;
    let mut head = head();
    let first = run(commit(&store, &mut head, &intent(9, 1, 4), NOW_NS));
    assert!(matches!(first, Err(Error::Io { .. })));
    assert_eq!(head.state.entry(), 0);
    let second = run(commit(&store, &mut head, &intent(9, 1, 4), NOW_NS + 1)).unwrap();
    assert_eq!((second.entry, store.entries.lock().unwrap().len()), (1, 1));
}

#[test]
fn an_entry_that_removes_what_is_not_live_is_refused() {
    let store = Scripted::default();
    let mut head = head();
    run(commit(&store, &mut head, &intent(9, 1, 4), NOW_NS)).unwrap();
    let remove = vec![Removed { dataset: Dataset::Spans, path: file(9).path }];
    let compact = |id| Intent { remove: remove.clone(), wal: None, ..intent(id, 0, 0) };
    run(commit(&store, &mut head, &compact(10), NOW_NS)).unwrap();
    let live = run(head.state.files(&store, Dataset::Spans, &Wanted::ALL)).unwrap();
    let live: Vec<_> = live.iter().map(|file| file.commit).collect();
    assert_eq!(live, [2]);
    let error = run(commit(&store, &mut head, &compact(11), NOW_NS)).unwrap_err();
    assert!(error.to_string().contains("not live"), "{error}");
}

#[test]
fn entries_out_of_their_chain_are_refused() {
    let store = Scripted::default();
    let mut head = head();
    let first = run(commit(&store, &mut head, &intent(9, 1, 4), NOW_NS)).unwrap();
    let forged = Entry { entry: 2, previous: Some("00".repeat(32)), ..first };
    let error = run(head.clone().advance(&store, &forged, &forged.encode())).unwrap_err();
    assert!(error.to_string().contains("hash of the entry before"), "{error}");
    let skipped = Entry { entry: 3, previous: head.hash.clone(), ..forged };
    let error = run(head.advance(&store, &skipped, &skipped.encode())).unwrap_err();
    assert!(error.to_string().contains("entry 3 follows entry 1"), "{error}");
}

#[test]
fn files_outside_their_folder_are_refused() {
    let entry = |path: &str| Entry {
        format: 1,
        entry: 1,
        tenant: "acme".parse().unwrap(),
        previous: None,
        operation: Operation::Flush,
        writer: intent(9, 1, 1).writer,
        time: Time(NOW_NS),
        add: vec![File { path: path.to_owned(), ..file(9) }],
        remove: Vec::new(),
        wal: None,
        payloads: Vec::new(),
        reason: None,
        erasure: None,
    };
    for path in ["spans/../../tenant=beta/x", "/spans/x", "logs/x", "spans//x", "", "../spans/x"] {
        let decoded = Entry::decode(Path::new("x"), &entry(path).encode());
        assert!(matches!(decoded, Err(Error::Corrupt { .. })), "{path:?} was accepted");
    }
    assert!(Entry::decode(Path::new("x"), &entry("spans/late/x.parquet").encode()).is_ok());
}

#[test]
fn a_newer_entry_is_named_as_such() {
    let error = Entry::decode(Path::new("x/2.json"), br#"{"format":3,"surprise":true}"#).unwrap_err();
    assert_eq!(error.to_string(), "file \"x/2.json\" has format 3, this release reads up to 2");
}

/// The format is frozen: this fails if a byte of it changes.
fn check_fixture(name: &str, entry: &Entry) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/format").join(name);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&path, entry.encode()).unwrap();
    }
    let fixture = fs::read(&path).unwrap();
    assert_eq!(String::from_utf8(entry.encode()).unwrap(), String::from_utf8_lossy(&fixture));
    assert_eq!(Entry::decode(&path, &fixture).unwrap(), *entry);
}

fn fixture_entry() -> Entry {
    let intent = intent(9, 1, 4);
    Entry {
        format: 1,
        entry: 42,
        tenant: intent.tenant,
        previous: Some("cd".repeat(32)),
        operation: Operation::Compact,
        writer: intent.writer,
        time: Time(NOW_NS),
        add: intent.add,
        remove: vec![Removed { dataset: Dataset::IngestRejects, path: "ingest_rejects/late/x.parquet".to_owned() }],
        wal: intent.wal,
        payloads: intent.payloads,
        reason: None,
        erasure: None,
    }
}

#[test]
fn the_entry_fixture_of_version_1_still_opens() {
    check_fixture("entry.json", &fixture_entry());
}

#[test]
fn the_entry_fixture_of_version_2_is_what_the_code_writes() {
    let sidecar =
        Sidecar { path: format!("spans/hour=2026-11-22T15/{}.index", Ulid(9)), bytes: 99, sha256: "ef".repeat(32) };
    let add = vec![File { sidecar: Some(sidecar), commits: Some((3, 41)), ..file(9) }];
    let erasure = Erasure {
        kind: ErasureKind::User,
        subject: "12".repeat(32),
        key: "89abcdef".to_owned(),
        by: "operator".to_owned(),
        rows: 7,
    };
    let reason = Some("request 4711".to_owned());
    let entry =
        Entry { format: 2, operation: Operation::Erase, add, reason, erasure: Some(erasure), ..fixture_entry() };
    check_fixture("entry-v2.json", &entry);
}
