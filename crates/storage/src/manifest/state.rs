use std::sync::Arc;

use tracehound_schema::TenantId;
use ulid::Ulid;

use super::entry::{Entry, Removed};
use crate::DataFile;
use crate::snapshot::Files;

/// What a tenant's entries, applied in order, say.
#[derive(Debug, Clone)]
pub(crate) struct State {
    tenant: TenantId,
    directory: Ulid,
    entry: u64,
    files: Files,
    committed_through: Option<u64>,
}

impl State {
    /// The state before entry 1. `directory` is the WAL whose coverage counts.
    pub(crate) fn new(tenant: TenantId, directory: Ulid) -> Self {
        Self { tenant, directory, entry: 0, files: Files::default(), committed_through: None }
    }

    /// The latest entry.
    pub(crate) fn entry(&self) -> u64 {
        self.entry
    }

    /// The live files.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// The last WAL sequence that is in files; all the tenant's frames up to it are.
    pub(crate) fn committed_through(&self) -> Option<u64> {
        self.committed_through
    }

    /// Whether a file to be removed is live.
    pub(crate) fn has(&self, removed: &Removed) -> bool {
        let files = &self.files[removed.dataset as usize];
        files.iter().any(|file| self.is(file, &removed.path))
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
        for removed in &entry.remove {
            if !self.has(removed) {
                return Err(format!("entry removes {:?}, which is not live", removed.path));
            }
            let tenant = self.tenant.clone();
            let files = Arc::make_mut(&mut self.files[removed.dataset as usize]);
            files.retain(|file| !is(&tenant, file, &removed.path));
        }
        for file in &entry.add {
            let live = Arc::new(file.live(&self.tenant, entry.entry));
            Arc::make_mut(&mut self.files[file.dataset as usize]).push(live);
        }
        if let Some(wal) = entry.wal
            && wal.directory == self.directory
        {
            self.committed_through = self.committed_through.max(Some(wal.to));
        }
        self.entry = entry.entry;
        Ok(())
    }

    fn is(&self, file: &DataFile, path: &str) -> bool {
        is(&self.tenant, file, path)
    }
}

fn is(tenant: &TenantId, file: &DataFile, path: &str) -> bool {
    let Some(below) = file.path.as_ref().strip_prefix(&crate::partition::tenant_dir(tenant)) else {
        return false;
    };
    below.strip_prefix('/') == Some(path)
}
