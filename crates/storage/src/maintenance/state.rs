use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tracehound_schema::{Dataset, TenantId};

use super::plan::Place;

/// What maintenance did since the start, and what is left to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MaintenanceStatus {
    /// Merges that pay now and are not done yet, as of the last look.
    pub backlog_units: u64,
    /// Files that those merges read.
    pub backlog_files: u64,
    /// Bytes that those merges read.
    pub backlog_bytes: u64,
    /// Merges done.
    pub units: u64,
    /// Files that they read.
    pub files_read: u64,
    /// Files that they wrote.
    pub files_written: u64,
    /// Rows that they wrote.
    pub rows: u64,
    /// Bytes that they read.
    pub bytes_read: u64,
    /// Bytes that they wrote.
    pub bytes_written: u64,
    /// Merges whose files somebody else changed meanwhile; they were planned anew.
    pub conflicts: u64,
    /// Merges that failed and are tried again later.
    pub failing: Vec<FailingUnit>,
    /// Damaged files that queries leave out, over all tenants.
    pub quarantined: u64,
    /// Files that retention took out of the live set.
    pub files_retired: u64,
    /// Objects that the sweep removed from the store.
    pub objects_swept: u64,
    /// Their bytes.
    pub bytes_swept: u64,
    /// When the last sweep ended, nanoseconds.
    pub last_sweep_ns: Option<i64>,
    /// Why the last sweep or retention failed; `None` after a success.
    pub sweep_error: Option<String>,
}

/// A merge that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailingUnit {
    /// Whose files.
    pub tenant: TenantId,
    /// Which, for people.
    pub what: String,
    /// Why.
    pub error: String,
    /// How often.
    pub attempts: u32,
    /// When it is tried again, nanoseconds.
    pub retry_at_ns: i64,
}

/// What a merge is about, for as long as the process runs.
pub(crate) type Key = (TenantId, Dataset, Place);

/// What maintenance remembers between its pieces of work.
#[derive(Default)]
pub(crate) struct State {
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) status: MaintenanceStatus,
    failing: BTreeMap<Key, FailingUnit>,
    /// What the last merge of a place gave: merging only these again gains nothing.
    settled: HashMap<Key, HashSet<String>>,
    rewriting: HashMap<TenantId, Arc<tokio::sync::Mutex<()>>>,
    /// Tenants of which copies are being made, and how many.
    pinned: HashMap<TenantId, usize>,
    /// Objects that are not live, as far as is known.
    pub(crate) seen: HashMap<TenantId, HashMap<String, NotLive>>,
}

/// Since when an object has not been live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotLive {
    /// When it left the live set, or else when it was first looked at.
    pub(crate) since_ns: i64,
    /// Whether this process saw it leave the live set.
    pub(crate) was_live: bool,
}

/// Whether a unit may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MayTry {
    Yes,
    /// It failed: not before this time.
    At(i64),
    /// It is what its last merge gave, so that another would change nothing.
    Settled,
}

const FIRST_DELAY_NS: i64 = 10_000_000_000;
const DELAYS_MAX: u32 = 9;
/// How many places are remembered as settled at most.
const SETTLED_MAX: usize = 100_000;

impl State {
    /// What it remembers, locked.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For people and metrics.
    pub(crate) fn status(&self) -> MaintenanceStatus {
        let inner = self.lock();
        let failing = inner.failing.values().cloned().collect();
        MaintenanceStatus { failing, ..inner.status.clone() }
    }

    /// What has to be held while a tenant's files are rewritten, so that compaction and erasure do not undo each other's work.
    pub(crate) fn rewriting(&self, tenant: &TenantId) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.lock().rewriting.entry(tenant.clone()).or_default())
    }

    /// Whether a unit may be tried.
    pub(crate) fn may_try<'a>(&self, key: &Key, mut inputs: impl Iterator<Item = &'a str>, now_ns: i64) -> MayTry {
        let inner = self.lock();
        if let Some(failing) = inner.failing.get(key)
            && failing.retry_at_ns > now_ns
        {
            return MayTry::At(failing.retry_at_ns);
        }
        match inner.settled.get(key) {
            Some(settled) if inputs.all(|input| settled.contains(input)) => MayTry::Settled,
            _ => MayTry::Yes,
        }
    }

    /// Notes that a unit succeeded, and what it gave.
    pub(crate) fn succeeded(&self, key: Key, outputs: HashSet<String>) {
        let mut inner = self.lock();
        inner.failing.remove(&key);
        if inner.settled.len() >= SETTLED_MAX {
            inner.settled.clear();
        }
        inner.settled.insert(key, outputs);
    }

    /// Notes that a unit failed; it is tried again after a delay that doubles, up to more than an hour.
    pub(crate) fn failed(&self, key: Key, what: String, error: String, now_ns: i64) {
        let mut inner = self.lock();
        let attempts = inner.failing.get(&key).map_or(1, |failing| failing.attempts + 1);
        let delay_ns = FIRST_DELAY_NS << (attempts - 1).min(DELAYS_MAX);
        let retry_at_ns = now_ns.saturating_add(delay_ns);
        let failing = FailingUnit { tenant: key.0.clone(), what, error, attempts, retry_at_ns };
        inner.failing.insert(key, failing);
    }

    /// Forgets failures of places that no longer want a merge.
    pub(crate) fn keep_failing(&self, tenant: &TenantId, wanted: &HashSet<Key>) {
        self.lock().failing.retain(|key, _| key.0 != *tenant || wanted.contains(key));
    }

    /// Notes that objects left the live set.
    pub(crate) fn left(&self, tenant: &TenantId, objects: impl IntoIterator<Item = String>, now_ns: i64) {
        let mut inner = self.lock();
        let seen = inner.seen.entry(tenant.clone()).or_default();
        seen.extend(objects.into_iter().map(|object| (object, NotLive { since_ns: now_ns, was_live: true })));
    }

    /// The objects that are known to have left the live set up to a time.
    pub(crate) fn left_until(&self, tenant: &TenantId, latest_ns: i64) -> Vec<String> {
        let inner = self.lock();
        let Some(seen) = inner.seen.get(tenant) else { return Vec::new() };
        let left = seen.iter().filter(|(_, not_live)| not_live.was_live && not_live.since_ns <= latest_ns);
        left.map(|(object, _)| object.clone()).collect()
    }

    /// Forgets an object that is gone.
    pub(crate) fn forget(&self, tenant: &TenantId, object: &str) {
        if let Some(seen) = self.lock().seen.get_mut(tenant) {
            seen.remove(object);
        }
    }

    /// Keeps the sweep from a tenant's files until dropped.
    pub(crate) fn pin(self: &Arc<Self>, tenant: &TenantId) -> Pin {
        *self.lock().pinned.entry(tenant.clone()).or_default() += 1;
        Pin { state: Arc::clone(self), tenant: tenant.clone() }
    }

    /// Whether somebody copies a tenant's files.
    pub(crate) fn is_pinned(&self, tenant: &TenantId) -> bool {
        self.lock().pinned.contains_key(tenant)
    }
}

/// See [`State::pin`].
pub(crate) struct Pin {
    state: Arc<State>,
    tenant: TenantId,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut inner = self.state.lock();
        if let Some(count) = inner.pinned.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                inner.pinned.remove(&self.tenant);
            }
        }
    }
}
