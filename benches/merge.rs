//! Files, stage by stage, in one run on one machine: rows flushed to Parquet
//! with sidecars, then merged into sorted files with promoted attributes.
//! Rates, and bytes a span with and without sidecars, each as a ratio to the flush.
//!
//! `cargo bench -p tracehound-benches --bench merge [-- SPANS]`

#![expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use prost::Message;
use tracehound_benches::trace_requests;
use tracehound_otlp::decode;
use tracehound_schema::{Dataset, DecodeLimits, Encoding, Payload, Signal, TenantId};
use tracehound_storage::{Engine, Options};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPANS_EACH: usize = 1_000;
const ALL_TIME: RangeInclusive<i64> = i64::MIN..=i64::MAX;

fn main() -> Result<()> {
    let spans: usize = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(spans))
}

async fn run(spans: usize) -> Result<()> {
    let root = std::env::var_os("CARGO_TARGET_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(root)?;
    let decoder = |payload: &Payload, limits: &DecodeLimits| decode(payload, limits).map_err(|error| error.to_string());
    let mut options = Options::new(dir.path(), Arc::new(now_ns));
    options.maintenance.background = false;
    let engine = Engine::open(options, Arc::new(decoder)).await?;
    let tenant = TenantId::default_tenant();

    // Two whole hours, of yesterday.
    let start_ns = (now_ns() / 3_600_000_000_000 - 24) * 3_600_000_000_000;
    let mut flushing = Duration::ZERO;
    for (number, request) in trace_requests(7, spans / SPANS_EACH, SPANS_EACH, u64::try_from(start_ns)?, 2).enumerate()
    {
        let payload = payload(&tenant, request.encode_to_vec());
        let decoded = decode(&payload, &DecodeLimits::default())?;
        engine.append(payload, decoded).await?;
        if number % 50 == 49 {
            let started = Instant::now();
            engine.flush().await?;
            flushing += started.elapsed();
        }
    }
    let started = Instant::now();
    engine.flush().await?;
    flushing += started.elapsed();
    let flushed = report("flushed", &engine, &tenant, flushing, None).await?;

    let started = Instant::now();
    engine.maintenance().compact(&tenant, Some(Dataset::Spans), None).await?;
    report("merged", &engine, &tenant, started.elapsed(), Some(flushed)).await?;
    engine.close().await?;
    Ok(())
}

async fn report(what: &str, engine: &Engine, tenant: &TenantId, took: Duration, base: Option<f64>) -> Result<f64> {
    let files = engine.snapshot(tenant).files(Dataset::Spans, ALL_TIME).await?;
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let beside: u64 = files.iter().filter_map(|file| Some(file.sidecar.as_ref()?.bytes)).sum();
    let each = bytes as f64 / rows as f64;
    let ratio = base.map_or(String::new(), |base| format!(", {:.2} of flushed", each / base));
    let rate = rows as f64 / took.as_secs_f64();
    println!(
        "{what:<8} {rows} spans in {} files: {each:.1} bytes a span{ratio}, and {:.1} in sidecars; {rate:.0} spans/s, {:.1} MB/s written",
        files.len(),
        beside as f64 / rows as f64,
        bytes as f64 / 1e6 / took.as_secs_f64(),
    );
    Ok(each)
}

fn payload(tenant: &TenantId, body: Vec<u8>) -> Payload {
    Payload {
        tenant: tenant.clone(),
        signal: Signal::Traces,
        encoding: Encoding::Protobuf,
        received_at_ns: now_ns(),
        ingest_key_id: None,
        body: body.into(),
    }
}

fn now_ns() -> i64 {
    chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}
