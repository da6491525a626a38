use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use proptest::prelude::*;
use tracehound_schema::{Dataset, Hour};

use super::{Depth, Place, Unit, day_of, place, plan};
use crate::maintenance::options::{CompactionOptions, nanos};
use crate::testing::NOW_NS;
use crate::{DataFile, Origin};

const MINUTE_NS: i64 = 60_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A file of the hour `hours_ago` before that of `NOW_NS`, received from `from` to `to` minutes before it.
fn file(hours_ago: i64, bytes: u64, from: i64, to: i64, merged: bool, number: u64) -> Arc<DataFile> {
    let hour = Hour::containing(NOW_NS - hours_ago * HOUR_NS);
    let path = Path::from(format!("tenant=acme/spans/hour={hour}/{number:026}.parquet"));
    data_file(path, (hour, hour), bytes, (NOW_NS - from * MINUTE_NS, NOW_NS - to * MINUTE_NS), merged, number)
}

fn data_file(
    path: Path,
    hours: (Hour, Hour),
    bytes: u64,
    ingest_time: (i64, i64),
    merged: bool,
    number: u64,
) -> Arc<DataFile> {
    Arc::new(DataFile {
        dataset: Dataset::Spans,
        path,
        bytes,
        rows: bytes / 40 + 1,
        sha256: String::new(),
        hours,
        event_time: (hours.0.start_ns(), hours.1.end_ns() - 1),
        ingest_time,
        sort: String::new(),
        commit: number,
        commits: (number, number),
        has_commit_column: merged,
        sidecar: None,
        schema_version: 1,
        mapping_version: 1,
        origin: Origin::Live,
    })
}

fn due(files: &[Arc<DataFile>]) -> Vec<Unit> {
    plan(files, NOW_NS, &CompactionOptions::default(), Depth::Due).units
}

/// The sizes that each unit merges.
fn sizes(units: &[Unit]) -> Vec<Vec<u64>> {
    units.iter().map(|unit| unit.inputs.iter().map(|file| file.bytes).collect()).collect()
}

#[test]
fn a_growing_hour_merges_files_of_one_size_when_there_are_enough() {
    let small = |count: u64| (0..count).map(|n| file(0, MIB, 5, 4, false, n)).collect::<Vec<_>>();
    assert_eq!(sizes(&due(&small(7))), Vec::<Vec<u64>>::new());
    assert_eq!(sizes(&due(&small(8))), [vec![MIB; 8]]);
    let mut mixed = small(7);
    mixed.push(file(0, 100 * MIB, 5, 4, true, 9));
    assert_eq!(sizes(&due(&mixed)), Vec::<Vec<u64>>::new(), "a large file is not rewritten for small ones");
}

#[test]
fn an_hour_at_rest_becomes_one_file() {
    let files =
        [file(1, 90 * MIB, 60, 30, true, 1), file(1, 10 * MIB, 30, 20, true, 2), file(1, 200 * KIB, 20, 15, false, 3)];
    assert_eq!(sizes(&due(&files)), [vec![90 * MIB, 10 * MIB, 200 * KIB]]);
    let unfinished = [&files[..], &[file(1, KIB, 9, 9, false, 4)]].concat();
    let plan = plan(&unfinished, NOW_NS, &CompactionOptions::default(), Depth::Due);
    assert!(plan.units.is_empty(), "something came nine minutes ago");
    assert_eq!(plan.again_ns, Some(NOW_NS + MINUTE_NS), "it is at rest in a minute");
}

#[test]
fn what_trickles_in_waits_until_there_is_enough_of_it() {
    let large = file(30, 100 * MIB, 600, 500, true, 1);
    let late = |n| file(30, 10 * MIB, 60, 60, false, n);
    assert_eq!(due(&[Arc::clone(&large), late(2)]).len(), 0);
    let two = [Arc::clone(&large), late(2), late(3)];
    assert_eq!(sizes(&due(&two)), [vec![10 * MIB; 2]], "the late ones are merged with each other");
    let much = [large, file(30, 60 * MIB, 60, 60, false, 2)];
    assert_eq!(sizes(&due(&much)), [vec![100 * MIB, 60 * MIB]]);
}

#[test]
fn a_large_file_is_rewritten_once_for_its_columns() {
    assert_eq!(sizes(&due(&[file(1, 5 * MIB, 60, 30, false, 1)])), [vec![5 * MIB]]);
    assert_eq!(due(&[file(1, 5 * MIB, 60, 30, true, 1)]).len(), 0);
    assert_eq!(due(&[file(1, KIB, 60, 30, false, 1)]).len(), 0, "too small to pay");
    assert_eq!(due(&[file(1, 300 * MIB, 60, 30, true, 1), file(1, 200 * MIB, 60, 30, true, 2)]).len(), 0);
}

#[test]
fn small_hours_of_an_old_day_become_a_day_file() {
    let old: Vec<_> = (72..80).map(|hours| file(hours, MIB, hours * 60, hours * 60, true, hours as u64)).collect();
    let units = due(&old);
    let days: HashSet<_> = old.iter().map(|file| day_of(file.hours.0)).collect();
    assert!(units.iter().all(|unit| matches!(unit.place, Place::Day(day) if days.contains(&day))), "{units:?}");
    assert_eq!(units.iter().map(|unit| unit.inputs.len()).sum::<usize>(), 8);
    let young: Vec<_> = (26..30).map(|hours| file(hours, MIB, hours * 60, hours * 60, true, hours as u64)).collect();
    let planned = plan(&young, NOW_NS, &CompactionOptions::default(), Depth::Due);
    assert!(planned.units.is_empty());
    assert!(planned.again_ns.is_some_and(|again_ns| again_ns > NOW_NS), "they are old one day");
}

