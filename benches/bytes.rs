//! Bytes per span, beside ClickHouse: the same spans in our files, flushed and compacted, and in
//! MergeTree with the table of the OpenTelemetry Collector's exporter, merged.
//!
//! `cargo bench -p tracehound-benches --bench bytes [-- SPANS]`; needs Python, installs chdb from PyPI.

#![expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]

mod engine;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use prost::Message;
use tracehound_benches::trace_requests;
use tracehound_schema::{Dataset, TenantId};
use tracehound_storage::DataFile;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPANS_EACH: usize = 1_000;
const HOURS: u64 = 3;
const COLUMNS_SHOWN: usize = 16;

/// What a store takes.
#[derive(Debug)]
struct Size {
    rows: u64,
    bytes: u64,
    columns: BTreeMap<String, u64>,
}

fn main() -> Result<()> {
    let spans: usize = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(5_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(spans))
}

async fn run(spans: usize) -> Result<()> {
    let dir = tempfile::tempdir_in(engine::data_root())?;
    let tenant = TenantId::default_tenant();
    let engine = engine::open(dir.path()).await?;

    let began = Instant::now();
    let start_ns = u64::try_from(engine::now_ns() / 3_600_000_000_000 - 24)? * 3_600_000_000_000;
    for request in trace_requests(7, spans / SPANS_EACH, SPANS_EACH, start_ns, HOURS) {
        engine::append(&engine, &tenant, request.encode_to_vec().into()).await?;
    }
    engine.flush().await?;
    println!("made and flushed in {:.0} s", began.elapsed().as_secs_f64());

    let store = dir.path().join("store");
    let live = || async {
        let files = engine.snapshot(&tenant).files(Dataset::Spans, i64::MIN..=i64::MAX).await?;
        anyhow::Ok(files)
    };
    let files = live().await?;
    let flushed = ours(&store, &files)?;
    show("flushed", &flushed, files.len());

    let theirs = python(&["clickhouse", &store.join("tenant=default/spans").display().to_string()], "")?;
    ensure!(theirs.rows == flushed.rows, "ClickHouse has {} rows, we {}", theirs.rows, flushed.rows);
    show("ClickHouse, merged", &theirs, 0);

    let began = Instant::now();
    engine.maintenance().compact(&tenant, Some(Dataset::Spans), None).await?;
    let took = began.elapsed().as_secs_f64();
    let files = live().await?;
    let compacted = ours(&store, &files)?;
    ensure!(compacted.rows == flushed.rows, "compaction made {} rows of {}", compacted.rows, flushed.rows);
    show("compacted", &compacted, files.len());
    println!("compacted in {took:.1} s: {:.0} rows a second", compacted.rows as f64 / took);
    println!(
        "ratio to ClickHouse: flushed {:.2}, compacted {:.2}",
        ratio(&flushed, &theirs),
        ratio(&compacted, &theirs)
    );
    engine.close().await?;
    Ok(())
}

/// Our files with their sidecars.
fn ours(store: &Path, files: &[Arc<DataFile>]) -> Result<Size> {
    let names: String = files.iter().map(|file| format!("{}\n", store.join(file.path.as_ref()).display())).collect();
    let mut size = python(&["parquet"], &names)?;
    let sidecars = files.iter().filter_map(|file| file.sidecar.as_ref()).map(|sidecar| sidecar.bytes).sum();
    size.bytes += sidecars;
    size.columns.insert("(sidecars)".to_owned(), sidecars);
    Ok(size)
}

fn python(arguments: &[&str], input: &str) -> Result<Size> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clickhouse/run");
    let mut command = Command::new(&script);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("stdin")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{} {arguments:?} failed", script.display());
    let mut lines = std::str::from_utf8(&output.stdout)?.lines().map(|line| {
        let (name, number) = line.split_once('\t').with_context(|| format!("no figure: {line}"))?;
        Ok((name.to_owned(), number.parse::<u64>()?))
    });
    let mut next = || lines.next().context("no figures")?;
    let ((_, rows), (_, bytes)) = (next()?, next()?);
    Ok(Size { rows, bytes, columns: lines.collect::<Result<_>>()? })
}

fn show(what: &str, size: &Size, files: usize) {
    let files = if files > 0 { format!(" in {files} files") } else { String::new() };
    println!("\n{what}: {} spans{files}, {:.1} bytes a span", size.rows, each(size.bytes, size));
    let mut columns: Vec<_> = size.columns.iter().collect();
    columns.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
    let rest: u64 = columns.iter().skip(COLUMNS_SHOWN).map(|(_, bytes)| **bytes).sum();
    for (name, bytes) in columns.iter().take(COLUMNS_SHOWN) {
        println!("  {:>6.2}  {name}", each(**bytes, size));
    }
    println!("  {:>6.2}  {} more", each(rest, size), columns.len().saturating_sub(COLUMNS_SHOWN));
}

fn each(bytes: u64, size: &Size) -> f64 {
    bytes as f64 / size.rows.max(1) as f64
}

fn ratio(of: &Size, to: &Size) -> f64 {
    each(of.bytes, of) / each(to.bytes, to)
}
