//! One trace: a request at the gateway and everything that it sets off.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use crate::attributes::{int, list, text};
use crate::{PODS, SERVICES};

const BROWSERS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "shop-android/7.31.0 (okhttp/5.2.1)",
];
const DEPTH_MAX: u32 = 3;
const ERRORS: (u32, u32) = (1, 70);

pub(crate) struct Trace<'a> {
    rng: &'a mut ChaCha8Rng,
    by_pod: &'a mut [Vec<Span>],
    trace_id: [u8; 16],
    spans: usize,
}

/// Where a span hangs and when it runs, nanoseconds.
struct Slot {
    pod: usize,
    parent: Vec<u8>,
    begin: u64,
    end: u64,
}

impl<'a> Trace<'a> {
    pub(crate) fn new(rng: &'a mut ChaCha8Rng, by_pod: &'a mut [Vec<Span>]) -> Self {
        let trace_id = rng.random();
        Self { rng, by_pod, trace_id, spans: 0 }
    }

    /// Makes the trace within the minute from `start_ns`, and says how many spans it has.
    pub(crate) fn make(mut self, start_ns: u64) -> usize {
        let begin = start_ns + self.rng.random_range(0..60_000_000_000u64);
        // Most requests are short, a few take long.
        let took = 1_000_000u64 << self.rng.random_range(1..9u32);
        let end = begin + took + self.rng.random_range(0..took);
        let user = self.rng.random_range(0..5_000u32);
        let mut entry = vec![
            text("user.id", &format!("u-{user}")),
            list("user.roles", if user.is_multiple_of(50) { "admin" } else { "customer" }),
            text("session.id", &format!("s-{user}-{}", self.rng.random_range(0..9u32))),
            text("client.address", &format!("203.0.{}.{}", user % 113, user / 113)),
            text("user_agent.original", BROWSERS[user as usize % BROWSERS.len()]),
        ];
        if self.rng.random_ratio(1, 10) {
            entry.push(text("security.data_classification", "PII"));
        }
        let pod = self.rng.random_range(0..PODS);
        self.serve(Slot { pod, parent: Vec::new(), begin, end }, 0, entry);
        self.spans
    }

    /// A service answers an HTTP request, and asks others meanwhile.
    fn serve(&mut self, slot: Slot, depth: u32, mut more: Vec<KeyValue>) {
        let service = SERVICES[slot.pod / PODS];
        let (method, route) = self.route(service);
        let status = if self.rng.random_ratio(ERRORS.0, ERRORS.1) { 500 } else { 200 };
        let peer = format!("10.0.{}.{}", self.rng.random_range(0..8u8), self.rng.random_range(2..40u8));
        let mut attributes = vec![
            text("http.request.method", method),
            text("http.route", &route),
            text("url.path", &self.path(&route)),
            text("url.scheme", "https"),
            int("http.response.status_code", status),
            text("server.address", &format!("{service}.internal")),
            int("server.port", 8443),
            text("network.protocol.version", "1.1"),
            text("network.peer.address", &peer),
            int("network.peer.port", self.rng.random_range(32_768..60_999)),
        ];
        attributes.append(&mut more);
        let (pod, begin, end) = (slot.pod, slot.begin, slot.end);
        let id = self.span(slot, SpanKind::Server, format!("{method} {route}"), attributes, status == 500);

        let calls = self.rng.random_range(0..4u32);
        let step = (end - begin) / u64::from(calls + 1);
        for call in 0..u64::from(calls) {
            let from = begin + call * step + self.rng.random_range(0..step / 4 + 1);
            let slot = Slot { pod, parent: id.clone(), begin: from, end: from + step / 2 + self.jitter(step) };
            match self.rng.random_range(0..10u32) {
                0..4 if depth < DEPTH_MAX => self.call(slot, depth),
                0..8 => self.query(slot),
                8 => self.publish(slot),
                _ => self.compute(slot),
            }
        }
    }

    /// An HTTP call: the caller's span, and the callee's below it.
    fn call(&mut self, slot: Slot, depth: u32) {
        let callee = self.rng.random_range(1..SERVICES.len());
        let service = SERVICES[callee];
        let (method, route) = self.route(service);
        let url = format!("https://{service}.internal:8443{}", self.path(&route));
        let attributes = vec![
            text("http.request.method", method),
            text("url.full", &url),
            int("http.response.status_code", 200),
            text("server.address", &format!("{service}.internal")),
            int("server.port", 8443),
            text("network.protocol.version", "1.1"),
        ];
        let (begin, end) = (slot.begin, slot.end);
        let id = self.span(slot, SpanKind::Client, method.to_owned(), attributes, false);
        let wire = (end - begin) / 10;
        let pod = callee * PODS + self.rng.random_range(0..PODS);
        let (begin, end) = (begin + self.jitter(wire), end - self.jitter(wire));
        self.serve(Slot { pod, parent: id, begin, end }, depth + 1, Vec::new());
    }

