//! How files are looked after: merging, and what is removed as it grows old or large.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tracehound_schema::{Dataset, TenantId};
use tracehound_storage::{CompactionOptions, MaintenanceOptions, RetentionLimits, RetentionOptions, RetentionPolicy};

use crate::quantity::{duration, optional_duration, optional_size, size};

/// How files are merged, and how long old ones stay.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompactionConfig {
    /// Merge, sweep and apply retention in the background. Default true.
    pub background: bool,
    /// How often it is looked whether there is something to merge or to remove. Default 5s.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    /// The size that merged files are kept below. Default 256MiB.
    #[serde(deserialize_with = "size")]
    pub file_bytes: usize,
    /// The memory that a merge may use. Default 256MiB.
    #[serde(deserialize_with = "size")]
    pub memory_bytes: usize,
    /// How long nothing has to arrive for an hour before it is made one file. Default 10m.
    #[serde(deserialize_with = "duration")]
    pub closed_after: Duration,
    /// How long after its end the small hours of a day become one file. Default 2d.
    #[serde(deserialize_with = "duration")]
    pub day_after: Duration,
    /// The share of the time that merging takes while data arrives. Default 25.
    pub busy_percent: u32,
    /// How long files that were merged or retired stay on the store: longer than the longest query. Default 1h.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
    /// How often the store is searched for leftovers, and retention applied. Default 1h.
    #[serde(deserialize_with = "duration")]
    pub sweep_interval: Duration,
}

/// What is kept, by dataset. Everything, by default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Of `spans`.
    pub spans: KeepConfig,
    /// Of `logs`.
    pub logs: KeepConfig,
    /// Of `metrics`.
    pub metrics: KeepConfig,
    /// Of `ingest_rejects`.
    pub ingest_rejects: KeepConfig,
    /// Tenants with a policy of their own, which replaces the above whole.
    pub tenants: BTreeMap<TenantId, TenantRetentionConfig>,
}

/// What is kept of a tenant, by dataset. Everything, by default.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantRetentionConfig {
    /// Of `spans`.
    pub spans: KeepConfig,
    /// Of `logs`.
    pub logs: KeepConfig,
    /// Of `metrics`.
    pub metrics: KeepConfig,
    /// Of `ingest_rejects`.
    pub ingest_rejects: KeepConfig,
}

/// What is kept of a dataset.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeepConfig {
    /// The age at which data goes, counted from the end of its hour: `"30d"`.
    #[serde(deserialize_with = "optional_duration")]
    pub age: Option<Duration>,
    /// The bytes on the store beyond which the oldest data goes: `"100GiB"`.
    #[serde(deserialize_with = "optional_size")]
    pub size: Option<usize>,
}

impl Default for CompactionConfig {
    fn default() -> Self {
        let options = MaintenanceOptions::default();
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            background: options.background,
            interval: options.interval,
            file_bytes: bytes(options.compaction.file_bytes_max),
            memory_bytes: options.compaction.memory_bytes,
            closed_after: options.compaction.closed_after,
            day_after: options.compaction.day_after,
            busy_percent: options.compaction.busy_percent,
            grace: options.grace,
            sweep_interval: options.sweep_interval,
        }
    }
}

impl CompactionConfig {
    /// What contradicts itself or cannot work; `query_timeout` is the time of a query when its request does not say.
    pub(super) fn check(&self, query_timeout: Duration, mut problem: impl FnMut(&str)) {
        let mut must = |holds: bool, text: &str| {
            if !holds {
                problem(text);
            }
        };
        must(self.file_bytes >= 1 << 20, "compaction.file_bytes must be at least 1MiB");
        must(self.memory_bytes >= 16 << 20, "compaction.memory_bytes must be at least 16MiB");
        must((1..=100).contains(&self.busy_percent), "compaction.busy_percent must be 1 to 100");
        must(self.grace > query_timeout, "compaction.grace must be longer than limits.query_timeout");
        must(self.interval >= Duration::from_millis(10), "compaction.interval must be at least 10ms");
        must(self.sweep_interval >= Duration::from_secs(1), "compaction.sweep_interval must be at least 1s");
    }

    /// The engine's options.
    pub(super) fn options(&self, retention: &RetentionConfig) -> MaintenanceOptions {
        MaintenanceOptions {
            background: self.background,
            interval: self.interval,
            sweep_interval: self.sweep_interval,
            grace: self.grace,
            compaction: CompactionOptions {
                file_bytes_max: self.file_bytes as u64,
                unit_bytes_max: 2 * self.file_bytes as u64,
                day_bytes_max: (self.file_bytes / 4) as u64,
                closed_after: self.closed_after,
                day_after: self.day_after,
                memory_bytes: self.memory_bytes,
                busy_percent: self.busy_percent,
                ..CompactionOptions::default()
            },
            retention: retention.options(),
            ..MaintenanceOptions::default()
        }
    }
}

impl RetentionConfig {
    pub(crate) fn options(&self) -> RetentionOptions {
        let Self { spans, logs, metrics, ingest_rejects, tenants } = self;
        RetentionOptions {
            default: policy([spans, logs, metrics, ingest_rejects]),
            tenants: tenants.iter().map(|(tenant, own)| (tenant.clone(), own.policy())).collect(),
        }
    }
}

impl TenantRetentionConfig {
    fn policy(&self) -> RetentionPolicy {
        policy([&self.spans, &self.logs, &self.metrics, &self.ingest_rejects])
    }
}

/// A policy of what is kept of spans, logs, metrics and rejects.
fn policy(keep: [&KeepConfig; 4]) -> RetentionPolicy {
    let datasets = [Dataset::Spans, Dataset::Logs, Dataset::Metrics, Dataset::IngestRejects];
    let limits = datasets.into_iter().zip(keep).filter_map(|(dataset, keep)| {
        let limits = RetentionLimits { max_age: keep.age, max_bytes: keep.size.map(|size| size as u64) };
        (limits != RetentionLimits::default()).then_some((dataset, limits))
    });
    RetentionPolicy { datasets: limits.collect() }
}
