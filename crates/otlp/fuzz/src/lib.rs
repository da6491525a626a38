//! What the targets share. The first byte of an input chooses the signal, the rest is the body.

use prost::Message;
use tracehound_otlp::{Error, decode, encode_logs, encode_metrics, encode_traces};
use tracehound_schema::{DecodeLimits, Decoded, Encoding, Payload, Signal, TenantId};

/// What rows may take beyond the budget for them: builders double their buffers.
const SLACK: usize = 4;

/// The limits that inputs are decoded with.
pub fn limits() -> DecodeLimits {
    DecodeLimits { decoded_bytes_max: 16 << 20, ..DecodeLimits::default() }
}

/// The signal that an input chooses, and its body.
pub fn chosen(input: &[u8]) -> Option<(Signal, &[u8])> {
    let (choice, body) = input.split_first()?;
    Some((Signal::ALL[usize::from(*choice) % Signal::ALL.len()], body))
}

/// Decodes, and asserts that the result is bounded.
pub fn decoded(signal: Signal, encoding: Encoding, body: Vec<u8>) -> Result<Decoded, Error> {
    let payload = Payload {
        tenant: TenantId::default_tenant(),
        signal,
        encoding,
        received_at_ns: 1_795_361_400_000_000_000,
        ingest_key_id: None,
        body: body.into(),
    };
    let decoded = decode(&payload, &limits());
    match &decoded {
        Ok(decoded) => {
            let bytes = decoded.rows.get_array_memory_size() + decoded.rejects.get_array_memory_size();
            assert!(bytes <= SLACK * limits().decoded_bytes_max, "{bytes} bytes of rows");
            assert!(decoded.message.len() < 10_000);
        }
        Err(error) => assert!(error.to_string().len() < 10_000),
    }
    decoded
}

/// Asserts that rows turn into a message that decodes to the same rows.
pub fn assert_stable(signal: Signal, decoded: &Decoded) {
    let body = match signal {
        Signal::Traces => encode_traces(&decoded.rows).expect("decoded rows encode").encode_to_vec(),
        Signal::Logs => encode_logs(&decoded.rows).expect("decoded rows encode").encode_to_vec(),
        Signal::Metrics => encode_metrics(&decoded.rows).expect("decoded rows encode").encode_to_vec(),
    };
    match self::decoded(signal, Encoding::Protobuf, body) {
        Ok(again) => assert_eq!(again.rows, decoded.rows),
        // Groups that were split may take more than the message they came from.
        Err(Error::TooLarge { .. }) => {}
        Err(error) => panic!("encoded rows do not decode: {error}"),
    }
}
