//! Backup and restore: a consistent copy of tenants as of an entry each, in a folder or on an object store.
//!
//! A target can be backed up to again: what is there is kept, and each backup
//! leaves a record of what it covers. Nothing is ever removed from a target.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracehound_schema::TenantId;

use super::copy::{self, Copied, Manifest};
use crate::disk::Disk;
use crate::lock::Lock;
use crate::manifest::Time;
use crate::store::{Store, StoreOptions, create_dirs};
use crate::{Engine, Error, partition};

const FORMAT: u32 = 1;
const RECORDS: &str = "backups";

/// Where a backup is.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum BackupPlace {
    /// A folder of the local disk; made if absent.
    Folder(PathBuf),
    /// A store by its options.
    Store(StoreOptions),
}

/// What to back up.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// The tenants; empty: all.
    pub tenants: Vec<TenantId>,
    /// The entry to copy up to, of one tenant only; `None`: the latest, after a flush. Files that were live then
    /// and are not now have to be within their grace.
    pub as_of: Option<u64>,
}

/// What to restore, and where to.
#[derive(Clone)]
pub struct RestoreOptions {
    /// The data directory; it must not be in use, nor hold other logs of the tenants.
    pub data_dir: PathBuf,
    /// The store of the restored data, as the server will have it.
    pub store: StoreOptions,
    /// The tenants; empty: all that the backup has.
    pub tenants: Vec<TenantId>,
    /// The backup by the name that its report gave; `None`: the newest.
    pub backup: Option<String>,
}

/// What a backup did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The name to restore it by.
    pub backup: String,
    /// What it covers.
    pub tenants: Vec<BackupTenant>,
    /// Objects copied.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Objects that an earlier backup had copied.
    pub kept: u64,
    /// Files that are missing or damaged at their source, with what is wrong: the backup is without them.
    pub damaged: Vec<(String, String)>,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The backup that was restored.
    pub backup: String,
    /// What it covers.
    pub tenants: Vec<BackupTenant>,
    /// Objects copied.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Objects that an interrupted restore had copied.
    pub kept: u64,
    /// Files that the backup is without, with what is wrong. Queries that need them will fail: quarantine them.
    pub damaged: Vec<(String, String)>,
}

/// A tenant in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupTenant {
    /// Its name.
    pub tenant: TenantId,
    /// The entry it is as of.
    pub entry: u64,
    /// SHA-256 of that entry, lowercase hex: with it, everything behind it is fixed.
    pub hash: String,
    /// Live files.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of files and sidecars.
    pub bytes: u64,
}

/// The record of a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    time: Time,
    tenants: Vec<BackupTenant>,
    damaged: Vec<(String, String)>,
}

impl BackupPlace {
    fn open(&self, scratch: &Path) -> Result<Store, Error> {
        match self {
            Self::Folder(folder) => Store::local(folder),
            Self::Store(options) => Store::connect(options, &Disk::Real, scratch),
        }
    }
}

