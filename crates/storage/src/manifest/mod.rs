//! A tenant's manifest: the numbered log of entries that say which files are
//! live, and the checkpoints that spare a start most of them.

pub(crate) mod checkpoint;
mod entry;
mod load;
mod log;
mod read;
mod root;
mod seal;
mod segment;
mod segments;
mod state;
mod time;
mod versions;

pub(crate) use entry::{
    Entry, Erasure, ErasureKind, FORMAT, File, Operation, Payload, Removed, Sidecar, WalRange, Writer, hash,
};
pub(crate) use load::{follow, load, load_again};
pub(crate) use log::{Attempt, Entries, EntryStore, Head, Intent, Seen, attempt};
pub(crate) use read::{entries, entry_at};
pub(crate) use root::Root;
pub(crate) use segment::object as segment_object;
pub(crate) use segments::SegmentCache;
pub(crate) use state::{State, Wanted};
pub(crate) use time::Time;
pub(crate) use versions::Versions;

#[cfg(test)]
mod tests;
