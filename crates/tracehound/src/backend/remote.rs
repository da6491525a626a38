mod data;

use std::time::Duration;

use prost::Message;
use serde_json::{Map, Value, json};
use tracehound_query::{AsOf, ParamValue, QueryRequest, time};
use tracehound_schema::{Encoding, Signal};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::failure::{Exit, Failure, SqlPart};
use crate::output::{Answer, Rows};
use crate::place::ServerPlace;

/// The rows to ask a server for when all are wanted.
const ALL_ROWS: usize = 1_000_000_000;
const ANSWER_BYTES_MAX: u64 = 4 << 30;
const ERROR_BYTES_MAX: u64 = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const INGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A server, over its HTTP API.
#[derive(Debug)]
pub(crate) struct Remote {
    agent: Agent,
    place: ServerPlace,
}

/// What a server did with an OTLP message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) rejected: u64,
    pub(crate) message: String,
}

/// Why a server did not take a message.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It may take it later; after the delay, where it named one.
    Later(Option<Duration>, Failure),
    /// It never will.
    Never(Failure),
}

impl Remote {
    pub(crate) fn new(place: ServerPlace) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_redirects(0)
            .user_agent(concat!("tracehound/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().into(), place }
    }

    pub(crate) fn url(&self) -> &str {
        &self.place.url
    }

    pub(crate) fn query(&self, request: &QueryRequest) -> Result<Answer, Failure> {
        self.ask("/api/v1/query", request)
    }

    pub(crate) fn explain(&self, request: &QueryRequest) -> Result<Answer, Failure> {
        self.ask("/api/v1/query/explain", request)
    }

    /// Reads a JSON resource.
    pub(crate) fn get(&self, path: &str) -> Result<(StatusCode, String), Failure> {
        let mut call =
            self.agent.get(format!("{}{path}", self.place.url)).config().timeout_global(Some(CONNECT_TIMEOUT)).build();
        for (name, value) in self.headers() {
            call = call.header(name, value);
        }
        let mut reply = call.call().map_err(|error| self.unreachable(&error))?;
        let status = reply.status();
        let body = reply.body_mut().with_config().limit(ERROR_BYTES_MAX).read_to_string();
        Ok((status, body.map_err(|error| self.unreachable(&error))?))
    }

    /// Sends one OTLP message.
    pub(crate) fn send(&self, signal: Signal, encoding: Encoding, body: &[u8]) -> Result<Taken, Refusal> {
        let content_type = match encoding {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        };
        let url = format!("{}/v1/{signal}", self.place.url);
        let mut call =
            self.agent.post(url).content_type(content_type).config().timeout_global(Some(INGEST_TIMEOUT)).build();
        for (name, value) in self.headers() {
            call = call.header(name, value);
        }
        let unreachable = |error| Refusal::Later(None, self.unreachable(&error));
        let mut reply = call.send(body).map_err(unreachable)?;
        let retry_after = reply.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let status = reply.status();
        let bytes = reply.body_mut().with_config().limit(5 << 20).read_to_vec().map_err(unreachable)?;
        if status.is_success() {
            return Ok(taken(encoding, &bytes));
        }
        let said = status_message(encoding, &bytes);
        let message = format!("the server answered {}: {said}", status.as_u16());
        Err(match status.as_u16() {
            429 | 502 | 503 | 504 => {
                let failure = Failure::new(Exit::Retryable, "server-busy", message)
                    .hint("try again later; --retry-for waits longer");
                Refusal::Later(retry_after.map(Duration::from_secs), failure)
            }
            401 | 403 => Refusal::Never(self.not_authorised(message)),
            404 | 405 => Refusal::Never(
                Failure::failed("not-found", message).hint("is --url the address of a Tracehound server?"),
            ),
            _ => Refusal::Never(Failure::failed("refused", message)),
        })
    }

    fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let tenant = self.place.tenant.as_ref().map(|tenant| ("x-tracehound-tenant", tenant.to_string()));
        let key = self.place.key.as_ref().map(|key| ("authorization", format!("Bearer {key}")));
        tenant.into_iter().chain(key)
    }

    fn ask(&self, path: &str, request: &QueryRequest) -> Result<Answer, Failure> {
        let call = self.agent.post(format!("{}{path}", self.place.url)).header("accept", "application/json");
        let call = self.headers().fold(call, |call, (name, value)| call.header(name, value));
        let mut reply = call.send_json(body(request)).map_err(|error| self.unreachable(&error))?;
        if !reply.status().is_success() {
            return Err(self.problem(&mut reply, &request.sql));
        }
        let answer: Value = reply
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_json()
            .map_err(|error| self.unreachable(&error))?;
        read_answer(answer)
    }

