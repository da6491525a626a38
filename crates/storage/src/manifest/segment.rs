//! Segments of checkpoints: the live files of one dataset and one day, in an object named by its hash.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracehound_schema::{Dataset, Hour, TenantId};

use super::entry::File;
use super::time::Time;
use super::versions::Versions;
use crate::partition::{self, Part};
use crate::{DataFile, Error};

/// The format version of segments and roots.
pub(crate) const CHECKPOINT_FORMAT: u32 = 1;

/// A segment as a root describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentRef {
    /// SHA-256 of its bytes, which is its name too.
    pub(crate) sha256: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// How many files it names, their rows and their bytes.
    pub(crate) files: u64,
    pub(crate) rows: u64,
    pub(crate) file_bytes: u64,
    /// The range of event time over its files; `None` without any.
    pub(crate) event_time: Option<(i64, i64)>,
    /// The range of `_commit` over its files.
    pub(crate) commits: Option<(u64, u64)>,
}

/// What a segment says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    /// In the order of the entries that added them, then by path.
    pub(crate) files: Vec<Arc<DataFile>>,
    pub(crate) versions: Versions,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: u32,
    dataset: Dataset,
    day: String,
    /// The entry that added each file, and the file as in that entry.
    files: Vec<(u64, File)>,
    /// First hour, last hour, and the last entry that touched them.
    versions: Vec<(Hour, Hour, u64)>,
}

impl Segment {
    /// Whether there is nothing to keep.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.versions.is_empty()
    }

    /// Its bytes, and how a root describes them.
    pub(crate) fn encode(&self, tenant: &TenantId, dataset: Dataset, part: Part) -> (Vec<u8>, SegmentRef) {
        let files = self.files.iter().map(|file| (file.commit, File::of(tenant, file))).collect();
        let versions = match part {
            Part::Day(_) => self.versions.hours_as_ranges(),
            Part::Wide => self.versions.ranges.clone(),
        };
        let wire = Wire { format: CHECKPOINT_FORMAT, dataset, day: part.name(), files, versions };
        let bytes = serde_json::to_vec(&wire).expect("a segment holds only text, numbers and lists");
        let files = || self.files.iter();
        let (least, greatest) = (files().map(|f| f.event_time.0).min(), files().map(|f| f.event_time.1).max());
        let (first, last) = (files().map(|f| f.commits.0).min(), files().map(|f| f.commits.1).max());
        let described = SegmentRef {
            sha256: super::entry::hash(&bytes),
            bytes: bytes.len() as u64,
            files: files().count() as u64,
            rows: files().map(|file| file.rows).sum(),
            file_bytes: files().map(|file| file.bytes).sum(),
            event_time: least.zip(greatest),
            commits: first.zip(last),
        };
        (bytes, described)
    }

    /// Reads a segment, whose bytes were checked against their hash.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] and [`Error::Corrupt`]; `path` names it in either.
    pub(crate) fn decode(
        path: &Path,
        bytes: &[u8],
        tenant: &TenantId,
        dataset: Dataset,
        part: Part,
    ) -> Result<Self, Error> {
        super::entry::check_format(path, bytes, CHECKPOINT_FORMAT)?;
        let corrupt = |detail: String| Error::corrupt(path, detail);
        let wire: Wire = serde_json::from_slice(bytes).map_err(|e| corrupt(e.to_string()))?;
        if wire.dataset != dataset || wire.day != part.name() {
            return Err(corrupt(format!("it is the segment of {} {}", wire.dataset, wire.day)));
        }
        let mut files = Vec::with_capacity(wire.files.len());
        for (commit, file) in wire.files {
            file.check().map_err(corrupt)?;
            if file.dataset != dataset || Part::of_path(&file.path) != Some(part) {
                return Err(corrupt(format!("{:?} belongs to another segment", file.path)));
            }
            files.push(Arc::new(file.live(tenant, commit)));
        }
        let mut versions = Versions::default();
        match part {
            Part::Wide => versions.ranges = wire.versions,
            Part::Day(_) => {
                for (first, last, entry) in wire.versions {
                    if Part::of_hour(first) != part || Part::of_hour(last) != part {
                        return Err(corrupt(format!("hours {first} to {last} are of another day")));
                    }
                    versions.touch_hours((first, last), entry);
                }
            }
        }
        Ok(Self { files, versions })
    }

    /// The memory it takes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let file = |file: &Arc<DataFile>| {
            let sidecar = file.sidecar.as_ref().map_or(0, |sidecar| sidecar.path.as_ref().len() + sidecar.sha256.len());
            size_of::<DataFile>() + 16 + file.path.as_ref().len() + file.sha256.len() + sidecar
        };
        let versions = self.versions.hours.len() * 32 + self.versions.ranges.len() * 24;
        self.files.iter().map(|found| file(found) + 8).sum::<usize>() + versions + size_of::<Self>()
    }
}

/// The object of a segment.
pub(crate) fn object(tenant: &TenantId, sha256: &str) -> String {
    format!("{}/segments/{sha256}.json", partition::checkpoint_dir(tenant))
}

/// How times stand in a root.
pub(crate) fn times((least, greatest): (i64, i64)) -> (Time, Time) {
    (Time(least), Time(greatest))
}
