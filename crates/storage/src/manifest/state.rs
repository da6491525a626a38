use std::collections::HashSet;
use std::sync::Arc;

use tracehound_schema::{Dataset, TenantId};
use ulid::Ulid;

use super::entry::{Entry, Removed};
use super::versions::Versions;
use crate::partition::{Part, tenant_dir};
use crate::{DataFile, Totals};

/// The files of each dataset, in the order of `Dataset::ALL`.
type Files = [Arc<Vec<Arc<DataFile>>>; 4];

/// What a tenant's entries, applied in order, say.
#[derive(Debug, Clone)]
pub(crate) struct State {
    tenant: TenantId,
    directory: Ulid,
    entry: u64,
    time_ns: i64,
    files: Files,
    versions: [Arc<Versions>; 4],
    committed_through: Option<u64>,
}

impl State {
    /// The state before entry 1. `directory` is the WAL whose coverage counts.
    pub(crate) fn new(tenant: TenantId, directory: Ulid) -> Self {
        Self {
            tenant,
            directory,
            entry: 0,
            time_ns: i64::MIN,
            files: Files::default(),
            versions: Default::default(),
            committed_through: None,
        }
    }

    /// The latest entry.
    pub(crate) fn entry(&self) -> u64 {
        self.entry
    }

    /// When the latest entry was written.
    pub(crate) fn time_ns(&self) -> i64 {
        self.time_ns
    }

    /// The live files.
    pub(crate) fn files(&self, dataset: Dataset) -> &[Arc<DataFile>] {
        &self.files[dataset as usize]
    }

    /// Which entry last touched each hour.
    pub(crate) fn versions(&self, dataset: Dataset) -> &Versions {
        &self.versions[dataset as usize]
    }

    /// Counts over all live files.
    pub(crate) fn totals(&self, dataset: Dataset) -> Totals {
        let files = self.files(dataset);
        Totals {
            files: files.len() as u64,
            rows: files.iter().map(|file| file.rows).sum(),
            bytes: files.iter().map(|file| file.bytes).sum(),
        }
    }

    /// The last WAL sequence that is in files; all the tenant's frames up to it are.
    pub(crate) fn committed_through(&self) -> Option<u64> {
        self.committed_through
    }

    /// Whether a file to be removed is live.
    pub(crate) fn has(&self, removed: &Removed) -> bool {
        let path = self.object(&removed.path);
        self.files(removed.dataset).iter().any(|file| file.path.as_ref() == path)
    }

    /// Applies the next entry.
    ///
    /// # Errors
    /// A text that says what is wrong, if it does not follow or removes a file that is not live.
    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        if entry.entry != self.entry + 1 {
            return Err(format!("entry {} follows entry {}", entry.entry, self.entry));
        }
        if entry.tenant != self.tenant {
            return Err(format!("entry belongs to tenant {}", entry.tenant));
        }
        for dataset in Dataset::ALL {
            self.remove(dataset, entry)?;
        }
        for file in &entry.add {
            let live = Arc::new(file.live(&self.tenant, entry.entry));
            self.touch(&live, entry.entry);
            Arc::make_mut(&mut self.files[file.dataset as usize]).push(live);
        }
        if let Some(wal) = entry.wal
            && wal.directory == self.directory
        {
            self.committed_through = self.committed_through.max(Some(wal.to));
        }
        self.entry = entry.entry;
        self.time_ns = self.time_ns.max(entry.time.0);
        Ok(())
    }

    fn remove(&mut self, dataset: Dataset, entry: &Entry) -> Result<(), String> {
        let removed = entry.remove.iter().filter(|removed| removed.dataset == dataset);
        let mut paths: HashSet<String> = removed.map(|removed| self.object(&removed.path)).collect();
        if paths.is_empty() {
            return Ok(());
        }
        let mut gone = Vec::new();
        Arc::make_mut(&mut self.files[dataset as usize]).retain(|file| {
            let is_gone = paths.remove(file.path.as_ref());
            if is_gone {
                gone.push(Arc::clone(file));
            }
            !is_gone
        });
        if let Some(path) = paths.iter().next() {
            return Err(format!("entry removes {path:?}, which is not live"));
        }
        for file in gone {
            self.touch(&file, entry.entry);
        }
        Ok(())
    }

    fn touch(&mut self, file: &DataFile, entry: u64) {
        let versions = Arc::make_mut(&mut self.versions[file.dataset as usize]);
        let below = file.path.as_ref().strip_prefix(&tenant_dir(&self.tenant)).unwrap_or_default();
        match Part::of_path(below.trim_start_matches('/')) {
            Some(Part::Day(_)) => versions.touch_hours(file.hours, entry),
            _ => versions.touch_range(file.hours, entry),
        }
    }

    fn object(&self, path: &str) -> String {
        format!("{}/{path}", tenant_dir(&self.tenant))
    }
}
