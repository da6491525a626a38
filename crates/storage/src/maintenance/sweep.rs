//! Removing what no entry adds live: files that were merged, retired or erased, and what crashes left.
//!
//! The listing is taken before the live files, and an object goes only when it
//! has not been live for the grace, so that a file on its way into an entry
//! stays, and a query that began while a file was live can end.

use std::collections::HashSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use serde::Serialize;
use tracehound_schema::{Dataset, TenantId};

use super::options::nanos;
use super::state::NotLive;
use super::{Maintenance, parts, quarantine};
use crate::engine::Core;
use crate::store::{Listed, TEMPORARY_SUFFIX};
use crate::tenant::Tenant;
use crate::{Error, partition};

const DELETES_AT_ONCE: usize = 8;
/// How much longer an object that no entry of this process named stays on a store that others write to: one of them may be about to name it.
const SHARED_FACTOR: i64 = 24;

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Objects removed.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Objects that no entry adds live, and whose grace is not over.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
}

impl Maintenance<'_> {
    /// Removes the objects of a tenant that no entry adds live and whose grace is over. The background does this hourly.
    ///
    /// # Errors
    /// [`Error::NoSuchTenant`], or what failed on the store; what was removed is removed.
    pub async fn sweep(&self, tenant: &TenantId) -> Result<SweepReport, Error> {
        let tenant = self.tenant(tenant)?;
        sweep(self.core(), &tenant).await
    }
}

/// Removes objects of which this process knows when they left the live set, as soon as their grace is over.
pub(crate) async fn delete_due(core: &Core) {
    for tenant in core.tenants() {
        if core.maintenance.is_pinned(&tenant.id) {
            continue;
        }
        let latest_ns = core.now_ns().saturating_sub(nanos(core.options.maintenance.grace));
        for object in core.maintenance.left_until(&tenant.id, latest_ns) {
            match core.store.delete(&object).await {
                Ok(()) => {
                    core.maintenance.forget(&tenant.id, &object);
                    core.maintenance.lock().status.objects_swept += 1;
                }
                Err(error) => {
                    tracing::warn!(object, error = %error.chain(), "cannot remove a file that is no longer live; it is tried again");
                    return;
                }
            }
        }
    }
}

/// Removes every object of a tenant that no entry adds live, whatever its grace. The caller holds the tenant's
/// `rewriting`. On a store that others write to, only what is known to have been live goes.
pub(crate) async fn now(core: &Arc<Core>, tenant: &Arc<Tenant>) -> Result<SweepReport, Error> {
    let mut report = SweepReport::default();
    tenant.follow(core).await?;
    // No flush is half-way while the head is held.
    let _head = tenant.head.lock().await;
    for dataset in Dataset::ALL {
        let folder = format!("{}/{dataset}", partition::tenant_dir(&tenant.id));
        let mut gone = core.store.list(&folder).await?;
        let live = live_objects(tenant, dataset).await?;
        gone.retain(|listed| !live.contains(&listed.object));
        if core.store.is_shared() {
            let left: HashSet<_> = core.maintenance.left_until(&tenant.id, i64::MAX).into_iter().collect();
            gone.retain(|listed| left.contains(&listed.object));
        }
        delete(core, tenant, gone, &mut report).await?;
    }
    Ok(report)
}

/// Sweeps a tenant.
pub(crate) async fn sweep(core: &Arc<Core>, tenant: &Arc<Tenant>) -> Result<SweepReport, Error> {
    let mut report = SweepReport::default();
    if core.maintenance.is_pinned(&tenant.id) {
        return Ok(report);
    }
    let mut unwanted = HashSet::new();
    for dataset in Dataset::ALL {
        let folder = format!("{}/{dataset}", partition::tenant_dir(&tenant.id));
        let listed = core.store.list(&folder).await?;
        if listed.is_empty() {
            continue;
        }
        // Only who knows the whole log knows what is not in it: an entry whose outcome was never learned, or another's.
        tenant.follow(core).await?;
        let live = live_objects(tenant, dataset).await?;
        let gone = listed.into_iter().filter(|listed| !live.contains(&listed.object));
        let (due, waiting) = split(core, tenant, gone.collect(), &mut unwanted);
        report.waiting += waiting.len() as u64;
        report.waiting_bytes += waiting.iter().map(|listed| listed.bytes).sum::<u64>();
        delete(core, tenant, due, &mut report).await?;
    }
    sweep_temporaries(core, tenant, &mut report).await?;
    if let Some(seen) = core.maintenance.lock().seen.get_mut(&tenant.id) {
        seen.retain(|object, _| unwanted.contains(object));
    }
    forget_quarantine(core, tenant).await?;
    Ok(report)
}

