//! What is done to files after they were flushed: merging, removing, checking, copying.
//!
//! ```text
//! scheduler ─→ plan ─→ compact: merge ─→ one entry (add, remove)
//!     │                                      │ files that are no longer live
//!     ├─→ retain: one entry (remove) ────────┤
//!     └─→ sweep ◄────────────────────────────┘ after the grace
//! by hand: erase, verify, quarantine, backup, restore
//! ```
//!
//! Nothing here is needed for an answer to be right: it changes what an answer
//! costs, or, by retention and erasure, what there is to answer from.

mod backup;
mod compact;
mod copy;
mod erase;
mod options;
mod parts;
mod plan;
mod quarantine;
mod reader;
mod retain;
mod scheduler;
mod state;
mod subject;
mod sweep;
mod verify;

use std::sync::Arc;

use tracehound_schema::TenantId;

pub use backup::{
    BackupOptions, BackupPlace, BackupReport, BackupTenant, RestoreOptions, RestoreReport, backup, restore,
};
pub use compact::CompactReport;
pub use erase::{ErasedFile, ErasureReport, ErasureRequest};
pub use options::{CompactionOptions, MaintenanceOptions, RetentionLimits, RetentionOptions, RetentionPolicy};
pub use quarantine::Quarantined;
pub(crate) use quarantine::load as load_quarantine;
pub use retain::{RetentionReport, RetiredFile};
pub(crate) use scheduler::run;
pub(crate) use state::State;
pub use state::{FailingUnit, MaintenanceStatus};
pub use subject::Subject;
pub use sweep::SweepReport;
pub use verify::{Defect, DefectKind, VerifyOptions, VerifyProgress, VerifyReport};

use crate::engine::Core;
use crate::tenant::Tenant;
use crate::{Engine, Error};

/// Work on the files of an engine, by hand or by the background; see [`Engine::maintenance`].
#[derive(Clone, Copy)]
pub struct Maintenance<'a> {
    engine: &'a Engine,
}

impl Engine {
    /// Compaction, retention, erasure, verification and the like.
    pub fn maintenance(&self) -> Maintenance<'_> {
        Maintenance { engine: self }
    }
}

impl Maintenance<'_> {
    fn core(&self) -> &Arc<Core> {
        self.engine.core()
    }

    fn tenant(&self, id: &TenantId) -> Result<Arc<Tenant>, Error> {
        self.core().find_tenant(id).ok_or_else(|| Error::NoSuchTenant { tenant: id.clone() })
    }
}

#[cfg(test)]
mod tests;
