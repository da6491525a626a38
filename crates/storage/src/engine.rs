mod core;

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use object_store::ObjectStore;
use tokio::sync::oneshot;
use tracehound_schema::{Dataset, Decoded, Payload, TenantId};

pub(crate) use self::core::{Core, Failure};
use self::core::{figures_of, lock};
use crate::lock::Lock;
use crate::manifest::{self, State};
use crate::memtable::shrunk;
use crate::recent::{self, Begin, Figures, PayloadHash};
use crate::store::{Claim, Store, create_dirs};
use crate::wal::writer::{Request, Running, Writer};
use crate::wal::{Queue, frame, identity, queue};
use crate::{
    Decode, Error, ManifestEntry, Needles, Options, Snapshot, Status, flush, maintenance, open, runtime, upkeep,
};

/// Bodies from this size on are hashed off the runtime's threads.
const HASH_INLINE_BYTES_MAX: usize = 256 << 10;

/// The storage of one data directory: durable appends, consistent snapshots.
///
/// Clones share it. It works as long as a clone exists; [`close`](Self::close)
/// flushes first, without it the next open replays the WAL.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    /// `None` once closed.
    requests: Mutex<Option<Queue>>,
    writer: Mutex<Option<Running>>,
    flusher: runtime::Task<()>,
    maintainer: Mutex<Option<runtime::Task<()>>>,
    upkeep: runtime::Task<()>,
}

/// What became of a payload. For a recognised retry: what became of the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Records stored.
    pub accepted: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Why records were rejected, for people; empty when none were.
    pub message: String,
    /// Whether this was a byte-identical retry within the retry window.
    pub duplicate: bool,
}

