use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracehound_schema::{DecodeLimits, Decoded, Payload};

use crate::disk::Disk;
use crate::{MaintenanceOptions, StoreOptions};

/// Tells the time: nanoseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Decodes a payload; pure, so that replay gives the rows that were acknowledged.
pub type Decode = Arc<dyn Fn(&Payload, &DecodeLimits) -> Result<Decoded, String> + Send + Sync>;

/// How an [`Engine`](crate::Engine) behaves. [`Options::new`] gives defaults.
#[derive(Clone)]
pub struct Options {
    /// The directory that holds `LOCK`, `wal/` and `store/`; made if absent.
    pub data_dir: PathBuf,
    /// Where files and manifests are kept.
    pub store: StoreOptions,
    /// The size after which a WAL segment is followed by a new one.
    pub wal_segment_bytes: u64,
    /// The most bytes that the WAL may hold; beyond it appends are refused.
    pub wal_bytes_max: u64,
    /// The most bytes that unflushed rows may hold; beyond it appends are refused.
    pub memtable_bytes_max: usize,
    /// The size at which a tenant's rows are flushed.
    pub flush_bytes: usize,
    /// The age at which the rows of a tenant with at least a sixteenth of `flush_bytes` are flushed.
    pub flush_age_busy: Duration,
    /// The age at which any rows are flushed.
    pub flush_age_quiet: Duration,
    /// The most bytes of bloom filters that are kept in memory to find ids.
    pub needles_bytes_max: u64,
    /// How long a group commit waits for appends that are on their way; a lone one never waits.
    pub group_commit_delay: Duration,
    /// How long a byte-identical retry is recognised, by receive time.
    pub retry_window: Duration,
    /// The most bytes that parts of manifests, loaded for queries, may take in memory.
    pub segment_cache_bytes: u64,
    /// The limits that `decode` is called with for payloads of this process, kept in the WAL.
    pub decode_limits: DecodeLimits,
    /// How files are looked after once they are flushed.
    pub maintenance: MaintenanceOptions,
    /// The clock.
    pub clock: Clock,
    /// The disk that `data_dir` is on.
    pub(crate) disk: Disk,
    /// What the lock file tells others: process id and address.
    pub holder: String,
}

impl Options {
    /// The defaults, for a directory and a clock.
    pub fn new(data_dir: impl Into<PathBuf>, clock: Clock) -> Self {
        Self {
            data_dir: data_dir.into(),
            store: StoreOptions::default(),
            wal_segment_bytes: 64 << 20,
            wal_bytes_max: 1 << 30,
            memtable_bytes_max: 512 << 20,
            flush_bytes: 64 << 20,
            flush_age_busy: Duration::from_secs(10),
            flush_age_quiet: Duration::from_secs(60),
            needles_bytes_max: 64 << 20,
            group_commit_delay: Duration::from_millis(2),
            retry_window: Duration::from_secs(600),
            segment_cache_bytes: 64 << 20,
            decode_limits: DecodeLimits::default(),
            maintenance: MaintenanceOptions::default(),
            clock,
            disk: Disk::default(),
            holder: format!("process {}", std::process::id()),
        }
    }
}
