//! One seed, one history: clients that send, computers that fail, and checks all along.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracehound_schema::{Dataset, Payload, Signal, TenantId};

use super::model::{Model, Record};
use super::{Bucket, Fault, Rng, SimDisk, fork_rng, jump, note, now_ns, sleep, spawn, spawn_on, take_away};
use crate::disk::Disk;
use crate::runtime::Safeguard;
use crate::testing::{decode, decoder, payload};
use crate::{Engine, Error, MaintenanceOptions, Options, StoreOptions, VerifyOptions};

/// Clocks that jump further than this may make a retry come too late.
const RETRY_WINDOW: Duration = Duration::from_secs(600);

/// A computer with the engine on it, as the world outside knows it.
#[derive(Clone)]
struct Server {
    node: u32,
    disk: SimDisk,
    /// The store, unless it is on the disk.
    bucket: Option<Arc<Bucket>>,
    engine: Arc<Mutex<Option<Engine>>>,
    /// No more faults: everything has to succeed.
    calm: Arc<AtomicBool>,
    /// Stop and start again.
    restart: Arc<AtomicBool>,
    starts: Arc<AtomicU64>,
    /// How often wall clocks jumped further than the retry window.
    jumps: Arc<AtomicU64>,
    model: Model,
}

/// What happens most in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Temper {
    /// A bit of everything.
    Mixed,
    /// A process dies, and soon after it was started again the power goes.
    DeathsThenCuts,
    /// A sync fails, and soon after the power goes.
    FailedSyncsThenCuts,
    /// The store answers badly.
    BadStore,
}

impl Temper {
    /// A random one, or the one that shows the lack of a safeguard.
    fn new(rng: &mut Rng, without: Option<Safeguard>) -> Self {
        let random = [Self::Mixed, Self::Mixed, Self::DeathsThenCuts, Self::FailedSyncsThenCuts, Self::BadStore];
        let random = random[rng.index(random.len())];
        match without {
            Some(Safeguard::CutAfterFailedSync) => Self::FailedSyncsThenCuts,
            Some(Safeguard::SyncOnReplay | Safeguard::SyncFolders) => Self::DeathsThenCuts,
            _ => random,
        }
    }
}

/// What a history did, for people who ask whether it did anything.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) operations: u64,
    pub(crate) starts: u64,
    pub(crate) acknowledged: u64,
    pub(crate) entries: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.starts += other.starts;
        self.acknowledged += other.acknowledged;
        self.entries += other.entries;
    }
}

/// Lives through the history of a seed, with a safeguard taken away where it
/// is to fail; also returns the hash of it. Panics at what should not have happened.
pub(crate) fn live(seed: u64, without: Option<Safeguard>) -> (Summary, u64) {
    super::run(seed, history(without))
}

async fn history(without: Option<Safeguard>) -> Summary {
    let mut rng = fork_rng();
    if let Some(safeguard) = without {
        take_away(safeguard);
    }
    let temper = Temper::new(&mut rng, without);
    let bucket = (temper == Temper::BadStore || rng.one_in(5)).then(|| Bucket::new(rng.fork()));
    let server = Server {
        node: 1,
        disk: SimDisk::new(1, rng.fork(), &[Path::new("/"), Path::new("/data")]),
        bucket,
        engine: Arc::default(),
        calm: Arc::default(),
        restart: Arc::default(),
        starts: Arc::default(),
        jumps: Arc::default(),
        model: Model::default(),
    };
    let names = ["acme", "beta", "gamma"];
    let tenants: Vec<TenantId> = names[..1 + rng.index(3)].iter().map(|name| name.parse().unwrap()).collect();
    let mut summary = Summary::default();
    let running = spawn(server.clone().run());
    let clients: Vec<_> =
        (0..1 + rng.below(3)).map(|client| spawn(server.clone().client(client, tenants.clone(), rng.fork()))).collect();
    let chaos = spawn(server.clone().chaos(temper, tenants.clone(), rng.fork()));
    for client in clients {
        summary.acknowledged += client.await.unwrap();
    }
    chaos.await.unwrap();

    server.heal();
    for round in ["after all", "flushed", "reopened"] {
        let engine = server.up().await;
        for tenant in &tenants {
            server.model.check(&engine, tenant, round).await.unwrap();
            server.model.check_history(&engine, tenant, round).await.unwrap();
            if round == "reopened" && engine.tenants().contains(tenant) {
                let deep = VerifyOptions { deep: true, quarantine: false };
                let report = engine.maintenance().verify(tenant, &deep, &|_| {}).await.unwrap();
                assert_eq!(report.defects, [], "{tenant}");
            }
        }
        if round == "after all" {
            spawn_on(server.node, async move { engine.flush().await }).await.unwrap().unwrap();
        } else {
            summary.entries = tenants.iter().map(|tenant| engine.snapshot(tenant).entry()).sum();
            drop(engine);
            server.restart.store(true, Ordering::Relaxed);
        }
    }
    running.abort();
    summary.operations = server.disk.operations();
    summary.starts = server.starts.load(Ordering::Relaxed);
    summary
}

