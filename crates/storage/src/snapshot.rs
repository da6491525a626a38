use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::RecordBatch;
use object_store::path::Path;
use tracehound_schema::{Dataset, Hour, TenantId};

use crate::manifest::State;
use crate::{DataFile, Error};

/// Damaged files that must not be read, with what is wrong with them.
pub(crate) type Quarantine = HashMap<Path, Arc<str>>;

/// What a tenant's data was at one instant: the live files as of one manifest
/// entry and the rows that were not flushed by then. Every row is in exactly
/// one of the two.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) tenant: TenantId,
    pub(crate) state: State,
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
        &self.tenant
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
    /// [`Error::Corrupt`] and [`Error::Io`] if what the manifest says of them cannot be read.
    pub async fn files(&self, dataset: Dataset, event_time: RangeInclusive<i64>) -> Result<Vec<Arc<DataFile>>, Error> {
        let wanted = |file: &&Arc<DataFile>| {
            meet(&event_time, file.event_time) && self.as_of.is_none_or(|entry| file.commits.0 <= entry)
        };
        Ok(self.state.files(dataset).iter().filter(wanted).cloned().collect())
    }

    /// The last entry that touched each hour of a range; hours that none touched are left out.
    ///
    /// # Errors
    /// As [`files`](Self::files).
    pub async fn versions(&self, dataset: Dataset, hours: RangeInclusive<Hour>) -> Result<BTreeMap<Hour, u64>, Error> {
        let mut found = BTreeMap::new();
        self.state.versions(dataset).collect(&hours, &mut found);
        Ok(found)
    }

    /// Why a file must not be read; `None` if it may.
    pub fn quarantined(&self, file: &DataFile) -> Option<Arc<str>> {
        self.quarantine.get(&file.path).cloned()
    }
}

/// Whether two ranges of times, ends included, have one in common.
fn meet(range: &RangeInclusive<i64>, (least, greatest): (i64, i64)) -> bool {
    !range.is_empty() && least <= *range.end() && *range.start() <= greatest
}

#[cfg(test)]
mod tests {
    use super::meet;

    #[test]
    fn ranges_meet_at_their_ends() {
        assert!([(20, 30), (0, 10), (12, 13), (0, 30)].into_iter().all(|found| meet(&(10..=20), found)));
        assert!([(21, 30), (0, 9)].into_iter().all(|found| !meet(&(10..=20), found)));
        #[expect(clippy::reversed_empty_ranges, reason = "the empty range is the case")]
        let empty = i64::MAX..=i64::MIN;
        assert!(!meet(&empty, (i64::MIN, i64::MAX)));
    }
}
