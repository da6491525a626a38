//! Erasing a tenant, a user or a trace: files are written anew without the
//! rows, in entries that say so under an HMAC, and the old ones are removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::compute::not;
use futures::StreamExt;
use parquet::arrow::ProjectionMask;
use serde::Serialize;
use tracehound_schema::{Dataset, TenantId};

use super::compact::{below, commit, merge_options, removed};
use super::plan::{self, Place};
use super::subject::{ErasureKey, Subject};
use super::{Maintenance, parts, reader, sweep};
use crate::engine::Core;
use crate::files::{self, Output};
use crate::manifest::{self, Erasure, Operation};
use crate::tenant::{Change, Tenant};
use crate::{DataFile, Error, Snapshot, flush};

/// How many files one entry rewrites at most.
const FILES_AT_ONCE: usize = 16;
/// How many files one entry removes whole at most.
const WHOLE_FILES_AT_ONCE: usize = 1000;
/// How often the files are searched anew because others changed them meanwhile.
const PASSES_MAX: u32 = 16;

/// What to erase, and who wants it.
#[derive(Debug, Clone)]
pub struct ErasureRequest {
    /// Whose rows.
    pub subject: Subject,
    /// Why, for the manifest: do not name the subject here.
    pub why: String,
    /// Who asked for it, for the manifest.
    pub by: String,
    /// Only say what would go.
    pub dry_run: bool,
    /// Remove the old files from the store at once: queries that read them now fail.
    pub now: bool,
}

/// What an erasure did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ErasureReport {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// How the manifest names the subject: HMAC-SHA256, lowercase hex. Empty for a dry run.
    pub subject: String,
    /// The id of the HMAC's key. Empty for a dry run.
    pub key: String,
    /// The files that held rows of the subject.
    pub files: Vec<ErasedFile>,
    /// The subject's rows in them.
    pub rows: u64,
    /// Rows by dataset.
    pub datasets: BTreeMap<Dataset, u64>,
    /// The manifest entries that say so.
    pub entries: Vec<u64>,
    /// Files that could not be read, so that nobody knows whether they hold rows of the subject: they are
    /// still there, and the erasure is not complete. Verify, and restore or remove them.
    pub unreadable: Vec<String>,
    /// When the old files go from the store, nanoseconds; `None` when they are gone, or there are none.
    pub gone_at_ns: Option<i64>,
    /// What this erasure cannot reach, for people.
    pub remarks: Vec<String>,
}

/// A file that held rows of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErasedFile {
    /// Its dataset.
    pub dataset: Dataset,
    /// Its path below the tenant's folder.
    pub path: String,
    /// All its rows.
    pub rows: u64,
    /// Those of the subject.
    pub erased: u64,
}

impl Maintenance<'_> {
    /// Erases the rows of a subject that were received until now.
    ///
    /// Unflushed rows are flushed first, so that no row is only in the WAL. Files with such rows are written anew without them.
    /// Old files and their sidecars are removed from the store after the grace, or at once. The manifest keeps what was done.
    ///
    /// # Errors
    /// [`Error::NoSuchTenant`]; [`Error::Conflict`] if others change the files faster than they can be searched; else what
    /// failed. Entries that were made stay made: ask again to go on.
    pub async fn erase(&self, tenant: &TenantId, request: &ErasureRequest) -> Result<ErasureReport, Error> {
        let core = self.core();
        let tenant = self.tenant(tenant)?;
        let mut report = ErasureReport { dry_run: request.dry_run, ..ErasureReport::default() };
        report.remark(core, &request.subject);
        self.engine.refresh(&tenant.id).await?;
        if request.dry_run {
            for dataset in Dataset::ALL {
                let found = find(self, &tenant, dataset, &request.subject, &mut report).await?;
                report.add(&tenant.id, &found);
            }
            return Ok(report);
        }
        let key = open_key(core).await?;
        report.subject = key.name(&tenant.id, &request.subject)?;
        report.key = key.id();
        let rewriting = core.maintenance.rewriting(&tenant.id);
        let _rewriting = rewriting.lock().await;
        tenant.seal();
        flush::tenant_rows(core, &tenant).await?;
        for dataset in Dataset::ALL {
            erase_dataset(self, &tenant, dataset, request, &mut report).await?;
        }
        tracing::info!(
            tenant = %tenant.id, subject = report.subject, by = request.by, why = request.why, rows = report.rows,
            files = report.files.len(), unreadable = report.unreadable.len(), "erased",
        );
        remove_old(core, &tenant, request, &mut report).await?;
        Ok(report)
    }
}