    fn problem(&self, reply: &mut Response<Body>, sql: &str) -> Failure {
        let status = reply.status();
        let text = reply.body_mut().with_config().limit(ERROR_BYTES_MAX).read_to_string().unwrap_or_default();
        problem(status.as_u16(), &text, sql).unwrap_or_else(|| match status.as_u16() {
            401 | 403 => self.not_authorised(format!("the server answered {}", status.as_u16())),
            code => Failure::failed("protocol", format!("the server at {} answered {code}", self.place.url))
                .hint("is --url the HTTP address of a Tracehound server?"),
        })
    }

    fn not_authorised(&self, message: String) -> Failure {
        let hint = if self.place.key.is_some() {
            "check the key and --tenant"
        } else {
            "give a key: --key SECRET, or TRACEHOUND_KEY"
        };
        Failure::new(Exit::NotAuthorised, "not-authorised", message).hint(hint)
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure::new(Exit::Retryable, "unreachable", format!("no answer from {}: {error}", self.place.url))
            .hint("is the server running? `tracehound serve` starts one, `tracehound doctor --url URL` looks closer")
    }
}

/// The body of a query as the HTTP API takes it.
fn body(request: &QueryRequest) -> Value {
    let param = |value: &ParamValue| match &value.data_type {
        None => Value::String(value.value.clone()),
        Some(data_type) => json!({"type": data_type, "value": value.value}),
    };
    let mut body = Map::new();
    body.insert("sql".to_owned(), Value::String(request.sql.clone()));
    if !request.params.is_empty() {
        let params = request.params.iter().map(|(name, value)| (name.clone(), param(value)));
        body.insert("params".to_owned(), Value::Object(params.collect()));
    }
    if let Some(range) = request.time_range {
        let range = json!({"from": time::rfc3339(range.from_ns), "to": time::rfc3339(range.to_ns)});
        body.insert("time_range".to_owned(), range);
    }
    let mut limits = Map::new();
    if let Some(rows) = request.max_rows {
        limits.insert("max_rows".to_owned(), rows.min(ALL_ROWS).into());
    }
    if let Some(timeout) = request.timeout {
        limits.insert("timeout_ms".to_owned(), u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).into());
    }
    if !limits.is_empty() {
        body.insert("limits".to_owned(), Value::Object(limits));
    }
    match request.as_of {
        Some(AsOf::Entry(entry)) => drop(body.insert("as_of".to_owned(), entry.into())),
        Some(AsOf::Time(time_ns)) => drop(body.insert("as_of".to_owned(), time::rfc3339(time_ns).into())),
        None => {}
    }
    Value::Object(body)
}

fn read_answer(mut answer: Value) -> Result<Answer, Failure> {
    let wrong = || {
        Failure::failed("protocol", "the server's answer has no columns and rows")
            .hint("is the server of this release?")
    };
    let column = |column: &Value| Some(column.get("name")?.as_str()?.to_owned());
    let columns = answer.get("columns").and_then(Value::as_array).ok_or_else(wrong)?;
    let columns = columns.iter().map(column).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    let Some(Value::Array(rows)) = answer.get_mut("rows").map(Value::take) else { return Err(wrong()) };
    let rows = rows.into_iter().map(|row| if let Value::Array(cells) = row { Some(cells) } else { None });
    let rows = rows.collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    let truncated = answer.get("truncated").and_then(Value::as_bool).unwrap_or(false).then(|| {
        let said = answer.get("truncation").and_then(Value::as_str);
        said.unwrap_or("the server cut the answer: there are more rows").to_owned()
    });
    let stats = answer.get("stats").cloned().unwrap_or(Value::Null);
    Ok(Answer { columns, rows: Rows::Values(rows), truncated, stats })
}

/// An `application/problem+json` body; `None` if it is none.
fn problem(status: u16, text: &str, sql: &str) -> Option<Failure> {
    let problem: Value = serde_json::from_str(text).ok()?;
    let code = problem.get("code")?.as_str()?;
    let said =
        problem.get("detail").or_else(|| problem.get("title")).and_then(Value::as_str).unwrap_or("the server refused");
    let retryable = problem.get("retryable").and_then(Value::as_bool).unwrap_or(matches!(status, 429 | 503 | 504));
    let exit = match status {
        401 | 403 => Exit::NotAuthorised,
        _ if retryable => Exit::Retryable,
        _ if code.starts_with("parameter-") => Exit::Usage,
        _ => Exit::Failed,
    };
    let mut failure = Failure::new(exit, code, said);
    if exit == Exit::NotAuthorised {
        failure = failure.hint("check --key (or TRACEHOUND_KEY) and --tenant");
    }
    if let Some(place) = problem.get("sql") {
        let number = |key: &str| place.get(key).and_then(Value::as_u64);
        failure.part = SqlPart::find(sql, number("line"), number("column"), number("length"));
        let names = place.get("did_you_mean").and_then(Value::as_array);
        failure.did_you_mean =
            names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    }
    Some(failure)
}

/// The three export responses have one shape in protobuf.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`, without its details.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

