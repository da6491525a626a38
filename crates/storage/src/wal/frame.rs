//! The bytes of a WAL segment: its header and its frames.

use bytes::Bytes;
use tracehound_schema::{DecodeLimits, Encoding, Payload, Signal};

const MAGIC: &[u8; 8] = b"THOUNDW1";
const HEADER_FIXED_BYTES: usize = 8 + 8 + 8 + 8 + 4;
const LIMITS_BYTES_MAX: usize = 64 << 10;

/// Bytes of a frame before its body: length, checksum, sequence.
pub(crate) const FRAME_HEAD_BYTES: usize = 16;

/// The longest body of a frame.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 30;

/// The most bytes at the start of a segment that its header may take.
pub(crate) const HEADER_BYTES_MAX: usize = HEADER_FIXED_BYTES + LIMITS_BYTES_MAX + 4;

/// The header of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) salt: u64,
    pub(crate) number: u64,
    pub(crate) first_sequence: u64,
    pub(crate) limits: DecodeLimits,
}

/// Why a header could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// A newer release wrote it: the version's character.
    Newer(char),
    /// It is damaged.
    Damaged(String),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let limits = serde_json::to_vec(&self.limits).expect("plain numbers always serialise");
        let limits_bytes = u32::try_from(limits.len()).expect("a handful of numbers is short");
        let mut out = Vec::with_capacity(HEADER_FIXED_BYTES + limits.len() + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&limits_bytes.to_le_bytes());
        out.extend_from_slice(&limits);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header from the first bytes of a segment; also returns its length.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, usize), HeaderError> {
        let damaged = |detail: &str| HeaderError::Damaged(detail.to_owned());
        let Some(magic) = bytes.get(..8) else { return Err(damaged("header is cut short")) };
        if magic != MAGIC {
            return Err(match magic[7] {
                version @ b'2'..=b'9' if magic[..7] == MAGIC[..7] => HeaderError::Newer(version.into()),
                _ => damaged("not a WAL segment: wrong magic"),
            });
        }
        let short = || damaged("header is cut short");
        let salt = u64_at(bytes, 8).ok_or_else(short)?;
        let number = u64_at(bytes, 16).ok_or_else(short)?;
        let first_sequence = u64_at(bytes, 24).ok_or_else(short)?;
        let limits_bytes = u32_at(bytes, 32).ok_or_else(short)? as usize;
        if limits_bytes > LIMITS_BYTES_MAX {
            return Err(damaged("header has an absurd length"));
        }
        let end = HEADER_FIXED_BYTES + limits_bytes;
        let limits = bytes.get(HEADER_FIXED_BYTES..end).ok_or_else(short)?;
        if u32_at(bytes, end).ok_or_else(short)? != crc32c::crc32c(&bytes[..end]) {
            return Err(damaged("header checksum does not match"));
        }
        let limits = serde_json::from_slice(limits)
            .map_err(|error| HeaderError::Damaged(format!("decode limits in header: {error}")))?;
        Ok((Self { salt, number, first_sequence, limits }, end + 4))
    }

    /// The checksum of a frame of this segment.
    pub(crate) fn frame_crc(&self, sequence: u64, body: &[u8]) -> u32 {
        let length = u32::try_from(body.len()).expect("bodies are at most 2^30 bytes");
        let mut fixed = [0; 28];
        fixed[..8].copy_from_slice(&self.salt.to_le_bytes());
        fixed[8..16].copy_from_slice(&self.number.to_le_bytes());
        fixed[16..24].copy_from_slice(&sequence.to_le_bytes());
        fixed[24..].copy_from_slice(&length.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c(&fixed), body)
    }

    /// Appends the frame of a payload to `out`.
    ///
    /// The caller has checked that [`body_bytes`] is at most [`BODY_BYTES_MAX`].
    pub(crate) fn encode_frame(&self, out: &mut Vec<u8>, sequence: u64, payload: &Payload) {
        let head = out.len();
        out.resize(head + FRAME_HEAD_BYTES, 0);
        encode_body(out, payload);
        let body = head + FRAME_HEAD_BYTES;
        let length = u32::try_from(out.len() - body).expect("checked by the caller");
        let crc = self.frame_crc(sequence, &out[body..]);
        out[head..head + 4].copy_from_slice(&length.to_le_bytes());
        out[head + 4..head + 8].copy_from_slice(&crc.to_le_bytes());
        out[head + 8..body].copy_from_slice(&sequence.to_le_bytes());
    }
}