impl Engine {
    /// Opens a data directory, making it if absent: takes its lock, reads the
    /// manifests, replays the WAL, and starts flushing on the current runtime.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it, [`Error::Corrupt`] and
    /// [`Error::NewerFormat`] if it cannot be read, [`Error::Io`] if the disk fails.
    pub async fn open(options: Options, decode: Decode) -> Result<Self, Error> {
        create_dirs(&options.disk, &options.data_dir)?;
        let lock = Lock::take(&options.disk, &options.data_dir, &options.holder)?;
        let wal_dir = options.data_dir.join("wal");
        create_dirs(&options.disk, &wal_dir)?;
        let directory = identity(&options.disk, &wal_dir)?;
        let claim = Claim { holder: options.holder.clone(), directory, clock: options.clock.clone() };
        let store = Store::open(&options.store, &options.disk, &options.data_dir, claim).await?;
        let core = Arc::new(Core::new(options, lock, wal_dir, directory, store));
        let next = open::recover(&core, decode).await?;
        let (sender, receiver) = queue();
        let writer = Writer::new(Arc::clone(&core), receiver, next.number, next.sequence)?.start()?;
        core.ledger.reclaim(|tenant| core.committed_through(tenant));
        let flusher = flush::run(Arc::downgrade(&core), Arc::clone(&core.wake));
        let background = core.options.maintenance.background;
        let maintainer = background.then(|| runtime::spawn(maintenance::run(Arc::downgrade(&core))));
        let upkeep = upkeep::run(Arc::downgrade(&core));
        let inner = Inner {
            core,
            requests: Mutex::new(Some(sender)),
            writer: Mutex::new(Some(writer)),
            flusher: runtime::spawn(flusher),
            maintainer: Mutex::new(maintainer),
            upkeep: runtime::spawn(upkeep),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Stores a payload and what it decoded to. When this returns, the payload
    /// is durable and its rows are in every later snapshot.
    ///
    /// A payload without rows and rejects is not stored. A byte-identical
    /// retry within the retry window gets the first one's figures, or its
    /// failure. An append that is dropped half-way may still be stored.
    ///
    /// # Errors
    /// [`Error::Overloaded`] and [`Error::Unavailable`] ask for a later retry,
    /// [`Error::Poisoned`] and [`Error::Closed`] for one after a restart;
    /// [`Error::TooLarge`] and [`Error::Internal`] are final.
    pub async fn append(&self, payload: Payload, decoded: Decoded) -> Result<Appended, Error> {
        let core = &self.inner.core;
        check(&payload, &decoded)?;
        if decoded.accepted() == 0 && decoded.rejected() == 0 {
            let figures = figures_of(&decoded);
            return Ok(figures.appended(false));
        }
        let arriving = Arriving::new(core);
        let hash = hash_of(&payload).await?;
        let tenant = core.tenant(&payload.tenant);
        let key = (tenant.number, hash);
        let waiting = match core.recent.begin(key, payload.received_at_ns) {
            Begin::Done(figures) => return Ok(figures.appended(true)),
            Begin::Wait(mut outcome) => {
                drop(arriving);
                let outcome = outcome.wait_for(Option::is_some).await.map_err(Error::internal)?;
                let outcome = outcome.clone().expect("waited for");
                return Ok(outcome?.appended(true));
            }
            Begin::First(waiting) => waiting,
        };
        let received_at_ns = payload.received_at_ns;
        let refuse = |failure: Failure| {
            core.recent.finish(key, received_at_ns, Err(failure.clone()), &waiting);
            Err(failure.into())
        };
        if let Some(detail) = core.poison() {
            return refuse(Failure::Poisoned(detail));
        }
        if core.ledger.size().1 >= core.options.wal_bytes_max {
            core.wake.notify_one();
            return refuse(Failure::Overloaded("the write-ahead log is full"));
        }
        let decoded =
            Decoded { rows: shrunk(decoded.rows), rejects: shrunk(decoded.rejects), message: decoded.message };
        let bytes = payload.body.len() + decoded.rows.get_array_memory_size() + decoded.rejects.get_array_memory_size();
        let Some(reservation) = core.budget.reserve(bytes) else {
            core.wake.notify_one();
            return refuse(Failure::Overloaded("memory for unflushed rows is used up"));
        };
        let (reply, outcome) = oneshot::channel();
        {
            let requests = lock(&self.inner.requests);
            let Some(requests) = requests.as_ref() else { return refuse(Failure::Closed) };
            let request = Request { payload, decoded, key, reservation, reply, waiting };
            if let Err(request) = requests.send(request) {
                request.finish(core, Err(Failure::Closed));
            }
        }
        drop(arriving);
        let outcome = outcome.await.map_err(|_| Error::internal("the WAL's writer died"))?;
        Ok(outcome?.appended(false))
    }

    /// The tenant's data as it is now: the latest entry's files and the
    /// unflushed rows, pinned together. Empty for a tenant that sent nothing.
    pub fn snapshot(&self, tenant: &TenantId) -> Snapshot {
        match self.inner.core.find_tenant(tenant) {
            Some(tenant) => tenant.snapshot(),
            None => Snapshot {
                entries: self.inner.core.entries(tenant),
                state: State::new(tenant.clone(), self.inner.core.directory),
                base_damaged: Arc::default(),
                as_of: None,
                rows: Default::default(),
                quarantine: Arc::default(),
            },
        }
    }

    /// Tells which files may hold an id, without opening them.
    pub fn needles(&self) -> &Needles {
        &self.inner.core.needles
    }

    /// The rows of the tenant's files as of a manifest entry, without unflushed ones; entry 0 is empty. It sees the files
    /// that are live now, for rows that entries up to this one made visible: what was removed since is gone.
    ///
    /// # Errors
    /// [`Error::NoSuchEntry`] if there is no such entry yet.
    pub async fn snapshot_as_of(&self, tenant: &TenantId, entry: u64) -> Result<Snapshot, Error> {
        let snapshot = self.snapshot(tenant);
        let latest = snapshot.state.entry();
        if entry > latest {
            return Err(Error::NoSuchEntry { tenant: tenant.clone(), entry, latest });
        }
        Ok(Snapshot { as_of: Some(entry), rows: Default::default(), ..snapshot })
    }

    /// The last manifest entry of a tenant that was written at or before a time (nanoseconds); 0 if there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] and [`Error::Io`] if the entries cannot be read.
    pub async fn entry_at(&self, tenant: &TenantId, time_ns: i64) -> Result<u64, Error> {
        let core = &self.inner.core;
        let Some(found) = core.find_tenant(tenant) else { return Ok(0) };
        manifest::entry_at(&core.entries(tenant), found.entry(), time_ns).await
    }

    /// Entries of a tenant's manifest, in order; those that do not exist are left out. Each is read from the store, so ask
    /// for a few thousand at most.
    ///
    /// # Errors
    /// As [`entry_at`](Self::entry_at).
    pub async fn entries(&self, tenant: &TenantId, range: RangeInclusive<u64>) -> Result<Vec<ManifestEntry>, Error> {
        let core = &self.inner.core;
        let latest = core.find_tenant(tenant).map_or(0, |tenant| tenant.entry());
        let (entries, range) = (core.entries(tenant), (*range.start()).max(1)..=(*range.end()).min(latest));
        manifest::entries(&entries, range).await
    }

    /// Reads the entries that other processes wrote to a shared store, unless that was done within the last second.
    /// Without a shared store there are none.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`] and [`Error::Unavailable`] if they cannot be read; what was known stays.
    pub async fn refresh(&self, tenant: &TenantId) -> Result<(), Error> {
        upkeep::refresh(&self.inner.core, tenant).await
    }

    /// All tenants that ever sent something, by name.
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<_> = self.inner.core.tenants().iter().map(|tenant| tenant.id.clone()).collect();
        tenants.sort_unstable();
        tenants
    }

    /// Flushes the rows of all tenants that are visible now.
    ///
    /// # Errors
    /// [`Error::Closed`] after [`close`](Self::close); else the first failure: the other tenants are flushed all the same, and the
    /// rows of the failed one stay in the WAL and are tried again.
    pub async fn flush(&self) -> Result<(), Error> {
        if lock(&self.inner.requests).is_none() {
            return Err(Error::Closed);
        }
        self.flush_all().await
    }

    async fn flush_all(&self) -> Result<(), Error> {
        let core = &self.inner.core;
        let mut outcome = Ok(());
        for tenant in core.tenants() {
            tenant.seal();
            outcome = outcome.and(flush::tenant_rows(core, &tenant).await);
        }
        outcome
    }

    /// Refuses further appends, finishes those under way, flushes, and gives the lock up.
    ///
    /// # Errors
    /// As [`flush`](Self::flush). What could not be flushed is in the WAL, and
    /// the lock is given up all the same.
    pub async fn close(self) -> Result<(), Error> {
        let inner = &self.inner;
        lock(&inner.requests).take();
        let writer = lock(&inner.writer).take();
        let outcome = match writer {
            Some(writer) => writer.stopped().await,
            None => Ok(()),
        };
        inner.flusher.abort();
        inner.stop_maintenance().await;
        inner.upkeep.abort();
        let outcome = outcome.and(self.flush_all().await);
        upkeep::checkpoints_on_close(&inner.core).await;
        inner.core.store.close().await;
        lock(&inner.core.lock).take();
        outcome
    }

    /// The store that `DataFile::path` is relative to.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        self.inner.core.store.reader()
    }

