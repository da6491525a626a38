//! Errors as RFC 9457 problem documents.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tracehound_query::Error as QueryError;

use crate::auth::AuthError;

/// Seconds after which a client may try a retryable failure again.
const RETRY_AFTER_SECONDS: u64 = 1;

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    status: u16,
    code: String,
    detail: String,
    retryable: bool,
    query_id: Option<String>,
    sql: Option<Value>,
    parameter: Option<String>,
}

impl Problem {
    /// A problem that a retry does not solve.
    pub(crate) fn new(status: u16, code: &str, detail: impl Into<String>) -> Self {
        let (code, detail) = (code.to_owned(), detail.into());
        Self { status, code, detail, retryable: false, query_id: None, sql: None, parameter: None }
    }

    /// A problem with the request's form.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "bad-request", detail)
    }

    /// The same, where a retry may help.
    pub(crate) fn retryable(self) -> Self {
        Self { retryable: true, ..self }
    }

    /// The same with the id of the query it is about.
    pub(crate) fn of_query(self, query_id: &str) -> Self {
        Self { query_id: Some(query_id.to_owned()), ..self }
    }

    /// Its code, such as `sql-unknown-column`.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let status = match &error {
            QueryError::Sql(_) | QueryError::Forbidden { .. } | QueryError::Limit { .. } => 400,
            QueryError::Parameter { .. } => 422,
            QueryError::NotFound { .. } => 404,
            QueryError::Timeout { .. } => 504,
            QueryError::Unavailable { .. } => 503,
            QueryError::Corrupt { .. } | QueryError::Internal { .. } => 500,
        };
        let detail = match &error {
            QueryError::Internal { detail } => {
                tracing::error!(detail, "query failed");
                "the server failed to answer the query; its log says why".to_owned()
            }
            other => other.to_string(),
        };
        let mut problem = Self::new(status, error.code(), detail);
        problem.retryable = error.retryable();
        match error {
            QueryError::Sql(sql) => {
                let mut place = Map::new();
                for (key, value) in [("line", sql.line), ("column", sql.column), ("length", sql.length)] {
                    if let Some(value) = value {
                        place.insert(key.to_owned(), json!(value));
                    }
                }
                place.insert("did_you_mean".to_owned(), json!(sql.did_you_mean));
                problem.sql = Some(Value::Object(place));
            }
            QueryError::Parameter { name, .. } => problem.parameter = Some(name),
            _ => {}
        }
        problem
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let (status, code) = match &error {
            AuthError::Missing | AuthError::Unknown => (401, "unauthenticated"),
            AuthError::Forbidden { .. } | AuthError::NotAdmin { .. } => (403, "forbidden"),
            AuthError::BadTenant(_) | AuthError::ChooseTenant { .. } => (400, "bad-tenant"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("/problems/{}", self.code),
            "title": self.code.replace('-', " "),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "retryable": self.retryable,
        });
        let named = self.query_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok());
        let optional = [
            ("query_id", self.query_id.map(Value::String)),
            ("sql", self.sql),
            ("parameter", self.parameter.map(Value::String)),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                body[key] = value;
            }
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(id) = named {
            headers.insert(HeaderName::from_static("x-tracehound-query-id"), id);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self.status, 429 | 503) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}
