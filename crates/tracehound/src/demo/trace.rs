use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::company::User;

/// A record and the service that sends it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed<T> {
    pub(super) service: &'static str,
    pub(super) record: T,
}

/// A finished trace: its spans in the order they began, and its log lines.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trace {
    pub(super) id: [u8; 16],
    pub(super) spans: Vec<Placed<Span>>,
    pub(super) logs: Vec<Placed<LogRecord>>,
}

/// Writes a trace as the services would: each call a CLIENT and a SERVER span,
/// identity only where a request enters.
pub(super) struct TraceBuilder {
    /// Chance for what the trace does; seeded, so that a trace is a function of its seed.
    pub(super) rng: ChaCha8Rng,
    /// Takes every optional way, so that the history knows them all.
    pub(super) all_branches: bool,
    /// Whether the release of the last day is out: the cart then asks for recommendations.
    pub(super) released: bool,
    trace: Trace,
    stack: Vec<usize>,
    now_ns: u64,
}

impl TraceBuilder {
    pub(super) fn new(seed: u64, start_ns: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let id = rng.random();
        let trace = Trace { id, spans: Vec::new(), logs: Vec::new() };
        Self { rng, all_branches: false, released: false, trace, stack: Vec::new(), now_ns: start_ns }
    }

    pub(super) fn finish(self) -> Trace {
        self.trace
    }

    /// Takes an optional way with probability `p`.
    pub(super) fn maybe(&mut self, p: f64) -> bool {
        let drawn = self.rng.random_bool(p);
        drawn || self.all_branches
    }

    /// Lets time pass, between `least` and three times `least` microseconds.
    pub(super) fn work(&mut self, least_us: u64) {
        self.now_ns += self.rng.random_range(least_us * 1_000..=least_us * 3_000);
    }

    /// A span of `service` around `body`.
    pub(super) fn span(&mut self, service: &'static str, kind: SpanKind, name: &str, body: impl FnOnce(&mut Self)) {
        let parent = self.stack.last().map(|&at| self.trace.spans[at].record.span_id.clone());
        let span = Span {
            trace_id: self.trace.id.to_vec(),
            span_id: self.rng.random::<[u8; 8]>().to_vec(),
            parent_span_id: parent.unwrap_or_default(),
            flags: 0x101,
            name: name.to_owned(),
            kind: kind.into(),
            start_time_unix_nano: self.now_ns,
            ..Span::default()
        };
        self.stack.push(self.trace.spans.len());
        self.trace.spans.push(Placed { service, record: span });
        self.work(400);
        body(self);
        self.work(300);
        let at = self.stack.pop().expect("pushed above");
        self.trace.spans[at].record.end_time_unix_nano = self.now_ns;
    }

    /// A user's request entering at `service`: the one place where identity stands.
    pub(super) fn request(&mut self, service: &'static str, user: &User, route: &str, body: impl FnOnce(&mut Self)) {
        self.span(service, SpanKind::Server, route, |t| {
            let (method, path) = route.split_once(' ').unwrap_or(("GET", route));
            t.text("http.request.method", method);
            t.text("http.route", path);
            t.identity(user);
            body(t);
            let failed = t.failed();
            t.int("http.response.status_code", if failed { 500 } else { 200 });
            let severity = if failed { 17 } else { 9 };
            t.log(severity, &format!("{route} {}", if failed { 500 } else { 200 }));
        });
    }

    /// A message or job that nobody's request carries.
    pub(super) fn job(&mut self, service: &'static str, name: &str, body: impl FnOnce(&mut Self)) {
        self.span(service, SpanKind::Internal, name, body);
    }

    /// A call from the current span's service.
    pub(super) fn call(&mut self, callee: &'static str, operation: &str, body: impl FnOnce(&mut Self)) {
        let caller = self.service();
        self.span(caller, SpanKind::Client, operation, |t| {
            t.text("rpc.system", "grpc");
            t.text("server.address", &format!("{callee}.corp.internal"));
            t.span(callee, SpanKind::Server, operation, |t| {
                body(t);
                if t.rng.random_bool(0.2) {
                    t.log(9, &format!("{operation} done"));
                }
            });
        });
    }

    /// A query to the database of the current span's service.
    pub(super) fn query(&mut self, statement: &str) {
        self.query_with(statement, |_| {});
    }

    /// The same, with more to say about it.
    pub(super) fn query_with(&mut self, statement: &str, body: impl FnOnce(&mut Self)) {
        let service = self.service();
        self.span(service, SpanKind::Client, statement, |t| {
            t.text("db.system.name", "postgresql");
            t.text("db.query.summary", statement);
            t.text("server.address", &format!("{service}-db.corp.internal"));
            t.int("server.port", 5432);
            body(t);
            t.work(900);
        });
    }

