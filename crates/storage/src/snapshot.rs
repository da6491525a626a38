use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use object_store::path::Path;
use tracehound_schema::{Dataset, Hour, TenantId};

use crate::manifest::{self, Entries, State, Wanted};
use crate::{DataFile, Error};

/// Damaged files that must not be read, with what is wrong with them.
pub(crate) type Quarantine = HashMap<Path, Arc<str>>;

/// What a tenant's data was at one instant: the live files as of one manifest
/// entry and the rows that were not flushed by then. Every row is in exactly
/// one of the two.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) entries: Entries,
    pub(crate) state: State,
    /// Set where the checkpoint that the state stands on turns out to be damaged.
    pub(crate) base_damaged: Arc<AtomicBool>,
    pub(crate) as_of: Option<u64>,
    pub(crate) rows: [Vec<RecordBatch>; 4],
    pub(crate) quarantine: Arc<Quarantine>,
}

/// Counts over the live files of a dataset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Snapshot {
    /// Whose data it is.
    pub fn tenant(&self) -> &TenantId {
        &self.entries.tenant
    }

    /// The manifest entry that it is as of; 0 when there is none.
    pub fn entry(&self) -> u64 {
        self.as_of.unwrap_or(self.state.entry())
    }

    /// `Some(n)`: only rows with `_commit` up to n count, so files with a later
    /// [`commits.1`](DataFile::commits) have to be filtered by row. There are no unflushed rows then.
    pub fn as_of(&self) -> Option<u64> {
        self.as_of
    }

    /// The rows of a dataset that are in no file yet; they have no `_commit`.
    pub fn rows(&self, dataset: Dataset) -> &[RecordBatch] {
        &self.rows[dataset as usize]
    }

    /// Counts over all live files of a dataset, those with later commits than [`as_of`](Self::as_of) included.
    pub fn totals(&self, dataset: Dataset) -> Totals {
        self.state.totals(dataset)
    }

    /// The live files of a dataset that may hold rows of a range of event time (nanoseconds, both ends
    /// included), in the order of the entries that added them.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`] and [`Error::Unavailable`] if what the manifest says of them cannot be read.
    pub async fn files(&self, dataset: Dataset, event_time: RangeInclusive<i64>) -> Result<Vec<Arc<DataFile>>, Error> {
        let wanted = Wanted { event_time, commit_max: self.as_of };
        let mut again = None;
        loop {
            let state = again.as_ref().unwrap_or(&self.state);
            match state.files(&self.entries, dataset, &wanted).await {
                Err(error) => again = Some(self.without_checkpoint(state, error).await?),
                found => return found,
            }
        }
    }

    /// The last entry that touched each hour of a range, which should be short; hours that none touched are left out.
    ///
    /// # Errors
    /// As [`files`](Self::files).
    pub async fn versions(&self, dataset: Dataset, hours: RangeInclusive<Hour>) -> Result<BTreeMap<Hour, u64>, Error> {
        let mut again = None;
        loop {
            let state = again.as_ref().unwrap_or(&self.state);
            match state.versions(&self.entries, dataset, &hours).await {
                Err(error) => again = Some(self.without_checkpoint(state, error).await?),
                found => return found,
            }
        }
    }

    /// What the log itself says, where the checkpoint that a state stands on turned out to be damaged.
    async fn without_checkpoint(&self, state: &State, error: Error) -> Result<State, Error> {
        let Error::Corrupt { path, detail } = &error else { return Err(error) };
        if state.base().entry == 0 {
            return Err(error);
        }
        tracing::error!(path = %path.display(), detail, "a checkpoint is damaged; reading the log instead");
        self.base_damaged.store(true, Ordering::Release);
        Ok(manifest::load_again(&self.entries, state).await?.state)
    }

    /// Why a file must not be read; `None` if it may.
    pub fn quarantined(&self, file: &DataFile) -> Option<Arc<str>> {
        self.quarantine.get(&file.path).cloned()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, as_of, state, .. } = self;
        let mut shown = f.debug_struct("Snapshot");
        shown.field("tenant", &entries.tenant).field("entry", &state.entry()).field("as_of", as_of);
        shown.finish_non_exhaustive()
    }
}
