//! How often each attribute key occurs in a file, and with values of which type.

use std::cmp::Reverse;
use std::collections::HashMap;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use tracehound_schema::{Dataset, PromotedKind};

use super::attributes::{Entries, KeyTable, Kind, Seen, scopes};
use crate::Error;

/// The most keys that a sidecar lists.
const KEYS_LISTED_MAX: usize = 4_096;
/// The most keys that are counted, over all scopes.
const KEYS_COUNTED_MAX: usize = 4 * KEYS_LISTED_MAX;
/// Longer keys are neither counted nor promoted.
pub(crate) const KEY_BYTES_MAX: usize = 128;

/// Rows that hold a key, each in one of the counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyCount {
    pub(crate) scope: String,
    pub(crate) key: String,
    pub(crate) string: u64,
    pub(crate) int: u64,
    pub(crate) double: u64,
    pub(crate) bool: u64,
    /// Bytes, an array or a map.
    pub(crate) other: u64,
    /// The key without a value.
    pub(crate) absent: u64,
    /// The key more than once.
    pub(crate) repeated: u64,
}

impl KeyCount {
    pub(crate) fn rows(&self) -> u64 {
        PromotedKind::ALL.into_iter().map(|kind| self.of(kind)).sum::<u64>() + self.other + self.absent + self.repeated
    }

    pub(crate) fn of(&self, kind: PromotedKind) -> u64 {
        match kind {
            PromotedKind::String => self.string,
            PromotedKind::Int => self.int,
            PromotedKind::Double => self.double,
            PromotedKind::Bool => self.bool,
        }
    }

    /// The type that most rows have, and how many.
    pub(crate) fn dominant(&self) -> (PromotedKind, u64) {
        let counted = PromotedKind::ALL.map(|kind| (kind, self.of(kind)));
        counted.into_iter().fold(counted[0], |best, next| if next.1 > best.1 { next } else { best })
    }

    fn add(&mut self, other: &Self) {
        self.string += other.string;
        self.int += other.int;
        self.double += other.double;
        self.bool += other.bool;
        self.other += other.other;
        self.absent += other.absent;
        self.repeated += other.repeated;
    }
}

/// Counts of keys, listed by scope and there by their usual place in a map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyCounts {
    pub(crate) keys: Vec<KeyCount>,
    /// Whether every key is listed.
    pub(crate) complete: bool,
}

impl KeyCounts {
    /// The counts of several files together; places are averaged.
    pub(crate) fn sum(files: &[Self]) -> Self {
        let mut sums: HashMap<(&str, &str), (KeyCount, u64, u64)> = HashMap::new();
        for file in files {
            for (place, count) in (0..).zip(&file.keys) {
                let rows = count.rows();
                let new = || {
                    (
                        KeyCount {
                            string: 0,
                            int: 0,
                            double: 0,
                            bool: 0,
                            other: 0,
                            absent: 0,
                            repeated: 0,
                            ..count.clone()
                        },
                        0,
                        0,
                    )
                };
                let (sum, places, weight) = sums.entry((&count.scope, &count.key)).or_insert_with(new);
                sum.add(count);
                *places += place * rows;
                *weight += rows;
            }
        }
        let mut keys: Vec<_> =
            sums.into_values().map(|(count, places, weight)| (places * 1_000 / weight.max(1), count)).collect();
        keys.sort_by(|(a, x), (b, y)| (a, &x.scope, &x.key).cmp(&(b, &y.scope, &y.key)));
        let complete = files.iter().all(|file| file.complete);
        Self { keys: keys.into_iter().map(|(_, count)| count).collect(), complete }
    }
}

/// Counts the keys of rows as they are written.
pub(crate) struct Counter {
    scopes: Vec<Scope>,
    complete: bool,
}

struct Scope {
    name: &'static str,
    column: usize,
    keys: KeyTable,
    seen: Seen,
    counts: Vec<Counts>,
    numbers: Vec<Option<usize>>,
}

#[derive(Default, Clone)]
struct Counts {
    kinds: [u64; 4],
    other: u64,
    absent: u64,
    repeated: u64,
    places: u64,
    entries: u64,
    repeated_row: usize,
}

impl Counter {
    pub(crate) fn new(dataset: Dataset) -> Self {
        let scope = |(name, column)| Scope {
            name,
            column,
            keys: KeyTable::new([]),
            seen: Seen::default(),
            counts: Vec::new(),
            numbers: Vec::new(),
        };
        Self { scopes: scopes(dataset).into_iter().map(scope).collect(), complete: true }
    }

    /// Counts the keys of rows with the dataset's columns.
    pub(crate) fn count(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        let mut counted: usize = self.scopes.iter().map(|scope| scope.keys.len()).sum();
        for scope in &mut self.scopes {
            let entries = Entries::new(rows.column(scope.column))?;
            scope.seen.clear();
            scope.counts.iter_mut().for_each(|counts| counts.repeated_row = 0);
            for row in 0..rows.num_rows() {
                self.complete &= scope.count_row(&entries, row, &mut counted);
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> KeyCounts {
        let mut complete = self.complete;
        let mut keys = Vec::new();
        for (order, scope) in self.scopes.into_iter().enumerate() {
            for (key, counts) in scope.keys.into_keys().into_iter().zip(scope.counts) {
                let [string, int, double, bool] = counts.kinds;
                let Counts { other, absent, repeated, places, entries, .. } = counts;
                let count = KeyCount {
                    scope: scope.name.to_owned(),
                    key: key.to_string(),
                    string,
                    int,
                    double,
                    bool,
                    other,
                    absent,
                    repeated,
                };
                keys.push((order, places * 1_000 / entries.max(1), count));
            }
        }
        if keys.len() > KEYS_LISTED_MAX {
            complete = false;
            keys.sort_by_key(|(_, _, count)| Reverse(count.rows()));
            keys.truncate(KEYS_LISTED_MAX);
        }
        keys.sort_by(|(a, x, m), (b, y, n)| (a, x, &m.key).cmp(&(b, y, &n.key)));
        KeyCounts { keys: keys.into_iter().map(|(_, _, count)| count).collect(), complete }
    }
}

impl Scope {
    /// Whether every key of the row was counted.
    fn count_row(&mut self, entries: &Entries<'_>, row: usize, counted: &mut usize) -> bool {
        let (mut complete, range) = (true, entries.of_row(row));
        self.numbers.clear();
        for (place, entry) in range.clone().enumerate() {
            let key = entries.keys.value(entry);
            let number = if key.len() > KEY_BYTES_MAX { None } else { self.keys.find(place, key) };
            let number = match number {
                None if key.len() <= KEY_BYTES_MAX && *counted < KEYS_COUNTED_MAX => {
                    *counted += 1;
                    self.counts.push(Counts::default());
                    Some(self.keys.add(key))
                }
                number => number,
            };
            match number {
                Some(number) => self.seen.note(number, row),
                None => complete = false,
            }
            self.numbers.push(number);
        }
        for (place, entry) in range.enumerate() {
            let Some(number) = self.numbers[place] else { continue };
            let counts = &mut self.counts[number];
            counts.places += place as u64;
            counts.entries += 1;
            if self.seen.is_repeated(number, row) {
                // Several entries, one row.
                if counts.repeated_row != row + 1 {
                    counts.repeated_row = row + 1;
                    counts.repeated += 1;
                }
                continue;
            }
            match entries.kind(entry) {
                Kind::One(kind) => counts.kinds[kind.field_index()] += 1,
                Kind::Other => counts.other += 1,
                Kind::Absent => counts.absent += 1,
            }
        }
        complete
    }
}
