//! Ingest, stage by stage, in one run on one machine, each as a ratio to the
//! first: protobuf decoding alone, decoding to Arrow, appending durably, and
//! the whole way over OTLP/gRPC. Then bytes per span in Parquet.
//!
//! `cargo bench -p tracehound-benches --bench ingest [-- SPANS]`

#![expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]

mod engine;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use tracehound_benches::trace_requests;
use tracehound_otlp::decode;
use tracehound_schema::{Dataset, DecodeLimits, Payload, TenantId};
use tracehound_server::{Config, Server, ServerOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPANS_EACH: usize = 1_000;
const CLIENTS: usize = 8;

fn main() -> Result<()> {
    let spans: usize = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1_000_000);
    let start_ns = u64::try_from(engine::now_ns() - 6 * 3_600_000_000_000)?;
    let requests: Vec<Bytes> = trace_requests(7, spans / SPANS_EACH, SPANS_EACH, start_ns, 3)
        .map(|request| request.encode_to_vec().into())
        .collect();
    let wire: usize = requests.iter().map(Bytes::len).sum();
    let spans = {
        let decoded = |body: &Bytes| decode(&payload(body), &DecodeLimits::default());
        requests.iter().map(|body| Ok(decoded(body)?.accepted())).sum::<Result<usize>>()?
    };
    println!("{spans} spans in {} requests, {} bytes a span on the wire", requests.len(), wire / spans);

    let started = Instant::now();
    for body in &requests {
        std::hint::black_box(ExportTraceServiceRequest::decode(body.as_ref())?);
    }
    let prost = report("protobuf decode, one core", spans, started.elapsed(), None);

    let started = Instant::now();
    for body in &requests {
        std::hint::black_box(decode(&payload(body), &DecodeLimits::default())?);
    }
    report("decode to Arrow, one core", spans, started.elapsed(), Some(prost));

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        append(&requests, spans, prost).await?;
        receive(&requests, spans, prost).await
    })
}

/// Decodes and appends from several tasks; every append waits for its fdatasync.
async fn append(requests: &[Bytes], spans: usize, prost: f64) -> Result<()> {
    let dir = tempfile::tempdir_in(engine::data_root())?;
    let engine = engine::open(dir.path()).await?;
    let started = Instant::now();
    let tasks = (0..CLIENTS).map(|client| {
        let engine = engine.clone();
        let mine: Vec<_> = requests.iter().skip(client).step_by(CLIENTS).cloned().collect();
        tokio::spawn(async move {
            for body in mine {
                engine::append(&engine, &TenantId::default_tenant(), body).await?;
            }
            anyhow::Ok(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    report("decode and append durably", spans, started.elapsed(), Some(prost));
    engine.flush().await?;
    report("the same, and flushed to Parquet", spans, started.elapsed(), Some(prost));
    let made = engine.snapshot(&TenantId::default_tenant()).totals(Dataset::Spans);
    let each = made.bytes as f64 / made.rows as f64;
    println!("{} rows in {} Parquet files: {each:.1} bytes a span, flushed", made.rows, made.files);
    engine.close().await?;
    Ok(())
}

/// The whole way: real gRPC clients, a real server, acknowledged after fdatasync.
async fn receive(requests: &[Bytes], spans: usize, prost: f64) -> Result<()> {
    let dir = tempfile::tempdir_in(engine::data_root())?;
    let mut config = Config::default();
    config.listen.http = "127.0.0.1:0".parse()?;
    config.listen.otlp_grpc = "127.0.0.1:0".parse()?;
    config.listen.otlp_http = "127.0.0.1:0".parse()?;
    let server = Server::start(ServerOptions::new(config, dir.path())).await?;
    let endpoint = format!("http://{}", server.otlp_grpc);
    let decoded: Vec<_> =
        requests.iter().map(|body| ExportTraceServiceRequest::decode(body.as_ref())).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let mut tasks = Vec::new();
    for client in 0..CLIENTS {
        let mine: Vec<_> = decoded.iter().skip(client).step_by(CLIENTS).cloned().collect();
        let mut client = TraceServiceClient::connect(endpoint.clone()).await?;
        tasks.push(tokio::spawn(async move {
            for request in mine {
                while let Err(status) = client.export(request.clone()).await {
                    anyhow::ensure!(status.code() == tonic::Code::Unavailable, "{status}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    report("OTLP/gRPC, acknowledged, client in the same process", spans, started.elapsed(), Some(prost));
    server.shutdown().await.context("shutdown")?;
    Ok(())
}

fn report(what: &str, spans: usize, took: Duration, base: Option<f64>) -> f64 {
    let rate = spans as f64 / took.as_secs_f64();
    let ratio = base.map_or(String::new(), |base| format!("  {:.2} of protobuf alone", rate / base));
    println!("{what:<52} {rate:>10.0} spans/s{ratio}");
    rate
}

fn payload(body: &Bytes) -> Payload {
    engine::payload(&TenantId::default_tenant(), body.clone())
}
