//! Deterministic simulation: the engine over a simulated clock, disk and store,
//! where a seed decides what happens and in which order.

mod corruption;
mod disk;
mod executor;
mod history;
mod model;
mod objects;
mod pages;
mod rng;

pub(crate) use disk::{Fault, SimDisk, SimFile};
pub(crate) use executor::{
    Spawned, block_on, fork_rng, is_running, jump, new_id, note, now_ns, pause, random, run, sleep, spawn, spawn_on,
    take_away, without,
};
pub(crate) use objects::{Bucket, SimObjects};
pub(crate) use rng::Rng;

#[cfg(test)]
mod tests;
