//! The server: OTLP receivers over gRPC and HTTP, and the HTTP API.
//!
//! ```text
//! :4317 gRPC ─┐
//! :4318 HTTP ─┼─→ authenticate ─→ bound, decompress ─→ Ingester ─→ decode ─→ Engine::append ─→ reply
//! :4320 API ──┘
//! :4320 API ────→ authenticate ─→ Queries::run ─→ render
//! ```
//!
//! Only this crate knows HTTP. It reads the configuration; the binary reads the environment.

mod api;
mod app;
mod auth;
mod config;
mod data_task;
mod error;
mod in_flight;
mod ingest;
mod otlp;
mod quantity;
mod server;
mod telemetry;

pub use app::{decoder, system_clock};
pub use config::{
    BackupConfig, CompactionConfig, Config, KeepConfig, KeyConfig, LimitsConfig, ListenConfig, RetentionConfig,
    StorageConfig, StoreConfig, TenantRetentionConfig,
};
pub use data_task::{
    DataList, DataTask, DataTaskContext, DataTaskError, ErasedSubject, backup_place, list_sql, tenants as data_tenants,
};
pub use error::Error;
pub use ingest::{Accepted, IngestError, Ingester};
pub use server::{Running, Server, ServerOptions};
