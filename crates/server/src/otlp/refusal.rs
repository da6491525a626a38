//! Why a request was not accepted, told as OTLP wants it: an HTTP status or a
//! gRPC code, a `google.rpc.Status`, and a delay where a retry is sensible.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};
use tracehound_schema::Encoding;

use crate::auth::AuthError;
use crate::in_flight::Full;
use crate::ingest::IngestError;

/// The most bytes of a message to a client: with its percent-encoded and its
/// base64 form it has to fit the 8 KiB that gRPC clients accept as headers.
const MESSAGE_BYTES_MAX: usize = 1024;

/// A request that was not accepted.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    code: Code,
    status: StatusCode,
    message: String,
    retry_after: Option<Duration>,
    /// What is wrong in the request, for the details of `BadRequest`.
    field: Option<&'static str>,
    header: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    fn new(code: Code, status: StatusCode, message: impl Into<String>) -> Self {
        let message = cut(message.into(), MESSAGE_BYTES_MAX);
        Self { code, status, message, retry_after: None, field: None, header: None }
    }

    /// The body will never be accepted as it is.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        let refusal = Self::new(Code::InvalidArgument, StatusCode::BAD_REQUEST, message);
        Self { field: Some("body"), ..refusal }
    }

    /// The body or what it decompresses to is beyond the limit; it has to be split.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// The Content-Type is none of OTLP's.
    pub(crate) fn media_type(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// The compression is not one of ours.
    pub(crate) fn compression(message: impl Into<String>) -> Self {
        let refusal = Self::new(Code::Unimplemented, StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
        Self { header: Some((ACCEPT_ENCODING, "gzip, zstd, identity")), ..refusal }
    }

    /// There is nothing at this path.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, StatusCode::NOT_FOUND, message)
    }

    /// The path takes POST only.
    pub(crate) fn method(message: impl Into<String>) -> Self {
        let refusal = Self::new(Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED, message);
        Self { header: Some((ALLOW, "POST")), ..refusal }
    }

    /// The server has no such gRPC method.
    pub(crate) fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(Code::Unimplemented, StatusCode::NOT_FOUND, message)
    }

    /// A later retry of the same request is sensible.
    pub(crate) fn retry_later(message: impl Into<String>, retry_after: Duration) -> Self {
        let refusal = Self::new(Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE, message);
        Self { retry_after: Some(retry_after), ..refusal }
    }

    /// Our own fault, or what gRPC wants to be called so.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// A header that stands twice or is not text, where that could be misread.
    pub(crate) fn bad_header(name: &str) -> Self {
        let message = format!("the header {name} must be sent once, as plain text");
        let refusal = Self::new(Code::InvalidArgument, StatusCode::BAD_REQUEST, message);
        Self { field: Some("headers"), ..refusal }
    }

    /// What the client is told.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The name of its gRPC code, as `google.rpc.Code` has it.
    pub(crate) fn code_name(&self) -> &'static str {
        match self.code {
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::NotFound => "NOT_FOUND",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Unavailable => "UNAVAILABLE",
            Code::Unauthenticated => "UNAUTHENTICATED",
            _ => "INTERNAL",
        }
    }

    /// As gRPC tells it; the details say when to retry or what is wrong.
    pub(crate) fn to_grpc(&self) -> tonic::Status {
        let mut details = ErrorDetails::new();
        if let Some(delay) = self.retry_after {
            details.set_retry_info(Some(delay));
        }
        if let Some(field) = self.field {
            details.add_bad_request_violation(field, self.message.as_str());
        }
        tonic::Status::with_error_details(self.code, self.message.as_str(), details)
    }

    /// As HTTP tells it: the status, and a `google.rpc.Status` in `encoding`.
    pub(crate) fn to_http(&self, encoding: Encoding) -> Response<Body> {
        let (media_type, body) = match encoding {
            // The details of a gRPC status are the whole google.rpc.Status, encoded.
            Encoding::Protobuf => ("application/x-protobuf", self.to_grpc().details().to_vec()),
            Encoding::Json => ("application/json", self.to_json().into_bytes()),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some((name, value)) = self.header.clone() {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(delay) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
        }
        response
    }

    fn to_json(&self) -> String {
        let mut details = Vec::new();
        if let Some(delay) = self.retry_after {
            let delay = format!("{}.{:03}s", delay.as_secs(), delay.subsec_millis());
            details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}));
        }
        if let Some(field) = self.field {
            let violation = json!({"field": field, "description": self.message});
            details.push(json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}));
        }
        let mut status = json!({"code": i32::from(self.code), "message": self.message});
        if !details.is_empty() {
            status["details"] = details.into();
        }
        status.to_string()
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        let message = error.to_string();
        match error {
            AuthError::Missing | AuthError::Unknown => Self {
                header: Some((WWW_AUTHENTICATE, "Bearer")),
                ..Self::new(Code::Unauthenticated, StatusCode::UNAUTHORIZED, message)
            },
            AuthError::Forbidden { .. } | AuthError::NotAdmin { .. } => {
                Self::new(Code::PermissionDenied, StatusCode::FORBIDDEN, message)
            }
            AuthError::BadTenant(_) | AuthError::ChooseTenant { .. } => Self {
                field: Some("x-tracehound-tenant"),
                ..Self::new(Code::InvalidArgument, StatusCode::BAD_REQUEST, message)
            },
        }
    }
}

