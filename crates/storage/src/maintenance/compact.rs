//! Doing a unit of compaction: merge, one entry, done.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tracehound_schema::{Dataset, Hour, TenantId};

use super::options::MaintenanceOptions;
use super::plan::{self, Depth, Place, Unit};
use super::state::{Key, MayTry};
use super::{Maintenance, parts, quarantine};
use crate::engine::Core;
use crate::files::{self, MergeOptions, Output};
use crate::manifest::{self, Operation, Removed};
use crate::partition::Part;
use crate::tenant::{Change, Committed, Tenant};
use crate::{DataFile, Error, Snapshot, partition};

/// How often an entry whose outcome is unknown is tried again at once.
const COMMIT_ATTEMPTS: u32 = 4;
/// The rows from which an hour of late files gets a file of its own.
const LATE_ROWS_MIN: u64 = 1000;
/// The most hours that late files are split into at once.
const LATE_HOURS_MAX: usize = 256;
/// The most days that are searched for hours with files of their own.
const OWN_DAYS_MAX: usize = 64;
const COMMIT_DELAY: Duration = Duration::from_millis(250);

/// What compaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CompactReport {
    /// Merges, one manifest entry each.
    pub units: u64,
    /// Files read.
    pub files_before: u64,
    /// Files written in their place.
    pub files_after: u64,
    /// Rows rewritten; none came or went.
    pub rows: u64,
    /// Bytes read.
    pub bytes_before: u64,
    /// Bytes written.
    pub bytes_after: u64,
    /// Damaged files that were found and quarantined: what else there was to merge was merged.
    pub quarantined: Vec<String>,
}

impl Maintenance<'_> {
    /// Merges everything that can be merged: the hours of a range (both ends included), of one dataset or of all.
    ///
    /// Rows that are not flushed yet are not touched. One entry for each merge; an interrupted compaction leaves what it did.
    ///
    /// # Errors
    /// [`Error::NoSuchTenant`]; else what failed, after which merges that were done stay done.
    pub async fn compact(
        &self,
        tenant: &TenantId,
        dataset: Option<Dataset>,
        hours: Option<(Hour, Hour)>,
    ) -> Result<CompactReport, Error> {
        let core = self.core();
        let tenant = self.tenant(tenant)?;
        let datasets = Dataset::ALL.into_iter().filter(|found| dataset.is_none_or(|wanted| wanted == *found));
        let mut report = CompactReport::default();
        for dataset in datasets {
            // Late files first: they become files of the days behind them.
            let wide = parts::parts(&tenant.snapshot(), dataset).into_keys().filter(|part| *part == Part::Wide);
            for part in wide.collect::<Vec<_>>() {
                compact_part(core, &tenant, dataset, part, hours, &mut report).await?;
            }
            let days = parts::parts(&tenant.snapshot(), dataset).into_keys().filter(|part| *part != Part::Wide);
            for part in days.collect::<Vec<_>>() {
                compact_part(core, &tenant, dataset, part, hours, &mut report).await?;
            }
        }
        Ok(report)
    }
}

