use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a query looked at: the proof that "no rows" means none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The manifest entry that the query saw.
    pub entry: u64,
    /// Live files of the tables that the query scans, counted once per scan.
    pub files_planned: u64,
    /// Those of them that the manifest's times ruled out.
    pub files_pruned: u64,
    /// Those of them that were given to the scan.
    pub files_read: u64,
    /// Those of them that could not be read. A query with any fails, so an answer has 0.
    pub files_failed: u64,
    /// Bytes fetched from files.
    pub bytes_read: u64,
    /// Row groups that statistics ruled out.
    pub row_groups_pruned: u64,
    /// Row groups that were read.
    pub row_groups_read: u64,
    /// Rows that were in no file yet, and were read from memory.
    pub rows_unflushed: u64,
    /// Rows of the answer.
    pub rows: u64,
    /// Time over planning and reading, nanoseconds.
    pub elapsed_ns: u64,
}

/// The counts that scans of one query add up while they are planned.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    planned: AtomicU64,
    pruned: AtomicU64,
    unflushed: AtomicU64,
}

impl Counts {
    /// Notes one scan: its live files, those ruled out, and the rows in memory.
    pub(crate) fn scan(&self, planned: usize, pruned: usize, unflushed: usize) {
        self.planned.fetch_add(planned as u64, Relaxed);
        self.pruned.fetch_add(pruned as u64, Relaxed);
        self.unflushed.fetch_add(unflushed as u64, Relaxed);
    }

    pub(crate) fn receipt(&self, entry: u64) -> Receipt {
        let (planned, pruned) = (self.planned.load(Relaxed), self.pruned.load(Relaxed));
        Receipt {
            entry,
            files_planned: planned,
            files_pruned: pruned,
            files_read: planned.saturating_sub(pruned),
            rows_unflushed: self.unflushed.load(Relaxed),
            ..Receipt::default()
        }
    }
}
