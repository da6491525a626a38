//! The HTTP API, over a real server and real connections.

mod cancellation;
mod data;
mod errors;
mod formats;
mod hostile;
mod queries;
mod resources;
mod support;
mod tenants;