fn taken(encoding: Encoding, bytes: &[u8]) -> Taken {
    match encoding {
        Encoding::Protobuf => {
            let partial = ExportResponse::decode(bytes).ok().and_then(|response| response.partial_success);
            let partial = partial.unwrap_or_default();
            Taken { rejected: partial.rejected.try_into().unwrap_or(0), message: partial.error_message }
        }
        Encoding::Json => {
            let response: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
            let partial = response.get("partialSuccess");
            let rejected = ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"].iter().find_map(|key| {
                match partial?.get(key)? {
                    Value::String(digits) => digits.parse().ok(),
                    number => number.as_u64(),
                }
            });
            let message = partial.and_then(|partial| partial.get("errorMessage")?.as_str()).unwrap_or_default();
            Taken { rejected: rejected.unwrap_or(0), message: message.to_owned() }
        }
    }
}

fn status_message(encoding: Encoding, bytes: &[u8]) -> String {
    let json = || serde_json::from_slice::<Value>(bytes).ok()?.get("message")?.as_str().map(str::to_owned);
    let protobuf = || RpcStatus::decode(bytes).ok().map(|status| status.message);
    let message = match encoding {
        Encoding::Json => json(),
        Encoding::Protobuf => json().or_else(protobuf),
    };
    message.filter(|message| !message.is_empty()).unwrap_or_else(|| "without a reason".to_owned())
}

#[cfg(test)]
mod tests {
    use tracehound_query::TimeRange;

    use super::*;

    #[test]
    fn a_request_is_written_as_the_api_reads_it() {
        let mut request = QueryRequest::new("SELECT 1");
        request.params.insert("a".to_owned(), ParamValue::text("x"));
        request.params.insert("n".to_owned(), ParamValue::typed("Int64", "5"));
        request.time_range = Some(TimeRange { from_ns: 0, to_ns: 1 });
        request.max_rows = Some(usize::MAX);
        let expected = json!({
            "sql": "SELECT 1",
            "params": {"a": "x", "n": {"type": "Int64", "value": "5"}},
            "time_range": {"from": "1970-01-01T00:00:00.000000000Z", "to": "1970-01-01T00:00:00.000000001Z"},
            "limits": {"max_rows": ALL_ROWS},
        });
        assert_eq!(body(&request), expected);
        assert_eq!(body(&QueryRequest::new("SELECT 1")), json!({"sql": "SELECT 1"}));
    }

    #[test]
    fn problems_become_failures() {
        let text = json!({
            "type": "/problems/sql-unknown-column", "title": "unknown column", "status": 400, "code": "sql-unknown-column",
            "detail": "no column x", "retryable": false, "sql": {"line": 1, "column": 8, "length": 1, "did_you_mean": ["y"]}
        });
        let failure = problem(400, &text.to_string(), "SELECT x").unwrap();
        assert_eq!(
            (failure.exit, failure.message.as_str(), failure.did_you_mean.len()),
            (Exit::Failed, "no column x", 1)
        );
        assert_eq!(failure.part.map(|part| (part.line, part.column, part.length)), Some((1, 8, 1)));
        let exit = |status, code: &str| problem(status, &json!({"code": code}).to_string(), "").unwrap().exit;
        assert_eq!(exit(401, "unauthenticated"), Exit::NotAuthorised);
        assert_eq!(exit(503, "overloaded"), Exit::Retryable);
        assert_eq!(exit(504, "timeout"), Exit::Retryable);
        assert_eq!(exit(422, "parameter-missing"), Exit::Usage);
        assert_eq!(problem(502, "<html>", ""), None);
    }

    #[test]
    fn answers_are_read() {
        let answer = json!({"columns": [{"name": "a", "type": "text"}], "rows": [["x"], [null]], "truncated": true, "stats": {"entry": 1}});
        let answer = read_answer(answer).unwrap();
        assert_eq!(answer.columns, ["a"]);
        assert!(answer.truncated.is_some());
        assert_eq!(answer.into_rows().unwrap().len(), 2);
        assert!(read_answer(json!({"rows": []})).is_err());
        assert!(read_answer(json!({"columns": [], "rows": [1]})).is_err());
    }

    #[test]
    fn partial_successes_are_read_in_both_encodings() {
        let expected = Taken { rejected: 3, message: "no id".to_owned() };
        let response =
            ExportResponse { partial_success: Some(PartialSuccess { rejected: 3, error_message: "no id".to_owned() }) };
        assert_eq!(taken(Encoding::Protobuf, &response.encode_to_vec()), expected);
        assert_eq!(taken(Encoding::Protobuf, b""), Taken::default());
        let json = br#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"no id"}}"#;
        assert_eq!(taken(Encoding::Json, json), expected);
        assert_eq!(taken(Encoding::Json, b"{}"), Taken::default());
        let status = RpcStatus { code: 3, message: "bad".to_owned() };
        assert_eq!(status_message(Encoding::Protobuf, &status.encode_to_vec()), "bad");
        assert_eq!(status_message(Encoding::Json, br#"{"code":3,"message":"bad"}"#), "bad");
        assert_eq!(status_message(Encoding::Json, b"<html>"), "without a reason");
    }
}
