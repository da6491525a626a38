//! The way from a payload to its rows: bound, parse, check, build.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tracehound_schema::{DecodeLimits, Decoded, Encoding, Payload, Signal};

use crate::budget::Budget;
use crate::{Error, bound, json, logs, metrics, spans};

/// What every record of a payload is decoded with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) limits: &'a DecodeLimits,
    pub(crate) received_at_ns: i64,
    pub(crate) ingest_key_id: Option<&'a str>,
}

/// Decodes a payload into the rows of its signal's dataset and rejections.
///
/// A pure function of its arguments, so that replay gives what was stored at
/// first. Records that break a limit are rejected one by one; the rest is kept.
///
/// # Errors
/// [`Error::Malformed`] if the body is not a message of its signal and
/// encoding; [`Error::TooDeep`] and [`Error::TooLarge`] if it is beyond what
/// may be decoded at all.
///
/// Source: the OTLP specification 1.x and protobuf's JSON mapping.
pub fn decode(payload: &Payload, limits: &DecodeLimits) -> Result<Decoded, Error> {
    let context =
        Context { limits, received_at_ns: payload.received_at_ns, ingest_key_id: payload.ingest_key_id.as_deref() };
    match payload.signal {
        Signal::Traces => {
            let request: ExportTraceServiceRequest = parse(payload, limits)?;
            spans::decode(&request, context)
        }
        Signal::Logs => {
            let request: ExportLogsServiceRequest = parse(payload, limits)?;
            logs::decode(&request, context)
        }
        Signal::Metrics => {
            let request: ExportMetricsServiceRequest = parse(payload, limits)?;
            metrics::decode(&request, context)
        }
    }
}

fn parse<M: Message + Default + json::FromJson>(payload: &Payload, limits: &DecodeLimits) -> Result<M, Error> {
    let mut budget = Budget::new(limits.decoded_bytes_max);
    match payload.encoding {
        Encoding::Json => json::parse(payload.signal, &payload.body, limits, &mut budget),
        Encoding::Protobuf => {
            bound::check(payload.signal, &payload.body, limits, &mut budget)?;
            M::decode(payload.body.as_ref())
                .map_err(|error| Error::Malformed { what: request_name(payload.signal), detail: error.to_string() })
        }
    }
}

/// The name of a signal's request.
pub(crate) fn request_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "ExportTraceServiceRequest",
        Signal::Logs => "ExportLogsServiceRequest",
        Signal::Metrics => "ExportMetricsServiceRequest",
    }
}
