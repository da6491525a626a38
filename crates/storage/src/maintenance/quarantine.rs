//! Damaged files that are known: queries leave them out and say so.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracehound_schema::TenantId;

use super::Maintenance;
use super::compact::below;
use crate::engine::Core;
use crate::manifest::Time;
use crate::snapshot::Quarantine;
use crate::store::Store;
use crate::tenant::Tenant;
use crate::{DataFile, Error, partition};

const FORMAT: u32 = 1;
/// Files are read in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;

/// A damaged file that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) format: u32,
    /// Below the tenant's folder.
    pub(crate) path: String,
    /// What the manifest says of the file.
    pub(crate) sha256: String,
    /// What is wrong with it.
    pub(crate) detail: String,
    pub(crate) time: Time,
}

/// A damaged file that queries leave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// The file, below the tenant's folder.
    pub path: String,
    /// What is wrong with it.
    pub detail: String,
    /// When it was found, nanoseconds.
    pub time_ns: i64,
}

impl Maintenance<'_> {
    /// The quarantined files of a tenant, by path.
    ///
    /// # Errors
    /// [`Error::NoSuchTenant`], or what failed on the store.
    pub async fn quarantined(&self, tenant: &TenantId) -> Result<Vec<Quarantined>, Error> {
        let tenant = self.tenant(tenant)?;
        let records = records(&self.core().store, &tenant.id).await?;
        let public = |(_, record): (String, Record)| Quarantined {
            path: record.path,
            detail: record.detail,
            time_ns: record.time.0,
        };
        let mut found: Vec<_> = records.into_iter().map(public).collect();
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Takes a live file out of what queries read, until it is released. `path` is below the tenant's folder.
    ///
    /// # Errors
    /// [`Error::NoSuchTenant`], [`Error::NoSuchFile`] if it is not live, or what failed on the store.
    pub async fn quarantine(&self, tenant: &TenantId, path: &str, detail: &str) -> Result<(), Error> {
        let tenant = self.tenant(tenant)?;
        let file = live(&tenant, path).await?;
        add(self.core(), &tenant, &file, detail).await
    }

    /// Lets queries read a file again; whether it was quarantined.
    ///
    /// # Errors
    /// [`Error::NoSuchTenant`], or what failed on the store.
    pub async fn release(&self, tenant: &TenantId, path: &str) -> Result<bool, Error> {
        let tenant = self.tenant(tenant)?;
        let path = below(&tenant.id, path);
        remove(self.core(), &tenant, |record| record.path == path).await.map(|removed| removed > 0)
    }
}

/// The quarantined files of a tenant, as snapshots know them.
///
/// # Errors
/// What failed on the store.
pub(crate) async fn load(store: &Store, tenant: &TenantId) -> Result<Quarantine, Error> {
    Ok(quarantine_of(tenant, &records(store, tenant).await?))
}

fn quarantine_of(tenant: &TenantId, records: &[(String, Record)]) -> Quarantine {
    let dir = partition::tenant_dir(tenant);
    let known = records.iter().map(|(_, record)| {
        let path = Path::from(format!("{dir}/{}", record.path));
        (path, Arc::<str>::from(record.detail.as_str()))
    });
    known.collect::<HashMap<_, _>>()
}

/// The records of a tenant, with the objects that they are in. One that cannot be read is left out, with a warning: verify names it.
pub(crate) async fn records(store: &Store, tenant: &TenantId) -> Result<Vec<(String, Record)>, Error> {
    let mut found = Vec::new();
    for listed in store.list(&folder(tenant)).await? {
        let Some(bytes) = store.read(&listed.object).await? else { continue };
        match decode(&bytes) {
            Ok(record) => found.push((listed.object, record)),
            Err(detail) => tracing::warn!(object = listed.object, detail, "unreadable quarantine record"),
        }
    }
    Ok(found)
}

/// Reads a record.
///
/// # Errors
/// A text that says what is wrong.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, String> {
    let record: Record = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    match record.format {
        FORMAT => Ok(record),
        other => Err(format!("format {other}, this release reads {FORMAT}")),
    }
}

/// The folder of a tenant's records.
pub(crate) fn folder(tenant: &TenantId) -> String {
    format!("{}/quarantine", partition::tenant_dir(tenant))
}

