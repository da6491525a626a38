//! Which files to merge next. Pure: it sees what the manifest says, and a time.
//!
//! An hour that still grows is merged by tiers of size, `fan_in` files at a
//! time, so that a row is rewritten once a tier. An hour at rest becomes one
//! file. What trickles in later is merged with the large file only when there is
//! enough of it. Small hours of old days become day files, late files are split.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use tracehound_schema::{Dataset, Hour};

use super::options::{CompactionOptions, nanos};
use crate::DataFile;

/// Files up to this size are of the lowest tier; each further tier is four times as large.
const TIER_BYTES: u64 = 64 << 10;
/// How many times larger than all smaller ones together a file may be to be merged with them.
const RATIO: u64 = 2;
/// A lone file that was never merged is rewritten, for its promoted columns, from this size on.
const REWRITE_BYTES_MIN: u64 = 1 << 20;
const DAY_NS: i64 = 24 * Hour::LENGTH_NS;

/// One bounded piece of work: these files become fewer, in one entry.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) dataset: Dataset,
    pub(crate) place: Place,
    /// In the order of the entries that first made their rows visible.
    pub(crate) inputs: Vec<Arc<DataFile>>,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// Rows of one hour.
    Hour(Hour),
    /// Rows of hours of one day, by its first hour.
    Day(Hour),
    /// Rows of any hours.
    Late,
}

/// How far a plan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What pays now.
    Due,
    /// Everything that can be merged, as if all hours were at rest.
    All,
}

/// What there is to do.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Most urgent first. No file is in two units.
    pub(crate) units: Vec<Unit>,
    /// When there may be more, if the files stay as they are; none: not before they change.
    pub(crate) again_ns: Option<i64>,
}

/// What there is to do over the files of one dataset.
pub(crate) fn plan(files: &[Arc<DataFile>], now_ns: i64, options: &CompactionOptions, depth: Depth) -> Plan {
    let Some(first) = files.first() else { return Plan::default() };
    let dataset = first.dataset;
    let planner = Planner { now_ns, options, depth, again_ns: Cell::new(None) };
    let mut hours: BTreeMap<Hour, Vec<Arc<DataFile>>> = BTreeMap::new();
    let mut days: BTreeMap<Hour, Vec<Arc<DataFile>>> = BTreeMap::new();
    let mut late = Vec::new();
    for file in files {
        match place(file) {
            Place::Hour(hour) => hours.entry(hour).or_default().push(Arc::clone(file)),
            Place::Day(day) => days.entry(day).or_default().push(Arc::clone(file)),
            Place::Late => late.push(Arc::clone(file)),
        }
    }
    let mut units = Vec::new();
    let add = |units: &mut Vec<Unit>, place, mut inputs: Vec<Arc<DataFile>>| {
        if !inputs.is_empty() {
            inputs.sort_by(|a, b| (a.commits, &a.path).cmp(&(b.commits, &b.path)));
            units.push(Unit { dataset, place, inputs });
        }
    };
    for (day, hours_of_day) in by_day(&hours, &days) {
        let dayfiles = days.get(&day).map_or(&[][..], Vec::as_slice);
        match planner.day(day, &hours_of_day, dayfiles) {
            Some(inputs) => add(&mut units, Place::Day(day), inputs),
            None => {
                for (hour, files) in hours_of_day {
                    add(&mut units, Place::Hour(hour), planner.hour(files.clone()));
                }
            }
        }
    }
    add(&mut units, Place::Late, planner.late(late));
    units.sort_by_key(|unit| (Reverse(unit.inputs.len()), unit.bytes()));
    Plan { units, again_ns: planner.again_ns.get() }
}

/// Where a file stands.
pub(crate) fn place(file: &DataFile) -> Place {
    let folder = file.path.parts().rev().nth(1);
    let folder = folder.as_ref().map_or("", |folder| folder.as_ref());
    if folder == "late" {
        Place::Late
    } else if folder.starts_with("day=") {
        Place::Day(day_of(file.hours.0))
    } else {
        Place::Hour(file.hours.0)
    }
}

/// The first hour of an hour's day.
pub(crate) fn day_of(hour: Hour) -> Hour {
    Hour::containing(hour.start_ns().div_euclid(DAY_NS).saturating_mul(DAY_NS))
}

impl Unit {
    /// The bytes it reads.
    pub(crate) fn bytes(&self) -> u64 {
        self.inputs.iter().map(|file| file.bytes).sum()
    }

    /// The rows it reads.
    pub(crate) fn rows(&self) -> u64 {
        self.inputs.iter().map(|file| file.rows).sum()
    }

    /// What it is, for people: `3 files of spans, hour 2026-11-22T15`.
    pub(crate) fn describe(&self) -> String {
        let files = self.inputs.len();
        let noun = if files == 1 { "file" } else { "files" };
        let day = |hour: &Hour| hour.to_string().split('T').next().unwrap_or_default().to_owned();
        match &self.place {
            Place::Hour(hour) => format!("{files} {noun} of {}, hour {hour}", self.dataset),
            Place::Day(hour) => format!("{files} {noun} of {}, day {}", self.dataset, day(hour)),
            Place::Late => format!("{files} late {noun} of {}", self.dataset),
        }
    }
}

type ByDay<'a> = BTreeMap<Hour, Vec<(Hour, &'a Vec<Arc<DataFile>>)>>;

fn by_day<'a>(hours: &'a BTreeMap<Hour, Vec<Arc<DataFile>>>, days: &BTreeMap<Hour, Vec<Arc<DataFile>>>) -> ByDay<'a> {
    let mut found: ByDay<'a> = days.keys().map(|day| (*day, Vec::new())).collect();
    for (hour, files) in hours {
        found.entry(day_of(*hour)).or_default().push((*hour, files));
    }
    found
}