impl From<IngestError> for Refusal {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Malformed(message) => Self::malformed(message),
            IngestError::TooLarge(message) => Self::too_large(message),
            IngestError::Quota { message, retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::new(Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS, message)
            },
            IngestError::RetryLater { message, retry_after } => Self::retry_later(message, retry_after),
            IngestError::Internal(message) => Self::internal(message),
        }
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        Self::retry_later(full.to_string(), Duration::from_secs(1))
    }
}

/// A delay as Retry-After has it: SDKs wait exactly so long, so never zero.
fn whole_seconds(delay: Duration) -> u64 {
    let up = u64::from(delay.subsec_nanos() > 0);
    delay.as_secs().saturating_add(up).max(1)
}

/// The start of a text, in whole characters.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max.saturating_sub('…'.len_utf8())));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_whole_seconds_and_never_zero() {
        let check =
            |millis, expected| assert_eq!(whole_seconds(Duration::from_millis(millis)), expected, "{millis} ms");
        check(0, 1);
        check(1, 1);
        check(1000, 1);
        check(1001, 2);
        check(60_000, 60);
    }

    #[test]
    fn messages_are_cut_between_characters() {
        assert_eq!(cut("short".to_owned(), 5), "short");
        assert_eq!(cut("äääääää".to_owned(), 8), "ää…");
        assert!(Refusal::malformed("ä".repeat(5000)).message.len() <= MESSAGE_BYTES_MAX);
    }

    /// Clients drop what they get a 500 for, so only a bug of ours may say it.
    #[test]
    fn case_27_only_our_own_bugs_are_500() {
        let check = |error: IngestError, status: u16, code: Code| {
            let refusal = Refusal::from(error);
            assert_eq!((refusal.status.as_u16(), refusal.code), (status, code), "{}", refusal.message);
        };
        let (text, retry_after) = ("x".to_owned(), Duration::from_secs(1));
        check(IngestError::Internal(text.clone()), 500, Code::Internal);
        check(IngestError::Malformed(text.clone()), 400, Code::InvalidArgument);
        check(IngestError::TooLarge(text.clone()), 413, Code::ResourceExhausted);
        check(IngestError::Quota { message: text.clone(), retry_after }, 429, Code::ResourceExhausted);
        check(IngestError::RetryLater { message: text, retry_after }, 503, Code::Unavailable);
    }

    #[test]
    fn json_and_protobuf_say_the_same() {
        let refusal = Refusal::retry_later("later", Duration::from_millis(1500));
        let json: serde_json::Value = serde_json::from_str(&refusal.to_json()).expect("JSON");
        assert_eq!(json["code"], 14);
        assert_eq!(json["details"][0]["retryDelay"], "1.500s");
        let delay = refusal.to_grpc().get_error_details().retry_info().and_then(|info| info.retry_delay);
        assert_eq!(delay, Some(Duration::from_millis(1500)));
    }
}
