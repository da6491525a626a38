//! The background: merges what pays, one unit after the other, removes what is due, applies retention.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tracehound_schema::{Dataset, TenantId};

use super::compact::{self, Done};
use super::plan::{Depth, Unit};
use super::state::Key;
use super::{parts, quarantine, retain, sweep};
use crate::engine::Core;
use crate::partition::Part;
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
        crate::runtime::sleep(interval).await;
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

/// What is known of a tenant's files.
#[derive(Default)]
struct Look {
    /// The entry up to which it is known.
    entry: u64,
    quarantined: usize,
    parts: HashMap<(Dataset, Part), PartLook>,
}

/// What is known of a part: as long as its fingerprint stays, planning it again would give the same.
struct PartLook {
    fingerprint: u64,
    /// When time alone makes something due.
    again_ns: Option<i64>,
    units: Vec<Unit>,
    /// Merges that failed and wait.
    waiting: Vec<Key>,
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
            self.tell(core);
            if !worked {
                return;
            }
        }
    }

    /// Does the most urgent unit of a tenant, if there is one; whether files changed.
    async fn unit(&mut self, core: &Arc<Core>, tenant: &Arc<Tenant>) -> bool {
        let look = self.looks.entry(tenant.id.clone()).or_default();
        if !look.is_due(core, tenant) {
            return false;
        }
        let rewriting = core.maintenance.rewriting(&tenant.id);
        let Ok(_rewriting) = rewriting.try_lock() else { return false };
        if let Err(error) = look.update(core, &tenant.snapshot()).await {
            tracing::warn!(tenant = %tenant.id, error = %error.chain(), "cannot plan compaction");
            return false;
        }
        let Some(unit) = look.next() else { return false };
        self.wait_for_memory(core).await;
        let started = Instant::now();
        let outcome = compact::run(core, tenant, &unit).await;
        self.pause(core, started.elapsed()).await;
        matches!(outcome, Ok(Done::Merged(..) | Done::Quarantined(_)))
    }

    /// Counts what is left to do, for people.
    fn tell(&self, core: &Core) {
        let (mut units, mut files, mut bytes) = (0, 0, 0);
        let known = self.looks.values().flat_map(|look| look.parts.values()).flat_map(|part| &part.units);
        for unit in known {
            units += 1;
            files += unit.inputs.len() as u64;
            bytes += unit.bytes();
        }
        let status = &mut core.maintenance.lock().status;
        (status.backlog_units, status.backlog_files, status.backlog_bytes) = (units, files, bytes);
    }

    /// Waits while unflushed rows take much memory, but not for ever: merging is what makes the future cheaper.
    async fn wait_for_memory(&self, core: &Core) {
        let started = Instant::now();
        while core.budget.is_pressed() && started.elapsed() < PRESSED_MAX {
            crate::runtime::sleep(PRESSED_TICK).await;
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
            crate::runtime::sleep(pause.min(PAUSE_MAX)).await;
        }
    }
}

impl Look {
    /// Whether there may be something to do.
    fn is_due(&self, core: &Core, tenant: &Tenant) -> bool {
        let now_ns = core.now_ns();
        self.entry != tenant.entry()
            || self.quarantined != tenant.quarantine().len()
            || self.parts.values().any(|part| !part.units.is_empty() || part.is_again(now_ns))
    }

    /// Plans the parts that changed, or whose time has come.
    async fn update(&mut self, core: &Core, snapshot: &Snapshot) -> Result<(), Error> {
        let now_ns = core.now_ns();
        let mut known = HashMap::new();
        for dataset in Dataset::ALL {
            // Newest first: what is queried most.
            for (part, fingerprint) in parts::parts(snapshot, dataset).into_iter().rev() {
                let key = (dataset, part);
                let look = match self.parts.remove(&key) {
                    Some(look) if look.fingerprint == fingerprint && !look.is_again(now_ns) => look,
                    _ => {
                        let due = compact::due(core, snapshot, dataset, part, Depth::Due).await?;
                        PartLook { fingerprint, again_ns: due.again_ns, units: due.units, waiting: due.waiting }
                    }
                };
                known.insert(key, look);
            }
        }
        self.parts = known;
        (self.entry, self.quarantined) = (snapshot.entry(), snapshot.quarantine.len());
        let waiting = self.parts.values().flat_map(|part| part.waiting.iter().cloned()).collect();
        core.maintenance.keep_failing(snapshot.tenant(), &waiting);
        Ok(())
    }

    /// The most urgent unit. Its part is planned anew afterwards, whatever becomes of it.
    fn next(&mut self) -> Option<Unit> {
        let parts = self.parts.iter().filter_map(|(key, part)| Some((*key, part.units.first()?.inputs.len())));
        let (key, _) = parts.max_by_key(|(_, files)| *files)?;
        self.parts.remove(&key)?.units.into_iter().next()
    }
}

impl PartLook {
    fn is_again(&self, now_ns: i64) -> bool {
        self.again_ns.is_some_and(|again_ns| again_ns <= now_ns)
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
