//! Sorted files become fewer, larger ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use tracehound_schema::{Dataset, Hour, TenantId};

use crate::manifest::File;
use crate::store::Store;
use crate::{DataFile, Error};

/// Tells which rows of a batch stay. The batch has the dataset's columns, then `_commit`.
pub(crate) type Keep = Arc<dyn Fn(&RecordBatch) -> Result<BooleanArray, Error> + Send + Sync>;

/// How rows are dealt to files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// A file for each hour.
    Hours,
    /// A file for each day.
    Day,
    /// A file for each hour that has at least `rows_min` rows or is one of
    /// `own`, for at most `hours_max` hours; one late file for all others.
    Split {
        /// The rows from which on an hour gets a file of its own.
        rows_min: u64,
        /// Hours that get a file of their own whatever their rows.
        own: BTreeSet<Hour>,
        /// The most hours that get files of their own, those with most rows first.
        hours_max: usize,
    },
}

/// Bounds of a merge, and what it leaves out.
#[derive(Clone)]
pub(crate) struct MergeOptions {
    /// The most memory it may take, bytes, beyond one batch of each input.
    pub(crate) memory_bytes: usize,
    /// The size after which an output is followed by another.
    pub(crate) file_bytes_max: u64,
    /// The most attribute keys that become columns of a file.
    pub(crate) promoted_max: usize,
    /// The fewest rows that must have a key before it becomes a column, unless the file has fewer.
    pub(crate) promoted_rows_min: u64,
    /// Rows to keep; absent: all.
    pub(crate) keep: Option<Keep>,
}

impl Default for MergeOptions {
    fn default() -> Self {
        Self { memory_bytes: 256 << 20, file_bytes_max: 512 << 20, promoted_max: 256, promoted_rows_min: 8, keep: None }
    }
}

/// Merges files of one dataset into sorted, promoted files that no entry names yet.
///
/// Rows in = rows out + rows that `keep` drops, checked before it returns.
///
/// # Errors
/// [`Error::Corrupt`] names an input that breaks the format; otherwise what the
/// store says. Outputs written by then are removed.
pub(crate) async fn merge(
    _store: &Store,
    _tenant: &TenantId,
    _dataset: Dataset,
    _inputs: &[Arc<DataFile>],
    _output: Output,
    _options: &MergeOptions,
) -> Result<Vec<File>, Error> {
    Err(Error::internal("merging is not there yet"))
}
