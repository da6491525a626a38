use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use object_store::ObjectStore;
use tokio::sync::{Notify, oneshot};
use tracehound_schema::{Dataset, Decoded, Payload, TenantId};
use ulid::Ulid;

use crate::budget::Budget;
use crate::lock::Lock;
use crate::manifest::{self, Head, LocalEntries, State, Time};
use crate::memtable::shrunk;
use crate::recent::{self, Begin, Figures, PayloadHash, Recent};
use crate::store::{LocalStore, create_dirs};
use crate::tenant::Tenant;
use crate::wal::writer::{RETRY_AFTER, Request, Writer};
use crate::wal::{Ledger, frame, identity};
use crate::{Damage, Decode, Error, Options, ReplayStatus, Snapshot, Status, flush, open, partition};

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
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    flusher: tokio::task::JoinHandle<()>,
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

/// Why an append failed; retries that waited for it fail alike.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    Overloaded(&'static str),
    Unavailable(String),
    Poisoned(String),
    Closed,
}

/// What the writer, flushes and the engine share.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) segment_bytes: u64,
    pub(crate) retry_window_ns: i64,
    pub(crate) wal_dir: PathBuf,
    /// The id of the WAL folder.
    pub(crate) directory: Ulid,
    /// The id of this process start.
    pub(crate) epoch: Ulid,
    pub(crate) store: LocalStore,
    pub(crate) ledger: Ledger,
    pub(crate) recent: Recent,
    pub(crate) budget: Arc<Budget>,
    /// Appends that have begun and are not with the writer yet.
    pub(crate) arriving: AtomicUsize,
    wake: Arc<Notify>,
    tenants: RwLock<HashMap<TenantId, Arc<Tenant>>>,
    poison: OnceLock<String>,
    last_flush_ns: AtomicI64,
    flush_failures: AtomicU64,
    at_start: Mutex<(ReplayStatus, Vec<Damage>)>,
    /// Held until closed.
    lock: Mutex<Option<Lock>>,
    #[cfg(test)]
    pub(crate) faults: Arc<crate::wal::Faults>,
}

