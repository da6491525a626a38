//! SQL over one tenant's data: `spans`, `logs`, `metrics`, the views above them, and `system`.
//!
//! ```text
//! text ─→ gate (size, depth, SELECT only) ─→ parameters ─→ plan ─→ optimise ─→ read ─→ Answer + Receipt
//!                                                │                     ▲
//!                         Snapshot, pinned once ─┴─ tables: live files pruned by the manifest,
//!                                                   and the rows that are in none yet
//! ```
//!
//! A session sees one snapshot of one tenant. No statement writes, and no function reaches files,
//! network, settings or environment. Planning and reading happen on threads of this crate's own.

mod answer;
mod bounded;
mod conditions;
mod did_you_mean;
mod error;
mod explain;
mod gate;
pub mod hunts;
mod named_reader;
mod params;
mod planner;
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

pub use answer::{Answer, QueryLimits, QueryRequest, Truncation};
pub use error::{Error, SqlError};
pub use params::ParamValue;
pub use queries::{Function, Queries, Table, TableColumn};
pub use receipt::Receipt;
pub use time::TimeRange;
