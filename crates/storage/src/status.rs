use std::collections::BTreeMap;
use std::path::PathBuf;

use tracehound_schema::TenantId;

use crate::{MaintenanceStatus, StoreStatus};

/// The state of an [`Engine`](crate::Engine), for people and metrics.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Bytes in WAL segments.
    pub wal_bytes: u64,
    /// The number of WAL segments.
    pub wal_segments: usize,
    /// Bytes of unflushed rows, and of payloads on their way to becoming such.
    pub memtable_bytes: usize,
    /// Bytes of the parts of manifests that are kept in memory for queries.
    pub segment_cache_bytes: u64,
    /// When the last flush was committed, nanoseconds.
    pub last_flush_ns: Option<i64>,
    /// Why writes are refused until restart; `None` when they are not.
    pub poisoned: Option<String>,
    /// Flush attempts that failed since the start; each is tried again.
    pub flush_failures: u64,
    /// Payloads that were forgotten within the retry window for want of room:
    /// a retry of one would be stored twice.
    pub retries_forgotten: u64,
    /// Where files and manifests are kept.
    pub store: StoreStatus,
    /// What the last start found in the WAL.
    pub replay: ReplayStatus,
    /// Damaged files, found at the last start, and what was done about them.
    pub damage: Vec<Damage>,
    /// Merging, retention and the like.
    pub maintenance: MaintenanceStatus,
    /// Each tenant.
    pub tenants: BTreeMap<TenantId, TenantStatus>,
}

/// What a start found in the WAL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayStatus {
    /// Frames read.
    pub frames: u64,
    /// Frames whose rows were in Parquet files already.
    pub frames_covered: u64,
    /// Bytes of torn, never acknowledged tails that were cut.
    pub bytes_cut: u64,
}

/// A damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file, by the name it has or is going to be kept under.
    pub path: PathBuf,
    /// What is wrong, with offsets.
    pub detail: String,
}

/// The state of one tenant.
#[derive(Debug, Clone, Default)]
pub struct TenantStatus {
    /// The latest manifest entry.
    pub entry: u64,
    /// Live files.
    pub files: u64,
    /// Rows in live files.
    pub file_rows: u64,
    /// Bytes of live files.
    pub file_bytes: u64,
    /// Rows that are not flushed yet.
    pub unflushed_rows: u64,
    /// Bytes of rows that are not flushed yet.
    pub unflushed_bytes: usize,
    /// Why the last flush failed; `None` after a success.
    pub flush_error: Option<String>,
}
