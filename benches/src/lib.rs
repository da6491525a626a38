//! The load that benchmarks measure with: traces as a web company makes them,
//! the same for the same seed.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SERVICES: [&str; 12] = [
    "gateway", "auth", "billing", "catalog", "cart", "orders", "users", "search", "export", "mail", "ledger", "reports",
];

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
    let mut by_service: Vec<Vec<Span>> = vec![Vec::new(); SERVICES.len()];
    let mut made = 0;
    while made < spans {
        made += trace(rng, start_ns, &mut by_service);
    }
    let resource_spans = by_service
        .into_iter()
        .zip(SERVICES)
        .filter(|(spans, _)| !spans.is_empty())
        .map(|(spans, service)| ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", service),
                    text("service.version", "2.14.1"),
                    text("deployment.environment.name", "production"),
                    text("k8s.pod.name", &format!("{service}-7d9f8b6c5d-x2x9k")),
                    text("telemetry.sdk.language", "java"),
                ],
                ..Default::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "io.opentelemetry.http".to_owned(),
                    version: "2.9.0".to_owned(),
                    ..Default::default()
                }),
                spans,
                ..Default::default()
            }],
            ..Default::default()
        })
        .collect();
    ExportTraceServiceRequest { resource_spans }
}

/// Adds one trace's spans and says how many they are.
fn trace(rng: &mut ChaCha8Rng, start_ns: u64, by_service: &mut [Vec<Span>]) -> usize {
    let trace_id: [u8; 16] = rng.random();
    let user = rng.random_range(0..5_000u32);
    let depth = rng.random_range(2..9usize);
    let mut parent = Vec::new();
    let mut begin = start_ns + rng.random_range(0..60_000_000_000u64);
    for level in 0..depth {
        let service = if level == 0 { 0 } else { rng.random_range(1..SERVICES.len()) };
        let span_id = rng.next_u64().to_be_bytes().to_vec();
        let route = rng.random_range(0..20u32);
        let mut attributes = vec![
            text("http.request.method", if route % 3 == 0 { "POST" } else { "GET" }),
            text("http.route", &format!("/v1/{}/{{id}}/{route}", SERVICES[service])),
            text("url.path", &format!("/v1/{}/{}/{route}", SERVICES[service], rng.random::<u32>())),
            int("http.response.status_code", if rng.random_ratio(1, 50) { 500 } else { 200 }),
            text("server.address", &format!("{}.internal", SERVICES[service])),
            int("server.port", 8443),
            text("network.protocol.version", "1.1"),
        ];
        if level == 0 {
            attributes.extend([
                text("user.id", &format!("u-{user}")),
                key_value("user.roles", list(if user % 50 == 0 { "admin" } else { "customer" })),
                text("client.address", &format!("10.{}.{}.7", user % 200, user / 200)),
                text("session.id", &format!("s-{user}-{}", rng.random_range(0..9u32))),
            ]);
        }
        if rng.random_ratio(1, 10) {
            attributes.push(text("security.data_classification", "PII"));
        }
        by_service[service].push(Span {
            trace_id: trace_id.to_vec(),
            span_id: span_id.clone(),
            parent_span_id: parent,
            flags: 1,
            name: format!("{} /v1/{}/{{id}}/{route}", "GET", SERVICES[service]),
            kind: if level % 2 == 0 { 2 } else { 3 },
            start_time_unix_nano: begin,
            end_time_unix_nano: begin + rng.random_range(500_000..90_000_000u64),
            attributes,
            status: Some(Status::default()),
            ..Default::default()
        });
        parent = span_id;
        begin += rng.random_range(100_000..2_000_000u64);
    }
    depth
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    key_value(key, Value::IntValue(value))
}

fn list(value: &str) -> Value {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    Value::ArrayValue(ArrayValue { values: vec![value] })
}
