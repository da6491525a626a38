//! Roots of checkpoints: what a tenant's log says up to one entry, over segments.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tracehound_schema::{Dataset, TenantId};
use ulid::Ulid;

use super::entry::{check_format, ulid_text};
use super::seal;
use super::segment::{CHECKPOINT_FORMAT, SegmentRef, times};
use super::time::Time;
use crate::Error;
use crate::partition::Part;

/// A root as stored; `docs/format.md` is its description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Root {
    format: u32,
    pub(crate) tenant: TenantId,
    /// The entry that it is as of, its hash and its time.
    pub(crate) entry: u64,
    pub(crate) hash: String,
    pub(crate) time: Time,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wal: Vec<Coverage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    segments: Vec<SegmentLine>,
}

/// The last sequence of a WAL directory that is in files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Coverage {
    #[serde(with = "ulid_text")]
    directory: Ulid,
    to: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentLine {
    dataset: Dataset,
    day: String,
    sha256: String,
    bytes: u64,
    files: u64,
    rows: u64,
    file_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_time: Option<(Time, Time)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commits: Option<(u64, u64)>,
}

/// The segments of a root, by what they hold.
pub(crate) type Segments = BTreeMap<(Dataset, Part), SegmentRef>;

impl Root {
    pub(crate) fn new(tenant: TenantId, entry: u64, hash: String, time: Time) -> Self {
        let format = CHECKPOINT_FORMAT;
        Self { format, tenant, entry, hash, time, wal: Vec::new(), segments: Vec::new() }
    }

    pub(crate) fn with_wal(mut self, wal: &BTreeMap<Ulid, u64>) -> Self {
        self.wal = wal.iter().map(|(directory, to)| Coverage { directory: *directory, to: *to }).collect();
        self
    }

    pub(crate) fn with_segments(mut self, segments: &Segments) -> Self {
        let line = |((dataset, part), found): (&(Dataset, Part), &SegmentRef)| SegmentLine {
            dataset: *dataset,
            day: part.name(),
            sha256: found.sha256.clone(),
            bytes: found.bytes,
            files: found.files,
            rows: found.rows,
            file_bytes: found.file_bytes,
            event_time: found.event_time.map(times),
            commits: found.commits,
        };
        self.segments = segments.iter().map(line).collect();
        self
    }

    /// The last sequence of each WAL directory that is in files.
    pub(crate) fn wal(&self) -> BTreeMap<Ulid, u64> {
        self.wal.iter().map(|coverage| (coverage.directory, coverage.to)).collect()
    }

    /// The hashes of its segments.
    pub(crate) fn segment_hashes(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(|line| line.sha256.as_str())
    }

    /// Its segments, by what they hold.
    pub(crate) fn segments(&self) -> Result<Segments, String> {
        let mut segments = Segments::new();
        for line in &self.segments {
            let part = Part::of_name(&line.day).ok_or_else(|| format!("{:?} is not a day", line.day))?;
            if line.sha256.len() != 64 || !line.sha256.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(format!("{:?} is not a hash", line.sha256));
            }
            let described = SegmentRef {
                sha256: line.sha256.clone(),
                bytes: line.bytes,
                files: line.files,
                rows: line.rows,
                file_bytes: line.file_bytes,
                event_time: line.event_time.map(|(least, greatest)| (least.0, greatest.0)),
                commits: line.commits,
            };
            if segments.insert((line.dataset, part), described).is_some() {
                return Err(format!("it has two segments of {} {}", line.dataset, line.day));
            }
        }
        Ok(segments)
    }

    /// The bytes that are stored.
    pub(crate) fn encode(&self) -> Vec<u8> {
        seal::seal(serde_json::to_vec(self).expect("a root holds only text, numbers and lists"))
    }

    /// Reads a root and checks its hash.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] and [`Error::Corrupt`]; `path` names it in either.
    pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        check_format(path, bytes, CHECKPOINT_FORMAT)?;
        let corrupt = |detail: String| Error::corrupt(path, detail);
        serde_json::from_slice(&seal::open(bytes).map_err(corrupt)?).map_err(|e| corrupt(e.to_string()))
    }
}
