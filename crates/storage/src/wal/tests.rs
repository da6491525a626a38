use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tracehound_schema::{DecodeLimits, Payload, Signal};

use super::frame::{HeaderError, SegmentHeader, decode_body};
use super::replay::{End, Event, Replay};
use super::segment::path_of;
use crate::disk::Disk;
use crate::{Error, testing};

fn header(number: u64, first_sequence: u64) -> SegmentHeader {
    let salt = 0x5eed_5eed_5eed_5eed;
    SegmentHeader { salt, number, first_sequence, limits: DecodeLimits::default() }
}

fn payloads() -> Vec<Payload> {
    let mut payloads = vec![testing::spans("acme", &["a"]), testing::payload("beta", Signal::Logs, "x")];
    payloads.push(Payload { ingest_key_id: Some("key-1".to_owned()), ..testing::spans("acme", &["b", "c"]) });
    payloads
}

/// A segment, and the offsets at which its frames end (the first: at which they begin).
fn segment(header: &SegmentHeader, payloads: &[Payload]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = header.encode();
    let mut ends = vec![bytes.len()];
    for (sequence, payload) in (header.first_sequence..).zip(payloads) {
        header.encode_frame(&mut bytes, sequence, payload);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

#[derive(Debug, Default, PartialEq)]
struct Found {
    frames: Vec<(u64, Payload)>,
    damage: Vec<String>,
    cut: u64,
}

fn read(dir: &Path) -> Result<(Found, End), Error> {
    let mut replay = Replay::open(Disk::Real, dir.to_owned())?;
    let mut found = Found::default();
    loop {
        for event in replay.read()? {
            match event {
                Event::End(end) => return Ok((found, end)),
                Event::Segment { .. } => {}
                Event::Frame { sequence, body } => {
                    found.frames.push((sequence, decode_body(&body).unwrap()));
                }
                Event::Damage { detail, .. } => found.damage.push(detail),
                Event::Cut { bytes } => found.cut += bytes,
            }
        }
    }
}

fn read_bytes(bytes: &[u8]) -> (Found, End, Vec<u8>) {
    let dir = TempDir::new().unwrap();
    let path = path_of(dir.path(), 7);
    fs::write(&path, bytes).unwrap();
    let (found, end) = read(dir.path()).unwrap();
    let kept = fs::read(path.with_extension("wal.corrupt")).or_else(|_| fs::read(&path)).unwrap();
    (found, end, kept)
}

#[test]
fn a_segment_reads_as_it_was_written() {
    let (bytes, _) = segment(&header(7, 40), &payloads());
    let (found, end, _) = read_bytes(&bytes);
    assert_eq!(found.frames, (40..).zip(payloads()).collect::<Vec<_>>());
    assert_eq!((found.damage, found.cut), (Vec::new(), 0));
    assert_eq!(end, End { number_max: 7, sequence_next: 43 });
}

#[test]
fn a_log_cut_at_any_byte_reads_as_a_prefix() {
    let (bytes, ends) = segment(&header(7, 1), &payloads());
    for length in ends[0]..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= length).count() - 1;
        let (found, end, kept) = read_bytes(&bytes[..length]);
        let expected: Vec<_> = (1..).zip(payloads()).take(whole).collect();
        assert_eq!(found.frames, expected, "cut at {length}");
        assert_eq!(found.damage, Vec::<String>::new(), "cut at {length}");
        assert_eq!(kept.len(), ends[whole], "the torn tail is removed, cut at {length}");
        assert_eq!(end.sequence_next, whole as u64 + 1);
    }
    for length in 0..ends[0] {
        let (found, _, kept) = read_bytes(&bytes[..length]);
        assert!(found.frames.is_empty());
        assert_eq!((found.damage.len(), kept.len()), (1, length), "cut at {length}");
    }
}

#[test]
fn a_flipped_byte_never_gives_a_wrong_frame() {
    let (bytes, ends) = segment(&header(7, 1), &payloads());
    let sent: Vec<_> = (1..).zip(payloads()).collect();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            let dir = TempDir::new().unwrap();
            fs::write(path_of(dir.path(), 7), &bytes).unwrap();
            let found = match read(dir.path()) {
                Ok((found, _)) => found,
                // The version in the magic may turn into a newer one.
                Err(Error::NewerFormat { .. }) if at == 7 => continue,
                Err(error) => panic!("flip {flip:#x} at {at}: {error}"),
            };
            let hit = ends.iter().filter(|end| **end <= at).count();
            let expected: Vec<_> = match hit {
                0 => Vec::new(),
                hit => sent.iter().filter(|(n, _)| *n != hit as u64).cloned().collect(),
            };
            assert_eq!(found.frames, expected, "flip {flip:#x} at {at}");
            assert_eq!(found.damage.is_empty(), hit == sent.len(), "flip {flip:#x} at {at}");
            assert_eq!(found.cut > 0, hit == sent.len(), "flip {flip:#x} at {at}");
        }
    }
}

