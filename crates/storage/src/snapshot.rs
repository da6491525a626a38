use std::sync::Arc;

use arrow::array::RecordBatch;
use tracehound_schema::{Dataset, TenantId};

use crate::DataFile;

/// The files of each dataset, in the order of `Dataset::ALL`.
pub(crate) type Files = [Arc<Vec<Arc<DataFile>>>; 4];

/// What a tenant's data was at one instant: the live files as of one manifest
/// entry and the rows that were not flushed by then. Every row is in exactly
/// one of the two.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) tenant: TenantId,
    pub(crate) entry: u64,
    pub(crate) files: Files,
    pub(crate) rows: [Vec<RecordBatch>; 4],
}

impl Snapshot {
    /// Whose data it is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The latest manifest entry that it sees; 0 when there is none.
    pub fn entry(&self) -> u64 {
        self.entry
    }

    /// The live files of a dataset, in the order of the entries that added them.
    pub fn files(&self, dataset: Dataset) -> &[Arc<DataFile>] {
        &self.files[dataset as usize]
    }

    /// The rows of a dataset that are in no file yet; they have no `_commit`.
    pub fn rows(&self, dataset: Dataset) -> &[RecordBatch] {
        &self.rows[dataset as usize]
    }
}
