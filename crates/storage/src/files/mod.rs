//! Data files: Parquet with its sidecar, written by flushes and merges.
//!
//! | module | |
//! | --- | --- |
//! | `write` | a flush: rows split by hour, sorted, written |
//! | `merge` | compaction: sorted files into fewer, larger ones |
//! | `writer`, `properties`, `sort` | one file in the making, its encodings, its order |
//! | `read`, `object_reader` | the rows of a file, as they were sent, with `_commit` |
//! | `promote`, `attributes`, `counts` | frequent attributes become columns |
//! | `end_time` | the end of a span is left out where it can be told |
//! | `sidecar` | blooms, ranges and counts beside a file |
//! | `needles` | whether a file may hold an id, from sidecars kept in memory |

mod attributes;
mod counts;
mod end_time;
mod merge;
mod needles;
mod object_reader;
mod promote;
mod properties;
mod read;
mod sidecar;
mod sort;
#[cfg(test)]
mod testing;
mod write;
mod writer;

pub(crate) use merge::{MergeOptions, Output, merge};
pub use needles::Needles;
pub(crate) use sort::sort_text;
pub(crate) use write::write;

/// The column of a merged file that says which manifest entry made a row visible.
pub(crate) const COMMIT: &str = "_commit";