    /// The state of everything, for people and metrics.
    pub fn status(&self) -> Status {
        let core = &self.inner.core;
        let (wal_segments, wal_bytes) = core.ledger.size();
        let (replay, damage) = lock(&core.at_start).clone();
        let last_flush_ns = core.last_flush_ns.load(Ordering::Acquire);
        let tenants = core.tenants();
        Status {
            wal_bytes,
            wal_segments,
            memtable_bytes: core.budget.bytes(),
            segment_cache_bytes: core.segments.bytes(),
            last_flush_ns: (last_flush_ns != i64::MIN).then_some(last_flush_ns),
            poisoned: core.poison(),
            flush_failures: core.flush_failures.load(Ordering::Acquire),
            retries_forgotten: core.recent.forgotten(),
            store: core.store.status(),
            replay,
            damage,
            maintenance: core.maintenance.status(),
            tenants: tenants.iter().map(|tenant| (tenant.id.clone(), tenant.status())).collect(),
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }

    /// Replaces the text by which others are told who holds the directory.
    pub fn set_holder(&self, text: &str) {
        if let Some(held) = lock(&self.inner.core.lock).as_mut()
            && let Err(error) = held.set_holder(text)
        {
            tracing::warn!(error = %error.chain(), "cannot write the lock file");
        }
    }

    /// Failures to come, for tests.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> &crate::wal::Faults {
        &self.inner.core.faults
    }
}

impl Inner {
    /// Stops the background work on files; it may stop anywhere.
    async fn stop_maintenance(&self) {
        let maintainer = lock(&self.maintainer).take();
        if let Some(maintainer) = maintainer {
            maintainer.abort();
            // That it was aborted is no news.
            let _ = maintainer.await;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.flusher.abort();
        if let Some(maintainer) = lock(&self.maintainer).as_ref() {
            maintainer.abort();
        }
        self.upkeep.abort();
    }
}

/// Counts an append until it is with the writer.
struct Arriving<'a>(&'a AtomicUsize);

impl<'a> Arriving<'a> {
    fn new(core: &'a Core) -> Self {
        core.arriving.fetch_add(1, Ordering::AcqRel);
        Self(&core.arriving)
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Figures {
    fn appended(self, duplicate: bool) -> Appended {
        let Self { accepted, rejected, message } = self;
        Appended { accepted, rejected, message: message.into(), duplicate }
    }
}

/// Checks what the WAL and the files rely on.
fn check(payload: &Payload, decoded: &Decoded) -> Result<(), Error> {
    let dataset = Dataset::of_signal(payload.signal);
    let batches = [(dataset, &decoded.rows), (Dataset::IngestRejects, &decoded.rejects)];
    for (dataset, batch) in batches {
        if batch.schema() != dataset.schema() {
            return Err(Error::internal(format!("rows do not have the schema of {dataset}")));
        }
    }
    let (bytes, bytes_max) = (frame::body_bytes(payload), frame::BODY_BYTES_MAX);
    if bytes > bytes_max {
        return Err(Error::TooLarge { bytes, bytes_max });
    }
    let key_bytes = payload.ingest_key_id.as_ref().map_or(0, String::len);
    if key_bytes > usize::from(u16::MAX) {
        return Err(Error::internal(format!("ingest key id of {key_bytes} bytes")));
    }
    Ok(())
}

async fn hash_of(payload: &Payload) -> Result<PayloadHash, Error> {
    if payload.body.len() < HASH_INLINE_BYTES_MAX {
        return Ok(recent::hash(payload));
    }
    let payload = payload.clone();
    runtime::blocking(move || recent::hash(&payload)).await
}

#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod start_tests;
#[cfg(test)]
mod tests;
