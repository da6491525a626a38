//! Keeps what was acknowledged: WAL, memtables, Parquet files and the manifest
//! log that makes them one. `docs/format.md` says what is written.
//!
//! ```text
//! append ─→ WAL (group commit, fdatasync) ─→ memtable ─→ acknowledged
//!                                               │ flush: by size, age, pressure
//!                                               ▼
//!            Parquet file per (dataset, hour) ─→ manifest entry ─→ WAL segment deleted
//!
//! snapshot = files of the latest entry + rows of the memtable, pinned together
//! ```
//!
//! This crate does not decode OTLP (it is given a function), does not know SQL,
//! and does not read the clock (it is given one).

mod budget;
mod data_file;
mod disk;
mod engine;
mod error;
mod files;
mod flush;
mod lock;
mod maintenance;
mod manifest;
mod manifest_entry;
mod memtable;
mod open;
mod options;
mod partition;
mod recent;
mod runtime;
#[cfg(test)]
mod sim;
mod snapshot;
mod status;
mod store;
mod tenant;
#[cfg(test)]
mod testing;
mod upkeep;
mod wal;

pub use data_file::{DataFile, Origin, SidecarRef};
pub use engine::{Appended, Engine};
pub use error::Error;
pub use files::Needles;
pub use maintenance::{
    BackupOptions, BackupPlace, BackupReport, BackupTenant, CompactReport, CompactionOptions, Defect, DefectKind,
    ErasedFile, ErasureReport, ErasureRequest, FailingUnit, Maintenance, MaintenanceOptions, MaintenanceStatus,
    Quarantined, RestoreOptions, RestoreReport, RetentionLimits, RetentionOptions, RetentionPolicy, RetentionReport,
    RetiredFile, Subject, SweepReport, VerifyOptions, VerifyProgress, VerifyReport, backup, restore,
};
pub use manifest_entry::{EntryErasure, EntryFile, ManifestEntry};
pub use options::{Clock, Decode, Options};
pub use snapshot::{Snapshot, Totals};
pub use status::{Damage, ReplayStatus, Status, TenantStatus};
pub use store::{CacheStatus, StoreOptions, StoreProbe, StoreStatus, store_of};
