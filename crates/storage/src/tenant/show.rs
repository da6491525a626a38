//! Entries come into view: rows in memory and files of the manifest change places in one instant.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Sealed, Tenant, Visible};
use crate::Error;
use crate::engine::Core;
use crate::manifest::{self, Head, Seen};
use crate::memtable::{Fate, Frame, Memtable};
use crate::recent::Figures;

/// What became of unflushed rows when entries came into view.
#[derive(Default)]
pub(crate) struct Shown {
    /// Sealed rows that are in files now.
    pub(crate) flushed: Vec<Arc<Sealed>>,
    /// Bytes of unsealed rows that turned out to be in files.
    pub(crate) freed_bytes: usize,
    /// Files that no entry will name.
    pub(crate) unused: Vec<manifest::File>,
}

impl Tenant {
    /// Makes the entries visible that the head went over: sealed rows are swapped for the files that they
    /// became, and rows that another writer stored go.
    pub(crate) fn show(&self, core: &Core, head: &mut Head) -> Shown {
        let mut visible = self.lock();
        visible.state = head.state.clone();
        let mut shown = Shown::default();
        for seen in head.unseen.drain(..) {
            if seen.writer.epoch == core.epoch {
                let is_it = |sealed: &Arc<Sealed>| {
                    sealed.prepared().as_ref().is_some_and(|prepared| prepared.commit == seen.writer.commit)
                };
                let place = visible.sealed.iter().position(is_it);
                shown.flushed.extend(place.and_then(|place| visible.sealed.remove(place)));
            } else {
                self.show_others(core, &mut visible, &seen, &mut shown);
            }
        }
        if !shown.flushed.is_empty() {
            visible.flush_failures = 0;
            visible.flush_not_before_ns = i64::MIN;
            visible.flush_error = None;
        }
        shown
    }

    /// Takes out what an entry of another process stored: payloads that came to both of us, and frames of this WAL
    /// whose entry the process before this one asked the store for, and did not live to see.
    fn show_others(&self, core: &Core, visible: &mut Visible, seen: &Seen, shown: &mut Shown) {
        for payload in &seen.payloads {
            let figures = Figures { accepted: payload.a, rejected: payload.r, message: payload.m.as_str().into() };
            core.recent.remember((self.number, payload.h), payload.t.0, figures);
        }
        let stored: HashMap<_, _> = seen.payloads.iter().map(|payload| (payload.h, payload.t.0)).collect();
        let covered = seen.wal.filter(|wal| wal.directory == core.directory);
        let window_ns = core.retry_window_ns.unsigned_abs();
        let fate = |frame: &Frame| {
            if covered.is_some_and(|wal| (wal.from..=wal.to).contains(&frame.sequence)) {
                return Fate::Covered;
            }
            match stored.get(&frame.payload.h) {
                Some(time) if time.abs_diff(frame.payload.t.0) <= window_ns => Fate::Elsewhere,
                _ => Fate::Stays,
            }
        };
        if stored.is_empty() && covered.is_none() {
            return;
        }
        let bytes = visible.active.bytes();
        visible.active.cut(fate);
        if visible.active.is_empty() && bytes > 0 {
            visible.active = Memtable::default();
            shown.freed_bytes += bytes;
        }
        let mut left = VecDeque::with_capacity(visible.sealed.len());
        for sealed in visible.sealed.drain(..) {
            if sealed.table.frames().iter().all(|frame| frame.is_elsewhere || fate(frame) == Fate::Stays) {
                left.push_back(sealed);
                continue;
            }
            // An entry with these files was never made, since another's stands where it would have been.
            let prepared = sealed.prepared().take();
            shown.unused.extend(prepared.map(|prepared| prepared.files).unwrap_or_default());
            let mut table = sealed.table.clone();
            table.cut(fate);
            if table.is_empty() {
                shown.flushed.push(sealed);
            } else {
                left.push_back(Arc::new(Sealed { table, prepared: Mutex::new(None) }));
            }
        }
        visible.sealed = left;
    }

    /// Reads the entries that other processes wrote, and makes them visible.
    ///
    /// # Errors
    /// As reading entries; what was read by then is visible.
    pub(crate) async fn follow(&self, core: &Core) -> Result<(), Error> {
        let mut head = self.head.lock().await;
        let began = Instant::now();
        let outcome = manifest::follow(&self.entries, &mut head, u64::MAX, |_| {}).await;
        core.show(self, &mut head).await;
        if outcome.is_ok() {
            self.lock().followed = Some(began);
        }
        outcome
    }

    /// Whether what other processes wrote was read within the last moments.
    pub(crate) fn is_fresh(&self, age_max: Duration) -> bool {
        self.lock().followed.is_some_and(|followed| followed.elapsed() <= age_max)
    }
}
