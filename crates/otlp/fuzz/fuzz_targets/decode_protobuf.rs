#![no_main]

use libfuzzer_sys::fuzz_target;
use tracehound_otlp_fuzz::{assert_stable, chosen, decoded};
use tracehound_schema::Encoding;

fuzz_target!(|data: &[u8]| {
    let Some((signal, body)) = chosen(data) else { return };
    if let Ok(decoded) = decoded(signal, Encoding::Protobuf, body.to_vec()) {
        assert_stable(signal, &decoded);
    }
});
