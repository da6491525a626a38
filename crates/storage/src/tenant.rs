//! One tenant's data in memory: what the manifest says, and what is not in it yet.

mod commit;
mod show;

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arrow::array::RecordBatch;
use tracehound_schema::{Dataset, TenantId};
use ulid::Ulid;

pub(crate) use self::commit::{Change, Committed};
use crate::engine::Core;
use crate::manifest::{self, Entries, Head, State};
use crate::memtable::Memtable;
use crate::snapshot::Quarantine;
use crate::{Snapshot, TenantStatus, partition};

/// A tenant.
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    /// Its number in this process.
    pub(crate) number: u32,
    /// Its manifest.
    pub(crate) entries: Entries,
    /// The end of its manifest; held by the one commit that may be under way.
    pub(crate) head: tokio::sync::Mutex<Head>,
    checkpointing: tokio::sync::Mutex<()>,
    /// Set where the checkpoint that the state stands on turns out to be damaged.
    base_damaged: Arc<AtomicBool>,
    visible: Mutex<Visible>,
}

/// What a snapshot is taken of. Everything in it changes under one lock, so
/// that a row is always in exactly one place.
struct Visible {
    state: State,
    /// Rows on their way into files, oldest first.
    sealed: VecDeque<Arc<Sealed>>,
    active: Memtable,
    quarantine: Arc<Quarantine>,
    /// When what other processes wrote was read.
    followed: Option<Instant>,
    flush_failures: u32,
    flush_not_before_ns: i64,
    flush_error: Option<String>,
}

/// Rows that no longer change and are on their way into files.
pub(crate) struct Sealed {
    pub(crate) table: Memtable,
    /// The files, once written: a commit whose outcome is open has to be
    /// tried again with the same ones.
    pub(crate) prepared: Mutex<Option<Prepared>>,
}

/// Files that were written and wait for their entry.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) commit: Ulid,
    pub(crate) files: Vec<manifest::File>,
}

/// How full and how old a tenant's unsealed rows are.
pub(crate) struct Load {
    pub(crate) bytes: usize,
    pub(crate) age_ns: i64,
}

impl Tenant {
    pub(crate) fn new(entries: Entries, number: u32, head: Head) -> Self {
        let visible = Visible {
            state: head.state.clone(),
            sealed: VecDeque::new(),
            active: Memtable::default(),
            quarantine: Arc::default(),
            followed: None,
            flush_failures: 0,
            flush_not_before_ns: i64::MIN,
            flush_error: None,
        };
        Self {
            id: entries.tenant.clone(),
            number,
            entries,
            head: head.into(),
            checkpointing: tokio::sync::Mutex::default(),
            base_damaged: Arc::default(),
            visible: visible.into(),
        }
    }

    /// Makes a frame's rows visible, unless another writer's entry has them. Returns the memtable bytes before and
    /// after, and whether rows were sealed because there are enough of them.
    pub(crate) fn insert(
        &self,
        core: &Core,
        sequence: u64,
        payload: manifest::Payload,
        rows: [(Dataset, RecordBatch); 2],
    ) -> (usize, usize, bool) {
        let now_ns = core.now_ns();
        let mut visible = self.lock();
        let before = visible.active.bytes();
        // Asked under the lock: an entry that comes into view later finds the rows in the table.
        if core.recent.is_stored((self.number, payload.h), payload.t.0) {
            visible.active.insert_elsewhere(sequence, payload, now_ns);
        } else {
            visible.active.insert(sequence, payload, rows, now_ns);
        }
        let after = visible.active.bytes();
        let full = after >= core.options.flush_bytes;
        if full {
            visible.seal();
        }
        (before, after, full)
    }

    /// Seals what rows there are.
    pub(crate) fn seal(&self) {
        self.lock().seal();
    }

    /// The load of the unsealed rows; `None` if there are none.
    pub(crate) fn load(&self, now_ns: i64) -> Option<Load> {
        let visible = self.lock();
        let active = &visible.active;
        let age_ns = now_ns.saturating_sub(active.since_ns);
        (!active.is_empty()).then(|| Load { bytes: active.bytes(), age_ns })
    }

    /// Bytes of sealed rows.
    pub(crate) fn sealed_bytes(&self) -> usize {
        self.lock().sealed.iter().map(|sealed| sealed.table.bytes()).sum()
    }