    /// A call to another company's host.
    pub(super) fn outbound(&mut self, host: &str, method: &str, path: &str, body_bytes: i64) {
        let service = self.service();
        self.span(service, SpanKind::Client, method, |t| {
            t.text("http.request.method", method);
            t.text("url.full", &format!("https://{host}{path}"));
            t.text("server.address", host);
            t.int("server.port", 443);
            t.int("http.request.body.size", body_bytes);
            t.int("http.response.status_code", 200);
            t.work(20_000);
        });
    }

    /// A message to `consumer`, which takes it up `delay_ms` later.
    pub(super) fn publish(&mut self, topic: &str, consumer: &'static str, delay_ms: u64, body: impl FnOnce(&mut Self)) {
        let service = self.service();
        self.span(service, SpanKind::Producer, &format!("send {topic}"), |t| {
            t.text("messaging.system", "kafka");
            t.text("messaging.destination.name", topic);
            let sent = t.now_ns;
            t.now_ns += delay_ms * 1_000_000;
            t.span(consumer, SpanKind::Consumer, &format!("process {topic}"), |t| {
                t.text("messaging.system", "kafka");
                t.text("messaging.destination.name", topic);
                body(t);
            });
            t.now_ns = sent;
        });
    }

    /// Marks the current span as touching data of a class about somebody.
    pub(super) fn touches(&mut self, class: &str, subject: &User) {
        self.text("security.data_classification", class);
        self.text("security.data_subject_id", &subject.id);
        self.text("security.resource_tenant_id", subject.tenant);
    }

    /// Ends the current span in an error, with an event and a log line.
    pub(super) fn fail(&mut self, message: &str) {
        let now_ns = self.now_ns;
        let span = self.current();
        span.status = Some(Status { code: StatusCode::Error.into(), message: message.to_owned() });
        span.events.push(Event {
            time_unix_nano: now_ns,
            name: "exception".to_owned(),
            attributes: vec![text("exception.message", message)],
            dropped_attributes_count: 0,
        });
        self.log(17, message);
    }

    /// A log line of the current span's service, in the trace's context.
    pub(super) fn log(&mut self, severity: i32, body: &str) {
        let service = self.service();
        let (trace_id, span_id) = (self.trace.id.to_vec(), self.current().span_id.clone());
        let record = LogRecord {
            time_unix_nano: self.now_ns,
            observed_time_unix_nano: self.now_ns + 1_000_000,
            severity_number: severity,
            severity_text: if severity >= 17 { "ERROR" } else { "INFO" }.to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
            flags: 1,
            trace_id,
            span_id,
            ..LogRecord::default()
        };
        self.trace.logs.push(Placed { service, record });
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        let attribute = text(key, value);
        self.current().attributes.push(attribute);
    }

    pub(super) fn int(&mut self, key: &str, value: i64) {
        let value = Some(AnyValue { value: Some(Value::IntValue(value)) });
        let attribute = KeyValue { key: key.to_owned(), value, ..KeyValue::default() };
        self.current().attributes.push(attribute);
    }

    fn identity(&mut self, user: &User) {
        self.text("user.id", &user.id);
        if user.sends_role {
            let role = AnyValue { value: Some(Value::StringValue(user.role.as_str().to_owned())) };
            let roles = Value::ArrayValue(ArrayValue { values: vec![role] });
            let value = Some(AnyValue { value: Some(roles) });
            let attribute = KeyValue { key: "user.roles".to_owned(), value, ..KeyValue::default() };
            self.current().attributes.push(attribute);
        }
        self.text("security.tenant_id", user.tenant);
        self.text("security.auth_method", "oidc");
        self.text("security.trust_level", "normal");
        self.text("security.source_region", user.region);
        self.text("client.address", &user.address);
        let session = format!("s-{}-{}", user.id, self.now_ns / 14_400_000_000_000);
        self.text("session.id", &session);
    }

    fn failed(&self) -> bool {
        let error = i32::from(StatusCode::Error);
        let failed = |span: &Placed<Span>| matches!(&span.record.status, Some(s) if s.code == error);
        self.trace.spans.iter().any(failed)
    }

    fn service(&self) -> &'static str {
        let at = *self.stack.last().expect("inside a span");
        self.trace.spans[at].service
    }

    fn current(&mut self) -> &mut Span {
        let at = *self.stack.last().expect("inside a span");
        &mut self.trace.spans[at].record
    }
}

/// A text attribute.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
