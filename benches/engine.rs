//! An engine over a directory, and requests into it: what benchmarks share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use tracehound_otlp::decode;
use tracehound_schema::{DecodeLimits, Encoding, Payload, Signal, TenantId};
use tracehound_storage::{Engine, Options};

/// Opens an engine that leaves its files alone until it is told to merge them.
pub(crate) async fn open(dir: &Path) -> Result<Engine> {
    let decoder = |payload: &Payload, limits: &DecodeLimits| decode(payload, limits).map_err(|error| error.to_string());
    let mut options = Options::new(dir, Arc::new(now_ns));
    options.maintenance.background = false;
    Ok(Engine::open(options, Arc::new(decoder)).await?)
}

/// Decodes and stores a request for traces; waits while memory is short.
pub(crate) async fn append(engine: &Engine, tenant: &TenantId, body: Bytes) -> Result<()> {
    let payload = payload(tenant, body);
    let decoded = decode(&payload, &DecodeLimits::default())?;
    while let Err(error) = engine.append(payload.clone(), decoded.clone()).await {
        ensure!(error.to_string().contains("memory"), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

pub(crate) fn payload(tenant: &TenantId, body: Bytes) -> Payload {
    Payload {
        tenant: tenant.clone(),
        signal: Signal::Traces,
        encoding: Encoding::Protobuf,
        received_at_ns: now_ns(),
        ingest_key_id: None,
        body,
    }
}

/// Where benchmarks put their data: beside what was built, since /tmp may be memory.
pub(crate) fn data_root() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(std::env::temp_dir, Into::into)
}

pub(crate) fn now_ns() -> i64 {
    chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}
