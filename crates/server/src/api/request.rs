//! What a client may say about a query, in a body or in the query string.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use serde::Deserialize;
use serde_json::Value;
use tracehound_query::{AsOf, ParamValue, QueryRequest, TimeRange, time};

use super::problem::Problem;

/// What the query string says about the form of any answer.
pub(super) const FORM: &[&str] = &["format", "rows"];

/// The body of `POST /api/v1/query`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryBody {
    pub(super) sql: String,
    pub(super) params: Option<BTreeMap<String, Value>>,
    pub(super) time_range: Option<TimeRangeBody>,
    pub(super) limits: Option<LimitsBody>,
    pub(super) as_of: Option<Value>,
    pub(super) query_id: Option<String>,
    pub(super) mode: Option<String>,
}

/// `{"from": "now-6h", "to": "now"}`; Unix numbers too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeRangeBody {
    from: Value,
    to: Option<Value>,
}

/// Bounds that a client sets for its own query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsBody {
    pub(super) max_rows: Option<usize>,
    pub(super) max_bytes: Option<usize>,
    pub(super) timeout_ms: Option<u64>,
}

impl QueryBody {
    /// The query that it asks for.
    pub(super) fn into_request(self, now_ns: i64) -> Result<QueryRequest, Problem> {
        if let Some(mode) = self.mode.as_deref().filter(|mode| *mode != "sync") {
            return Err(Problem::bad_request(format!("mode {mode:?} is not known: use \"sync\"")));
        }
        Ok(QueryRequest {
            sql: self.sql,
            params: params(self.params.unwrap_or_default())?,
            time_range: self.time_range.map(|range| range.resolve(now_ns)).transpose()?,
            as_of: self.as_of.as_ref().map(|value| as_of(value, now_ns)).transpose()?.flatten(),
            query_id: self.query_id,
            ..self.limits.unwrap_or_default().request()
        })
    }
}

impl LimitsBody {
    /// A query with these bounds and nothing else.
    pub(super) fn request(self) -> QueryRequest {
        let timeout = self.timeout_ms.map(Duration::from_millis);
        QueryRequest { max_rows: self.max_rows, max_bytes: self.max_bytes, timeout, ..QueryRequest::default() }
    }
}

impl TimeRangeBody {
    /// The range, relative to now.
    pub(super) fn resolve(&self, now_ns: i64) -> Result<TimeRange, Problem> {
        let to = self.to.as_ref().map(time_text).transpose()?;
        Ok(TimeRange::parse(&time_text(&self.from)?, to.as_deref(), now_ns)?)
    }
}

fn time_text(value: &Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Problem::new(422, "parameter-invalid", "a time is text such as \"now-6h\", or a Unix number")),
    }
}

/// The parameters of `GET /api/v1/query`: `q`, `p.NAME`, `from`, `to`, `max_rows`, `max_bytes`, `timeout_ms`, `as_of`, `query_id`.
pub(super) fn from_query_string(pairs: &[(String, String)], now_ns: i64) -> Result<QueryRequest, Problem> {
    let mut request = QueryRequest::default();
    let (mut sql, mut from, mut to) = (None, None, None);
    for (key, value) in pairs {
        let number = || number(key, value);
        let size = || number().map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        match key.as_str() {
            "q" | "sql" => sql = Some(value.clone()),
            "from" => from = Some(value.as_str()),
            "to" => to = Some(value.as_str()),
            "max_rows" => request.max_rows = Some(size()?),
            "max_bytes" => request.max_bytes = Some(size()?),
            "timeout_ms" => request.timeout = Some(Duration::from_millis(number()?)),
            "as_of" => request.as_of = as_of(&Value::String(value.clone()), now_ns)?,
            "query_id" | "format" | "rows" => {}
            other => match other.strip_prefix("p.") {
                Some(name) => {
                    request.params.insert(name.to_owned(), ParamValue::text(value.clone()));
                }
                None => {
                    return Err(Problem::bad_request(format!(
                        "unknown parameter {other:?}; SQL parameters are p.NAME"
                    )));
                }
            },
        }
    }
    request.sql = sql.ok_or_else(|| Problem::bad_request("the query is missing: give it as q=SELECT…"))?;
    request.time_range = match (from, to) {
        (Some(from), to) => Some(TimeRange::parse(from, to, now_ns)?),
        (None, Some(_)) => return Err(Problem::bad_request("to needs from")),
        (None, None) => None,
    };
    Ok(request)
}

