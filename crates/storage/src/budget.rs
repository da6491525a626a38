use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bound on the memory of unflushed rows, and of payloads on their way there.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    bytes: AtomicUsize,
}

/// Room for a payload and its rows while they go through the WAL; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: AtomicUsize::new(0) }
    }

    /// Room for one payload; `None` if it does not fit. One payload always fits alone.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let grow = |used: usize| {
            let grown = used.saturating_add(bytes);
            (used == 0 || grown <= self.bytes_max).then_some(grown)
        };
        self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, grow).ok()?;
        Some(Reservation { budget: Arc::clone(self), bytes })
    }

    /// Counts a change of a memtable's size.
    pub(crate) fn change(&self, before: usize, after: usize) {
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::AcqRel);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::AcqRel);
        }
    }

    /// The bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether over half is in use, so that flushing should hurry.
    pub(crate) fn is_pressed(&self) -> bool {
        self.bytes() > self.bytes_max / 2
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
