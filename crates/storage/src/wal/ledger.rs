use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracehound_schema::TenantId;

use crate::disk::Disk;
use crate::runtime::{Safeguard, without};

/// Which segments there are, and what keeps each of them.
pub(crate) struct Ledger {
    disk: Disk,
    segments: Mutex<Vec<Segment>>,
}

/// A segment and the last frame in it of each tenant.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) last: HashMap<TenantId, u64>,
    /// A damaged segment is kept under another name once its rows are in files.
    pub(crate) damaged: bool,
}

impl Ledger {
    /// A ledger without segments.
    pub(crate) fn new(disk: Disk) -> Self {
        Self { disk, segments: Mutex::default() }
    }

    /// Adds a segment; it is the newest.
    pub(crate) fn add(&self, segment: Segment) {
        self.lock().push(segment);
    }

    /// Notes what was written to the newest segment.
    pub(crate) fn grow(&self, bytes: u64, frames: impl Iterator<Item = (TenantId, u64)>) {
        if let Some(newest) = self.lock().last_mut() {
            newest.bytes = bytes;
            newest.last.extend(frames);
        }
    }

    /// Notes a frame of the newest segment that is not in files yet.
    pub(crate) fn note(&self, tenant: &TenantId, sequence: u64) {
        if let Some(newest) = self.lock().last_mut() {
            newest.last.insert(tenant.clone(), sequence);
        }
    }

    /// Marks a segment as damaged.
    pub(crate) fn mark_damaged(&self, path: &std::path::Path) {
        for segment in self.lock().iter_mut().filter(|segment| segment.path == path) {
            segment.damaged = true;
        }
    }

    /// The number of segments, and their bytes.
    pub(crate) fn size(&self) -> (usize, u64) {
        let segments = self.lock();
        (segments.len(), segments.iter().map(|segment| segment.bytes).sum())
    }

    /// Removes the segments whose frames are all in files, but never the
    /// newest, whose number must not be used again.
    pub(crate) fn reclaim(&self, covered: impl Fn(&TenantId) -> Option<u64>) {
        let mut segments = self.lock();
        let newest = segments.len().saturating_sub(1);
        let mut index = 0;
        segments.retain(|segment| {
            let is_newest = index == newest;
            index += 1;
            let needed = !without(Safeguard::EntryBeforeReclaim)
                && segment.last.iter().any(|(tenant, last)| covered(tenant) < Some(*last));
            if is_newest || needed {
                return true;
            }
            let removed = if segment.damaged {
                let kept = segment.path.with_extension("wal.corrupt");
                let renamed = self.disk.rename(&segment.path, &kept);
                renamed.and_then(|()| segment.path.parent().map_or(Ok(()), |dir| self.disk.sync_dir(dir)))
            } else {
                self.disk.remove_file(&segment.path)
            };
            if let Err(error) = &removed {
                tracing::warn!(path = %segment.path.display(), %error, "cannot remove WAL segment");
            }
            // A failed removal is tried again with the next flush.
            removed.is_err()
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