impl Engine {
    /// Opens a data directory, making it if absent: takes its lock, reads the
    /// manifests, replays the WAL, and starts flushing on the current runtime.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it, [`Error::Corrupt`] and
    /// [`Error::NewerFormat`] if it cannot be read, [`Error::Io`] if the disk fails.
    pub async fn open(options: Options, decode: Decode) -> Result<Self, Error> {
        create_dirs(&options.data_dir)?;
        let lock = Lock::take(&options.data_dir, &options.holder)?;
        let wal_dir = options.data_dir.join("wal");
        create_dirs(&wal_dir)?;
        let directory = identity(&wal_dir)?;
        let store = LocalStore::open(&options.data_dir.join("store"))?;
        let core = Arc::new(Core {
            // Two segments at least have to fit the bound, or nothing could ever be removed.
            segment_bytes: options.wal_segment_bytes.min(options.wal_bytes_max / 4),
            retry_window_ns: nanos(options.retry_window),
            wal_dir,
            directory,
            epoch: Ulid::new(),
            store,
            ledger: Ledger::default(),
            recent: Recent::new(nanos(options.retry_window)),
            budget: Arc::new(Budget::new(options.memtable_bytes_max)),
            arriving: AtomicUsize::new(0),
            wake: Arc::new(Notify::new()),
            tenants: RwLock::default(),
            poison: OnceLock::new(),
            last_flush_ns: AtomicI64::new(i64::MIN),
            flush_failures: AtomicU64::new(0),
            at_start: Mutex::default(),
            lock: Mutex::new(Some(lock)),
            #[cfg(test)]
            faults: Arc::default(),
            options,
        });
        let next = open::recover(&core, decode).await?;
        let (sender, receiver) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&core), receiver, next.number, next.sequence)?;
        let writer = std::thread::Builder::new()
            .name("tracehound-wal".to_owned())
            .spawn(move || writer.run())
            .map_err(|e| Error::io(&core.wal_dir, e))?;
        core.ledger.reclaim(|tenant| core.committed_through(tenant));
        let flusher = flush::run(Arc::downgrade(&core), Arc::clone(&core.wake));
        let inner = Inner {
            core,
            requests: Mutex::new(Some(sender)),
            writer: Mutex::new(Some(writer)),
            flusher: tokio::spawn(flusher),
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
            if let Err(mpsc::SendError(request)) = requests.send(request) {
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
            None => Snapshot { tenant: tenant.clone(), entry: 0, files: Default::default(), rows: Default::default() },
        }
    }

    /// The tenant's files as of a manifest entry, without unflushed rows; entry 0 is empty.
    ///
    /// # Errors
    /// [`Error::NoSuchEntry`] if there is no such entry yet, [`Error::Corrupt`]
    /// and [`Error::Io`] if the entries cannot be read.
    pub async fn snapshot_as_of(&self, tenant: &TenantId, entry: u64) -> Result<Snapshot, Error> {
        let core = &self.inner.core;
        let latest = core.find_tenant(tenant).map_or(0, |tenant| tenant.entry());
        if entry > latest {
            return Err(Error::NoSuchEntry { tenant: tenant.clone(), entry, latest });
        }
        let entries = LocalEntries { store: core.store.clone(), tenant: tenant.clone() };
        let state = manifest::load_as_of(&entries, core.directory, entry).await?;
        let files = state.files().clone();
        Ok(Snapshot { tenant: tenant.clone(), entry, files, rows: Default::default() })
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
        let stopped = tokio::task::spawn_blocking(|| writer.map(JoinHandle::join));
        let stopped = stopped.await.map_err(Error::internal)?;
        let outcome = match stopped {
            Some(Err(_)) => Err(Error::internal("the WAL's writer panicked")),
            _ => Ok(()),
        };
        inner.flusher.abort();
        let outcome = outcome.and(self.flush_all().await);
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
            last_flush_ns: (last_flush_ns != i64::MIN).then_some(last_flush_ns),
            poisoned: core.poison(),
            flush_failures: core.flush_failures.load(Ordering::Acquire),
            retries_forgotten: core.recent.forgotten(),
            replay,
            damage,
            tenants: tenants.iter().map(|tenant| (tenant.id.clone(), tenant.status())).collect(),
        }
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

impl Drop for Inner {
    fn drop(&mut self) {
        self.flusher.abort();
    }
}

impl Core {
    /// The time, nanoseconds.
    pub(crate) fn now_ns(&self) -> i64 {
        (self.options.clock)()
    }

