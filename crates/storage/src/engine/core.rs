use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tracehound_schema::{Dataset, Decoded, Payload, TenantId};
use ulid::Ulid;

use crate::budget::Budget;
use crate::lock::Lock;
use crate::manifest::{self, Entries, Head, SegmentCache, State, Time};
use crate::memtable::shrunk;
use crate::recent::{Figures, PayloadHash, Recent};
use crate::runtime::{Safeguard, without};
use crate::store::Store;
use crate::tenant::Tenant;
use crate::wal::Ledger;
use crate::wal::writer::{RETRY_AFTER, Request};
use crate::{Damage, Error, Needles, Options, ReplayStatus, maintenance, partition, runtime};

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
    pub(crate) store: Store,
    /// Parts of manifests that were used lately.
    pub(crate) segments: SegmentCache,
    pub(crate) ledger: Ledger,
    pub(crate) recent: Recent,
    pub(crate) needles: Needles,
    pub(crate) maintenance: Arc<maintenance::State>,
    pub(crate) budget: Arc<Budget>,
    /// Appends that have begun and are not with the writer yet.
    pub(crate) arriving: AtomicUsize,
    pub(crate) wake: Arc<Notify>,
    tenants: RwLock<BTreeMap<TenantId, Arc<Tenant>>>,
    poison: OnceLock<String>,
    pub(crate) last_flush_ns: AtomicI64,
    pub(crate) flush_failures: AtomicU64,
    pub(crate) at_start: Mutex<(ReplayStatus, Vec<Damage>)>,
    /// Held until closed.
    pub(crate) lock: Mutex<Option<Lock>>,
    #[cfg(test)]
    pub(crate) faults: Arc<crate::wal::Faults>,
}

/// Why an append failed; retries that waited for it fail alike.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    Overloaded(&'static str),
    Unavailable(String),
    Poisoned(String),
    Closed,
}

impl Core {
    /// The state of a start, before anything is read.
    pub(crate) fn new(options: Options, lock: Lock, wal_dir: PathBuf, directory: Ulid, store: Store) -> Self {
        Self {
            // Two segments at least have to fit the bound, or nothing could ever be removed.
            segment_bytes: options.wal_segment_bytes.min(options.wal_bytes_max / 4),
            retry_window_ns: nanos(options.retry_window),
            wal_dir,
            directory,
            epoch: runtime::new_id(),
            needles: Needles::new(store.clone(), options.needles_bytes_max),
            store,
            segments: SegmentCache::new(options.segment_cache_bytes),
            ledger: Ledger::new(options.disk.clone()),
            recent: Recent::new(nanos(options.retry_window)),
            maintenance: Arc::default(),
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
        }
    }

    /// The time, nanoseconds.
    pub(crate) fn now_ns(&self) -> i64 {
        (self.options.clock)()
    }

    /// All tenants.
    pub(crate) fn tenants(&self) -> Vec<Arc<Tenant>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.values().cloned().collect()
    }

    /// A tenant, if it ever sent anything.
    pub(crate) fn find_tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
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
        let tenant =
            tenants.entry(id.clone()).or_insert_with(|| Arc::new(Tenant::new(self.entries(&id), number, head)));
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
        if !without(Safeguard::RememberOnReplay) {
            self.recent.remember((tenant.number, hash), payload.received_at_ns, figures);
        }
    }

    fn insert_rows(
        &self,
        tenant: &Tenant,
        sequence: u64,
        note: manifest::Payload,
        rows: [(Dataset, arrow::array::RecordBatch); 2],
    ) {
        let (before, after, full) = tenant.insert(self, sequence, note, rows);
        self.budget.change(before, after);
        if full || self.budget.is_pressed() {
            self.wake.notify_one();
        }
    }

    /// The manifest of a tenant.
    pub(crate) fn entries(&self, tenant: &TenantId) -> Entries {
        Entries { store: self.store.clone(), tenant: tenant.clone(), segments: self.segments.clone() }
    }

    /// Makes the entries visible that a tenant's head went over, and removes what they made superfluous: WAL segments,
    /// and files that no entry will name.
    pub(crate) async fn show(&self, tenant: &Tenant, head: &mut Head) {
        let shown = tenant.show(self, head);
        if !shown.flushed.is_empty() || shown.freed_bytes > 0 {
            self.budget.change(shown.freed_bytes, 0);
            for sealed in shown.flushed {
                self.budget.change(sealed.table.bytes(), 0);
            }
            self.last_flush_ns.store(self.now_ns(), Ordering::Release);
            self.ledger.reclaim(|tenant| self.committed_through(tenant));
        }
        self.discard(tenant, &shown.unused).await;
    }

    /// Counts a failed flush.
    pub(crate) fn flush_failed(&self) {
        self.flush_failures.fetch_add(1, Ordering::AcqRel);
    }

    /// Removes files that no entry will name.
    pub(crate) async fn discard(&self, tenant: &Tenant, files: &[manifest::File]) {
        let dir = partition::tenant_dir(&tenant.id);
        for file in files {
            // Best effort: the next start removes what is left.
            for path in [Some(&file.path), file.sidecar.as_ref().map(|sidecar| &sidecar.path)].into_iter().flatten() {
                let _ = self.store.delete(&format!("{dir}/{path}")).await;
            }
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

/// The figures of a reply.
pub(crate) fn figures_of(decoded: &Decoded) -> Figures {
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

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
