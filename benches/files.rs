//! Many files, many tenants: how long a start takes, what an idle process holds, and what a needle costs among
//! 10,000 files that nobody merged.
//!
//! `cargo bench -p tracehound-benches --bench files [-- FILES [TENANTS]]`

#![expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]

mod engine;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use prost::Message;
use tracehound_benches::trace_requests;
use tracehound_query::{Queries, QueryLimits, QueryRequest};
use tracehound_schema::{Dataset, TenantId};
use tracehound_storage::Engine;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The hours of one flush, and so its files.
const HOURS: u64 = 48;
const SPANS_AN_HOUR: usize = 40;

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (files, tenants) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(1_000));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("resident at the start: {}", resident()?);
    runtime.block_on(async {
        many_files(files).await?;
        many_tenants(usize::try_from(tenants)?).await
    })
}

async fn many_files(files: u64) -> Result<()> {
    let dir = tempfile::tempdir_in(engine::data_root())?;
    let tenant = TenantId::default_tenant();
    let start_ns = u64::try_from(engine::now_ns() / 3_600_000_000_000 - 2 * 48)? * 3_600_000_000_000;
    let store = engine::open(dir.path()).await?;
    let began = Instant::now();
    for flush in 0..files.div_ceil(HOURS) {
        for request in trace_requests(flush, usize::try_from(HOURS)?, SPANS_AN_HOUR, start_ns, HOURS) {
            engine::append(&store, &tenant, request.encode_to_vec().into()).await?;
        }
        store.flush().await?;
    }
    let made = store.snapshot(&tenant).totals(Dataset::Spans);
    let took = began.elapsed().as_secs_f64();
    println!("\n{} files of {} spans, made in {took:.0} s", made.files, made.rows);
    store.close().await?;

    let store = open(dir.path(), &format!("cold start with {} files", made.files)).await?;
    needles(&store, &tenant).await?;
    println!("resident after the lookups: {}", resident()?);
    store.close().await?;
    Ok(())
}

/// Looks for a trace and for a user, without a time range; twice, and for ones that nobody has.
async fn needles(store: &Engine, tenant: &TenantId) -> Result<()> {
    let queries = Queries::new(store.clone(), QueryLimits::default(), Arc::new(engine::now_ns))?;
    let ask = async |what: &str, sql: String| {
        let answer = queries.run(tenant, QueryRequest::new(sql)).await?;
        let receipt = &answer.receipt;
        println!(
            "{what:<34} {:>5} of {} files read, {:>8.1} ms",
            receipt.files_read,
            receipt.files_planned,
            receipt.elapsed_ns as f64 / 1e6
        );
        anyhow::Ok(answer)
    };
    let answer =
        ask("any trace's id", "SELECT trace_id FROM spans WHERE user_id IS NOT NULL LIMIT 1".to_owned()).await?;
    let batch = answer.batches.iter().find(|batch| batch.num_rows() > 0).context("no spans")?;
    let rows = tracehound_query::render::text_rows(batch)?;
    let id = rows.first().and_then(|row| row.first()?.clone()).context("no trace id")?;
    for what in ["a trace, first lookup", "a trace, second lookup"] {
        ask(what, format!("SELECT count(*) FROM spans WHERE trace_id = '{id}'")).await?;
    }
    let files = "SELECT count(DISTINCT start_time) FROM spans WHERE";
    for what in ["a user, first lookup", "a user, second lookup"] {
        ask(what, format!("{files} user_id = 'u-17'")).await?;
    }
    ask("a trace that is not there", format!("{files} trace_id = '{}'", "ab".repeat(16))).await?;
    ask("a user who is not there", format!("{files} user_id = 'u-none'")).await?;
    Ok(())
}

async fn many_tenants(tenants: usize) -> Result<()> {
    let dir = tempfile::tempdir_in(engine::data_root())?;
    let start_ns = u64::try_from(engine::now_ns() - 3_600_000_000_000)?;
    let store = engine::open(dir.path()).await?;
    let began = Instant::now();
    for (number, request) in trace_requests(1, tenants, SPANS_AN_HOUR, start_ns, 1).enumerate() {
        engine::append(&store, &format!("tenant-{number}").parse()?, request.encode_to_vec().into()).await?;
    }
    store.flush().await?;
    println!(
        "\n{tenants} tenants written and flushed in {:.1} s; resident {}",
        began.elapsed().as_secs_f64(),
        resident()?
    );
    store.close().await?;
    open(dir.path(), &format!("cold start with {tenants} tenants")).await?.close().await?;
    Ok(())
}

async fn open(dir: &Path, what: &str) -> Result<Engine> {
    let began = Instant::now();
    let store = engine::open(dir).await?;
    println!("{what}: {:.3} s; resident {}", began.elapsed().as_secs_f64(), resident()?);
    Ok(store)
}

/// The memory of this process that is in RAM.
fn resident() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(format!("{} MiB", kib / 1024))
}