/// A live file and how many of its rows are the subject's.
type Found = (Arc<DataFile>, u64);

async fn erase_dataset(
    maintenance: &Maintenance<'_>,
    tenant: &Arc<Tenant>,
    dataset: Dataset,
    request: &ErasureRequest,
    report: &mut ErasureReport,
) -> Result<(), Error> {
    let core = maintenance.core();
    for _ in 0..PASSES_MAX {
        let found = find(maintenance, tenant, dataset, &request.subject, report).await?;
        let mut overtaken = false;
        let whole = request.subject == Subject::Tenant;
        for batch in found.chunks(if whole { WHOLE_FILES_AT_ONCE } else { FILES_AT_ONCE }) {
            match erase_batch(core, tenant, batch, request, report).await {
                Err(Error::Conflict { .. }) => overtaken = true,
                outcome => outcome?,
            }
        }
        if !overtaken {
            return Ok(());
        }
    }
    Err(Error::Conflict { detail: format!("files of {dataset} changed in {PASSES_MAX} attempts to erase") })
}

/// Writes files anew without the subject's rows, and commits that.
async fn erase_batch(
    core: &Arc<Core>,
    tenant: &Arc<Tenant>,
    batch: &[Found],
    request: &ErasureRequest,
    report: &mut ErasureReport,
) -> Result<(), Error> {
    let rows: u64 = batch.iter().map(|(_, rows)| rows).sum();
    let mut add = Vec::new();
    for (file, erased) in batch {
        if *erased < file.rows {
            match rewrite(core, tenant, file, &request.subject).await {
                Ok(files) => add.extend(files),
                Err(error) => {
                    super::compact::discard(core, tenant, &add).await;
                    return Err(error);
                }
            }
        }
    }
    let files: Vec<_> = batch.iter().map(|(file, _)| Arc::clone(file)).collect();
    let mut change = Change::new(Operation::Erase, add, removed(&tenant.id, &files));
    change.reason = Some(request.why.clone());
    change.erasure = Some(Erasure {
        kind: request.subject.kind(),
        subject: report.subject.clone(),
        key: report.key.clone(),
        by: request.by.clone(),
        rows,
    });
    let committed = commit(core, tenant, change, &files).await?;
    report.entries.push(committed.entry);
    report.add(&tenant.id, batch);
    Ok(())
}

async fn rewrite(
    core: &Arc<Core>,
    tenant: &Tenant,
    file: &Arc<DataFile>,
    subject: &Subject,
) -> Result<Vec<manifest::File>, Error> {
    let output = match plan::place(file) {
        Place::Hour(_) => Output::Hours,
        Place::Day(_) => Output::Day,
        // All of it stays late.
        Place::Late => Output::Split { rows_min: u64::MAX, own: BTreeSet::new(), hours_max: 0 },
    };
    let mut options = merge_options(&core.options.maintenance);
    let subject = subject.clone();
    options.keep = Some(Arc::new(move |batch| not(&subject.rows(batch)?).map_err(Error::internal)));
    files::merge(&core.store, &tenant.id, file.dataset, std::slice::from_ref(file), output, &options).await
}

/// The live files of a dataset that hold rows of a subject. Files that cannot be read are noted in the report.
async fn find(
    maintenance: &Maintenance<'_>,
    tenant: &Tenant,
    dataset: Dataset,
    subject: &Subject,
    report: &mut ErasureReport,
) -> Result<Vec<Found>, Error> {
    let snapshot = tenant.snapshot();
    let columns = subject.columns(dataset);
    let mut found = Vec::new();
    for part in parts::parts(&snapshot, dataset).into_keys() {
        for file in parts::files(&snapshot, dataset, part).await? {
            let rows = match subject {
                Subject::Tenant => Ok(file.rows),
                _ if columns.is_empty() => Ok(0),
                _ => count(maintenance, &snapshot, &file, subject, &columns).await,
            };
            match rows {
                Ok(0) if *subject != Subject::Tenant => {}
                Ok(rows) => found.push((file, rows)),
                Err(error @ (Error::Unavailable { .. } | Error::Poisoned { .. })) => return Err(error),
                Err(error) => {
                    tracing::error!(tenant = %tenant.id, path = %file.path, error = %error.chain(), "not searched");
                    let path = below(&tenant.id, file.path.as_ref());
                    if !report.unreadable.contains(&path) {
                        report.unreadable.push(path);
                    }
                }
            }
        }
    }
    Ok(found)
}

