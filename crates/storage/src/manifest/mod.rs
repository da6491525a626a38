//! A tenant's manifest: the numbered log of entries that say which files are live.

mod entry;
mod load;
mod log;
mod state;
mod time;

pub(crate) use entry::{FORMAT, File, Operation, Payload, WalRange, Writer};
pub(crate) use load::{load, load_as_of};
pub(crate) use log::{Entries, Head, Intent, commit};
pub(crate) use state::State;
pub(crate) use time::Time;

#[cfg(test)]
mod tests;
