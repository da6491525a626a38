//! The bytes that all bodies in work may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound that requests share. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    bytes: AtomicUsize,
    bytes_max: usize,
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    inner: Arc<Inner>,
    bytes: usize,
}

/// The bound is reached: the client should retry soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server has as many requests in work as it has memory for")]
pub(crate) struct Full;

impl InFlight {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { inner: Arc::new(Inner { bytes: AtomicUsize::new(0), bytes_max }) }
    }

    /// Begins a request; it holds nothing yet.
    pub(crate) fn reserve(&self) -> Share {
        Share { inner: Arc::clone(&self.inner), bytes: 0 }
    }

    /// What is held now, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.inner.bytes.load(Ordering::Relaxed)
    }
}

impl Share {
    /// Takes more, before the memory is allocated.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.inner.bytes_max);
        self.inner.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).map_err(|_| Full)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.inner.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_bounded_and_given_back() {
        let in_flight = InFlight::new(10);
        let mut first = in_flight.reserve();
        assert_eq!(first.grow(7), Ok(()));
        let mut second = in_flight.reserve();
        assert_eq!(second.grow(4), Err(Full));
        assert_eq!(second.grow(usize::MAX), Err(Full));
        assert_eq!(second.grow(3), Ok(()));
        drop(first);
        assert_eq!(in_flight.bytes(), 3);
        assert_eq!(second.grow(7), Ok(()));
        drop(second);
        assert_eq!(in_flight.bytes(), 0);
    }
}
