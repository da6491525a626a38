//! Data files: Parquet with its sidecar, written by flushes and merges.
//!
//! | module | |
//! | --- | --- |
//! | `write` | a flush: rows split by hour, sorted, written |
//! | `merge` | compaction: sorted files into fewer, larger ones |
//! | `needles` | whether a file may hold an id, from sidecars kept in memory |

mod merge;
mod needles;
mod write;

pub(crate) use merge::{MergeOptions, Output, merge};
pub use needles::Needles;
pub(crate) use write::{sort_text, write};
