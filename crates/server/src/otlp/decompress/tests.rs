use std::io::Write;

use flate2::write::GzEncoder;

use super::*;
use crate::in_flight::InFlight;

const BOUNDS: Bounds = Bounds { bytes_max: 8 << 20, ratio_max: 1000 };

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 0).expect("in memory")
}

/// `Ok` is the length of the output, `Err` the code.
fn check(raw: &[u8], applied: &[Compression], expected: Result<usize, &str>) {
    let in_flight = InFlight::new(64 << 20);
    let found = decompress(raw, applied, BOUNDS, in_flight.reserve());
    let found = found.as_ref().map(Held::len).map_err(|refusal| {
        assert!(!refusal.message().is_empty());
        refusal.code_name()
    });
    assert_eq!(found, expected, "{} bytes, {applied:?}", raw.len());
}

#[test]
fn what_was_compressed_comes_back() {
    use Compression::{Gzip, Zstd};
    let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let cases = [
        (gzip(&text), vec![Gzip]),
        (zstd(&text), vec![Zstd]),
        (zstd(&gzip(&text)), vec![Gzip, Zstd]),
        (gzip(&zstd(&text)), vec![Zstd, Gzip]),
        (text.clone(), vec![]),
    ];
    for (raw, applied) in cases {
        let held = decompress(&raw, &applied, BOUNDS, InFlight::new(64 << 20).reserve()).expect("well-formed");
        assert!(held.as_slice() == text, "{applied:?}");
    }
}

#[test]
fn members_and_frames_follow_each_other() {
    check(&[gzip(b"abc"), gzip(b"de")].concat(), &[Compression::Gzip], Ok(5));
    check(&[zstd(b"abc"), zstd(b"de")].concat(), &[Compression::Zstd], Ok(5));
}

#[test]
fn broken_bytes_are_malformed() {
    for (compressed, applied) in [(gzip(&[7; 9999]), Compression::Gzip), (zstd(&[7; 9999]), Compression::Zstd)] {
        for end in 1..compressed.len() {
            check(&compressed[..end], &[applied], Err("INVALID_ARGUMENT"));
        }
        check(b"plain text", &[applied], Err("INVALID_ARGUMENT"));
        check(&[compressed.as_slice(), b"plain text"].concat(), &[applied], Err("INVALID_ARGUMENT"));
        check(&[], &[applied], Ok(0));
    }
}

#[test]
fn output_is_bounded() {
    let noise: Vec<u8> = (0..1_u32 << 21).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    assert_eq!(noise.len(), BOUNDS.bytes_max);
    let beyond = [noise.as_slice(), &[0]].concat();
    for (compress, applied) in [(gzip as fn(&[u8]) -> Vec<u8>, Compression::Gzip), (zstd, Compression::Zstd)] {
        check(&compress(&noise), &[applied], Ok(BOUNDS.bytes_max));
        check(&compress(&beyond), &[applied], Err("RESOURCE_EXHAUSTED"));
        // The inner layer is beyond the bound, whatever the outer one makes of it.
        check(&compress(&gzip(&beyond)), &[Compression::Gzip, applied], Err("RESOURCE_EXHAUSTED"));
    }
}

#[test]
fn the_ratio_is_bounded_beyond_a_mebibyte() {
    check(&zstd(&vec![0; 1 << 20]), &[Compression::Zstd], Ok(1 << 20));
    check(&zstd(&vec![0; 3 << 20]), &[Compression::Zstd], Err("RESOURCE_EXHAUSTED"));
    // Deflate cannot do more than 1032.
    check(&gzip(&gzip(&vec![0; 3 << 20])), &[Compression::Gzip, Compression::Gzip], Err("RESOURCE_EXHAUSTED"));
}

#[test]
fn windows_are_bounded() {
    let frame = |window_log: u32| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 0).expect("an encoder");
        encoder.window_log(window_log).expect("a window");
        encoder.write_all(b"small").expect("in memory");
        encoder.flush().expect("in memory");
        encoder.finish().expect("in memory")
    };
    check(&frame(ZSTD_WINDOW_LOG_MAX), &[Compression::Zstd], Ok(5));
    check(&frame(ZSTD_WINDOW_LOG_MAX + 1), &[Compression::Zstd], Err("RESOURCE_EXHAUSTED"));
}

#[test]
fn the_servers_memory_is_respected() {
    let in_flight = InFlight::new(100_000);
    let found = decompress(&zstd(&[0; 200_000]), &[Compression::Zstd], BOUNDS, in_flight.reserve());
    assert_eq!(found.expect_err("no room").code_name(), "UNAVAILABLE");
    assert_eq!(in_flight.bytes(), 0);
}
