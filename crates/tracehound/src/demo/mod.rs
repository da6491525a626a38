//! The demo: a simulated company with attackers in it, ingested, hunted and looked at.
//!
//! ```text
//! company ─→ calendar ─→ operations ─┐
//!                         attacks ───┼─→ traffic ─→ sender ═ OTLP/gRPC ═▶ the server in this process
//!                   logins and load ─┘                                        │
//! what was planted ─────────────────────→ verdict ◀─ findings ◀─ HTTP API ◀───┘
//! ```
//!
//! The data is a function of seed, anchor and scale. The runner alone reads the clock.

mod api;
mod attacks;
mod calendar;
mod company;
mod directory;
mod load;
mod logins;
mod operations;
mod report;
mod runner;
mod sender;
mod trace;
mod traffic;
mod verdict;

#[cfg(test)]
mod tests;

pub(crate) use runner::run;
