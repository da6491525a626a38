//! The write-ahead log: original payloads, durable before they are acknowledged.

mod file;
pub(crate) mod frame;
mod identity;
mod ledger;
mod queue;
pub(crate) mod replay;
pub(crate) mod segment;
pub(crate) mod writer;

#[cfg(test)]
pub(crate) use file::Faults;
pub(crate) use file::WalFile;
pub(crate) use identity::identity;
pub(crate) use ledger::{Ledger, Segment};
pub(crate) use queue::{Queue, queue};

#[cfg(test)]
mod tests;
