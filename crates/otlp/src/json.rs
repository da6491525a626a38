//! OTLP/JSON, read straight into the prost structs.
//!
//! Protobuf's JSON mapping with OTLP's changes: only lowerCamelCase names,
//! ids in hex, enums as numbers. Lenient where the mapping is: numbers as
//! text, nulls, unknown fields, either base64 alphabet, enum names.

mod messages;
mod read;
mod scalar;
mod scan;
#[cfg(test)]
mod tests;

use serde_json::Deserializer;
use tracehound_schema::{DecodeLimits, Signal};

use crate::Error;
use crate::budget::Budget;
use crate::decode::request_name;
use read::{Object, Read, Reader};

pub(crate) use read::FromJson;

/// Reads a request. An empty body is an empty request.
///
/// # Errors
/// [`Error::Malformed`] with line and column, [`Error::TooDeep`], [`Error::TooLarge`].
///
/// Source: opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
pub(crate) fn parse<M: FromJson>(
    signal: Signal,
    body: &[u8],
    limits: &DecodeLimits,
    budget: &mut Budget,
) -> Result<M, Error> {
    let what = request_name(signal);
    match body.trim_ascii_start().first() {
        None => return Ok(M::default()),
        Some(b'{') => {}
        Some(_) => {
            let detail = "expected a JSON object".to_owned();
            return Err(Error::Malformed { what, detail });
        }
    }
    scan::check_depth(body, limits)?;
    let reader = Reader::new(limits, budget);
    let mut json = Deserializer::from_slice(body);
    json.disable_recursion_limit();
    let parsed = Object::<M>::read(&reader, &mut json).and_then(|message| {
        json.end()?;
        Ok(message)
    });
    match (reader.into_refusal(), parsed) {
        (Some(Error::TooDeep { levels_max, .. }), Err(error)) => {
            Err(Error::TooDeep { levels_max, place: format!("line {} column {}", error.line(), error.column()) })
        }
        (Some(refusal), _) => Err(refusal),
        (None, Ok(message)) => Ok(message.unwrap_or_default()),
        (None, Err(error)) => Err(Error::Malformed { what, detail: error.to_string() }),
    }
}