/// The first bytes of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameHead {
    pub(crate) length: u32,
    pub(crate) crc: u32,
    pub(crate) sequence: u64,
}

impl FrameHead {
    pub(crate) fn decode(bytes: &[u8; FRAME_HEAD_BYTES]) -> Self {
        let [l0, l1, l2, l3, c0, c1, c2, c3, sequence @ ..] = *bytes;
        Self {
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
            sequence: u64::from_le_bytes(sequence),
        }
    }
}

/// The length of the frame body of a payload.
pub(crate) fn body_bytes(payload: &Payload) -> usize {
    let key = payload.ingest_key_id.as_deref().unwrap_or_default();
    4 + payload.tenant.as_str().len() + 2 + key.len() + 8 + payload.body.len()
}

/// The code of a signal, in frames and in payload hashes.
pub(crate) fn signal_code(signal: Signal) -> u8 {
    match signal {
        Signal::Traces => 1,
        Signal::Logs => 2,
        Signal::Metrics => 3,
    }
}

/// The code of an encoding, in frames and in payload hashes.
pub(crate) fn encoding_code(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::Protobuf => 1,
        Encoding::Json => 2,
    }
}

fn encode_body(out: &mut Vec<u8>, payload: &Payload) {
    let tenant = payload.tenant.as_str().as_bytes();
    let key = payload.ingest_key_id.as_deref().unwrap_or_default().as_bytes();
    let tenant_bytes = u8::try_from(tenant.len()).expect("tenant names have at most 63 bytes");
    let key_bytes = u16::try_from(key.len()).expect("checked by append");
    out.reserve(body_bytes(payload));
    out.push(1);
    out.push(signal_code(payload.signal));
    out.push(encoding_code(payload.encoding));
    out.push(tenant_bytes);
    out.extend_from_slice(tenant);
    out.extend_from_slice(&key_bytes.to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(&payload.received_at_ns.to_le_bytes());
    out.extend_from_slice(&payload.body);
}

/// Reads the body of a frame whose checksum matched.
pub(crate) fn decode_body(body: &Bytes) -> Result<Payload, String> {
    let &[kind, signal, encoding, tenant_bytes, ..] = body.as_ref() else {
        return Err("frame body is cut short".to_owned());
    };
    if kind != 1 {
        return Err(format!("frame kind {kind} is unknown: a newer release wrote it"));
    }
    let signal = match signal {
        1 => Signal::Traces,
        2 => Signal::Logs,
        3 => Signal::Metrics,
        other => return Err(format!("signal code {other} is unknown")),
    };
    let encoding = match encoding {
        1 => Encoding::Protobuf,
        2 => Encoding::Json,
        other => return Err(format!("encoding code {other} is unknown")),
    };
    let short = || "frame body is cut short".to_owned();
    let text = |from: usize, length: usize| {
        let bytes = body.get(from..from + length).ok_or_else(short)?;
        std::str::from_utf8(bytes).map_err(|_| "frame text is not UTF-8".to_owned())
    };
    let mut at = 4;
    let tenant = text(at, tenant_bytes.into())?.parse().map_err(|error| format!("{error}"))?;
    at += usize::from(tenant_bytes);
    let key_bytes = body.get(at..at + 2).ok_or_else(short)?;
    let key_bytes = usize::from(u16::from_le_bytes([key_bytes[0], key_bytes[1]]));
    at += 2;
    let key = text(at, key_bytes)?;
    at += key_bytes;
    let received_at_ns = u64_at(body, at).ok_or_else(short)?.cast_signed();
    at += 8;
    Ok(Payload {
        tenant,
        signal,
        encoding,
        received_at_ns,
        ingest_key_id: (!key.is_empty()).then(|| key.to_owned()),
        body: body.slice(at..),
    })
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
