#![no_main]

use libfuzzer_sys::fuzz_target;
use tracehound_otlp_fuzz::{chosen, decoded};
use tracehound_schema::Encoding;

fuzz_target!(|data: &[u8]| {
    let Some((signal, body)) = chosen(data) else { return };
    drop(decoded(signal, Encoding::Json, body.to_vec()));
});