#[test]
fn late_files_are_split_once_they_rest() {
    let late = |number: u64, to: i64, merged: bool| {
        let hours = (Hour::containing(0), Hour::containing(NOW_NS));
        let path = Path::from(format!("tenant=acme/spans/late/{number:026}.parquet"));
        data_file(path, hours, MIB, (NOW_NS - 600 * MINUTE_NS, NOW_NS - to * MINUTE_NS), merged, number)
    };
    assert_eq!(place(&late(1, 1, false)), Place::Late);
    assert_eq!(due(&[late(1, 1, false)]).len(), 0);
    assert_eq!(due(&[late(1, 20, false), late(2, 20, false)])[0].inputs.len(), 2);
    assert_eq!(due(&[late(1, 20, true)]).len(), 0, "it was split");
}

/// What merging a unit gives: as `files::merge` does it, by size alone.
fn merged(unit: &Unit, options: &CompactionOptions, number: &mut u64) -> Vec<Arc<DataFile>> {
    let mut bytes = unit.bytes();
    let mut outputs = Vec::new();
    let ingest = |pick: fn(i64, i64) -> i64, of: fn(&DataFile) -> i64| {
        unit.inputs.iter().map(|file| of(file)).reduce(pick).unwrap_or_default()
    };
    let ingest_time = (ingest(i64::min, |file| file.ingest_time.0), ingest(i64::max, |file| file.ingest_time.1));
    let hours = (
        unit.inputs.iter().map(|file| file.hours.0).min().expect("inputs"),
        unit.inputs.iter().map(|file| file.hours.1).max().expect("inputs"),
    );
    let folder = match unit.place {
        Place::Day(_) => "day=x".to_owned(),
        _ => format!("hour={}", hours.0),
    };
    while bytes > 0 {
        let part = bytes.min(options.file_bytes_max);
        bytes -= part;
        *number += 1;
        let path = Path::from(format!("tenant=acme/spans/{folder}/{number:026}.parquet"));
        outputs.push(data_file(path, hours, part, ingest_time, true, *number));
    }
    outputs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever arrives, and whenever: work ends, it is bounded, it never rewrites a byte more often than the
    /// logarithm of the data allows, and places at rest end up with few files.
    #[test]
    fn work_is_bounded_and_ends(
        arrivals in prop::collection::vec((1u64..4 * MIB, 0i64..180, 0i64..3), 1..300),
    ) {
        let options = CompactionOptions {
            file_bytes_max: 64 * MIB, unit_bytes_max: 96 * MIB, unit_files_max: 16, closed_after: Duration::from_secs(600),
            ..CompactionOptions::default()
        };
        let mut files: Vec<Arc<DataFile>> = Vec::new();
        let mut number = 1000u64;
        let mut now_ns = NOW_NS;
        let (mut arrived, mut rewritten) = (0u64, 0u64);
        let count = arrivals.len() as u64;
        let run = |files: &mut Vec<Arc<DataFile>>, now_ns: i64, number: &mut u64| {
            let mut rewritten = 0;
            for _ in 0..10_000 {
                let planned = plan(files, now_ns, &options, Depth::Due);
                let mut named = HashSet::new();
                for unit in &planned.units {
                    for file in &unit.inputs {
                        assert!(named.insert(file.path.clone()), "a file in two units");
                    }
                    assert!(unit.inputs.len() <= options.unit_files_max);
                    assert!(unit.bytes() <= options.unit_bytes_max.max(2 * options.file_bytes_max));
                }
                let Some(unit) = planned.units.first() else { return rewritten };
                rewritten += unit.bytes();
                let outputs = merged(unit, &options, number);
                files.retain(|file| !unit.inputs.iter().any(|input| input.path == file.path));
                files.extend(outputs);
            }
            panic!("work does not end");
        };
        for (bytes, minutes, hours_ago) in arrivals {
            now_ns += minutes * MINUTE_NS / 10;
            number += 1;
            let hour = Hour::containing(now_ns - hours_ago * HOUR_NS);
            let path = Path::from(format!("tenant=acme/spans/hour={hour}/{number:026}.parquet"));
            files.push(data_file(path, (hour, hour), bytes, (now_ns, now_ns), false, number));
            arrived += bytes;
            rewritten += run(&mut files, now_ns, &mut number);
        }
        now_ns += nanos(options.closed_after);
        rewritten += run(&mut files, now_ns, &mut number);
        let logarithm = u64::from(count.ilog2() + 1);
        prop_assert!(rewritten <= arrived * (4 + 2 * logarithm), "{rewritten} of {arrived}, {count} files");
        let mut hours = files.iter().map(|file| file.hours.0).collect::<Vec<_>>();
        hours.sort_unstable();
        for files in hours.chunk_by(|a, b| a == b) {
            prop_assert!(files.len() <= 20, "{} files of an hour are left", files.len());
        }
    }
}