    /// A database's statement.
    fn query(&mut self, slot: Slot) {
        let service = SERVICES[slot.pod / PODS];
        let table = format!("{service}_{}", ["items", "events", "state", "index"][self.rng.random_range(0..4usize)]);
        let (operation, statement) = match self.rng.random_range(0..3u32) {
            0 => ("SELECT", format!("SELECT id, state, created_at FROM {table} WHERE id = ? AND tenant = ?")),
            1 => ("SELECT", format!("SELECT count(*) FROM {table} WHERE owner = ? AND created_at > ?")),
            _ => ("UPDATE", format!("UPDATE {table} SET state = ?, updated_at = now() WHERE id = ?")),
        };
        let attributes = vec![
            text("db.system.name", "postgresql"),
            text("db.namespace", service),
            text("db.query.text", &statement),
            text("db.operation.name", operation),
            text("db.collection.name", &table),
            text("server.address", &format!("{service}-db.internal")),
            int("server.port", 5432),
        ];
        self.span(slot, SpanKind::Client, format!("{operation} {table}"), attributes, false);
    }

    /// A message to others.
    fn publish(&mut self, slot: Slot) {
        let topic = format!("{}.changed", SERVICES[slot.pod / PODS]);
        let attributes = vec![
            text("messaging.system", "kafka"),
            text("messaging.destination.name", &topic),
            text("messaging.operation.type", "send"),
            text("messaging.destination.partition.id", &self.rng.random_range(0..12u32).to_string()),
            int("messaging.kafka.offset", self.rng.random_range(10_000_000..11_000_000)),
        ];
        self.span(slot, SpanKind::Producer, format!("send {topic}"), attributes, false);
    }

    /// Work within the service.
    fn compute(&mut self, slot: Slot) {
        let service = SERVICES[slot.pod / PODS];
        let name = ["Validator.check", "Pricing.apply", "Renderer.render"][self.rng.random_range(0..3usize)];
        let function = format!("com.example.{service}.{name}");
        self.span(slot, SpanKind::Internal, name.to_owned(), vec![text("code.function.name", &function)], false);
    }

    fn span(
        &mut self,
        slot: Slot,
        kind: SpanKind,
        name: String,
        mut attributes: Vec<KeyValue>,
        failed: bool,
    ) -> Vec<u8> {
        let thread = self.rng.random_range(20..70i64);
        attributes
            .extend([int("thread.id", thread), text("thread.name", &format!("http-nio-8443-exec-{}", thread - 19))]);
        let span_id = self.rng.next_u64().to_be_bytes().to_vec();
        let status = Status { code: if failed { StatusCode::Error as i32 } else { 0 }, ..Default::default() };
        let events = if failed { vec![exception(slot.end - 1_000)] } else { Vec::new() };
        self.by_pod[slot.pod].push(Span {
            trace_id: self.trace_id.to_vec(),
            span_id: span_id.clone(),
            parent_span_id: slot.parent,
            flags: 257,
            name,
            kind: kind as i32,
            start_time_unix_nano: slot.begin,
            end_time_unix_nano: slot.end.max(slot.begin + 1_000),
            attributes,
            events,
            status: Some(status),
            ..Default::default()
        });
        self.spans += 1;
        span_id
    }

    fn route(&mut self, service: &str) -> (&'static str, String) {
        let route = self.rng.random_range(0..20u32);
        let method = if route.is_multiple_of(3) { "POST" } else { "GET" };
        (method, format!("/v1/{service}/{{id}}/part-{route}"))
    }

    /// A route's path with an id in it.
    fn path(&mut self, route: &str) -> String {
        route.replace("{id}", &self.rng.random_range(1_000_000..9_999_999u32).to_string())
    }

    fn jitter(&mut self, at_most: u64) -> u64 {
        self.rng.random_range(0..at_most / 3 + 1)
    }
}

fn exception(time_unix_nano: u64) -> Event {
    let stack = "java.util.concurrent.TimeoutException: pool exhausted\n\tat com.example.db.Pool.take(Pool.java:118)\n\tat \
                 com.example.db.Session.open(Session.java:41)\n\tat com.example.web.Handler.handle(Handler.java:77)\n\tat \
                 org.apache.catalina.core.ApplicationFilterChain.doFilter(ApplicationFilterChain.java:138)";
    let attributes = vec![
        text("exception.type", "java.util.concurrent.TimeoutException"),
        text("exception.message", "pool exhausted"),
        text("exception.stacktrace", stack),
    ];
    Event { time_unix_nano, name: "exception".to_owned(), attributes, ..Default::default() }
}
