use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;
use tracehound_schema::{Dataset, Hour, TenantId};
use ulid::Ulid;

use super::super::log::{Attempt, Entries, Head, Intent, attempt};
use super::super::root::Root;
use super::super::segment::Segment;
use super::super::{File, Operation, Removed, SegmentCache, State, Time, Wanted, Writer, follow, load};
use super::{prune, roots, write};
use crate::partition::Part;
use crate::store::Store;
use crate::testing::NOW_NS;
use crate::{Error, Origin};

const DIRECTORY: Ulid = Ulid(7);
const HOUR_NS: i64 = Hour::LENGTH_NS;

fn entries(memory: &Arc<InMemory>) -> Entries {
    let store = Store::remote(Arc::clone(memory) as Arc<dyn ObjectStore>, "memory:/", None);
    Entries { store, tenant: "acme".parse().unwrap(), segments: SegmentCache::new(1 << 20) }
}

fn empty() -> Head {
    Head::new(State::new("acme".parse().unwrap(), DIRECTORY))
}

/// Where a file of the tests goes.
#[derive(Debug, Clone, Copy)]
enum Place {
    Hour(i64),
    Day(i64),
    Late(i64, i64),
}

fn file(id: u64, dataset: Dataset, place: Place) -> File {
    let hour = |hour: i64| Hour::containing(NOW_NS + hour * HOUR_NS);
    let day = |day: i64| Hour::containing((NOW_NS.div_euclid(24 * HOUR_NS) + day) * 24 * HOUR_NS);
    let (folder, first, last) = match place {
        Place::Hour(at) => (format!("hour={}", hour(at)), hour(at), hour(at)),
        Place::Day(at) => {
            let last = Hour::containing(day(at).start_ns() + 23 * HOUR_NS);
            (format!("day={}", &day(at).to_string()[..10]), day(at), last)
        }
        Place::Late(from, to) => ("late".to_owned(), hour(from), hour(to)),
    };
    File {
        dataset,
        path: format!("{dataset}/{folder}/{}.parquet", Ulid(id.into())),
        bytes: 1000 + id,
        rows: 1 + id % 7,
        sha256: format!("{id:064x}"),
        hours: (first, last),
        event_time: (Time(first.start_ns()), Time(last.end_ns() - 1)),
        ingest_time: (Time(NOW_NS), Time(NOW_NS)),
        sort: "time".to_owned(),
        schema: 1,
        mapping: 1,
        origin: Origin::Live,
        sidecar: None,
        commits: id.is_multiple_of(3).then_some((1, 2)),
    }
}

async fn commit(entries: &Entries, head: &mut Head, add: Vec<File>, remove: Vec<Removed>) {
    let intent = Intent {
        tenant: entries.tenant.clone(),
        operation: Operation::Compact,
        writer: Writer { epoch: Ulid(1), commit: Ulid::new() },
        add,
        remove,
        wal: None,
        payloads: Vec::new(),
        reason: None,
        erasure: None,
    };
    let Attempt::Committed(_) = attempt(entries, head, &intent, NOW_NS).await.unwrap() else { panic!("overtaken") };
}

/// What the log says, kept by the simplest means.
#[derive(Debug, Default)]
struct Model {
    entry: u64,
    live: BTreeMap<String, (u64, File)>,
    versions: BTreeMap<(Dataset, Hour), u64>,
}

impl Model {
    fn touch(&mut self, file: &File) {
        let mut hour = file.hours.0;
        while hour <= file.hours.1 {
            self.versions.insert((file.dataset, hour), self.entry);
            hour = Hour::containing(hour.end_ns());
        }
    }

    fn apply(&mut self, add: &[File], remove: &[Removed]) {
        self.entry += 1;
        for removed in remove {
            let (_, file) = self.live.remove(&removed.path).unwrap();
            self.touch(&file);
        }
        for file in add {
            self.touch(file);
            self.live.insert(file.path.clone(), (self.entry, file.clone()));
        }
    }
}