    /// The oldest sealed rows.
    pub(crate) fn first_sealed(&self) -> Option<Arc<Sealed>> {
        self.lock().sealed.front().cloned()
    }

    /// Whether there are sealed rows, and no failure forbids trying yet.
    pub(crate) fn wants_flush(&self, now_ns: i64) -> bool {
        let visible = self.lock();
        !visible.sealed.is_empty() && visible.flush_not_before_ns <= now_ns
    }

    /// The damaged files that must not be read.
    pub(crate) fn quarantine(&self) -> Arc<Quarantine> {
        Arc::clone(&self.lock().quarantine)
    }

    /// Replaces the damaged files that must not be read, for snapshots from now on.
    pub(crate) fn set_quarantine(&self, quarantine: Quarantine) {
        self.lock().quarantine = Arc::new(quarantine);
    }

    /// Notes a failed flush; the next is due after a delay that doubles, up to 5 s.
    pub(crate) fn flush_failed(&self, error: String, now_ns: i64) {
        const FIRST_DELAY_NS: i64 = 250_000_000;
        const DELAY_NS_MAX: i64 = 5_000_000_000;
        let mut visible = self.lock();
        let delay_ns = FIRST_DELAY_NS << visible.flush_failures.min(5);
        visible.flush_failures += 1;
        visible.flush_not_before_ns = now_ns.saturating_add(delay_ns.min(DELAY_NS_MAX));
        visible.flush_error = Some(error);
    }

    /// The last WAL sequence that is in files.
    pub(crate) fn committed_through(&self) -> Option<u64> {
        self.lock().state.committed_through()
    }

    /// Its latest manifest entry.
    pub(crate) fn entry(&self) -> u64 {
        self.lock().state.entry()
    }

    /// The files and the rows as they are now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let visible = self.lock();
        let tables = || visible.sealed.iter().map(|sealed| &sealed.table).chain([&visible.active]);
        let rows = Dataset::ALL.map(|dataset| tables().flat_map(|table| table.batches(dataset)).cloned().collect());
        Snapshot {
            entries: self.entries.clone(),
            state: visible.state.clone(),
            base_damaged: Arc::clone(&self.base_damaged),
            as_of: None,
            rows,
            quarantine: Arc::clone(&visible.quarantine),
        }
    }

    /// The hash of the latest entry, and the data as of it.
    pub(crate) async fn head_and_snapshot(&self) -> (Option<String>, Snapshot) {
        let head = self.head.lock().await;
        (head.hash.clone(), self.snapshot())
    }

    /// The objects of flushed files that wait for their entry.
    pub(crate) fn uncommitted(&self) -> Vec<String> {
        let visible = self.lock();
        let dir = partition::tenant_dir(&self.id);
        let mut found = Vec::new();
        for sealed in &visible.sealed {
            let prepared = sealed.prepared();
            let files = prepared.iter().flat_map(|prepared| &prepared.files);
            let paths = files.flat_map(|file| [Some(&file.path), file.sidecar.as_ref().map(|sidecar| &sidecar.path)]);
            found.extend(paths.flatten().map(|path| format!("{dir}/{path}")));
        }
        found
    }

    /// Its state, for people.
    pub(crate) fn status(&self) -> TenantStatus {
        let visible = self.lock();
        let totals = Dataset::ALL.map(|dataset| visible.state.totals(dataset));
        let tables = || visible.sealed.iter().map(|sealed| &sealed.table).chain([&visible.active]);
        TenantStatus {
            entry: visible.state.entry(),
            files: totals.iter().map(|totals| totals.files).sum(),
            file_rows: totals.iter().map(|totals| totals.rows).sum(),
            file_bytes: totals.iter().map(|totals| totals.bytes).sum(),
            unflushed_rows: tables().map(Memtable::rows).sum(),
            unflushed_bytes: tables().map(Memtable::bytes).sum(),
            flush_error: visible.flush_error.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Visible> {
        self.visible.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visible {
    fn seal(&mut self) {
        if self.active.is_empty() {
            return;
        }
        let table = std::mem::take(&mut self.active);
        self.sealed.push_back(Arc::new(Sealed { table, prepared: Mutex::new(None) }));
    }
}

impl Sealed {
    /// The files of an earlier attempt.
    pub(crate) fn prepared(&self) -> MutexGuard<'_, Option<Prepared>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
