//! The one message of a unary gRPC request: a flag, a length, and bytes.
//!
//! tonic would read it too, but answers an oversize message with OUT_OF_RANGE,
//! which OTLP clients retry, and buffers it before anything can be counted.
//!
//! Source: github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.

use super::body::{Held, Incoming, too_large};
use super::compression::Compression;
use super::refusal::Refusal;

/// The flag and the length.
const HEADER_BYTES: usize = 5;

/// Reads the message of a request to its end into `held`, which is empty.
/// `named` is the compression that `grpc-encoding` names.
///
/// Returns the compression of this message.
///
/// # Errors
/// As [`Incoming::next`] and [`Held::push`]; malformed when there is not exactly one message.
pub(crate) async fn read(
    incoming: &mut Incoming,
    held: &mut Held,
    named: Option<Compression>,
    bytes_max: usize,
) -> Result<Option<Compression>, Refusal> {
    let mut header = [0; HEADER_BYTES];
    let mut header_read = 0;
    let mut message = None;
    while let Some(chunk) = incoming.next().await? {
        let mut rest = chunk.as_ref();
        let taken = rest.len().min(HEADER_BYTES - header_read);
        header[header_read..header_read + taken].copy_from_slice(&rest[..taken]);
        header_read += taken;
        rest = &rest[taken..];
        if message.is_none() && header_read == HEADER_BYTES {
            message = Some(Message::parse(header, named, bytes_max)?);
        }
        if let Some(message) = &message {
            if held.len() + rest.len() > message.bytes {
                return Err(Refusal::malformed("the request holds more than one message"));
            }
            held.push(rest)?;
        }
    }
    match message {
        Some(message) if held.len() == message.bytes => Ok(message.compression),
        Some(message) => {
            Err(Refusal::malformed(format!("the message ends after {} of {} bytes", held.len(), message.bytes)))
        }
        None => Err(Refusal::malformed("the request holds no message")),
    }
}

struct Message {
    compression: Option<Compression>,
    bytes: usize,
}

impl Message {
    fn parse(header: [u8; HEADER_BYTES], named: Option<Compression>, bytes_max: usize) -> Result<Self, Refusal> {
        let [flag, length @ ..] = header;
        let compression = match (flag, named) {
            (0, _) => None,
            (1, Some(named)) => Some(named),
            // The specification of gRPC wants INTERNAL for both.
            (1, None) => {
                return Err(Refusal::internal(
                    "the message is flagged as compressed, but grpc-encoding names no compression",
                ));
            }
            (flag, _) => return Err(Refusal::internal(format!("the message has the unknown flag {flag}"))),
        };
        match usize::try_from(u32::from_be_bytes(length)) {
            Ok(bytes) if bytes <= bytes_max => Ok(Self { compression, bytes }),
            _ => Err(too_large(bytes_max)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use futures::stream;

    use super::*;
    use crate::in_flight::InFlight;

    /// Feeds `bytes` in chunks of every size; `Ok` holds the message and whether it is compressed.
    fn check(bytes: &[u8], named: Option<Compression>, expected: Result<(&[u8], bool), &str>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        for size in 1..=bytes.len().max(1) {
            let chunks: Vec<Result<Vec<u8>, std::io::Error>> = bytes.chunks(size).map(|c| Ok(c.to_vec())).collect();
            let found = runtime.block_on(async {
                let mut incoming = Incoming::new(Body::from_stream(stream::iter(chunks)), Duration::from_secs(5));
                let mut held = Held::new(10, InFlight::new(1 << 20).reserve());
                let compression = read(&mut incoming, &mut held, named, 10).await;
                compression.map(|compression| (held.as_slice().to_vec(), compression.is_some()))
            });
            let found = found.as_ref().map(|(m, c)| (m.as_slice(), *c)).map_err(Refusal::code_name);
            assert_eq!(found, expected, "{bytes:?} in chunks of {size}");
        }
    }

    #[test]
    fn a_request_is_exactly_one_message() {
        check(&[0, 0, 0, 0, 0], None, Ok((&[], false)));
        check(&[0, 0, 0, 0, 2, 8, 9], None, Ok((&[8, 9], false)));
        check(&[0, 0, 0, 0, 2, 8, 9], Some(Compression::Gzip), Ok((&[8, 9], false)));
        check(&[1, 0, 0, 0, 2, 8, 9], Some(Compression::Gzip), Ok((&[8, 9], true)));
        check(&[1, 0, 0, 0, 2, 8, 9], None, Err("INTERNAL"));
        check(&[2, 0, 0, 0, 2, 8, 9], None, Err("INTERNAL"));
        check(&[], None, Err("INVALID_ARGUMENT"));
        check(&[0, 0, 0, 0], None, Err("INVALID_ARGUMENT"));
        check(&[0, 0, 0, 0, 2, 8], None, Err("INVALID_ARGUMENT"));
        check(&[0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0], None, Err("INVALID_ARGUMENT"));
        check(&[0, 0, 0, 0, 11, 8], None, Err("RESOURCE_EXHAUSTED"));
        check(&[0, 255, 255, 255, 255], None, Err("RESOURCE_EXHAUSTED"));
    }
}