impl Server {
    /// Starts the engine, again and again.
    async fn run(self) {
        loop {
            let disk = self.disk.restarted();
            match spawn_on(self.node, Engine::open(self.options(&disk), decoder())).await {
                Ok(Ok(engine)) => {
                    self.starts.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(engine.status().damage, [], "nothing was damaged");
                    self.set(Some(engine.clone()));
                    self.watch(&disk, engine).await;
                }
                Ok(Err(error)) => {
                    let excused =
                        matches!(error, Error::Io { .. } | Error::Poisoned { .. } | Error::Unavailable { .. });
                    assert!(excused, "the start failed: {}", error.chain());
                    note(|| format!("the start failed: {}", error.chain()));
                }
                Err(_) => note(|| "dead before it was up".to_owned()),
            }
            if !disk.is_dead() {
                disk.crash(false);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends all faults, and the process, which may still suffer from one.
    fn heal(&self) {
        self.disk.heal();
        if let Some(bucket) = &self.bucket {
            bucket.heal();
        }
        self.calm.store(true, Ordering::Relaxed);
        self.restart.store(true, Ordering::Relaxed);
    }

    fn options(&self, disk: &SimDisk) -> Options {
        let object_store = self.bucket.as_ref().map(|bucket| bucket.client(disk));
        Options {
            disk: Disk::Simulated(disk.clone()),
            store: StoreOptions { object_store, ..StoreOptions::default() },
            wal_segment_bytes: 800,
            wal_bytes_max: 20_000,
            flush_bytes: 150_000,
            memtable_bytes_max: 1_000_000,
            flush_age_busy: Duration::from_secs(1),
            flush_age_quiet: Duration::from_secs(4),
            group_commit_delay: Duration::ZERO,
            retry_window: RETRY_WINDOW,
            maintenance: MaintenanceOptions { background: false, ..MaintenanceOptions::default() },
            ..Options::new("/data", Arc::new(now_ns))
        }
    }

    /// Until the process is dead or was stopped.
    async fn watch(&self, disk: &SimDisk, engine: Engine) {
        while !disk.is_dead() {
            let poisoned = engine.status().poisoned.is_some();
            if self.restart.swap(false, Ordering::Relaxed) || poisoned {
                note(|| "close".to_owned());
                self.set(None);
                let closed = spawn_on(self.node, engine.close()).await;
                let calm = self.calm.load(Ordering::Relaxed);
                assert!(!calm || poisoned || matches!(closed, Ok(Ok(()))), "{closed:?}");
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.set(None);
    }

    fn set(&self, engine: Option<Engine>) {
        let before = std::mem::replace(&mut *self.engine.lock().unwrap_or_else(PoisonError::into_inner), engine);
        drop(before);
    }

    fn engine(&self) -> Option<Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The engine, once it is up and was not asked to restart.
    async fn up(&self) -> Engine {
        for _ in 0..10_000 {
            if !self.restart.load(Ordering::Relaxed)
                && let Some(engine) = self.engine()
            {
                return engine;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("the engine does not come up");
    }

    /// Sends records, and sends them again when no answer comes.
    async fn client(self, number: u64, tenants: Vec<TenantId>, mut rng: Rng) -> u64 {
        let mut acknowledged = 0;
        for index in 0..2 + rng.below(10) {
            sleep(Duration::from_millis(rng.below(1500))).await;
            let tenant = tenants[rng.index(tenants.len())].clone();
            let (payload, records) = message(&tenant, &format!("{number}.{index}"), &mut rng);
            self.model.sent(&tenant, &records);
            let mut jumps = self.jumps.load(Ordering::Relaxed);
            let mut stored = None;
            let mut times = 1 + rng.below(6);
            while times > 0 {
                times -= 1;
                let jumped = self.jumps.load(Ordering::Relaxed);
                if jumped != jumps {
                    jumps = jumped;
                    self.model.sent_late(&tenant, &records);
                }
                let Some(engine) = self.engine() else {
                    sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let sent = Payload { received_at_ns: now_ns(), ..payload.clone() };
                let decoded = decode(&sent).unwrap();
                let append = spawn_on(self.node, async move { engine.append(sent, decoded).await });
                // A client that lost patience goes away, and the server goes on or not.
                let patience = Duration::from_millis(if rng.one_in(10) { rng.below(3) } else { 20_000 });
                let outcome = crate::runtime::timeout(patience, append).await;
                note(|| format!("client {number}.{index}: {outcome:?}"));
                match outcome {
                    Some(Ok(Ok(answer))) => {
                        self.model.acknowledged(&tenant, &records);
                        let figures = (answer.accepted, answer.rejected, answer.message);
                        assert_eq!(*stored.get_or_insert(figures.clone()), figures, "a retry gets the same answer");
                        // Its reply was lost, perhaps.
                        if !rng.one_in(3) {
                            times = 0;
                        }
                    }
                    _ => sleep(Duration::from_millis(rng.below(800))).await,
                }
            }
            acknowledged += u64::from(stored.is_some());
        }
        acknowledged
    }

    /// What happens to computers.
    async fn chaos(self, temper: Temper, tenants: Vec<TenantId>, mut rng: Rng) {
        for _ in 0..3 + rng.below(12) {
            sleep(Duration::from_millis(rng.below(1500))).await;
            let then_cut = match temper {
                Temper::DeathsThenCuts if rng.one_in(2) => Some(Fault::Kill),
                Temper::FailedSyncsThenCuts if rng.one_in(2) => Some(Fault::FailedSync),
                _ => None,
            };
            if let Some(fault) = then_cut {
                self.disk.fail_after(rng.below(40), fault);
                sleep(Duration::from_millis(300 + rng.below(3000))).await;
                self.disk.crash(true);
                continue;
            }
            let kind = if temper == Temper::BadStore { rng.below(16) * rng.below(2) } else { rng.below(16) };
            match kind {
                0 if self.bucket.is_some() => {
                    let bucket = self.bucket.as_ref().unwrap();
                    match rng.below(4) {
                        0 => bucket.go_away(Duration::from_secs(1 + rng.below(20))),
                        1 => bucket.heal(),
                        _ => bucket.misbehave(2 + rng.below(8), rng.below(2) * (2 + rng.below(8))),
                    }
                }
                0..=4 => {
                    let fault = match rng.below(8) {
                        0..=3 => Fault::PowerCut,
                        4 => Fault::Kill,
                        5 => Fault::Eio,
                        6 => Fault::Full(rng.below(20)),
                        _ => Fault::ShortWrite,
                    };
                    self.disk.fail_after(rng.below(80), fault);
                }
                5 => self.disk.crash(true),
                6 => self.restart.store(true, Ordering::Relaxed),
                7 => {
                    let far = rng.one_in(3);
                    let seconds = if far { 3600 } else { rng.below(30) };
                    let nanos = i64::try_from(Duration::from_secs(seconds).as_nanos()).unwrap();
                    jump(if rng.one_in(3) { -nanos } else { nanos });
                    if far {
                        self.jumps.fetch_add(1, Ordering::Relaxed);
                    }
                }
                8 => {
                    let tenant = tenants[rng.index(tenants.len())].clone();
                    if let Some(engine) = self.engine() {
                        let compact = async move { engine.maintenance().compact(&tenant, None, None).await };
                        let outcome = spawn_on(self.node, compact).await;
                        note(|| format!("compacted: {outcome:?}"));
                        if let Ok(Ok(report)) = outcome {
                            assert_eq!(report.quarantined, [""; 0], "nothing was damaged");
                        }
                    }
                }
                9..=10 => {
                    if let Some(engine) = self.engine() {
                        // It may fail; what matters is what is seen afterwards.
                        let _ = spawn_on(self.node, async move { engine.flush().await }).await;
                    }
                }
                _ => {
                    let tenant = &tenants[rng.index(tenants.len())];
                    if let Some(engine) = self.engine() {
                        // The disk may fail it; a wrong answer panics.
                        let _ = self.model.check(&engine, tenant, "meanwhile").await;
                        if rng.one_in(3) {
                            let _ = self.model.check_history(&engine, tenant, "meanwhile").await;
                        }
                    }
                }
            }
        }
    }
}

/// A small message with records that nobody else has.
fn message(tenant: &TenantId, name: &str, rng: &mut Rng) -> (Payload, Vec<Record>) {
    let (mut lines, mut records) = (Vec::new(), Vec::new());
    for line in 0..1 + rng.below(2) {
        let name = format!("{name}.{line}");
        if rng.one_in(2) {
            // Mostly now, sometimes hours ago.
            let back = i64::try_from(rng.below(4) * rng.below(2)).unwrap() * 3_600_000_000_000;
            lines.push(format!("{} shop {name}", now_ns() - back));
            records.push((Dataset::Spans, name));
        } else {
            lines.push(format!("! {name}"));
            records.push((Dataset::IngestRejects, name));
        }
    }
    (payload(tenant.as_str(), Signal::Traces, &lines.join("\n")), records)
}
