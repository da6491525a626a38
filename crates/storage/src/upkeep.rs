//! What goes on beside appends, flushes and queries: checkpoints of manifests,
//! and on a shared store reading what other processes wrote.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use tracehound_schema::TenantId;

use crate::engine::Core;
use crate::tenant::Tenant;
use crate::{Error, open};

const TICK: Duration = Duration::from_secs(1);
/// A checkpoint is due when a start would have to read so many entries behind the last one.
const ENTRIES_BEHIND: u64 = 256;
/// The same when the engine closes.
const ENTRIES_BEHIND_ON_CLOSE: u64 = 16;
const CHECKPOINTS_AT_ONCE: usize = 4;
/// How long a failed checkpoint is left alone.
const RETRY: Duration = Duration::from_secs(60);
/// How old what is known of a shared store may be before a query.
const FRESH: Duration = Duration::from_secs(1);
/// How often all tenants of a shared store are looked at, queried or not.
const LOOK: Duration = Duration::from_secs(10);
const TENANTS_AT_ONCE: usize = 8;

/// Runs until the engine is gone or closing.
pub(crate) async fn run(core: Weak<Core>) {
    let (mut looked, mut failed) = (Instant::now(), None::<Instant>);
    loop {
        crate::runtime::sleep(TICK).await;
        let Some(core) = core.upgrade() else { return };
        if failed.is_none_or(|failed| failed.elapsed() >= RETRY) {
            let due = core.tenants().into_iter().filter(|tenant| {
                let (behind, is_damaged) = tenant.behind();
                behind >= ENTRIES_BEHIND || is_damaged
            });
            failed = (!checkpoints(&core, due.collect()).await).then(Instant::now);
        }
        if core.store.is_shared() && looked.elapsed() >= LOOK {
            look(&core).await;
            looked = Instant::now();
        }
    }
}

/// Writes the checkpoints that make the next start quick. What fails is only slower then.
pub(crate) async fn checkpoints_on_close(core: &Arc<Core>) {
    let mut due = core.tenants();
    due.retain(|tenant| tenant.behind().0 >= ENTRIES_BEHIND_ON_CLOSE);
    checkpoints(core, due).await;
}

async fn checkpoints(core: &Arc<Core>, due: Vec<Arc<Tenant>>) -> bool {
    let outcomes = stream::iter(due).map(async |tenant| match tenant.checkpoint(core).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(tenant = %tenant.id, error = %error.chain(), "a checkpoint failed");
            false
        }
    });
    outcomes.buffer_unordered(CHECKPOINTS_AT_ONCE).all(async |done| done).await
}

/// Reads what other processes wrote for a tenant, unless that was done a moment ago.
pub(crate) async fn refresh(core: &Arc<Core>, tenant: &TenantId) -> Result<(), Error> {
    if !core.store.is_shared() {
        return Ok(());
    }
    match core.find_tenant(tenant) {
        Some(tenant) if tenant.is_fresh(FRESH) => Ok(()),
        Some(tenant) => tenant.follow(core).await,
        None => open::tenant(core, tenant.clone()).await.map(drop),
    }
}

/// Reads what other processes wrote for any tenant, new ones included.
async fn look(core: &Arc<Core>) {
    let tenants = match open::tenants(&core.store).await {
        Ok(tenants) => tenants,
        Err(error) => return tracing::warn!(error = %error.chain(), "cannot list the store's tenants"),
    };
    let refreshes = stream::iter(tenants).map(async |tenant| {
        if let Err(error) = refresh(core, &tenant).await {
            tracing::warn!(%tenant, error = %error.chain(), "cannot read what other processes wrote");
        }
    });
    refreshes.buffer_unordered(TENANTS_AT_ONCE).collect::<()>().await;
}