/// Parameter values: text, numbers, booleans, null, or `{"type": …, "value": …}`.
pub(super) fn params(values: BTreeMap<String, Value>) -> Result<BTreeMap<String, ParamValue>, Problem> {
    values.into_iter().map(|(name, value)| Ok((name.clone(), param(&name, value)?))).collect()
}

fn param(name: &str, value: Value) -> Result<ParamValue, Problem> {
    let wrong = || {
        let detail =
            format!("parameter {name}: give text, a number, true, false, null, or {{\"type\": …, \"value\": …}}");
        Problem::new(422, "parameter-invalid", detail)
    };
    Ok(match value {
        Value::String(text) => ParamValue::text(text),
        Value::Bool(value) => ParamValue::typed("Boolean", value.to_string()),
        Value::Number(number) if number.is_i64() => ParamValue::typed("Int64", number.to_string()),
        Value::Number(number) if number.is_u64() => ParamValue::typed("UInt64", number.to_string()),
        Value::Number(number) => ParamValue::typed("Float64", number.to_string()),
        Value::Null => ParamValue::typed("Null", ""),
        Value::Object(mut fields) => {
            let (Some(Value::String(data_type)), Some(value)) = (fields.remove("type"), fields.remove("value")) else {
                return Err(wrong());
            };
            match value {
                _ if !fields.is_empty() => return Err(wrong()),
                Value::String(value) => ParamValue::typed(data_type, value),
                Value::Bool(_) | Value::Number(_) => ParamValue::typed(data_type, value.to_string()),
                Value::Null => ParamValue::typed("Null", ""),
                Value::Array(_) | Value::Object(_) => return Err(wrong()),
            }
        }
        Value::Array(_) => return Err(wrong()),
    })
}

/// `as_of`: an entry's number or a time, alone or as `{"entry": n}` or `{"time": "…"}`.
pub(super) fn as_of(value: &Value, now_ns: i64) -> Result<Option<AsOf>, Problem> {
    let wrong = || Problem::bad_request("as_of must be a manifest entry's number, or a time like \"now-1h\"");
    let parsed = |text: &str| AsOf::parse(text, now_ns).map_err(|_| wrong());
    let time = |value: &Value| value.as_str().map(parsed).unwrap_or_else(|| Err(wrong()));
    let entry = |value: &Value| value.as_u64().map(AsOf::Entry).ok_or_else(wrong);
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Object(fields) => match (fields.get("entry"), fields.get("time")) {
            (Some(value), _) => entry(value)?,
            (None, value) => time(value.unwrap_or(&Value::Null))?,
        },
        Value::Number(_) => entry(value)?,
        other => time(other)?,
    }))
}

/// A whole number of the query string.
pub(super) fn number(key: &str, value: &str) -> Result<u64, Problem> {
    value.parse().map_err(|_| Problem::bad_request(format!("{key}={value:?} is not a whole number")))
}

/// Refuses what would be passed over silently.
pub(super) fn only(pairs: &[(String, String)], known: &[&str]) -> Result<(), Problem> {
    let unknown = pairs.iter().find(|(key, _)| !known.contains(&key.as_str()));
    unknown.map_or(Ok(()), |(key, _)| {
        Err(Problem::bad_request(format!(
            "unknown parameter {key:?}: here the query string takes {}",
            known.join(", ")
        )))
    })
}

/// The part of the path that names a thing.
pub(super) fn segment(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let wrong = |error: PathRejection| Problem::bad_request(format!("the path cannot be read: {}", error.body_text()));
    path.map(|Path(text)| text).map_err(wrong)
}

/// A name for a query that was given none.
pub(super) fn new_id() -> String {
    ulid::Ulid::new().to_string()
}

/// The name that a query was given, or one of ours, so that its errors can name it too.
///
/// It is echoed in headers and logs, so it has to be plain.
pub(super) fn id_or_new(given: Option<String>) -> Result<String, Problem> {
    let Some(id) = given else { return Ok(new_id()) };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
        return Err(Problem::bad_request("query_id must be 1 to 64 letters, digits, '-', '_' or '.'"));
    }
    Ok(id)
}

/// The range that a hunt looks at: what was asked for, else its own window up to now.
pub(super) fn hunt_range(asked: Option<&TimeRangeBody>, window_ns: i64, now_ns: i64) -> Result<TimeRange, Problem> {
    match asked {
        Some(range) => range.resolve(now_ns),
        None => Ok(TimeRange { from_ns: now_ns.saturating_sub(window_ns), to_ns: now_ns }),
    }
}

/// A time as the API writes it.
pub(super) fn rfc3339(time_ns: i64) -> String {
    time::rfc3339(time_ns)
}