    /// All tenants.
    pub(crate) fn tenants(&self) -> Vec<Arc<Tenant>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.values().cloned().collect()
    }

    fn find_tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// A tenant, which is new if it never sent anything.
    pub(crate) fn tenant(&self, id: &TenantId) -> Arc<Tenant> {
        self.find_tenant(id)
            .unwrap_or_else(|| self.add_tenant(id.clone(), Head::new(State::new(id.clone(), self.directory))))
    }

    /// Adds a tenant with the end of its manifest, unless it is there.
    pub(crate) fn add_tenant(&self, id: TenantId, head: Head) -> Arc<Tenant> {
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let number = u32::try_from(tenants.len()).unwrap_or(u32::MAX);
        let tenant = tenants.entry(id.clone()).or_insert_with(|| Arc::new(Tenant::new(id, number, head)));
        Arc::clone(tenant)
    }

    /// The last sequence of a tenant that is in files.
    pub(crate) fn committed_through(&self, tenant: &TenantId) -> Option<u64> {
        self.find_tenant(tenant)?.committed_through()
    }

    /// Makes a durable request's rows visible, and acknowledges it.
    pub(crate) fn insert(&self, sequence: u64, mut request: Request) {
        let empty = |dataset: Dataset| arrow::array::RecordBatch::new_empty(dataset.schema());
        let dataset = Dataset::of_signal(request.payload.signal);
        let rows = std::mem::replace(&mut request.decoded.rows, empty(dataset));
        let rejects = std::mem::replace(&mut request.decoded.rejects, empty(Dataset::IngestRejects));
        let figures = Figures {
            accepted: rows.num_rows() as u64,
            rejected: rejects.num_rows() as u64,
            message: std::mem::take(&mut request.decoded.message).into(),
        };
        let tenant = self.tenant(&request.payload.tenant);
        let note = note(request.key.1, request.payload.received_at_ns, &figures);
        let rows = [(dataset, rows), (Dataset::IngestRejects, rejects)];
        self.insert_rows(&tenant, sequence, note, rows);
        request.finish(self, Ok(figures));
    }

    /// Makes a replayed frame's rows visible.
    pub(crate) fn insert_replayed(&self, sequence: u64, hash: PayloadHash, payload: &Payload, decoded: Decoded) {
        let figures = figures_of(&decoded);
        let tenant = self.tenant(&payload.tenant);
        let note = note(hash, payload.received_at_ns, &figures);
        let dataset = Dataset::of_signal(payload.signal);
        let rows = [(dataset, shrunk(decoded.rows)), (Dataset::IngestRejects, shrunk(decoded.rejects))];
        self.insert_rows(&tenant, sequence, note, rows);
        self.recent.remember((tenant.number, hash), payload.received_at_ns, figures);
    }

    fn insert_rows(
        &self,
        tenant: &Tenant,
        sequence: u64,
        note: manifest::Payload,
        rows: [(Dataset, arrow::array::RecordBatch); 2],
    ) {
        let (now_ns, flush_bytes) = (self.now_ns(), self.options.flush_bytes);
        let (before, after, full) = tenant.insert(sequence, note, rows, now_ns, flush_bytes);
        self.budget.change(before, after);
        if full || self.budget.is_pressed() {
            self.wake.notify_one();
        }
    }

    /// Counts a committed flush, and removes the WAL segments that it made superfluous.
    pub(crate) fn flushed(&self, memtable_bytes: usize, now_ns: i64) {
        self.budget.change(memtable_bytes, 0);
        self.last_flush_ns.store(now_ns, Ordering::Release);
        self.ledger.reclaim(|tenant| self.committed_through(tenant));
    }

    /// Counts a failed flush.
    pub(crate) fn flush_failed(&self) {
        self.flush_failures.fetch_add(1, Ordering::AcqRel);
    }

    /// Removes files that no entry will name.
    pub(crate) fn discard(&self, tenant: &Tenant, files: &[manifest::File]) {
        let dir = partition::tenant_dir(&tenant.id);
        for file in files {
            // Best effort: the next start removes what is left.
            let _ = std::fs::remove_file(self.store.path(&format!("{dir}/{}", file.path)));
        }
    }

    /// Why writes are refused until restart.
    pub(crate) fn poison(&self) -> Option<String> {
        self.poison.get().cloned()
    }

    /// Refuses writes from now on, until restart.
    pub(crate) fn set_poison(&self, detail: String) {
        tracing::error!(detail, "writes are refused until restart");
        let _ = self.poison.set(detail);
    }

    /// Notes what a start found.
    pub(crate) fn status_at_start(&self, note: impl FnOnce(&mut ReplayStatus, &mut Vec<Damage>)) {
        let mut at_start = lock(&self.at_start);
        let (replay, damage) = &mut *at_start;
        note(replay, damage);
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

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Overloaded(what) => Self::Overloaded { what, retry_after: RETRY_AFTER },
            Failure::Unavailable(detail) => Self::Unavailable { detail, retry_after: RETRY_AFTER },
            Failure::Poisoned(detail) => Self::Poisoned { detail },
            Failure::Closed => Self::Closed,
        }
    }
}

fn figures_of(decoded: &Decoded) -> Figures {
    Figures {
        accepted: decoded.accepted() as u64,
        rejected: decoded.rejected() as u64,
        message: decoded.message.as_str().into(),
    }
}

fn note(hash: PayloadHash, received_at_ns: i64, figures: &Figures) -> manifest::Payload {
    manifest::Payload {
        h: hash,
        t: Time(received_at_ns),
        a: figures.accepted,
        r: figures.rejected,
        m: figures.message.to_string(),
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
    let hashed = tokio::task::spawn_blocking(move || recent::hash(&payload));
    hashed.await.map_err(Error::internal)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
