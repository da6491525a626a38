//! Removing what grew too old, or too much: whole files, in entries that say why.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tracehound_schema::{Dataset, Hour, TenantId};

use super::Maintenance;
use super::compact::{below, commit, removed};
use super::options::{RetentionLimits, RetentionPolicy, nanos};
use crate::engine::Core;
use crate::manifest::Operation;
use crate::tenant::{Change, Tenant};
use crate::{DataFile, Error};

/// How many files one entry removes at most.
const FILES_AT_ONCE: usize = 1000;
/// How often a conflict with another change is met by looking again.
const ATTEMPTS: u32 = 16;
/// However old they say they are, rows can be read for this long after they were received: a broken clock is something to see.
const SEEN_NS: i64 = 24 * Hour::LENGTH_NS;

/// What retention removed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RetentionReport {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The files that went out of the live set.
    pub files: Vec<RetiredFile>,
    /// Rows in them.
    pub rows: u64,
    /// Their bytes; the disk has them back after the grace.
    pub bytes: u64,
    /// The manifest entries that say so.
    pub entries: Vec<u64>,
}

/// A file that retention takes out of the live set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetiredFile {
    /// Its dataset.
    pub dataset: Dataset,
    /// Its path below the tenant's folder.
    pub path: String,
    /// The last hour it holds rows of.
    pub last_hour: Hour,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Why it goes.
    pub reason: String,
}

impl Maintenance<'_> {
    /// Takes the files out of the live set that a policy does not keep. The background does this hourly with the configured policies.
    ///
    /// A file goes as a whole: by age when its last hour is past; by size the oldest first. `dry_run` only says which.
    ///
    /// # Errors
    /// [`Error::NoSuchTenant`]; else what failed, after which entries that were made stay made.
    pub async fn retain(
        &self,
        tenant: &TenantId,
        policy: &RetentionPolicy,
        dry_run: bool,
    ) -> Result<RetentionReport, Error> {
        let tenant = self.tenant(tenant)?;
        retain(self.core(), &tenant, policy, dry_run).await
    }
}

/// Applies a policy.
pub(crate) async fn retain(
    core: &Arc<Core>,
    tenant: &Arc<Tenant>,
    policy: &RetentionPolicy,
    dry_run: bool,
) -> Result<RetentionReport, Error> {
    let mut report = RetentionReport { dry_run, ..RetentionReport::default() };
    for (dataset, limits) in &policy.datasets {
        let mut attempts = 0;
        loop {
            let files = beyond(core, tenant, *dataset, *limits).await?;
            if dry_run {
                report.add(&tenant.id, &files);
                break;
            }
            let Some(batch) = batch(&files) else { break };
            let removing: Vec<_> = batch.iter().map(|(file, _)| Arc::clone(file)).collect();
            let mut change = Change::new(Operation::Retain, Vec::new(), removed(&tenant.id, &removing));
            change.reason = batch.first().map(|(_, reason)| reason.clone());
            match commit(core, tenant, change, &removing).await {
                Ok(committed) => {
                    attempts = 0;
                    report.add(&tenant.id, batch);
                    report.entries.push(committed.entry);
                    core.maintenance.lock().status.files_retired += batch.len() as u64;
                    tracing::info!(
                        tenant = %tenant.id, entry = committed.entry, files = batch.len(), %dataset, "retention removed files",
                    );
                }
                Err(Error::Conflict { .. }) if attempts < ATTEMPTS => attempts += 1,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(report)
}

type Beyond = (Arc<DataFile>, String);

/// The first files that one entry can remove for one reason.
fn batch(files: &[Beyond]) -> Option<&[Beyond]> {
    let same = files.chunk_by(|a, b| a.1 == b.1).next()?;
    same.chunks(FILES_AT_ONCE).next()
}

/// The files that limits do not keep, oldest first within each reason.
async fn beyond(core: &Core, tenant: &Tenant, dataset: Dataset, limits: RetentionLimits) -> Result<Vec<Beyond>, Error> {
    let snapshot = tenant.snapshot();
    let now_ns = core.now_ns();
    let mut gone: Vec<Beyond> = Vec::new();
    if let Some(max_age) = limits.max_age {
        let reason = format!("retention: older than {}", age_text(max_age));
        let cutoff_ns = now_ns.saturating_sub(nanos(max_age));
        // Rows from the future are as old as their receipt says.
        let mut files = snapshot.files(dataset, i64::MIN..=cutoff_ns).await?;
        let future = snapshot.files(dataset, now_ns..=i64::MAX).await?;
        files.extend(future.into_iter().filter(|file| file.event_time.0 > cutoff_ns));
        let old = files.into_iter().filter(|file| is_older(file, cutoff_ns, now_ns));
        gone.extend(old.map(|file| (file, reason.clone())));
    }
    let totals = snapshot.totals(dataset);
    if let Some(max_bytes) = limits.max_bytes
        && totals.bytes > max_bytes
    {
        let reason = format!("retention: over {max_bytes} bytes");
        let going: HashSet<_> = gone.iter().map(|(file, _)| file.path.clone()).collect();
        let mut bytes = totals.bytes - gone.iter().map(|(file, _)| file.bytes).sum::<u64>().min(totals.bytes);
        let mut files = snapshot.files(dataset, i64::MIN..=i64::MAX).await?;
        files.retain(|file| !going.contains(&file.path));
        files.sort_by_key(|file| (effective_end_ns(file), file.commits));
        for file in files {
            if bytes <= max_bytes {
                break;
            }
            bytes -= file.bytes.min(bytes);
            gone.push((file, reason.clone()));
        }
    }
    Ok(gone)
}

/// When a file's rows end: its last hour, but no later than an hour after the last was received.
fn effective_end_ns(file: &DataFile) -> i64 {
    file.hours.1.end_ns().min(file.ingest_time.1.saturating_add(Hour::LENGTH_NS))
}

fn is_older(file: &DataFile, cutoff_ns: i64, now_ns: i64) -> bool {
    let unseen_ns = now_ns.saturating_sub(SEEN_NS).max(cutoff_ns);
    effective_end_ns(file) <= cutoff_ns && file.ingest_time.1 <= unseen_ns
}

/// `30d`, `36h`, `90s`.
fn age_text(age: Duration) -> String {
    let seconds = age.as_secs();
    match (seconds % 86_400, seconds % 3600) {
        (0, _) => format!("{}d", seconds / 86_400),
        (_, 0) => format!("{}h", seconds / 3600),
        _ => format!("{seconds}s"),
    }
}

impl RetentionReport {
    fn add(&mut self, tenant: &TenantId, files: &[Beyond]) {
        for (file, reason) in files {
            self.rows += file.rows;
            self.bytes += file.bytes;
            self.files.push(RetiredFile {
                dataset: file.dataset,
                path: below(tenant, file.path.as_ref()),
                last_hour: file.hours.1,
                rows: file.rows,
                bytes: file.bytes,
                reason: reason.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
