//! Checking everything that is stored of a tenant against what the manifest says.
//!
//! The chain binds each entry to the one before, an entry binds its files by
//! hash, a root binds its segments. So every byte that an answer could come from is covered.

mod chain;
mod checkpoint;
mod rows;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tracehound_schema::{Dataset, TenantId};

use super::compact::below;
use super::{Maintenance, parts, quarantine};
use crate::engine::Core;
use crate::store::Store;
use crate::tenant::Tenant;
use crate::{DataFile, Error, Snapshot, partition};

/// How much is checked, and what is done about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Decode all pages too, and compare the rows with what the manifest and the sidecars say of them.
    pub deep: bool,
    /// Quarantine damaged data files, so that queries go on without them and say so.
    pub quarantine: bool,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VerifyProgress {
    /// Objects checked.
    pub objects: u64,
    /// Objects to check.
    pub objects_total: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes to read; grows while manifest entries are counted.
    pub bytes_total: u64,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The latest entry, up to which was checked.
    pub entry: u64,
    /// Manifest entries checked.
    pub entries: u64,
    /// Live files checked.
    pub files: u64,
    /// Their rows, as the manifest says.
    pub rows: u64,
    /// Sidecars checked.
    pub sidecars: u64,
    /// Roots and segments of checkpoints checked.
    pub checkpoints: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Everything that is wrong.
    pub defects: Vec<Defect>,
    /// Files that were quarantined, below the tenant's folder.
    pub quarantined: Vec<String>,
    /// Objects that no entry adds live: superseded files within their grace, and leftovers that the sweep removes.
    pub unnamed: u64,
    /// Their bytes.
    pub unnamed_bytes: u64,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Defect {
    /// What kind of object.
    pub kind: DefectKind,
    /// The object, below the tenant's folder.
    pub path: String,
    /// What is wrong.
    pub detail: String,
    /// What to do about it.
    pub advice: &'static str,
}

/// The kinds of objects that can be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DefectKind {
    /// A manifest entry.
    Entry,
    /// A Parquet file.
    File,
    /// A sidecar.
    Sidecar,
    /// A root or segment of a checkpoint.
    Checkpoint,
    /// A quarantine record.
    Quarantine,
}

impl fmt::Display for DefectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entry => "entry",
            Self::File => "file",
            Self::Sidecar => "sidecar",
            Self::Checkpoint => "checkpoint",
            Self::Quarantine => "quarantine record",
        })
    }
}

impl DefectKind {
    fn advice(self) -> &'static str {
        match self {
            Self::Entry => {
                "the log is no proof from here on; restore the entry from a backup, or the tenant, and ask who can write to the store"
            }
            Self::File => {
                "restore the file from a backup; until then quarantine it, so that queries go on without it and say so"
            }
            Self::Sidecar => {
                "no answer changes, but lookups are slower; compaction writes a new one, or restore it from a backup"
            }
            Self::Checkpoint => "no answer changes: delete it; a start reads an older checkpoint or the whole log",
            Self::Quarantine => "delete the record, verify again with --quarantine",
        }
    }
}

impl Maintenance<'_> {
    /// Checks all that is stored of a tenant: the chain of entries, checkpoints, live files and sidecars. Memory is bounded; dropped, it stops.
    ///
    /// Rows that are not flushed yet are not looked at. Files that are no longer live are only counted.
    ///
    /// # Errors
    /// [`Error::NoSuchTenant`], or what failed on the store; defects are no errors but in the report.
    pub async fn verify(
        &self,
        tenant: &TenantId,
        options: &VerifyOptions,
        progress: &(dyn Fn(VerifyProgress) + Sync),
    ) -> Result<VerifyReport, Error> {
        let core = self.core();
        let tenant = self.tenant(tenant)?;
        self.engine.refresh(&tenant.id).await?;
        // Files that are live now stay on the store while they are checked.
        let _pin = core.maintenance.pin(&tenant.id);
        let (head, snapshot) = tenant.head_and_snapshot().await;
        let verifier = Verifier::new(core, &tenant, *options, progress, &snapshot);
        let mut report = VerifyReport { entry: snapshot.entry(), ..VerifyReport::default() };
        chain::check(&verifier, &snapshot, head.as_deref(), &mut report).await?;
        checkpoint::check(&verifier, &mut report).await?;
        let mut live = HashSet::new();
        for dataset in Dataset::ALL {
            for part in parts::parts(&snapshot, dataset).into_keys() {
                for file in parts::files(&snapshot, dataset, part).await? {
                    verifier.file(&snapshot, &file, &mut report).await?;
                    live.insert(file.path.to_string());
                    live.extend(file.sidecar.as_ref().map(|sidecar| sidecar.path.to_string()));
                }
            }
        }
        for dataset in Dataset::ALL {
            let folder = format!("{}/{dataset}", partition::tenant_dir(&tenant.id));
            for listed in core.store.list(&folder).await? {
                if !live.contains(&listed.object) {
                    report.unnamed += 1;
                    report.unnamed_bytes += listed.bytes;
                }
            }
        }
        verifier.quarantine_records(&snapshot, &mut report).await?;
        report.bytes = verifier.bytes.load(Ordering::Relaxed);
        Ok(report)
    }
}