#[test]
fn a_tail_of_zeros_is_no_frame() {
    let (mut bytes, ends) = segment(&header(7, 1), &payloads());
    bytes.resize(bytes.len() + 5000, 0);
    let (found, _, kept) = read_bytes(&bytes);
    assert_eq!(found.frames.len(), 3);
    assert_eq!((found.damage.len(), found.cut, kept.len()), (0, 5000, ends[3]));
}

#[test]
fn a_frame_from_elsewhere_is_no_frame() {
    let (mut bytes, _) = segment(&header(7, 1), &payloads()[..1]);
    let others = [SegmentHeader { salt: 1, ..header(7, 2) }, header(8, 2), header(7, 1)];
    for other in others {
        let first = other.first_sequence;
        other.encode_frame(&mut bytes, first, &payloads()[1]);
    }
    let (found, _, _) = read_bytes(&bytes);
    assert_eq!(found.frames.len(), 1);
}

#[test]
fn frames_behind_damage_are_used_and_the_damage_is_located() {
    let (mut bytes, ends) = segment(&header(7, 1), &payloads());
    bytes[ends[1]..ends[2]].fill(0xaa);
    let (found, end, kept) = read_bytes(&bytes);
    let sequences: Vec<_> = found.frames.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, [1, 3]);
    assert_eq!(found.damage, [format!("bytes {} to {} are not frames", ends[1], ends[2])]);
    assert_eq!((found.cut, kept.len(), end.sequence_next), (0, bytes.len(), 4));
}

#[test]
fn a_torn_tail_with_frames_in_a_later_segment_is_damage() {
    let dir = TempDir::new().unwrap();
    let (first, ends) = segment(&header(7, 1), &payloads());
    fs::write(path_of(dir.path(), 7), &first[..first.len() - 1]).unwrap();
    let (second, _) = segment(&header(8, 4), &payloads());
    fs::write(path_of(dir.path(), 8), second).unwrap();
    let (found, end) = read(dir.path()).unwrap();
    let sequences: Vec<_> = found.frames.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, [1, 2, 4, 5, 6]);
    assert_eq!(found.damage, [format!("bytes {} to {} are not frames", ends[2], first.len() - 1)]);
    assert_eq!(fs::metadata(path_of(dir.path(), 7)).unwrap().len(), first.len() as u64 - 1);
    assert_eq!(end, End { number_max: 8, sequence_next: 7 });
}

/// Heads that look plausible at every offset must not make a start take forever.
#[test]
fn a_search_among_forged_heads_ends() {
    let (mut bytes, ends) = segment(&header(7, 1), &payloads()[..1]);
    let body = 60_000_u32;
    let mut forged = Vec::new();
    forged.extend_from_slice(&body.to_le_bytes());
    forged.extend_from_slice(&[1, 2, 3, 4]);
    forged.extend_from_slice(&2_u64.to_le_bytes());
    bytes.push(0xff);
    bytes.extend(forged.iter().cycle().take(1 << 20));
    let (found, _, kept) = read_bytes(&bytes);
    assert_eq!(found.frames.len(), 1);
    assert_eq!(found.damage, [format!("bytes {} to {} are not frames", ends[1], bytes.len())]);
    assert_eq!(kept.len(), bytes.len(), "what was not searched is not cut");
}

#[test]
fn a_newer_segment_stops_the_start() {
    let (mut bytes, _) = segment(&header(7, 1), &payloads());
    bytes[7] = b'2';
    let dir = TempDir::new().unwrap();
    fs::write(path_of(dir.path(), 7), bytes).unwrap();
    let error = read(dir.path()).unwrap_err();
    assert!(error.to_string().ends_with("has format 2, this release reads up to 1"), "{error}");
    assert_eq!(SegmentHeader::decode(b"THOUNDW3"), Err(HeaderError::Newer('3')));
}

/// The format is frozen: this fails if a byte of it changes.
#[test]
fn the_wal_fixture_is_what_the_code_writes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/format/segment.wal");
    let (bytes, _) = segment(&header(7, 40), &payloads());
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&path, &bytes).unwrap();
    }
    assert!(fs::read(&path).unwrap() == bytes, "the WAL format changed");
    let (found, _, _) = read_bytes(&bytes);
    assert_eq!(found.frames, (40..).zip(payloads()).collect::<Vec<_>>());
}
