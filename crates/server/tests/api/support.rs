//! A server of its own for each test, and a client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tracehound_server::{Config, Running, Server, ServerOptions};

/// The server's clock stands still: 2026-11-22T18:00:00Z.
pub(crate) const NOW_NS: i64 = 1_795_370_400_000_000_000;
const HOUR_NS: i64 = 3_600_000_000_000;

/// The trace of the two spans an hour ago, as SQL shows it.
pub(crate) const TRACE: &str = "5b8efff798038103d269b633813fc60c";

pub(crate) struct Api {
    agent: ureq::Agent,
    running: Running,
    runtime: Runtime,
    dir: TempDir,
}

/// A whole response.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Api {
    /// A server without keys, and without data.
    pub(crate) fn empty() -> Self {
        Self::with(Config::default())
    }

    /// A server that holds [`spans`].
    pub(crate) fn with_spans() -> Self {
        let api = Self::empty();
        api.send(&spans());
        api
    }

    pub(crate) fn with(mut config: Config) -> Self {
        for address in [&mut config.listen.http, &mut config.listen.otlp_grpc, &mut config.listen.otlp_http] {
            *address = "127.0.0.1:0".parse().expect("an address");
        }
        let dir = tempfile::tempdir().expect("a directory");
        let options = ServerOptions { clock: Arc::new(|| NOW_NS), ..ServerOptions::new(config, dir.path()) };
        let runtime = Runtime::new().expect("a runtime");
        let running = runtime.block_on(Server::start(options)).expect("the server starts");
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Self { agent: agent.into(), running, runtime, dir }
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Moves the rows from memory into files.
    pub(crate) fn flush(&self) {
        self.runtime.block_on(self.running.engine().flush()).expect("flushes");
    }

    pub(crate) fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Reply {
        let url = format!("http://{}{target}", self.running.http);
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => self.agent.run(request.body(body).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        };
        let mut response = response.expect("an answer");
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().expect("a body");
        Reply { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    pub(crate) fn get(&self, target: &str) -> Reply {
        self.request("GET", target, &[], None)
    }

    pub(crate) fn get_as(&self, target: &str, accept: &str) -> Reply {
        self.request("GET", target, &[("accept", accept)], None)
    }

    pub(crate) fn post(&self, target: &str, body: &Value) -> Reply {
        let json = [("content-type", "application/json")];
        self.request("POST", target, &json, Some(body.to_string().into_bytes()))
    }

    /// A query whose answer has to be 200.
    pub(crate) fn query(&self, body: Value) -> Value {
        self.post("/api/v1/query", &body).ok()
    }

    /// The rows of a query.
    #[track_caller]
    pub(crate) fn rows(&self, body: Value) -> Value {
        self.query(body)["rows"].take()
    }

    /// The rows of a SQL text alone.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> Value {
        self.rows(json!({"sql": sql}))
    }

    /// Sends traces on the API's own port.
    #[track_caller]
    pub(crate) fn send(&self, traces: &Value) {
        let reply = self.post("/v1/traces", traces);
        assert_eq!((reply.status, reply.text().as_str()), (200, "{}"));
    }

    /// A connection that is used by hand.
    pub(crate) fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.running.http).expect("connects");
        connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        connection
    }

    /// Sends a query and does not wait for its answer.
    pub(crate) fn begin(&self, body: &Value) -> TcpStream {
        let body = body.to_string();
        let mut connection = self.connect();
        write!(connection, "POST /api/v1/query HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            .expect("writes");
        connection
    }
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The JSON of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The problem document of a failure, which has to be of this status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/problems/{code}"));
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        assert!(problem["retryable"].is_boolean(), "{problem}");
        assert_eq!(self.header("x-tracehound-query-id"), problem["query_id"].as_str().unwrap_or_default());
        problem
    }
}

/// Reads a response of a connection used by hand, until it is closed.
pub(crate) fn read_to_end(mut connection: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = connection.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A value of a query string.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Two spans of one trace an hour ago, with values that are hard to write, and one of another 25 hours ago.
pub(crate) fn spans() -> Value {
    let start = NOW_NS - HOUR_NS;
    let spans = json!([
        {
            "traceId": TRACE.to_uppercase(), "spanId": "eee19b7ec3c1b174", "name": "POST /refund", "kind": 2,
            "startTimeUnixNano": (start + 1).to_string(), "endTimeUnixNano": (start + 250_000_002).to_string(),
            "attributes": [
                {"key": "user.id", "value": {"stringValue": "u-17"}},
                {"key": "big", "value": {"intValue": "9007199254740993"}},
                {"key": "ratio", "value": {"doubleValue": 0.25}},
                {"key": "note", "value": {"stringValue": "a \"b\", c\nd"}},
            ],
            "status": {"code": 2, "message": "refused"},
        },
        {
            "traceId": TRACE, "spanId": "eee19b7ec3c1b175", "parentSpanId": "eee19b7ec3c1b174", "name": "charge", "kind": 1,
            "startTimeUnixNano": (start + 2).to_string(), "endTimeUnixNano": (start + 3).to_string(),
        },
        {
            "traceId": "00000000000000000000000000000b0b", "spanId": "0000000000000b0b", "name": "GET /", "kind": 2,
            "startTimeUnixNano": (NOW_NS - 25 * HOUR_NS).to_string(), "endTimeUnixNano": (NOW_NS - 25 * HOUR_NS + 9).to_string(),
            "attributes": [{"key": "user.id", "value": {"stringValue": "u-2"}}],
        },
    ]);
    traces("billing", &spans)
}

/// A message of one service's spans.
pub(crate) fn traces(service: &str, spans: &Value) -> Value {
    let service = json!([{"key": "service.name", "value": {"stringValue": service}}]);
    json!({"resourceSpans": [{"resource": {"attributes": service}, "scopeSpans": [{"spans": spans}]}]})
}
