//! The load that benchmarks measure with: traces as a web company makes them,
//! the same for the same seed.
//!
//! Twelve services of three pods each call one another over HTTP, ask their databases and send messages.
//! Spans carry what the Java agent puts on them: routes and paths with ids in them, peers, threads, statements;
//! entry spans name the user. Ids are random, times are to the nanosecond.

mod attributes;
mod trace;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use attributes::{int, text};
use trace::Trace;

const SERVICES: [&str; 12] = [
    "gateway", "auth", "billing", "catalog", "cart", "orders", "users", "search", "export", "mail", "ledger", "reports",
];
const PODS: usize = 3;

/// Makes `requests` export requests of about `spans_each` spans whose times run
/// over `hours` hours from `start_ns`, nanoseconds since the Unix epoch.
pub fn trace_requests(
    seed: u64,
    requests: usize,
    spans_each: usize,
    start_ns: u64,
    hours: u64,
) -> impl Iterator<Item = ExportTraceServiceRequest> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let step_ns = hours * 3_600_000_000_000 / requests.max(1) as u64;
    (0..requests as u64).map(move |i| request(&mut rng, spans_each, start_ns + i * step_ns))
}

fn request(rng: &mut ChaCha8Rng, spans: usize, start_ns: u64) -> ExportTraceServiceRequest {
    let mut by_pod: Vec<Vec<Span>> = vec![Vec::new(); SERVICES.len() * PODS];
    let mut made = 0;
    while made < spans {
        made += Trace::new(rng, &mut by_pod).make(start_ns);
    }
    let resource_spans = by_pod.into_iter().enumerate().filter(|(_, spans)| !spans.is_empty()).map(|(pod, spans)| {
        let scope = InstrumentationScope {
            name: "io.opentelemetry.tomcat-10.0".to_owned(),
            version: "2.29.0-alpha".to_owned(),
            ..Default::default()
        };
        ResourceSpans {
            resource: Some(resource(pod)),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }],
            schema_url: "https://opentelemetry.io/schemas/1.42.0".to_owned(),
        }
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

/// What says of a span which pod it comes from.
fn resource(pod: usize) -> Resource {
    let (service, replica) = (SERVICES[pod / PODS], pod % PODS);
    let name = format!("{service}-7d9f8b6c5d-x2x9{replica}");
    let attributes = vec![
        text("service.name", service),
        text("service.version", "2.14.1"),
        text("service.instance.id", &format!("0b0e6a1c-5a1e-4f0e-9d0a-{pod:012}")),
        text("deployment.environment.name", "production"),
        text("host.name", &name),
        text("k8s.pod.name", &name),
        text("k8s.namespace.name", "shop"),
        text("k8s.deployment.name", service),
        text("k8s.node.name", &format!("ip-10-0-{}-17.eu-central-1.compute.internal", pod % 8)),
        text("cloud.provider", "aws"),
        text("cloud.region", "eu-central-1"),
        text("os.type", "linux"),
        text("process.runtime.version", "21.0.9+10-LTS"),
        int("process.pid", 1),
        text("telemetry.sdk.language", "java"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.63.0"),
    ];
    Resource { attributes, ..Default::default() }
}
