use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a query looked at: the proof that "no rows" means none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The manifest entry that the query saw.
    pub entry: u64,
    /// Entries that tables with an `AS OF` of their own saw, in order.
    pub entries_as_of: Vec<u64>,
    /// Live files of the tables that the query scans, counted once per scan.
    pub files_planned: u64,
    /// Those of them that were not opened: the manifest's times or blooms ruled them out.
    pub files_pruned: u64,
    /// Those of the pruned ones that blooms ruled out: they do not hold an id, user or address that was asked for.
    pub files_pruned_by_bloom: u64,
    /// Those of them that were given to the scan.
    pub files_read: u64,
    /// Those of them that could not be read. A query with any fails, so an answer has 0.
    pub files_failed: u64,
    /// Damaged files in quarantine that the query needed and left out, in order. With any, the answer is incomplete.
    pub quarantined: Vec<QuarantinedFile>,
    /// Bytes fetched from files.
    pub bytes_read: u64,
    /// Row groups that statistics or blooms ruled out.
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

/// A damaged file that is known, and was left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuarantinedFile {
    /// Its place in the store.
    pub file: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Receipt {
    /// Whether rows may be missing, since damaged files were left out.
    pub fn incomplete(&self) -> bool {
        !self.quarantined.is_empty()
    }
}

/// The counts that scans of one query add up while they are planned.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    planned: AtomicU64,
    pruned: AtomicU64,
    read: AtomicU64,
    by_bloom: AtomicU64,
    unflushed: AtomicU64,
    named: Mutex<Named>,
}

#[derive(Debug, Default)]
struct Named {
    quarantined: BTreeMap<String, String>,
    entries: BTreeSet<u64>,
    /// The files opened last, the last one at the end.
    opened: VecDeque<String>,
}

/// The most opened files whose names are kept.
const OPENED_MAX: usize = 64;

/// What one scan looks at.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Live files of the table.
    pub(crate) planned: u64,
    /// Files that are not opened, by times or by blooms.
    pub(crate) pruned: u64,
    /// Files that blooms ruled out.
    pub(crate) by_bloom: u64,
    /// Files that are opened.
    pub(crate) read: u64,
    /// Rows in memory.
    pub(crate) unflushed: u64,
}

impl Counts {
    /// Notes one scan.
    pub(crate) fn scan(&self, scanned: &Scanned) {
        self.planned.fetch_add(scanned.planned, Relaxed);
        self.pruned.fetch_add(scanned.pruned, Relaxed);
        self.by_bloom.fetch_add(scanned.by_bloom, Relaxed);
        self.read.fetch_add(scanned.read, Relaxed);
        self.unflushed.fetch_add(scanned.unflushed, Relaxed);
    }

    /// Notes a damaged file that a scan leaves out.
    pub(crate) fn quarantined(&self, file: &str, detail: &str) {
        self.named().quarantined.insert(file.to_owned(), detail.to_owned());
    }

    /// Notes the entry of a table with an `AS OF` of its own.
    pub(crate) fn as_of(&self, entry: u64) {
        self.named().entries.insert(entry);
    }

    /// Notes a file that is opened.
    pub(crate) fn opened(&self, file: &str) {
        let mut named = self.named();
        if named.opened.back().is_some_and(|last| last == file) {
            return;
        }
        if named.opened.len() == OPENED_MAX {
            named.opened.pop_front();
        }
        named.opened.push_back(file.to_owned());
    }

    /// The files opened last, the last one first, each once.
    pub(crate) fn last_opened(&self) -> Vec<String> {
        let mut known = BTreeSet::new();
        self.named().opened.iter().rev().filter(|file| known.insert((*file).clone())).cloned().collect()
    }

    fn named(&self) -> MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn receipt(&self, entry: u64) -> Receipt {
        let named = self.named();
        let quarantined = named.quarantined.iter();
        let quarantined: Vec<_> =
            quarantined.map(|(file, detail)| QuarantinedFile { file: file.clone(), detail: detail.clone() }).collect();
        Receipt {
            entry,
            entries_as_of: named.entries.iter().copied().collect(),
            files_planned: self.planned.load(Relaxed),
            files_pruned: self.pruned.load(Relaxed),
            files_pruned_by_bloom: self.by_bloom.load(Relaxed),
            files_read: self.read.load(Relaxed),
            quarantined,
            rows_unflushed: self.unflushed.load(Relaxed),
            ..Receipt::default()
        }
    }
}
