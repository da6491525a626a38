//! Which entry last touched each hour.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tracehound_schema::Hour;

use crate::partition::following;

/// The most ranges that are told apart; beyond it the oldest are merged, which can only make a version later.
const RANGES_MAX: usize = 1024;

/// The last entry that touched each hour of a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) hours: BTreeMap<Hour, u64>,
    /// Of files that hold any number of hours: first, last, entry; oldest entry first.
    pub(crate) ranges: Vec<(Hour, Hour, u64)>,
}

impl Versions {
    /// Notes that an entry, the latest so far, touched each hour of a range.
    pub(crate) fn touch_hours(&mut self, (first, last): (Hour, Hour), entry: u64) {
        let mut hour = Some(first);
        while let Some(touched) = hour.filter(|hour| *hour <= last) {
            self.hours.insert(touched, entry);
            hour = following(touched);
        }
    }

    /// Notes that an entry, the latest so far, touched a range of hours, without naming each.
    pub(crate) fn touch_range(&mut self, (first, last): (Hour, Hour), entry: u64) {
        self.ranges.retain(|range| range.0 < first || range.1 > last);
        if self.ranges.len() >= RANGES_MAX {
            let older = self.ranges.drain(..RANGES_MAX / 2);
            let merged = older.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1), a.2.max(b.2)));
            self.ranges.splice(0..0, merged);
        }
        self.ranges.push((first, last, entry));
    }

    /// Whether nothing was touched.
    pub(crate) fn is_empty(&self) -> bool {
        self.hours.is_empty() && self.ranges.is_empty()
    }

    /// The hours as ranges of neighbours that have the same version.
    pub(crate) fn hours_as_ranges(&self) -> Vec<(Hour, Hour, u64)> {
        let mut ranges: Vec<(Hour, Hour, u64)> = Vec::new();
        for (hour, entry) in &self.hours {
            match ranges.last_mut() {
                Some((_, last, version)) if version == entry && following(*last) == Some(*hour) => *last = *hour,
                _ => ranges.push((*hour, *hour, *entry)),
            }
        }
        ranges
    }

    /// Notes what a later part of the log touched.
    pub(crate) fn extend(&mut self, later: &Self) {
        self.hours.extend(&later.hours);
        for (first, last, entry) in &later.ranges {
            self.touch_range((*first, *last), *entry);
        }
    }

    /// Forgets what entries up to one touched.
    pub(crate) fn forget_through(&mut self, entry: u64) {
        self.hours.retain(|_, version| *version > entry);
        self.ranges.retain(|range| range.2 > entry);
    }

    /// Adds the versions of a range of hours to `found`, which keeps the later of two.
    pub(crate) fn collect(&self, hours: &RangeInclusive<Hour>, found: &mut BTreeMap<Hour, u64>) {
        let mut note = |hour: Hour, entry: u64| {
            let version = found.entry(hour).or_default();
            *version = entry.max(*version);
        };
        if hours.is_empty() {
            return;
        }
        for (hour, entry) in self.hours.range(hours.clone()) {
            note(*hour, *entry);
        }
        for (first, last, entry) in &self.ranges {
            let (first, last) = (*first.max(hours.start()), *last.min(hours.end()));
            let mut hour = Some(first);
            while let Some(touched) = hour.filter(|hour| *hour <= last) {
                note(touched, *entry);
                hour = following(touched);
            }
        }
    }
}