async fn compare(entries: &Entries, head: &Head, model: &Model) {
    let state = &head.state;
    assert_eq!(state.entry(), model.entry);
    let all = Hour::containing(NOW_NS - 200 * HOUR_NS)..=Hour::containing(NOW_NS + 200 * HOUR_NS);
    for dataset in [Dataset::Spans, Dataset::Logs] {
        let live = || model.live.values().filter(|(_, file)| file.dataset == dataset);
        let mut expected: Vec<_> = live().map(|(entry, file)| file.live(&entries.tenant, *entry)).collect();
        expected.sort_by(|a, b| a.commit.cmp(&b.commit).then_with(|| a.path.cmp(&b.path)));
        let found = state.files(entries, dataset, &Wanted::ALL).await.unwrap();
        assert_eq!(found.iter().map(|file| file.as_ref().clone()).collect::<Vec<_>>(), expected);
        let totals = state.totals(dataset);
        assert_eq!(totals.files, live().count() as u64);
        assert_eq!(totals.rows, live().map(|(_, file)| file.rows).sum::<u64>());
        assert_eq!(totals.bytes, live().map(|(_, file)| file.bytes).sum::<u64>());
        // A range is answered as all is.
        let range = NOW_NS - 30 * HOUR_NS..=NOW_NS + HOUR_NS;
        expected.retain(|file| file.event_time.0 <= *range.end() && *range.start() <= file.event_time.1);
        let wanted = Wanted { event_time: range, commit_max: None };
        assert_eq!(state.files(entries, dataset, &wanted).await.unwrap().len(), expected.len());
        let versions = state.versions(entries, dataset, &all).await.unwrap();
        let of = model.versions.iter().filter(|((of, hour), _)| *of == dataset && all.contains(hour));
        assert_eq!(versions, of.map(|((_, hour), entry)| (*hour, *entry)).collect::<BTreeMap<_, _>>());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Commit {
        add: Vec<(bool, Place)>,
        remove: Vec<prop::sample::Index>,
    },
    Checkpoint,
    /// A checkpoint that is under way while others commit.
    CheckpointBeside(Vec<(bool, Place)>, Vec<prop::sample::Index>),
    Reopen,
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        4 => (-60..60_i64).prop_map(Place::Hour),
        2 => (-3..3_i64).prop_map(Place::Day),
        2 => (-60..60_i64, 0..50_i64).prop_map(|(from, length)| Place::Late(from, from + length)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let adds = || prop::collection::vec((any::<bool>(), place()), 0..4);
    let removes = || prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    prop_oneof![
        6 => (adds(), removes()).prop_map(|(add, remove)| Step::Commit { add, remove }),
        2 => Just(Step::Checkpoint),
        1 => (adds(), removes()).prop_map(|(add, remove)| Step::CheckpointBeside(add, remove)),
        1 => Just(Step::Reopen),
    ]
}

struct History {
    entries: Entries,
    head: Head,
    model: Model,
    files: u64,
}

impl History {
    async fn commit(&mut self, add: Vec<(bool, Place)>, remove: Vec<prop::sample::Index>) {
        let add = add.into_iter().map(|(is_spans, place)| {
            self.files += 1;
            file(self.files, if is_spans { Dataset::Spans } else { Dataset::Logs }, place)
        });
        let add: Vec<_> = add.collect();
        let live: Vec<_> = self.model.live.values().map(|(_, file)| (file.dataset, file.path.clone())).collect();
        let remove: BTreeSet<_> = if live.is_empty() {
            BTreeSet::new()
        } else {
            remove.iter().map(|index| index.get(&live).clone()).collect()
        };
        let remove: Vec<_> = remove.into_iter().map(|(dataset, path)| Removed { dataset, path }).collect();
        self.model.apply(&add, &remove);
        commit(&self.entries, &mut self.head, add, remove).await;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Commit { add, remove } => self.commit(add, remove).await,
            Step::Checkpoint => self.checkpoint_beside(Vec::new()).await,
            Step::CheckpointBeside(add, remove) => self.checkpoint_beside(vec![(add, remove)]).await,
            Step::Reopen => {
                // With a cold cache, as a new process has it.
                self.entries.segments = SegmentCache::new(1 << 20);
                let loaded = load(&self.entries, DIRECTORY, i64::MAX).await.unwrap();
                assert_eq!((loaded.damage, &loaded.head.hash), (Vec::new(), &self.head.hash));
                self.head = loaded.head;
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "as proptest makes it")]
    async fn checkpoint_beside(&mut self, commits: Vec<(Vec<(bool, Place)>, Vec<prop::sample::Index>)>) {
        let (state, hash) = (self.head.state.clone(), self.head.hash.clone());
        for (add, remove) in commits {
            self.commit(add, remove).await;
        }
        if state.entry() > state.base().entry {
            let base = write(&self.entries, &state, &hash.unwrap()).await.unwrap();
            self.head.state.rebase(base);
            prune(&self.entries, NOW_NS, i64::MAX).await.unwrap();
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_checkpointed_log_says_what_a_plain_replay_says(steps in prop::collection::vec(step(), 1..40)) {
        run(async {
            let memory = Arc::new(InMemory::new());
            let entries = entries(&memory);
            let mut history = History { entries, head: empty(), model: Model::default(), files: 0 };
            for step in steps {
                history.step(step).await;
                compare(&history.entries, &history.head, &history.model).await;
            }
            history.step(Step::Reopen).await;
            compare(&history.entries, &history.head, &history.model).await;
        });
    }
}

/// A log of six entries with a checkpoint after each second one.
async fn log_with_checkpoints(memory: &Arc<InMemory>) -> History {
    let mut history = History { entries: entries(memory), head: empty(), model: Model::default(), files: 0 };
    for number in 1..=6 {
        history.commit(vec![(true, Place::Hour(number)), (true, Place::Late(number, number + 40))], Vec::new()).await;
        if number % 2 == 0 {
            history.step(Step::Checkpoint).await;
        }
    }
    history
}

async fn objects(memory: &Arc<InMemory>, below: &str) -> Vec<String> {
    use futures::TryStreamExt;
    let listed: Vec<_> = memory.list(Some(&below.into())).try_collect().await.unwrap();
    listed.into_iter().map(|found| found.location.to_string()).collect()
}

#[test]
fn a_damaged_checkpoint_costs_time_and_nothing_else() {
    run(async {
        let memory = Arc::new(InMemory::new());
        let whole = log_with_checkpoints(&memory).await;
        assert_eq!(roots(&whole.entries).await.unwrap(), [2, 4, 6]);
        let checkpoints = objects(&memory, "tenant=acme/checkpoint").await;
        assert!(checkpoints.len() > 6, "{checkpoints:?}");
        for object in &checkpoints {
            let path: object_store::path::Path = object.as_str().into();
            let bytes = memory.get(&path).await.unwrap().bytes().await.unwrap();
            for at in [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 1;
                memory.put(&path, flipped.into()).await.unwrap();
                check_whole(&memory, &whole.model).await;
                memory.delete(&path).await.unwrap();
                check_whole(&memory, &whole.model).await;
                memory.put(&path, bytes.clone().into()).await.unwrap();
            }
        }
        // Without any, the log itself answers.
        for object in &checkpoints {
            memory.delete(&object.as_str().into()).await.unwrap();
        }
        check_whole(&memory, &whole.model).await;
    });
}

/// Opens a log anew and compares it, as a snapshot asks: again without a checkpoint that turns out to be damaged.
async fn check_whole(memory: &Arc<InMemory>, model: &Model) {
    let entries = entries(memory);
    let mut head = load(&entries, DIRECTORY, i64::MAX).await.unwrap().head;
    while let Err(Error::Corrupt { .. }) = head.state.files(&entries, Dataset::Spans, &Wanted::ALL).await {
        assert!(head.state.base().entry > 0);
        head = super::super::load_again(&entries, &head.state).await.unwrap();
    }
    compare(&entries, &head, model).await;
}

#[test]
fn a_checkpoint_of_another_chain_is_not_used() {
    run(async {
        let memory = Arc::new(InMemory::new());
        let whole = log_with_checkpoints(&memory).await;
        let other = Arc::new(InMemory::new());
        log_with_checkpoints(&other).await;
        for object in objects(&other, "tenant=acme/checkpoint").await {
            let bytes = other.get(&object.as_str().into()).await.unwrap().bytes().await.unwrap();
            memory.put(&object.as_str().into(), bytes.into()).await.unwrap();
        }
        let loaded = load(&entries(&memory), DIRECTORY, i64::MAX).await.unwrap();
        assert_eq!(loaded.damage.len(), 3);
        compare(&whole.entries, &loaded.head, &whole.model).await;
    });
}

#[test]
fn old_checkpoints_go_and_what_the_kept_ones_name_stays() {
    run(async {
        let memory = Arc::new(InMemory::new());
        let mut history = log_with_checkpoints(&memory).await;
        for number in 7..=20 {
            history.commit(vec![(true, Place::Hour(number % 3))], Vec::new()).await;
            history.step(Step::Checkpoint).await;
        }
        // All were made on one day, so the three newest are kept.
        assert_eq!(roots(&history.entries).await.unwrap(), [18, 19, 20]);
        let before = objects(&memory, "tenant=acme/checkpoint/segments").await.len();
        prune(&history.entries, i64::MAX, 0).await.unwrap();
        let after = objects(&memory, "tenant=acme/checkpoint/segments").await.len();
        assert!(after < before, "{before} segments, {after} after");
        history.step(Step::Reopen).await;
        compare(&history.entries, &history.head, &history.model).await;
    });
}

#[test]
fn a_hole_in_the_log_is_found_and_its_end_is_not_taken_for_one() {
    run(async {
        let memory = Arc::new(InMemory::new());
        let whole = log_with_checkpoints(&memory).await;
        let mut head = empty();
        follow(&whole.entries, &mut head, 4, |_| {}).await.unwrap();
        assert_eq!(head.state.entry(), 4);
        follow(&whole.entries, &mut head, u64::MAX, |_| {}).await.unwrap();
        assert_eq!(head.state.entry(), 6);
        let hole = crate::partition::manifest_entry(&"acme".parse::<TenantId>().unwrap(), 3);
        memory.delete(&hole.as_str().into()).await.unwrap();
        let error = follow(&whole.entries, &mut empty(), u64::MAX, |_| {}).await.unwrap_err();
        assert!(error.to_string().contains("00003.json\": the entry is missing"), "{error}");
    });
}

/// The format is frozen: this fails if a byte of it changes.
#[test]
fn the_checkpoint_fixtures_are_what_the_code_writes() {
    let tenant: TenantId = "acme".parse().unwrap();
    let key = (Dataset::Spans, Part::of_hour(Hour::containing(NOW_NS)));
    let live = |id: u64, commit| Arc::new(file(id, Dataset::Spans, Place::Hour(0)).live(&tenant, commit));
    let mut segment = Segment { files: vec![live(3, 40), live(4, 41)], ..Segment::default() };
    let hours =
        |from: i64, to: i64| (Hour::containing(NOW_NS + from * HOUR_NS), Hour::containing(NOW_NS + to * HOUR_NS));
    segment.versions.touch_hours(hours(-3, -1), 7);
    segment.versions.touch_hours(hours(0, 0), 41);
    let (segment_bytes, described) = segment.encode(&tenant, key.0, key.1);
    let root = Root::new(tenant.clone(), 42, "cd".repeat(32), Time(NOW_NS))
        .with_wal(&BTreeMap::from([(DIRECTORY, 4)]))
        .with_segments(&BTreeMap::from([(key, described)]));
    for (name, bytes) in [("checkpoint-root.json", root.encode()), ("checkpoint-segment.json", segment_bytes)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/format").join(name);
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::write(&path, &bytes).unwrap();
        }
        let fixture = fs::read(&path).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&fixture));
        match name {
            "checkpoint-root.json" => assert_eq!(Root::decode(&path, &fixture).unwrap(), root),
            _ => assert_eq!(Segment::decode(&path, &fixture, &tenant, key.0, key.1).unwrap(), segment),
        }
    }
}