struct Verifier<'a> {
    core: &'a Arc<Core>,
    tenant: &'a Arc<Tenant>,
    options: VerifyOptions,
    progress: &'a (dyn Fn(VerifyProgress) + Sync),
    objects: AtomicU64,
    objects_total: AtomicU64,
    bytes: AtomicU64,
    bytes_total: AtomicU64,
}

impl<'a> Verifier<'a> {
    fn new(
        core: &'a Arc<Core>,
        tenant: &'a Arc<Tenant>,
        options: VerifyOptions,
        progress: &'a (dyn Fn(VerifyProgress) + Sync),
        snapshot: &Snapshot,
    ) -> Self {
        let totals = Dataset::ALL.map(|dataset| snapshot.totals(dataset));
        let files: u64 = totals.iter().map(|totals| totals.files).sum();
        let bytes: u64 = totals.iter().map(|totals| totals.bytes).sum();
        Self {
            core,
            tenant,
            options,
            progress,
            objects: AtomicU64::new(0),
            objects_total: AtomicU64::new(snapshot.entry() + files),
            bytes: AtomicU64::new(0),
            bytes_total: AtomicU64::new(bytes),
        }
    }

    fn store(&self) -> &Store {
        &self.core.store
    }

    /// Counts bytes that were read.
    fn read(&self, bytes: u64, planned: bool) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if !planned {
            self.bytes_total.fetch_add(bytes, Ordering::Relaxed);
        }
        self.tell();
    }

    /// Counts an object that was checked.
    fn checked(&self, planned: bool) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        if !planned {
            self.objects_total.fetch_add(1, Ordering::Relaxed);
        }
        self.tell();
    }

    fn tell(&self) {
        let figure = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (self.progress)(VerifyProgress {
            objects: figure(&self.objects),
            objects_total: figure(&self.objects_total),
            bytes: figure(&self.bytes),
            bytes_total: figure(&self.bytes_total),
        });
    }

    fn defect(&self, report: &mut VerifyReport, kind: DefectKind, object: &str, detail: impl Into<String>) {
        let (path, detail) = (below(&self.tenant.id, object), detail.into());
        tracing::warn!(tenant = %self.tenant.id, %kind, path, detail, "defect");
        report.defects.push(Defect { kind, path, detail, advice: kind.advice() });
    }

    async fn file(&self, snapshot: &Snapshot, file: &Arc<DataFile>, report: &mut VerifyReport) -> Result<(), Error> {
        let object = file.path.as_ref();
        report.files += 1;
        report.rows += file.rows;
        let read = |bytes| self.read(bytes, true);
        let damage = quarantine::check(self.store(), object, file.bytes, &file.sha256, &read).await?;
        let damage = match damage {
            Some(damage) => Some(damage),
            None => rows::check(self, file).await?,
        };
        self.checked(true);
        if let Some(detail) = damage {
            self.defect(report, DefectKind::File, object, detail.clone());
            if self.options.quarantine && snapshot.quarantined(file).is_none() {
                quarantine::add(self.core, self.tenant, file, &detail).await?;
                report.quarantined.push(below(&self.tenant.id, object));
            }
        }
        if let Some(sidecar) = &file.sidecar {
            report.sidecars += 1;
            let object = sidecar.path.as_ref();
            let read = |bytes| self.read(bytes, false);
            let damage = quarantine::check(self.store(), object, sidecar.bytes, &sidecar.sha256, &read).await?;
            self.checked(false);
            if let Some(detail) = damage {
                self.defect(report, DefectKind::Sidecar, object, detail);
            }
        }
        Ok(())
    }

    /// Checks that each quarantine record speaks of a live file, and can be read.
    async fn quarantine_records(&self, snapshot: &Snapshot, report: &mut VerifyReport) -> Result<(), Error> {
        for listed in self.store().list(&quarantine::folder(&self.tenant.id)).await? {
            let Some(bytes) = self.store().read(&listed.object).await? else { continue };
            self.read(bytes.len() as u64, false);
            self.checked(false);
            let wrong = match quarantine::decode(&bytes) {
                Err(detail) => Some(detail),
                Ok(record) => {
                    let dataset = record.path.split('/').next().and_then(|name| name.parse::<Dataset>().ok());
                    let files = match dataset {
                        Some(dataset) => snapshot.files(dataset, i64::MIN..=i64::MAX).await?,
                        None => Vec::new(),
                    };
                    let named = files.iter().find(|file| below(&self.tenant.id, file.path.as_ref()) == record.path);
                    match named {
                        None => Some(format!("it is about {:?}, which is not live", record.path)),
                        Some(file) if file.sha256 != record.sha256 => {
                            Some(format!("the hash that it names for {:?} is not the manifest's", record.path))
                        }
                        Some(_) => None,
                    }
                }
            };
            if let Some(detail) = wrong {
                self.defect(report, DefectKind::Quarantine, &listed.object, detail);
            }
        }
        Ok(())
    }
}
