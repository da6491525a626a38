//! The built binary, from outside: files in, SQL out, exit codes, a server, and what `kill -9` leaves.

mod cli;
mod crash;
mod data;
mod ingest;
mod served;
mod sql;
mod support;