/// How many rows of a file are the subject's.
async fn count(
    maintenance: &Maintenance<'_>,
    snapshot: &Snapshot,
    file: &DataFile,
    subject: &Subject,
    columns: &[&str],
) -> Result<u64, Error> {
    let core = maintenance.core();
    if let Some(detail) = snapshot.quarantined(file) {
        return Err(Error::corrupt(&core.store.name(file.path.as_ref()), detail.to_string()));
    }
    let needles = maintenance.engine.needles();
    let mut may_hold = false;
    for column in columns {
        may_hold = may_hold || needles.may_hold(file, column, &[subject.value()]).await;
    }
    if !may_hold {
        return Ok(0);
    }
    let failed = |e| reader::failed(&core.store, file, e);
    let builder = reader::open(&core.store, file).await?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let mut batches = builder.with_projection(mask).build().map_err(failed)?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        rows += subject.rows(&batch.map_err(failed)?)?.true_count() as u64;
    }
    Ok(rows)
}

/// Removes the old files from the store if that was asked for; else says when they go.
async fn remove_old(
    core: &Arc<Core>,
    tenant: &Arc<Tenant>,
    request: &ErasureRequest,
    report: &mut ErasureReport,
) -> Result<(), Error> {
    if report.files.is_empty() {
        return Ok(());
    }
    if request.now {
        sweep::now(core, tenant).await?;
    } else {
        let grace_ns = super::options::nanos(core.options.maintenance.grace);
        report.gone_at_ns = Some(core.now_ns().saturating_add(grace_ns));
    }
    Ok(())
}

/// Whether a start kept segments of the WAL that it could not read whole.
fn damaged_segments(wal_dir: &Path) -> bool {
    let names = std::fs::read_dir(wal_dir).into_iter().flatten().flatten().map(|found| found.file_name());
    names.into_iter().any(|name| Path::new(&name).extension().is_some_and(|extension| extension == "corrupt"))
}

async fn open_key(core: &Core) -> Result<ErasureKey, Error> {
    let path: PathBuf = match &core.options.maintenance.erasure_key {
        Some(path) => path.clone(),
        None => core.options.data_dir.join("erasure.key"),
    };
    tokio::task::spawn_blocking(move || ErasureKey::open(&path)).await.map_err(Error::internal)?
}

impl ErasureReport {
    fn add(&mut self, tenant: &TenantId, found: &[Found]) {
        for (file, erased) in found {
            self.rows += erased;
            *self.datasets.entry(file.dataset).or_default() += erased;
            let path = below(tenant, file.path.as_ref());
            self.files.push(ErasedFile { dataset: file.dataset, path, rows: file.rows, erased: *erased });
        }
    }

    fn remark(&mut self, core: &Core, subject: &Subject) {
        let mut remark = |text: &str| self.remarks.push(text.to_owned());
        match subject {
            Subject::Tenant => remark("the manifest stays, as the proof: it holds counts, times and hashes, no values"),
            Subject::User(_) => {
                remark("rows are the user's by their user_id or data_subject_id; other rows of the same traces stay");
                remark("rejected records (ingest_rejects) are kept as they came and cannot be told by user");
            }
            Subject::Trace(_) => {
                remark("links of other spans and exemplars of metrics may name the trace");
                remark("rejected records (ingest_rejects) are kept as they came and cannot be told by trace");
            }
        }
        remark("backups made before hold the rows still");
        remark("the write-ahead log may hold the bytes as they were received until its newest segment is full");
        if damaged_segments(&core.wal_dir) {
            remark(
                "damaged WAL segments (wal/*.corrupt) may hold rows; remove them by hand when they are of no more use",
            );
        }
    }
}
