//! Which payloads came recently, so that a byte-identical retry is not stored twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tracehound_schema::Payload;

use crate::engine::Failure;
use crate::wal::frame::{encoding_code, signal_code};

/// How many payloads are remembered at most; a guard against running out of memory.
const PAYLOADS_MAX: usize = 2_000_000;

/// The hash that names a payload within its tenant.
pub(crate) type PayloadHash = [u8; 16];
/// A tenant's number in this process, and the payload's hash.
pub(crate) type Key = (u32, PayloadHash);

/// What became of a payload: records accepted and rejected, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) message: Box<str>,
}

/// The outcome of a payload in flight; `None` while it is open.
pub(crate) type Outcome = Option<Result<Figures, Failure>>;

/// What to do with a payload.
pub(crate) enum Begin {
    /// It is new: store it, then call [`Recent::finish`] with this.
    First(watch::Sender<Outcome>),
    /// The same is being stored: its outcome is this one's too.
    Wait(watch::Receiver<Outcome>),
    /// It was stored.
    Done(Figures),
}

/// The payloads received within the retry window.
pub(crate) struct Recent {
    window_ns: i64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    slots: HashMap<Key, Slot>,
    /// Stored payloads, by the order in which they were stored.
    order: VecDeque<(i64, Key)>,
    newest_ns: i64,
    forgotten: u64,
}

enum Slot {
    InFlight(watch::Receiver<Outcome>),
    Done { received_at_ns: i64, figures: Figures },
}

/// The hash of a payload: of signal, encoding and message.
pub(crate) fn hash(payload: &Payload) -> PayloadHash {
    let mut sha256 = Sha256::new();
    sha256.update([signal_code(payload.signal), encoding_code(payload.encoding)]);
    sha256.update(&payload.body);
    let digest: [u8; 32] = sha256.finalize().into();
    *digest.first_chunk().expect("SHA-256 has 32 bytes")
}

impl Recent {
    pub(crate) fn new(window_ns: i64) -> Self {
        Self { window_ns, inner: Mutex::new(Inner { newest_ns: i64::MIN, ..Inner::default() }) }
    }

    /// Looks a payload up, and marks it as in flight if it is new.
    pub(crate) fn begin(&self, key: Key, received_at_ns: i64) -> Begin {
        let mut inner = self.lock();
        match inner.slots.get(&key) {
            Some(Slot::InFlight(outcome)) => return Begin::Wait(outcome.clone()),
            Some(Slot::Done { received_at_ns: first_ns, figures })
                if received_at_ns.saturating_sub(*first_ns) <= self.window_ns =>
            {
                return Begin::Done(figures.clone());
            }
            _ => {}
        }
        let (sender, receiver) = watch::channel(None);
        inner.slots.insert(key, Slot::InFlight(receiver));
        Begin::First(sender)
    }

    /// Ends what [`begin`](Self::begin) began: a stored payload is remembered, a failed one is not.
    pub(crate) fn finish(
        &self,
        key: Key,
        received_at_ns: i64,
        outcome: Result<Figures, Failure>,
        waiting: &watch::Sender<Outcome>,
    ) {
        match &outcome {
            Ok(figures) => self.remember(key, received_at_ns, figures.clone()),
            Err(_) => {
                let mut inner = self.lock();
                // Another writer may have stored it meanwhile.
                if let Some(Slot::InFlight(_)) = inner.slots.get(&key) {
                    inner.slots.remove(&key);
                }
            }
        }
        waiting.send_replace(Some(outcome));
    }

    /// Whether a payload is known to be stored.
    pub(crate) fn is_stored(&self, key: Key, received_at_ns: i64) -> bool {
        let inner = self.lock();
        let Some(Slot::Done { received_at_ns: first_ns, .. }) = inner.slots.get(&key) else { return false };
        received_at_ns.abs_diff(*first_ns) <= self.window_ns.unsigned_abs()
    }

    /// Remembers a stored payload, of this run or of an earlier one.
    pub(crate) fn remember(&self, key: Key, received_at_ns: i64, figures: Figures) {
        let mut inner = self.lock();
        inner.slots.insert(key, Slot::Done { received_at_ns, figures });
        inner.order.push_back((received_at_ns, key));
        inner.newest_ns = inner.newest_ns.max(received_at_ns);
        let expired_ns = inner.newest_ns.saturating_sub(self.window_ns);
        while let Some((received_at_ns, key)) = inner.order.front().copied() {
            let full = inner.order.len() > PAYLOADS_MAX;
            if received_at_ns >= expired_ns && !full {
                break;
            }
            inner.order.pop_front();
            inner.forgotten += u64::from(received_at_ns >= expired_ns);
            // The same payload may have been stored again after its window.
            if let Some(Slot::Done { received_at_ns: stored_ns, .. }) = inner.slots.get(&key)
                && *stored_ns == received_at_ns
            {
                inner.slots.remove(&key);
            }
        }
    }

    /// How many payloads were forgotten within the window, for want of room.
    pub(crate) fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
