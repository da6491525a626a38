use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tracehound_schema::{Dataset, TenantId};

/// How files are looked after. The defaults suit a server.
#[derive(Debug, Clone)]
pub struct MaintenanceOptions {
    /// Whether compaction, the sweep and retention run in the background.
    pub background: bool,
    /// How often the background looks for something to do.
    pub interval: Duration,
    /// How often the background sweeps, and applies retention.
    pub sweep_interval: Duration,
    /// How long a file stays on the store after it left the live set, and a file that no entry names; longer than the longest query.
    pub grace: Duration,
    /// How files are merged.
    pub compaction: CompactionOptions,
    /// What is removed as it grows old or large.
    pub retention: RetentionOptions,
    /// The file that holds the HMAC key of erasures, 32 bytes; `None`: `erasure.key` in the data directory.
    pub erasure_key: Option<PathBuf>,
}

/// How files are merged.
#[derive(Debug, Clone)]
pub struct CompactionOptions {
    /// The size that merged files are kept below. A file of half of it is not merged again.
    pub file_bytes_max: u64,
    /// The most bytes of files that one merge reads, unless two files are more.
    pub unit_bytes_max: u64,
    /// The most files that one merge reads.
    pub unit_files_max: usize,
    /// How many files of about one size an hour gathers before they are merged while it still grows.
    pub fan_in: usize,
    /// How long nothing has to arrive for an hour before it is closed, and made one file.
    pub closed_after: Duration,
    /// How long after its end the small hours of a day become a day file.
    pub day_after: Duration,
    /// The most bytes that a day file is made of.
    pub day_bytes_max: u64,
    /// The memory that a merge may use.
    pub memory_bytes: usize,
    /// The share of the time that merging takes while appends arrive, percent.
    pub busy_percent: u32,
}

/// What is removed as it grows old or large. Nothing, by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionOptions {
    /// For tenants without a policy of their own.
    pub default: RetentionPolicy,
    /// Policies of tenants; each replaces the default whole.
    pub tenants: BTreeMap<TenantId, RetentionPolicy>,
}

/// What a tenant's datasets keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// A dataset that is not named here keeps everything.
    pub datasets: BTreeMap<Dataset, RetentionLimits>,
}

/// What a dataset keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionLimits {
    /// The age at which a file goes, counted from the end of its last hour.
    pub max_age: Option<Duration>,
    /// The bytes of live files beyond which the oldest go.
    pub max_bytes: Option<u64>,
}

impl Default for MaintenanceOptions {
    fn default() -> Self {
        Self {
            background: true,
            interval: Duration::from_secs(5),
            sweep_interval: Duration::from_secs(3600),
            grace: Duration::from_secs(3600),
            compaction: CompactionOptions::default(),
            retention: RetentionOptions::default(),
            erasure_key: None,
        }
    }
}

impl Default for CompactionOptions {
    fn default() -> Self {
        Self {
            file_bytes_max: 256 << 20,
            unit_bytes_max: 512 << 20,
            unit_files_max: 64,
            fan_in: 8,
            closed_after: Duration::from_secs(600),
            day_after: Duration::from_secs(48 * 3600),
            day_bytes_max: 64 << 20,
            memory_bytes: 256 << 20,
            busy_percent: 25,
        }
    }
}

impl RetentionOptions {
    /// The policy of a tenant.
    pub fn policy(&self, tenant: &TenantId) -> &RetentionPolicy {
        self.tenants.get(tenant).unwrap_or(&self.default)
    }
}

impl RetentionPolicy {
    /// Whether it keeps everything.
    pub fn is_empty(&self) -> bool {
        self.datasets.values().all(|limits| limits.max_age.is_none() && limits.max_bytes.is_none())
    }
}

/// Nanoseconds of a duration; the greatest number if it is longer.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
