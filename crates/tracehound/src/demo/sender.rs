use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, logs_service_client::LogsServiceClient,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::company::SERVICES;
use super::trace::{Placed, text};
use super::traffic::Telemetry;

/// Spans, log records or metrics of one request, at least; hours are not split.
const BATCH_RECORDS: usize = 1_500;
/// Requests under way at once.
const STREAMS: usize = 6;
/// How often a request is tried before the demo gives up.
const TRIES: u32 = 10;

/// What was sent and taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) spans: u64,
    pub(super) logs: u64,
    pub(super) points: u64,
}

/// One OTLP request, and how many records it holds.
#[derive(Debug)]
enum Request {
    Traces(ExportTraceServiceRequest, u64),
    Logs(ExportLogsServiceRequest, u64),
    Metrics(ExportMetricsServiceRequest, u64),
}

/// Sends the telemetry of the hours that arrive over OTLP/gRPC, several
/// requests at once, until the channel closes.
///
/// # Errors
/// A request that the server did not take whole, after several tries where
/// trying again made sense.
pub(super) async fn send(url: String, hours: mpsc::Receiver<Telemetry>) -> anyhow::Result<Sent> {
    let channel = Channel::from_shared(url.clone())
        .with_context(|| format!("{url} is not an address"))?
        .connect()
        .await
        .with_context(|| format!("cannot reach the server's OTLP/gRPC receiver at {url}"))?;
    let batches = stream::unfold(Some((hours, Batch::default())), |state| async move {
        let (mut hours, mut batch) = state?;
        while let Some(telemetry) = hours.recv().await {
            batch.add(telemetry);
            if batch.is_full() {
                return Some((batch.take(), Some((hours, batch))));
            }
        }
        Some((batch.take(), None))
    });
    batches
        .flat_map(stream::iter)
        .map(|request| deliver(channel.clone(), request))
        .buffer_unordered(STREAMS)
        .try_fold(Sent::default(), |total, sent| async move {
            Ok(Sent {
                spans: total.spans + sent.spans,
                logs: total.logs + sent.logs,
                points: total.points + sent.points,
            })
        })
        .await
}

async fn deliver(channel: Channel, request: Request) -> anyhow::Result<Sent> {
    let mut delay = Duration::from_millis(50);
    for _ in 0..TRIES {
        match export(&channel, &request).await {
            Ok(sent) => return Ok(sent),
            Err(status) if may_pass(&status) => {
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(Duration::from_secs(3));
            }
            Err(status) => bail!("the server refused a request: {status}"),
        }
    }
    bail!("the server took no request any more after {TRIES} tries")
}

fn may_pass(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
}

async fn export(channel: &Channel, request: &Request) -> Result<Sent, Status> {
    let whole = |rejected: i64, message: &str| match rejected {
        0 => Ok(()),
        _ => Err(Status::data_loss(format!("{rejected} records were rejected: {message}"))),
    };
    match request {
        Request::Traces(request, spans) => {
            let mut client = TraceServiceClient::new(channel.clone());
            let reply = client.export(request.clone()).await?.into_inner().partial_success;
            reply.map_or(Ok(()), |reply| whole(reply.rejected_spans, &reply.error_message))?;
            Ok(Sent { spans: *spans, ..Sent::default() })
        }
        Request::Logs(request, logs) => {
            let mut client = LogsServiceClient::new(channel.clone());
            let reply = client.export(request.clone()).await?.into_inner().partial_success;
            reply.map_or(Ok(()), |reply| whole(reply.rejected_log_records, &reply.error_message))?;
            Ok(Sent { logs: *logs, ..Sent::default() })
        }
        Request::Metrics(request, points) => {
            let mut client = MetricsServiceClient::new(channel.clone());
            let reply = client.export(request.clone()).await?.into_inner().partial_success;
            reply.map_or(Ok(()), |reply| whole(reply.rejected_data_points, &reply.error_message))?;
            Ok(Sent { points: *points, ..Sent::default() })
        }
    }
}

