//! No bytes make decoding panic, and what decodes decodes again to the same.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use tracehound_otlp::decode;
use tracehound_schema::{DecodeLimits, Encoding, Signal};

use crate::to_json::ToJson;
use crate::{generate, payload};

fn decode_all(body: &[u8]) {
    for signal in Signal::ALL {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            drop(decode(&payload(signal, encoding, body.to_vec()), &DecodeLimits::default()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_not_panic(body in vec(any::<u8>(), 0..200)) {
        decode_all(&body);
    }

    #[test]
    fn damaged_messages_do_not_panic(
        request in generate::traces(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        for mut body in [request.encode_to_vec(), request.to_json().to_string().into_bytes()] {
            if body.is_empty() {
                continue;
            }
            for (at, byte) in &damage {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            decode_all(&body);
            body.truncate(cut.index(body.len()));
            decode_all(&body);
        }
    }
}

#[test]
fn deep_json_is_refused_on_a_small_stack() {
    let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"value":"#.to_owned()
        + &r#"{"arrayValue":{"values":["#.repeat(40)
        + &"]}}".repeat(40)
        + "}]}]}]}]}";
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let accepted =
        small.spawn(move || decode(&payload(Signal::Traces, Encoding::Json, body), &DecodeLimits::default()).is_ok());
    assert!(accepted.unwrap().join().unwrap());
}