/// Copies tenants to a target, then reads everything there and compares it. The sweep leaves the source's files alone meanwhile.
///
/// `progress` is told bytes done and bytes in all.
///
/// # Errors
/// [`Error::NoSuchTenant`], [`Error::NoSuchEntry`]; [`Error::Corrupt`] if a log is damaged, or the target holds another;
/// [`Error::Gone`] if files of an earlier entry are no longer there; else what failed. An interrupted backup is no backup, and goes on when asked again.
pub async fn backup(
    engine: &Engine,
    to: &BackupPlace,
    options: &BackupOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<BackupReport, Error> {
    let core = engine.core();
    let store = to.open(&core.options.data_dir)?;
    let ids = if options.tenants.is_empty() { engine.tenants() } else { options.tenants.clone() };
    if options.as_of.is_some() && ids.len() != 1 {
        return Err(Error::internal("an entry to back up as of is an entry of one tenant"));
    }
    let mut manifests = Vec::new();
    let mut pins = Vec::new();
    for id in &ids {
        let tenant = core.find_tenant(id).ok_or_else(|| Error::NoSuchTenant { tenant: id.clone() })?;
        pins.push(core.maintenance.pin(id));
        if options.as_of.is_none() {
            tenant.seal();
            crate::flush::tenant_rows(core, &tenant).await?;
        }
        engine.refresh(id).await?;
        let latest = tenant.entry();
        let entry = options.as_of.unwrap_or(latest);
        if entry > latest {
            return Err(Error::NoSuchEntry { tenant: id.clone(), entry, latest });
        }
        manifests.push(copy::manifest(&core.store, id, entry).await?);
    }
    if options.as_of.is_some() {
        for manifest in &manifests {
            all_there(&core.store, manifest).await?;
        }
    }
    let (tenants, copied) = copy_all(&core.store, &store, &manifests, progress).await?;
    let record = Record { format: FORMAT, time: Time(core.now_ns()), tenants, damaged: copied.damaged };
    let name = format!("{:020}", record.time.0);
    let bytes = serde_json::to_vec(&record).map_err(Error::internal)?;
    store.create(&format!("{RECORDS}/{name}.json"), Bytes::from(bytes)).await?;
    Ok(BackupReport {
        backup: name,
        tenants: record.tenants,
        copied: copied.objects,
        copied_bytes: copied.bytes,
        kept: copied.kept,
        damaged: record.damaged,
    })
}

/// Copies a backup into a data directory, or its store, then reads everything there and compares it.
///
/// # Errors
/// [`Error::Locked`] if the directory is in use; [`Error::NoBackup`]; [`Error::Corrupt`] if the backup is damaged, or the
/// directory holds other data of a tenant; else what failed. An interrupted restore goes on when asked again.
pub async fn restore(
    from: &BackupPlace,
    options: &RestoreOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<RestoreReport, Error> {
    create_dirs(&Disk::Real, &options.data_dir)?;
    let holder = format!("process {}, which restores a backup", std::process::id());
    let _lock = Lock::take(&Disk::Real, &options.data_dir, &holder)?;
    let source = from.open(&options.data_dir)?;
    let target = Store::connect(&options.store, &Disk::Real, &options.data_dir)?;
    let (name, record) = find(&source, options.backup.as_deref()).await?;
    let wanted: BTreeSet<_> = options.tenants.iter().collect();
    let missing = wanted.iter().find(|id| !record.tenants.iter().any(|found| found.tenant == ***id));
    if let Some(id) = missing {
        return Err(Error::NoSuchTenant { tenant: (**id).clone() });
    }
    let mut manifests = Vec::new();
    for found in record.tenants.iter().filter(|found| wanted.is_empty() || wanted.contains(&found.tenant)) {
        let manifest = copy::manifest(&source, &found.tenant, found.entry).await?;
        let object = partition::manifest_entry(&found.tenant, found.entry);
        if manifest.hash != found.hash {
            return Err(Error::corrupt(&source.name(&object), "it is not the entry that the backup's record names"));
        }
        // A later entry is somebody's: what is restored would not be its past alone.
        let next = partition::manifest_entry(&found.tenant, found.entry + 1);
        if target.read(&next).await?.is_some() {
            return Err(Error::corrupt(
                &target.name(&next),
                "the tenant goes on beyond the backup here; restore to an empty place",
            ));
        }
        manifests.push(manifest);
    }
    let (tenants, copied) = copy_all(&source, &target, &manifests, progress).await?;
    Ok(RestoreReport {
        backup: name,
        tenants,
        copied: copied.objects,
        copied_bytes: copied.bytes,
        kept: copied.kept,
        damaged: copied.damaged,
    })
}

/// Copies, and verifies the copies.
async fn copy_all(
    from: &Store,
    to: &Store,
    manifests: &[Manifest],
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(Vec<BackupTenant>, Copied), Error> {
    let bytes_of = |manifest: &Manifest| manifest.objects.iter().map(|object| object.bytes).sum::<u64>();
    // Each byte is copied, and read again.
    let total = 2 * manifests.iter().map(bytes_of).sum::<u64>();
    let done = AtomicU64::new(0);
    let tell = |bytes: u64| progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
    let mut all = Copied::default();
    let mut tenants = Vec::new();
    for manifest in manifests {
        let mut copied = copy::copy(from, to, manifest, &tell).await?;
        let mut wrong = copy::verify(to, manifest, &copied.damaged, &tell).await?;
        if !wrong.is_empty() {
            // What an earlier backup left damaged is replaced.
            for (name, _) in &wrong {
                to.delete(name).await?;
            }
            let again = copy::copy(from, to, manifest, &|_| {}).await?;
            copied.objects += again.objects;
            copied.bytes += again.bytes;
            wrong = copy::verify(to, manifest, &again.damaged, &|_| {}).await?;
            copied.damaged = again.damaged;
        }
        if let Some((name, detail)) = wrong.first() {
            return Err(Error::corrupt(&to.name(name), detail));
        }
        all.objects += copied.objects;
        all.bytes += copied.bytes;
        all.kept += copied.kept;
        all.damaged.extend(copied.damaged);
        tenants.push(BackupTenant {
            tenant: manifest.tenant.clone(),
            entry: manifest.entry,
            hash: manifest.hash.clone(),
            files: manifest.files,
            rows: manifest.rows,
            bytes: bytes_of(manifest),
        });
    }
    Ok((tenants, all))
}

/// Whether the files of an earlier entry are on the store still.
async fn all_there(store: &Store, manifest: &Manifest) -> Result<(), Error> {
    let listed = store.list(&partition::tenant_dir(&manifest.tenant)).await?;
    let there: BTreeSet<_> = listed.into_iter().map(|listed| listed.object).collect();
    match manifest.objects.iter().find(|object| !there.contains(&object.name)) {
        None => Ok(()),
        Some(object) => {
            Err(Error::Gone { tenant: manifest.tenant.clone(), entry: manifest.entry, path: object.name.clone() })
        }
    }
}

/// The record of a backup, the newest if none is named.
async fn find(store: &Store, name: Option<&str>) -> Result<(String, Record), Error> {
    let listed = store.list(RECORDS).await?;
    let names = listed.iter().filter_map(|listed| {
        let name = listed.object.strip_prefix(RECORDS)?.strip_prefix('/')?;
        name.strip_suffix(".json")
    });
    let found = match name {
        Some(name) => names.into_iter().find(|found| *found == name),
        None => names.max(),
    };
    let place = store.name(RECORDS);
    let found = found.ok_or_else(|| Error::NoBackup { path: place.clone() })?;
    let object = format!("{RECORDS}/{found}.json");
    let bytes = store.read(&object).await?.ok_or(Error::NoBackup { path: place })?;
    let record: Record =
        serde_json::from_slice(&bytes).map_err(|e| Error::corrupt(&store.name(&object), e.to_string()))?;
    if record.format > FORMAT {
        let (path, found) = (store.name(&object), record.format.to_string());
        return Err(Error::NewerFormat { path, found, supported: FORMAT });
    }
    Ok((found.to_owned(), record))
}