/// Merges what there is to merge of a part, in hours of a range.
async fn compact_part(
    core: &Arc<Core>,
    tenant: &Arc<Tenant>,
    dataset: Dataset,
    part: Part,
    hours: Option<(Hour, Hour)>,
    report: &mut CompactReport,
) -> Result<(), Error> {
    loop {
        let rewriting = core.maintenance.rewriting(&tenant.id);
        let _rewriting = rewriting.lock().await;
        let mut due = due(core, &tenant.snapshot(), dataset, part, Depth::All).await?;
        let wanted =
            |file: &Arc<DataFile>| hours.is_none_or(|(first, last)| file.hours.0 <= last && file.hours.1 >= first);
        due.units.retain(|unit| unit.inputs.iter().any(wanted));
        let Some(unit) = due.units.into_iter().next() else { return Ok(()) };
        match run(core, tenant, &unit).await {
            Ok(Done::Merged(unit, outputs)) => report.add(&unit, &outputs),
            Ok(Done::Quarantined(paths)) => report.quarantined.extend(paths),
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The hours of late files that have files of their own, as far as they are within a bound.
async fn own_hours(snapshot: &Snapshot, unit: &Unit) -> Result<BTreeSet<Hour>, Error> {
    let first = unit.inputs.iter().map(|file| Part::of_hour(file.hours.0)).min();
    let last = unit.inputs.iter().map(|file| Part::of_hour(file.hours.1)).max();
    let (Some(first), Some(last)) = (first, last) else { return Ok(BTreeSet::new()) };
    let days = parts::parts(snapshot, unit.dataset).into_keys().filter(|part| (first..=last).contains(part));
    let mut own = BTreeSet::new();
    // The newest days: late rows are rarely very late.
    for day in days.rev().take(OWN_DAYS_MAX) {
        let files = parts::files(snapshot, unit.dataset, day).await?;
        let hours = files.iter().filter(|file| matches!(plan::place(file), Place::Hour(_))).map(|file| file.hours.0);
        own.extend(hours);
    }
    Ok(own)
}

impl CompactReport {
    fn add(&mut self, unit: &Unit, outputs: &[manifest::File]) {
        self.units += 1;
        self.files_before += unit.inputs.len() as u64;
        self.files_after += outputs.len() as u64;
        self.rows += unit.rows();
        self.bytes_before += unit.bytes();
        self.bytes_after += outputs.iter().map(|file| file.bytes).sum::<u64>();
    }
}

/// What became of a unit.
pub(crate) enum Done {
    /// These inputs, perhaps fewer than were asked for, were replaced by these files.
    Merged(Unit, Vec<manifest::File>),
    /// It could not be merged, since these inputs are damaged; they are quarantined now.
    Quarantined(Vec<String>),
}

/// What there is to merge of a dataset.
pub(crate) struct Due {
    /// What may be tried now, most urgent first.
    pub(crate) units: Vec<Unit>,
    /// What failed, and has to wait.
    pub(crate) waiting: Vec<Key>,
    /// When there may be more without anything having changed.
    pub(crate) again_ns: Option<i64>,
}

/// Plans a part of a dataset.
pub(crate) async fn due(
    core: &Core,
    snapshot: &Snapshot,
    dataset: Dataset,
    part: Part,
    depth: Depth,
) -> Result<Due, Error> {
    let mut files = parts::files(snapshot, dataset, part).await?;
    files.retain(|file| snapshot.quarantined(file).is_none());
    let now_ns = core.now_ns();
    let plan = plan::plan(&files, now_ns, &core.options.maintenance.compaction, depth);
    let mut due = Due { units: Vec::new(), waiting: Vec::new(), again_ns: plan.again_ns };
    for unit in plan.units {
        let key = key(snapshot.tenant(), &unit);
        let inputs = unit.inputs.iter().map(|file| file.path.as_ref());
        match core.maintenance.may_try(&key, inputs, now_ns) {
            MayTry::Yes => due.units.push(unit),
            MayTry::Settled => {}
            MayTry::At(retry_at_ns) => {
                due.again_ns = [due.again_ns, Some(retry_at_ns)].into_iter().flatten().min();
                due.waiting.push(key);
            }
        }
    }
    Ok(due)
}

/// The name of a unit among all.
pub(crate) fn key(tenant: &TenantId, unit: &Unit) -> Key {
    (tenant.clone(), unit.dataset, unit.place)
}

/// Merges a unit and commits it. The caller holds the tenant's `rewriting`.
///
/// # Errors
/// [`Error::Conflict`] if somebody else changed its files meanwhile; others as they come. Nothing changed then,
/// or, if the outcome of the commit is unknown, the entry turns up when the log is read next.
pub(crate) async fn run(core: &Arc<Core>, tenant: &Arc<Tenant>, unit: &Unit) -> Result<Done, Error> {
    let now_ns = core.now_ns();
    let key = key(&tenant.id, unit);
    let mut unit = unit.clone();
    let merged = loop {
        match merge(core, tenant, &unit).await {
            // Fewer at once; what is left is the next unit.
            Err(Error::TooLarge { .. }) if unit.inputs.len() > 2 => unit.inputs.truncate(unit.inputs.len().div_ceil(2)),
            outcome => break outcome,
        }
    };
    match merged {
        Ok(committed) => {
            let outputs = committed.files;
            let dir = partition::tenant_dir(&tenant.id);
            let names: HashSet<_> = outputs.iter().map(|file| format!("{dir}/{}", file.path)).collect();
            core.maintenance.succeeded(key, names);
            let status = &mut core.maintenance.lock().status;
            status.units += 1;
            status.files_read += unit.inputs.len() as u64;
            status.files_written += outputs.len() as u64;
            status.rows += unit.rows();
            status.bytes_read += unit.bytes();
            status.bytes_written += outputs.iter().map(|file| file.bytes).sum::<u64>();
            tracing::debug!(
                tenant = %tenant.id, entry = committed.entry, what = unit.describe(), files = outputs.len(), "merged",
            );
            Ok(Done::Merged(unit, outputs))
        }
        Err(error @ Error::Conflict { .. }) => {
            core.maintenance.lock().status.conflicts += 1;
            Err(error)
        }
        Err(error) => {
            let damaged = match error {
                Error::Corrupt { .. } | Error::Internal { .. } | Error::Io { .. } => {
                    quarantine::damaged(core, tenant, &unit.inputs).await?
                }
                _ => Vec::new(),
            };
            if damaged.is_empty() {
                let detail = error.chain();
                tracing::warn!(tenant = %tenant.id, what = unit.describe(), error = %detail, "merging failed");
                core.maintenance.failed(key, unit.describe(), detail, now_ns);
                return Err(error);
            }
            Ok(Done::Quarantined(damaged))
        }
    }
}

async fn merge(core: &Arc<Core>, tenant: &Arc<Tenant>, unit: &Unit) -> Result<Committed, Error> {
    let output = match unit.place {
        Place::Hour(_) => Output::Hours,
        Place::Day(_) => Output::Day,
        Place::Late => Output::Split {
            rows_min: LATE_ROWS_MIN,
            own: own_hours(&tenant.snapshot(), unit).await?,
            hours_max: LATE_HOURS_MAX,
        },
    };
    let options = merge_options(&core.options.maintenance);
    let outputs = files::merge(&core.store, &tenant.id, unit.dataset, &unit.inputs, output, &options).await?;
    let mut change = Change::new(Operation::Compact, outputs, removed(&tenant.id, &unit.inputs));
    change.reason = Some(format!("merged {}", unit.describe()));
    commit(core, tenant, change, &unit.inputs).await
}

/// How merges are bounded.
pub(crate) fn merge_options(options: &MaintenanceOptions) -> MergeOptions {
    MergeOptions {
        file_bytes_max: options.compaction.file_bytes_max,
        memory_bytes: options.compaction.memory_bytes,
        ..MergeOptions::default()
    }
}

/// Files, as an entry removes them.
pub(crate) fn removed<'a>(tenant: &TenantId, files: impl IntoIterator<Item = &'a Arc<DataFile>>) -> Vec<Removed> {
    let removed = |file: &Arc<DataFile>| Removed { dataset: file.dataset, path: below(tenant, file.path.as_ref()) };
    files.into_iter().map(removed).collect()
}

/// The part of an object's name below its tenant's folder.
pub(crate) fn below(tenant: &TenantId, object: &str) -> String {
    let dir = partition::tenant_dir(tenant);
    let below = object.strip_prefix(&dir).and_then(|below| below.strip_prefix('/'));
    below.unwrap_or(object).to_owned()
}

/// Commits a change that removes `files`, trying again while its outcome is unknown. What it adds is removed if it can never be committed.
///
/// # Errors
/// As [`Tenant::commit`]. After another error than [`Error::Conflict`] the added files stay: an entry may name them. If none does, the
/// sweep removes them.
pub(crate) async fn commit(
    core: &Arc<Core>,
    tenant: &Arc<Tenant>,
    change: Change,
    files: &[Arc<DataFile>],
) -> Result<Committed, Error> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match tenant.commit(core, change.clone()).await {
            Ok(committed) => {
                let sidecar = |file: &Arc<DataFile>| file.sidecar.as_ref().map(|sidecar| sidecar.path.to_string());
                let objects = files.iter().flat_map(|file| [Some(file.path.to_string()), sidecar(file)]);
                core.maintenance.left(&tenant.id, objects.flatten(), core.now_ns());
                return Ok(committed);
            }
            Err(error @ Error::Conflict { .. }) => {
                discard(core, tenant, &change.add).await;
                return Err(error);
            }
            Err(Error::Unavailable { .. } | Error::Io { .. }) if attempts < COMMIT_ATTEMPTS => {
                crate::runtime::sleep(COMMIT_DELAY * attempts).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Removes files that no entry will name. Best effort: the sweep removes what is left.
pub(crate) async fn discard(core: &Core, tenant: &Tenant, files: &[manifest::File]) {
    let dir = partition::tenant_dir(&tenant.id);
    for file in files {
        let paths = [Some(&file.path), file.sidecar.as_ref().map(|sidecar| &sidecar.path)];
        for path in paths.into_iter().flatten() {
            let _ = core.store.delete(&format!("{dir}/{path}")).await;
        }
    }
}