/// Quarantines a file.
pub(crate) async fn add(core: &Core, tenant: &Tenant, file: &DataFile, detail: &str) -> Result<(), Error> {
    let path = below(&tenant.id, file.path.as_ref());
    if tenant.quarantine().contains_key(&file.path) {
        return Ok(());
    }
    tracing::error!(tenant = %tenant.id, path, detail, "damaged file; queries leave it out and say so");
    let (sha256, detail) = (file.sha256.clone(), detail.to_owned());
    let record = Record { format: FORMAT, path, sha256, detail, time: Time(core.now_ns()) };
    let bytes = serde_json::to_vec(&record).map_err(Error::internal)?;
    let object = format!("{}/{}.json", folder(&tenant.id), crate::runtime::new_id());
    core.store.create(&object, Bytes::from(bytes)).await?;
    reload(core, tenant).await
}

/// Removes the records that are wanted gone; returns how many.
pub(crate) async fn remove(core: &Core, tenant: &Tenant, gone: impl Fn(&Record) -> bool) -> Result<usize, Error> {
    let mut removed = 0;
    for (object, record) in records(&core.store, &tenant.id).await? {
        if gone(&record) {
            core.store.delete(&object).await?;
            removed += 1;
        }
    }
    if removed > 0 {
        reload(core, tenant).await?;
    }
    Ok(removed)
}

async fn reload(core: &Core, tenant: &Tenant) -> Result<(), Error> {
    let quarantine = load(&core.store, &tenant.id).await?;
    tenant.set_quarantine(quarantine);
    count(core);
    Ok(())
}

/// Counts the quarantined files of all tenants, for people.
pub(crate) fn count(core: &Core) {
    let quarantined = core.tenants().iter().map(|tenant| tenant.quarantine().len() as u64).sum();
    core.maintenance.lock().status.quarantined = quarantined;
}

/// Checks files against their hashes, and quarantines those that are damaged; returns their paths.
///
/// # Errors
/// If the store cannot say: a file that cannot be read now may be whole.
pub(crate) async fn damaged(core: &Core, tenant: &Tenant, files: &[Arc<DataFile>]) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for file in files {
        if let Some(detail) = check(&core.store, file.path.as_ref(), file.bytes, &file.sha256, &|_| {}).await? {
            // Whoever removed it meanwhile knows better.
            if live(tenant, file.path.as_ref()).await.is_err() {
                continue;
            }
            add(core, tenant, file, &detail).await?;
            found.push(below(&tenant.id, file.path.as_ref()));
        }
    }
    Ok(found)
}

/// Reads an object and compares it with what is known of it. Returns what is wrong with it. Reports bytes as they are read.
///
/// # Errors
/// If the store cannot be read.
pub(crate) async fn check(
    store: &Store,
    object: &str,
    bytes: u64,
    sha256: &str,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Option<String>, Error> {
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < bytes {
        let end = bytes.min(at + PIECE_BYTES);
        match store.read_range(object, at..end).await {
            Ok(piece) => hash.update(&piece),
            Err(Error::Corrupt { detail, .. }) => return Ok(Some(detail)),
            Err(error) => return Err(error),
        }
        progress(end - at);
        at = end;
    }
    match store.read_range(object, bytes..bytes + 1).await {
        Ok(_) => return Ok(Some(format!("it has more than the {bytes} bytes that the manifest says"))),
        Err(Error::Corrupt { .. }) => {}
        Err(error) => return Err(error),
    }
    let found = hex::encode(hash.finalize());
    Ok((found != sha256).then(|| format!("its SHA-256 is {found}, the manifest says {sha256}")))
}

/// A live file by its path, with or without the tenant's folder.
async fn live(tenant: &Tenant, path: &str) -> Result<Arc<DataFile>, Error> {
    let path = below(&tenant.id, path);
    let missing = || Error::NoSuchFile { tenant: tenant.id.clone(), path: path.clone() };
    let dataset = path.split('/').next().and_then(|name| name.parse().ok()).ok_or_else(missing)?;
    let files = tenant.snapshot().files(dataset, i64::MIN..=i64::MAX).await?;
    files.into_iter().find(|file| below(&tenant.id, file.path.as_ref()) == path).ok_or_else(missing)
}