/// Records that wait until they fill a request.
#[derive(Debug, Default)]
struct Batch {
    telemetry: Telemetry,
}

impl Batch {
    fn add(&mut self, mut telemetry: Telemetry) {
        self.telemetry.spans.append(&mut telemetry.spans);
        self.telemetry.logs.append(&mut telemetry.logs);
        self.telemetry.metrics.append(&mut telemetry.metrics);
    }

    fn is_full(&self) -> bool {
        self.telemetry.spans.len() >= BATCH_RECORDS
    }

    fn take(&mut self) -> Vec<Request> {
        let Telemetry { spans, logs, metrics } = std::mem::take(&mut self.telemetry);
        let spans = pieces(spans).into_iter().map(traces_request);
        let logs = pieces(logs).into_iter().map(logs_request);
        let metrics = pieces(metrics).into_iter().map(metrics_request);
        spans.chain(logs).chain(metrics).collect()
    }
}

/// Cuts records into requests of the usual size.
fn pieces<T>(mut records: Vec<Placed<T>>) -> Vec<Vec<Placed<T>>> {
    let mut pieces = Vec::new();
    while records.len() > 2 * BATCH_RECORDS {
        let rest = records.split_off(BATCH_RECORDS);
        pieces.push(std::mem::replace(&mut records, rest));
    }
    if !records.is_empty() {
        pieces.push(records);
    }
    pieces
}

fn by_service<T>(records: Vec<Placed<T>>) -> BTreeMap<&'static str, Vec<T>> {
    let mut services: BTreeMap<&'static str, Vec<T>> = BTreeMap::new();
    for Placed { service, record } in records {
        services.entry(service).or_default().push(record);
    }
    services
}

fn traces_request(spans: Vec<Placed<Span>>) -> Request {
    let count = spans.len() as u64;
    let group = |(service, spans)| ResourceSpans {
        resource: Some(resource(service)),
        scope_spans: vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    let resource_spans = by_service(spans).into_iter().map(group).collect();
    Request::Traces(ExportTraceServiceRequest { resource_spans }, count)
}

fn logs_request(logs: Vec<Placed<LogRecord>>) -> Request {
    let count = logs.len() as u64;
    let group = |(service, log_records)| ResourceLogs {
        resource: Some(resource(service)),
        scope_logs: vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }],
        ..ResourceLogs::default()
    };
    let resource_logs = by_service(logs).into_iter().map(group).collect();
    Request::Logs(ExportLogsServiceRequest { resource_logs }, count)
}

fn metrics_request(metrics: Vec<Placed<Metric>>) -> Request {
    let points = |metric: &Placed<Metric>| match &metric.record.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len() as u64,
        Some(Data::Sum(sum)) => sum.data_points.len() as u64,
        Some(Data::Histogram(histogram)) => histogram.data_points.len() as u64,
        _ => 0,
    };
    let count = metrics.iter().map(points).sum();
    let group = |(service, metrics)| ResourceMetrics {
        resource: Some(resource(service)),
        scope_metrics: vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }],
        ..ResourceMetrics::default()
    };
    let resource_metrics = by_service(metrics).into_iter().map(group).collect();
    Request::Metrics(ExportMetricsServiceRequest { resource_metrics }, count)
}

fn resource(service: &str) -> Resource {
    let language = SERVICES.iter().find(|(name, _)| *name == service).map_or("go", |found| found.1);
    let attributes: Vec<KeyValue> = [
        ("service.name", service),
        ("service.namespace", "larkspur"),
        ("service.version", "2026.11.3"),
        ("deployment.environment.name", "production"),
        ("telemetry.sdk.language", language),
        ("telemetry.sdk.name", "opentelemetry"),
    ]
    .into_iter()
    .map(|(key, value)| text(key, value))
    .collect();
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "larkspur.telemetry".to_owned(),
        version: "1.4.0".to_owned(),
        ..InstrumentationScope::default()
    }
}
