//! One file a command.

mod asking;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod hunts;
pub(crate) mod ingest;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod sql;
pub(crate) mod trace;
