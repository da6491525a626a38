//! Tests of the crate as its users see it.

#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod fixtures;
mod generate;
mod golden;
mod hostile;
mod limits;
mod render;
mod round_trip;
mod to_json;

use bytes::Bytes;
use prost::Message;
use tracehound_schema::{Encoding, Payload, Signal, TenantId};

/// When test payloads are received: 2026-11-22T15:30:00Z.
const RECEIVED_AT_NS: i64 = 1_795_361_400_000_000_000;

fn payload(signal: Signal, encoding: Encoding, body: impl Into<Bytes>) -> Payload {
    Payload {
        tenant: TenantId::default_tenant(),
        signal,
        encoding,
        received_at_ns: RECEIVED_AT_NS,
        ingest_key_id: Some("key-1".to_owned()),
        body: body.into(),
    }
}

fn protobuf(signal: Signal, message: &impl Message) -> Payload {
    payload(signal, Encoding::Protobuf, message.encode_to_vec())
}
