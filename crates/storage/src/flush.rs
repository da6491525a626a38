//! From memtable to files: when, and how.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use tracehound_schema::Dataset;

use crate::engine::Core;
use crate::manifest::{self, Attempt, Intent, Operation, WalRange, Writer};
use crate::tenant::{Prepared, Sealed, Tenant};
use crate::{Error, Origin, files, runtime};

const TICK: Duration = Duration::from_millis(200);
const TENANTS_AT_ONCE: usize = 2;

/// Flushes what is due, until the engine is gone or closing.
pub(crate) async fn run(core: Weak<Core>, wake: Arc<tokio::sync::Notify>) {
    loop {
        // Waking early or late does no harm.
        let _ = runtime::timeout(TICK, wake.notified()).await;
        let Some(core) = core.upgrade() else { return };
        seal_due(&core);
        let now_ns = core.now_ns();
        let due: Vec<_> = core.tenants().into_iter().filter(|tenant| tenant.wants_flush(now_ns)).collect();
        stream::iter(due)
            .for_each_concurrent(TENANTS_AT_ONCE, async |tenant| {
                // A failure is noted with the tenant, and tried again.
                let _ = tenant_rows(&core, &tenant).await;
            })
            .await;
    }
}

/// Seals the rows that are old, and under pressure the largest or all.
fn seal_due(core: &Core) {
    let now_ns = core.now_ns();
    let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    let busy_bytes = core.options.flush_bytes / 16;
    let tenants = core.tenants();
    let wal_pressed = core.ledger.size().1 > core.options.wal_bytes_max / 2;
    let mut loads = Vec::new();
    for tenant in &tenants {
        let Some(load) = tenant.load(now_ns) else { continue };
        let age_max = if load.bytes >= busy_bytes { core.options.flush_age_busy } else { core.options.flush_age_quiet };
        if wal_pressed || load.age_ns >= nanos(age_max) {
            tenant.seal();
        } else {
            loads.push((load.bytes, tenant));
        }
    }
    if core.budget.is_pressed() {
        // What is sealed will be free soon; seal more only if that is not enough.
        let mut sealed: usize = tenants.iter().map(|tenant| tenant.sealed_bytes()).sum();
        loads.sort_unstable_by_key(|(bytes, _)| *bytes);
        while core.budget.bytes().saturating_sub(sealed) > core.options.memtable_bytes_max / 2 {
            let Some((bytes, largest)) = loads.pop() else { break };
            largest.seal();
            sealed += bytes;
        }
    }
}

/// Flushes the sealed rows of a tenant, oldest first.
///
/// # Errors
/// What failed; the rows stay as they were, and the failure is noted with the tenant.
pub(crate) async fn tenant_rows(core: &Arc<Core>, tenant: &Arc<Tenant>) -> Result<(), Error> {
    // A flush goes on though the one who asked for it went away.
    let task = runtime::spawn({
        let (core, tenant) = (Arc::clone(core), Arc::clone(tenant));
        async move {
            let mut head = tenant.head.lock().await;
            while let Some(sealed) = tenant.first_sealed() {
                if let Some(detail) = core.poison() {
                    return Err(Error::Poisoned { detail });
                }
                if let Err(error) = piece(&core, &tenant, &mut head, &sealed).await {
                    let detail = error.chain();
                    tracing::error!(tenant = %tenant.id, error = %detail, "flush failed");
                    core.flush_failed();
                    if let Error::Poisoned { detail } = &error {
                        core.set_poison(detail.clone());
                    }
                    tenant.flush_failed(detail, core.now_ns());
                    return Err(error);
                }
            }
            Ok(())
        }
    });
    task.await?
}

/// Turns one piece of sealed rows into files and an entry.
async fn piece(
    core: &Arc<Core>,
    tenant: &Arc<Tenant>,
    head: &mut manifest::Head,
    sealed: &Arc<Sealed>,
) -> Result<(), Error> {
    let Some((from, to)) = sealed.table.sequences() else {
        return Err(Error::internal("sealed rows without frames"));
    };
    let prepared = sealed.prepared().clone();
    if head.state.committed_through().is_some_and(|through| through >= from) {
        return Err(Error::internal(format!("sequence {from} of the WAL is in a manifest entry already")));
    }
    let prepared = match prepared {
        Some(prepared) => prepared,
        None => {
            let work = {
                let (core, tenant, sealed) = (Arc::clone(core), Arc::clone(tenant), Arc::clone(sealed));
                move || write(&core, &tenant, &sealed)
            };
            let (files, outcome) = runtime::blocking(work).await?;
            if let Err(error) = outcome {
                core.discard(tenant, &files).await;
                return Err(error);
            }
            let prepared = Prepared { commit: runtime::new_id(), files };
            *sealed.prepared() = Some(prepared.clone());
            prepared
        }
    };
    let now_ns = core.now_ns();
    let since_ns = now_ns.saturating_sub(core.retry_window_ns);
    let recent = sealed.table.payloads().filter(|payload| payload.t.0 >= since_ns);
    let intent = Intent {
        tenant: tenant.id.clone(),
        operation: Operation::Flush,
        writer: Writer { epoch: core.epoch, commit: prepared.commit },
        add: prepared.files,
        remove: Vec::new(),
        wal: Some(WalRange { directory: core.directory, from, to }),
        payloads: recent.cloned().collect(),
        reason: None,
        erasure: None,
    };
    let entries = &tenant.entries;
    let attempt = manifest::attempt(entries, head, &intent, now_ns).await;
    let followed = match attempt {
        Ok(Attempt::Overtaken) => manifest::follow(entries, head, u64::MAX, |_| {}).await,
        _ => Ok(()),
    };
    core.show(tenant, head).await;
    followed?;
    match attempt? {
        Attempt::Committed(entry) => tracing::debug!(
            tenant = %tenant.id, entry = entry.entry, files = entry.add.len(),
            rows = sealed.table.rows(), "flushed",
        ),
        // What of the rows is still not in files is still sealed, so the caller comes back with it.
        Attempt::Overtaken => {}
    }
    Ok(())
}

/// Writes the files; on a failure some may have been written. Blocking.
fn write(core: &Core, tenant: &Tenant, sealed: &Sealed) -> (Vec<manifest::File>, Result<(), Error>) {
    let mut files = Vec::new();
    for dataset in Dataset::ALL {
        let batches = sealed.table.batches(dataset);
        match files::write(&core.store, &tenant.id, dataset, batches, Origin::Live) {
            Ok(written) => files.extend(written),
            Err(error) => return (files, Err(error)),
        }
    }
    (files, Ok(()))
}
