//! Bytes of a body as they come in: bounded, timed, and counted before they are kept.

use axum::body::{Body, BodyDataStream};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::{Duration, Instant, timeout_at};

use super::refusal::Refusal;
use crate::in_flight::Share;

/// The first allocation of a body whose length is not known.
const FIRST_BYTES: usize = 16 << 10;

/// Bytes in memory and the share of the server's bound that they take.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    bytes_max: usize,
    share: Share,
}

impl Held {
    /// Nothing yet, to hold at most `bytes_max`.
    pub(crate) fn new(bytes_max: usize, share: Share) -> Self {
        Self { bytes: Vec::new(), bytes_max, share }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends; memory is doubled, never beyond the limit, and counted before it is taken.
    ///
    /// # Errors
    /// Too large beyond the limit, retry later when the server's bound is reached.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        let needed = self.bytes.len().saturating_add(chunk.len());
        if needed > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        let capacity = self.bytes.capacity();
        if needed > capacity {
            let wanted = (2 * capacity).max(FIRST_BYTES).min(self.bytes_max).max(needed);
            self.share.grow(wanted - capacity)?;
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// The bytes, and what has to live as long as they are in work.
    pub(crate) fn into_parts(self) -> (Bytes, Share) {
        (Bytes::from(self.bytes), self.share)
    }
}

/// A body that is read until a deadline.
pub(crate) struct Incoming {
    stream: BodyDataStream,
    deadline: Instant,
    timeout: Duration,
}

impl Incoming {
    pub(crate) fn new(body: Body, timeout: Duration) -> Self {
        Self { stream: body.into_data_stream(), deadline: Instant::now() + timeout, timeout }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Retry later when the client is too slow; malformed when it breaks off.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        match timeout_at(self.deadline, self.stream.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
            Ok(Some(Err(error))) => Err(Refusal::malformed(format!("the body broke off: {error}"))),
            // 408 would be the word for it, but OTLP clients retry 503 and not 408.
            Err(_) => {
                let message = format!("the body did not arrive within {} s", self.timeout.as_secs_f32());
                Err(Refusal::retry_later(message, Duration::from_secs(1)))
            }
        }
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// As [`Self::next`] and [`Held::push`].
    pub(crate) async fn read_into(&mut self, held: &mut Held) -> Result<(), Refusal> {
        while let Some(chunk) = self.next().await? {
            held.push(&chunk)?;
        }
        Ok(())
    }

    /// Reads on without keeping anything, up to `bytes_max` and the deadline.
    ///
    /// Clients of HTTP/1.1 look at the answer when they have sent everything;
    /// closing the connection before that would lose it.
    pub(crate) async fn discard(&mut self, bytes_max: usize) {
        let mut left = bytes_max;
        while let Ok(Some(chunk)) = self.next().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }
}

/// Refuses a body by the length that it announces.
pub(crate) fn check_announced(headers: &HeaderMap, bytes_max: usize) -> Result<(), Refusal> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(length) if usize::try_from(length).is_ok_and(|length| length <= bytes_max) => Ok(()),
        Some(_) => Err(too_large(bytes_max)),
        None => Ok(()),
    }
}

/// The refusal of bodies beyond the limit.
pub(crate) fn too_large(bytes_max: usize) -> Refusal {
    Refusal::too_large(format!(
        "the body is larger than {bytes_max} bytes, as sent or decompressed: send smaller batches, or raise limits.body_bytes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_flight::InFlight;

    #[test]
    fn memory_is_counted_before_it_is_taken_and_given_back() {
        let in_flight = InFlight::new(100_000);
        let mut held = Held::new(60_000, in_flight.reserve());
        held.push(&[0; 10]).expect("room");
        assert_eq!(in_flight.bytes(), FIRST_BYTES);
        held.push(&[0; 50_000]).expect("room");
        assert_eq!(in_flight.bytes(), held.bytes.capacity());
        assert_eq!(held.push(&[0; 10_000]).expect_err("beyond the limit").code_name(), "RESOURCE_EXHAUSTED");
        let mut other = Held::new(60_000, in_flight.reserve());
        assert_eq!(other.push(&[0; 60_000]).expect_err("no memory left").code_name(), "UNAVAILABLE");
        drop(held);
        other.push(&[0; 60_000]).expect("given back");
        drop(other);
        assert_eq!(in_flight.bytes(), 0);
    }
}
