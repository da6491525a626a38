#![no_main]

use std::io::BufReader;

use libfuzzer_sys::fuzz_target;
use tracehound_otlp::file::MessageReader;

const MESSAGE_BYTES_MAX: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    // A buffer of a few bytes, so that everything is met in pieces.
    let input = BufReader::with_capacity(7, data);
    let mut total = 0;
    for message in MessageReader::new(input, MESSAGE_BYTES_MAX) {
        let Ok((_, _, body)) = message else { return };
        assert!(body.len() <= MESSAGE_BYTES_MAX);
        total += body.len();
        assert!(total <= data.len());
    }
});
