//! A tenant's manifest: the numbered log of entries that say which files are live.

mod entry;
mod load;
mod log;
mod read;
mod seal;
mod state;
mod time;
mod versions;

pub(crate) use entry::{
    Entry, Erasure, ErasureKind, FORMAT, File, Operation, Payload, Removed, Sidecar, WalRange, Writer, hash,
};
pub(crate) use load::load;
pub(crate) use log::{Attempt, Entries, Head, Intent, attempt};
pub(crate) use read::{entry, entry_at};
pub(crate) use state::State;
pub(crate) use time::Time;

#[cfg(test)]
mod tests;
