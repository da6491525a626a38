//! A request's body: small, in time, and JSON.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::config::LimitsConfig;

/// How many times the limit is read and thrown away, since most clients look at the answer only when they
/// have sent everything.
const DISCARD_FACTOR: usize = 16;

/// Reads a body. Nothing is read before this, so that callers without a key send none.
///
/// # Errors
/// 413 beyond the limit, 408 for a client that is too slow, 400 for one that breaks off.
pub(super) async fn read(limits: &LimitsConfig, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let max = limits.request_bytes;
    let too_large = || Problem::new(413, "too-large", format!("a request may have at most {max} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if headers.contains_key(header::EXPECT) && announced.is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    let whole = async {
        let (mut bytes, mut seen) = (Vec::new(), 0_usize);
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Problem::bad_request("the body broke off"))?;
            seen = seen.saturating_add(chunk.len());
            if seen <= max {
                bytes.extend_from_slice(&chunk);
            } else if seen > max.saturating_mul(DISCARD_FACTOR) {
                break;
            } else {
                bytes = Vec::new();
            }
        }
        if seen > max { Err(too_large()) } else { Ok(Bytes::from(bytes)) }
    };
    tokio::time::timeout(limits.body_timeout, whole).await.unwrap_or_else(|_| {
        let seconds = limits.body_timeout.as_secs_f32();
        Err(Problem::new(408, "request-timeout", format!("the body did not arrive within {seconds} s")))
    })
}

/// Reads a body's JSON.
///
/// # Errors
/// 400 that says what is wrong and where.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is not what is expected here: {error}")))
}