/// Removes what a crash left of entries and the like in the making; only folders of the local disk have such.
async fn sweep_temporaries(core: &Core, tenant: &Tenant, report: &mut SweepReport) -> Result<(), Error> {
    if core.store.is_shared() {
        return Ok(());
    }
    let latest_ns = core.now_ns().saturating_sub(nanos(core.options.maintenance.grace));
    let dir = partition::tenant_dir(&tenant.id);
    for folder in ["manifest", "checkpoint", "quarantine"] {
        let mut listed = core.store.list(&format!("{dir}/{folder}")).await?;
        listed.retain(|listed| listed.object.ends_with(TEMPORARY_SUFFIX) && listed.modified_ns <= latest_ns);
        delete(core, tenant, listed, report).await?;
    }
    Ok(())
}

/// The objects of a dataset that must stay: live files and their sidecars, and files that wait for their entry.
async fn live_objects(tenant: &Tenant, dataset: Dataset) -> Result<HashSet<String>, Error> {
    // In this order, since a flush moves a file from the second to the first.
    let waiting = tenant.uncommitted();
    let mut live = HashSet::new();
    let snapshot = tenant.snapshot();
    for part in parts::parts(&snapshot, dataset).into_keys() {
        for file in parts::files(&snapshot, dataset, part).await? {
            live.insert(file.path.to_string());
            live.extend(file.sidecar.as_ref().map(|sidecar| sidecar.path.to_string()));
        }
    }
    live.extend(waiting);
    Ok(live)
}

/// Divides objects that are not live into those whose grace is over, and the others.
fn split(
    core: &Core,
    tenant: &Tenant,
    gone: Vec<Listed>,
    unwanted: &mut HashSet<String>,
) -> (Vec<Listed>, Vec<Listed>) {
    let now_ns = core.now_ns();
    let grace_ns = nanos(core.options.maintenance.grace);
    let orphan_ns = if core.store.is_shared() { grace_ns.saturating_mul(SHARED_FACTOR) } else { grace_ns };
    let mut inner = core.maintenance.lock();
    let seen = inner.seen.entry(tenant.id.clone()).or_default();
    gone.into_iter().partition(|listed| {
        unwanted.insert(listed.object.clone());
        let unseen = NotLive { since_ns: now_ns, was_live: false };
        let not_live = *seen.entry(listed.object.clone()).or_insert(unseen);
        if not_live.was_live {
            return not_live.since_ns.saturating_add(grace_ns) <= now_ns;
        }
        let old = listed.modified_ns.saturating_add(orphan_ns) <= now_ns;
        let temporary = listed.object.ends_with(TEMPORARY_SUFFIX);
        // What was written long ago may have left the live set just before this process began.
        old && (temporary || not_live.since_ns.saturating_add(grace_ns) <= now_ns)
    })
}

async fn delete(core: &Core, tenant: &Tenant, due: Vec<Listed>, report: &mut SweepReport) -> Result<(), Error> {
    let mut deletes = stream::iter(due)
        .map(async |listed| {
            core.store.delete(&listed.object).await?;
            tracing::debug!(tenant = %tenant.id, object = listed.object, "removed a file that is no longer live");
            Ok::<_, Error>(listed.bytes)
        })
        .buffer_unordered(DELETES_AT_ONCE);
    let mut outcome = Ok(());
    let (mut objects, mut bytes) = (0, 0);
    while let Some(deleted) = deletes.next().await {
        match deleted {
            Ok(size) => {
                objects += 1;
                bytes += size;
            }
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    report.removed += objects;
    report.removed_bytes += bytes;
    let status = &mut core.maintenance.lock().status;
    status.objects_swept += objects;
    status.bytes_swept += bytes;
    outcome
}

/// Removes the quarantine records of files that are no longer live.
async fn forget_quarantine(core: &Core, tenant: &Tenant) -> Result<(), Error> {
    if tenant.quarantine().is_empty() {
        return Ok(());
    }
    let mut live = HashSet::new();
    for dataset in Dataset::ALL {
        live.extend(live_objects(tenant, dataset).await?);
    }
    let dir = partition::tenant_dir(&tenant.id);
    quarantine::remove(core, tenant, |record| !live.contains(&format!("{dir}/{}", record.path))).await?;
    Ok(())
}