struct Planner<'a> {
    now_ns: i64,
    options: &'a CompactionOptions,
    depth: Depth,
    again_ns: Cell<Option<i64>>,
}

impl Planner<'_> {
    /// What to merge of an hour.
    fn hour(&self, mut files: Vec<Arc<DataFile>>) -> Vec<Arc<DataFile>> {
        files.retain(|file| !self.is_done(file));
        files.sort_by_key(|file| file.bytes);
        if self.depth == Depth::All {
            return self.rest(files);
        }
        if !self.is_at_rest(&files) {
            return self.tier(&files);
        }
        if self.is_trickle(&files) {
            files.truncate(worthwhile(&files));
        }
        self.rest(files)
    }

    /// What to merge into a day file; `None` leaves the day's hours to themselves.
    fn day(
        &self,
        day: Hour,
        hours: &[(Hour, &Vec<Arc<DataFile>>)],
        dayfiles: &[Arc<DataFile>],
    ) -> Option<Vec<Arc<DataFile>>> {
        let of_hours = || hours.iter().flat_map(|(_, files)| files.iter());
        let mut files: Vec<_> = of_hours().chain(dayfiles).cloned().collect();
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        if bytes > self.options.day_bytes_max || files.len() < 2 {
            return None;
        }
        let due_ns = day.start_ns().saturating_add(DAY_NS).saturating_add(nanos(self.options.day_after));
        if due_ns > self.now_ns {
            self.note_again(due_ns);
            return None;
        }
        if !self.is_at_rest(&files) {
            return None;
        }
        files.sort_by_key(|file| file.bytes);
        let all = dayfiles.is_empty() || self.depth == Depth::All;
        if !all {
            files.truncate(worthwhile(&files));
        }
        self.bound(&mut files, 2);
        // Hours that wait for more of their day need no merge of their own.
        Some(files)
    }

    /// What to split of late files.
    fn late(&self, mut files: Vec<Arc<DataFile>>) -> Vec<Arc<DataFile>> {
        files.sort_by_key(|file| file.bytes);
        let (merged, mut fresh): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.has_commit_column);
        let all = self.depth == Depth::All;
        if !fresh.is_empty() && (all || self.is_at_rest(&fresh) || fresh.len() >= self.options.fan_in) {
            self.bound(&mut fresh, 1);
            return fresh;
        }
        self.tier(&merged)
    }

    /// The files of a place at rest, as one unit.
    fn rest(&self, mut files: Vec<Arc<DataFile>>) -> Vec<Arc<DataFile>> {
        match files.as_slice() {
            [] => {}
            [lone] => {
                let rewrite = !lone.has_commit_column && (lone.bytes >= REWRITE_BYTES_MIN || self.depth == Depth::All);
                if !rewrite {
                    files.clear();
                }
            }
            _ => self.bound(&mut files, 2),
        }
        files
    }

    /// Files of the lowest tier that has enough of them; `files` are sorted by size.
    fn tier(&self, files: &[Arc<DataFile>]) -> Vec<Arc<DataFile>> {
        let tiers = files.chunk_by(|a, b| tier(a.bytes) == tier(b.bytes));
        let mut full = tiers.filter(|files| files.len() >= self.options.fan_in.max(2));
        let mut files = full.next().map(<[_]>::to_vec).unwrap_or_default();
        self.bound(&mut files, 2);
        files
    }

    /// Keeps what one unit may read, and at least `least` files.
    fn bound(&self, files: &mut Vec<Arc<DataFile>>, least: usize) {
        let mut bytes = 0;
        let fits = files.iter().take(self.options.unit_files_max.max(2)).take_while(|file| {
            bytes += file.bytes;
            bytes <= self.options.unit_bytes_max
        });
        let keep = fits.count().max(least);
        files.truncate(keep);
    }

    /// Whether a file is large enough for good, and was merged once.
    fn is_done(&self, file: &DataFile) -> bool {
        file.has_commit_column && file.bytes >= self.options.file_bytes_max / 2
    }

    /// Whether nothing arrived for these files for a while.
    fn is_at_rest(&self, files: &[Arc<DataFile>]) -> bool {
        let Some(newest_ns) = files.iter().map(|file| file.ingest_time.1).max() else { return true };
        let rest_ns = newest_ns.saturating_add(nanos(self.options.closed_after));
        if rest_ns > self.now_ns {
            self.note_again(rest_ns);
        }
        rest_ns <= self.now_ns
    }

    /// Notes when something may be due by time alone.
    fn note_again(&self, time_ns: i64) {
        self.again_ns.set([self.again_ns.get(), Some(time_ns)].into_iter().flatten().min());
    }

    /// Whether the place was at rest before, was made one file then, and the smaller files came since.
    fn is_trickle(&self, files: &[Arc<DataFile>]) -> bool {
        let Some((largest, others)) = files.split_last() else { return false };
        let since_ns = others.iter().map(|file| file.ingest_time.0).min().unwrap_or(i64::MIN);
        let rested_ns = largest.ingest_time.1.saturating_add(nanos(self.options.closed_after));
        largest.has_commit_column && since_ns >= rested_ns
    }
}

/// How many files, smallest first, are worth merging: none that is much larger than all before it.
fn worthwhile(files: &[Arc<DataFile>]) -> usize {
    let mut before = 0u64;
    let mut count = 0;
    for (index, file) in files.iter().enumerate() {
        if index > 0 && file.bytes <= before.saturating_mul(RATIO) {
            count = index + 1;
        }
        before = before.saturating_add(file.bytes);
    }
    count
}

fn tier(bytes: u64) -> u32 {
    (bytes / TIER_BYTES).checked_ilog(4).map_or(0, |tier| tier + 1)
}

#[cfg(test)]
mod tests;
