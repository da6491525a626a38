//! SQL over one tenant's data: `spans`, `logs`, `metrics`, the views above them, and `system`.
//!
//! ```text
//! text ─→ gate (size, depth, SELECT only) ─→ parameters ─→ plan ─→ optimise ─→ read ─→ Answer + Receipt
//!                                                │                     ▲
//!                         Snapshot, pinned once ─┴─ tables: live files pruned by the manifest,
//!                                                   and blooms, and the rows that are in none yet
//! ```
//!
//! A session sees one snapshot of one tenant. No statement writes, and no function reaches files,
//! network, settings or environment. Planning and reading happen on threads of this crate's own.

mod answer;
mod as_of;
mod bounded;
mod catalogue;
mod conditions;
mod culprit;
mod did_you_mean;
mod error;
mod explain;
mod gate;
pub mod hunts;
mod named_reader;
mod needles;
mod params;
mod planner;
mod promotion;
mod provider;
mod pruning;
mod queries;
mod receipt;
pub mod render;
mod runtime;
mod session;
mod system;
pub mod time;
mod views;
mod work;

pub use answer::{Answer, QueryLimits, QueryRequest, Truncation};
pub use as_of::AsOf;
pub use catalogue::{Function, Table, TableColumn};
pub use error::{Error, SqlError};
pub use params::ParamValue;
pub use queries::Queries;
pub use receipt::{QuarantinedFile, Receipt};
pub use time::TimeRange;
