//! The background: merges what pays, one unit after the other, removes what is due, applies retention.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tracehound_schema::{Dataset, TenantId};

use super::compact::{self, Done};
use super::plan::{Depth, Unit};
use super::{quarantine, retain, sweep};
use crate::engine::Core;
use crate::tenant::Tenant;
use crate::{Error, Snapshot};

/// The longest pause after a unit while appends arrive.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long a unit waits at most for memory to be less pressed.
const PRESSED_MAX: Duration = Duration::from_secs(30);
const PRESSED_TICK: Duration = Duration::from_millis(100);

/// Looks after files until the engine is gone or closing, when it is aborted: everything it does may stop anywhere.
pub(crate) async fn run(core: Weak<Core>) {
    let mut background = Background::default();
    loop {
        let Some(interval) = core.upgrade().map(|core| core.options.maintenance.interval) else { return };
        tokio::time::sleep(interval).await;
        let Some(core) = core.upgrade() else { return };
        if core.poison().is_some() {
            continue;
        }
        background.round(&core).await;
    }
}

/// What the background knows of its work.
#[derive(Default)]
struct Background {
    looks: HashMap<TenantId, Look>,
    swept_at: Option<Instant>,
    load: (u64, usize),
}

/// A look at a tenant's files.
#[derive(Default)]
struct Look {
    /// The entry it was as of; none: not looked at.
    entry: Option<u64>,
    /// When time alone makes something due.
    again_ns: Option<i64>,
    backlog: Backlog,
}

#[derive(Default, Clone, Copy)]
struct Backlog {
    units: u64,
    files: u64,
    bytes: u64,
}

impl Background {
    async fn round(&mut self, core: &Arc<Core>) {
        sweep::delete_due(core).await;
        let interval = core.options.maintenance.sweep_interval;
        if self.swept_at.is_none_or(|swept| swept.elapsed() >= interval) {
            self.swept_at = Some(Instant::now());
            keep_house(core).await;
        }
        loop {
            let mut worked = false;
            for tenant in core.tenants() {
                // A unit a tenant, so that a busy one does not keep the others waiting.
                worked |= self.unit(core, &tenant).await;
            }
            if !worked {
                return;
            }
        }
    }

    /// Does the most urgent unit of a tenant, if there is one; whether files changed.
    async fn unit(&mut self, core: &Arc<Core>, tenant: &Arc<Tenant>) -> bool {
        let now_ns = core.now_ns();
        let look = self.looks.entry(tenant.id.clone()).or_default();
        let changed = look.entry != Some(tenant.entry());
        if !changed && look.again_ns.is_none_or(|again_ns| again_ns > now_ns) {
            return false;
        }
        let rewriting = core.maintenance.rewriting(&tenant.id);
        let Ok(_rewriting) = rewriting.try_lock() else { return false };
        let snapshot = tenant.snapshot();
        let unit = match self.look(core, &snapshot).await {
            Ok(unit) => unit,
            Err(error) => {
                tracing::warn!(tenant = %tenant.id, error = %error.chain(), "cannot plan compaction");
                None
            }
        };
        let Some(unit) = unit else { return false };
        self.wait_for_memory(core).await;
        let started = Instant::now();
        let outcome = compact::run(core, tenant, &unit).await;
        // Look again, whatever became of it.
        self.looks.remove(&tenant.id);
        self.pause(core, started.elapsed()).await;
        matches!(outcome, Ok(Done::Merged(_) | Done::Quarantined(_)))
    }

    /// Plans a tenant's work; its most urgent unit.
    async fn look(&mut self, core: &Arc<Core>, snapshot: &Snapshot) -> Result<Option<Unit>, Error> {
        let mut all = Vec::new();
        let mut again_ns: Option<i64> = None;
        let mut backlog = Backlog::default();
        let mut wanted = HashSet::new();
        for dataset in Dataset::ALL {
            if snapshot.totals(dataset).files == 0 {
                continue;
            }
            let due = compact::due(core, snapshot, dataset, None, Depth::Due).await?;
            for unit in &due.units {
                backlog.units += 1;
                backlog.files += unit.inputs.len() as u64;
                backlog.bytes += unit.bytes();
                wanted.insert(compact::key(snapshot.tenant(), unit));
            }
            wanted.extend(due.waiting);
            again_ns = [again_ns, due.again_ns].into_iter().flatten().min();
            all.extend(due.units);
        }
        core.maintenance.keep_failing(snapshot.tenant(), &wanted);
        self.looks.insert(snapshot.tenant().clone(), Look { entry: Some(snapshot.entry()), again_ns, backlog });
        let total = self.looks.values().fold(Backlog::default(), |sum, look| Backlog {
            units: sum.units + look.backlog.units,
            files: sum.files + look.backlog.files,
            bytes: sum.bytes + look.backlog.bytes,
        });
        let status = &mut core.maintenance.lock().status;
        (status.backlog_units, status.backlog_files, status.backlog_bytes) = (total.units, total.files, total.bytes);
        Ok(all.into_iter().max_by_key(|unit| unit.inputs.len()))
    }

    /// Waits while unflushed rows take much memory, but not for ever: merging is what makes the future cheaper.
    async fn wait_for_memory(&self, core: &Core) {
        let started = Instant::now();
        while core.budget.is_pressed() && started.elapsed() < PRESSED_MAX {
            tokio::time::sleep(PRESSED_TICK).await;
        }
    }

    /// Leaves the machine to appends for a while if there were any since the last unit.
    async fn pause(&mut self, core: &Core, worked: Duration) {
        let load = (core.ledger.size().1, core.budget.bytes());
        let busy = load != self.load;
        self.load = load;
        let percent = core.options.maintenance.compaction.busy_percent.clamp(1, 100);
        if busy && percent < 100 {
            let pause = worked * (100 - percent) / percent;
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
        }
    }
}

/// Applies retention and sweeps, tenant by tenant.
async fn keep_house(core: &Arc<Core>) {
    let mut failure = None;
    for tenant in core.tenants() {
        let policy = core.options.maintenance.retention.policy(&tenant.id);
        let outcome = async {
            if !policy.is_empty() {
                retain::retain(core, &tenant, policy, false).await?;
            }
            sweep::sweep(core, &tenant).await
        };
        if let Err(error) = outcome.await {
            let detail = error.chain();
            tracing::warn!(tenant = %tenant.id, error = %detail, "retention or sweep failed; it is tried again");
            failure = Some(format!("tenant {}: {detail}", tenant.id));
        }
    }
    quarantine::count(core);
    let now_ns = core.now_ns();
    let status = &mut core.maintenance.lock().status;
    status.sweep_error = failure;
    status.last_sweep_ns = Some(now_ns);
}
