use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::history::{Summary, live};
use super::{Fault, Rng, SimDisk, pause, random, run, sleep, spawn};
use crate::disk::{Access, Disk};
use crate::runtime::Safeguard;

fn disk(rng: Rng) -> (SimDisk, Disk) {
    let disk = SimDisk::new(1, rng, &[Path::new("/"), Path::new("/d")]);
    (disk.clone(), Disk::Simulated(disk))
}

/// Runs with many seeds and returns what it gave, without repetitions.
fn outcomes<T: Ord + Send + 'static>(what: impl Fn(Rng) -> T + Clone + Send + 'static) -> Vec<T> {
    let mut found = Vec::new();
    for seed in 0..200 {
        let what = what.clone();
        found.push(run(seed, async move { what(super::fork_rng()) }).0);
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn what_is_synced_survives_a_power_cut_and_other_bytes_may_not() {
    let file = Path::new("/d/f");
    let found = outcomes(move |rng| {
        let (sim, disk) = disk(rng);
        let mut open = disk.open(file, Access::New).unwrap();
        open.write_all(b"synced").unwrap();
        open.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        open.write_all(b"-not").unwrap();
        sim.crash(true);
        assert!(disk.read(file).is_err() && open.write_all(b"x").is_err(), "the process is dead");
        sim.restarted().read(file).unwrap()
    });
    assert!(found.iter().all(|bytes| bytes.starts_with(b"synced")));
    for expected in [&b"synced"[..], b"synced-", b"synced-not", b"synced\0\0\0\0"] {
        assert!(found.iter().any(|bytes| bytes == expected), "{expected:?} never happened");
    }
}

#[test]
fn a_name_is_durable_only_once_its_folder_is_synced() {
    let check = |sync: bool, power_cut: bool| {
        outcomes(move |rng| {
            let (sim, disk) = disk(rng);
            disk.open(Path::new("/d/f.tmp"), Access::New).unwrap().sync_all().unwrap();
            disk.rename(Path::new("/d/f.tmp"), Path::new("/d/f")).unwrap();
            if sync {
                disk.sync_dir(Path::new("/d")).unwrap();
            }
            sim.crash(power_cut);
            let after = sim.restarted();
            (after.exists(Path::new("/d/f.tmp")), after.exists(Path::new("/d/f")))
        })
    };
    assert_eq!(check(true, true), [(false, true)]);
    assert_eq!(check(false, false), [(false, true)], "a killed process leaves the page cache");
    assert_eq!(check(false, true), [(false, false), (false, true), (true, false)]);
}

#[test]
fn a_failed_sync_is_not_repaired_by_another() {
    let file = Path::new("/d/f");
    let found = outcomes(move |rng| {
        let (sim, disk) = disk(rng);
        let mut open = disk.open(file, Access::New).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        sim.fail_after(1, Fault::Eio);
        open.write_all(b"x").unwrap();
        assert!(open.sync_data().is_err());
        open.sync_data().unwrap();
        assert_eq!(disk.read(file).unwrap(), b"x", "the page cache has it");
        sim.crash(true);
        sim.restarted().read(file).unwrap()
    });
    for expected in [&b""[..], b"\0", b"x"] {
        assert!(found.iter().any(|bytes| bytes == expected), "{expected:?} never happened");
    }
}

#[test]
fn a_full_disk_takes_a_part_and_then_nothing() {
    let ((), _) = run(1, async {
        let (sim, disk) = disk(super::fork_rng());
        let mut open = disk.open(Path::new("/d/f"), Access::New).unwrap();
        sim.fail_after(0, Fault::Full(1));
        let error = open.write_all(b"0123456789").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        let written = open.size().unwrap();
        assert!((1..10).contains(&written), "{written}");
        open.write_all(b"more").unwrap();
    });
}

/// The order of tasks is the seed's, and the same for the same seed.
#[test]
fn a_seed_decides_the_order() {
    let order = |seed| {
        run(seed, async {
            let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
            for task in 0..4 {
                let sender = sender.clone();
                spawn(async move {
                    for step in 0..3 {
                        pause().await;
                        sleep(Duration::from_millis(random() % 3)).await;
                        sender.send((task, step)).unwrap();
                    }
                });
            }
            drop(sender);
            let mut order = Vec::new();
            while let Some(next) = receiver.recv().await {
                order.push(next);
            }
            order
        })
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1).0, order(2).0);
    assert_ne!(order(1).1, order(2).1);
}

/// The seed in `SIM_SEED`, or else as many as `SIM_SEEDS` says.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(default),
    }
}

/// Lives through a history; the panic of a failed one, for people, if it fails.
fn outcome(seed: u64, without: Option<Safeguard>) -> Result<(Summary, u64), String> {
    let lived = std::panic::catch_unwind(|| live(seed, without));
    lived.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
    })
}

/// Invariants 2 and 3, and that snapshots see each row once, through crashes and failures of all kinds.
#[test]
fn histories_lose_and_double_nothing() {
    let began = std::time::Instant::now();
    let seeds = seeds(200);
    let mut total = Summary::default();
    for seed in seeds.clone() {
        let (summary, _) = outcome(seed, None).unwrap_or_else(|text| panic!("SIM_SEED={seed} fails: {text}"));
        total.add(summary);
    }
    let count = seeds.end - seeds.start;
    let millis = began.elapsed().as_millis() / u128::from(count);
    println!("simulation: {count} seeds, {millis} ms each, {total:?}");
    if count > 100 {
        assert!(total.acknowledged > count && total.starts > count && total.entries > count, "{total:?}");
    }
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..5 {
        assert_eq!(outcome(seed, None).unwrap().1, outcome(seed, None).unwrap().1, "seed {seed}");
    }
}

/// A failing control: histories are such that the lack of a safeguard shows.
fn check_without(safeguard: Safeguard) {
    let found = seeds(400).find_map(|seed| Some((seed, outcome(seed, Some(safeguard)).err()?)));
    let (seed, text) = found.unwrap_or_else(|| panic!("nothing shows that {safeguard:?} is needed"));
    println!("without {safeguard:?}: seed {seed}: {text}");
}

macro_rules! controls {
    ($($name:ident $safeguard:ident)*) => {
        $(#[test]
        fn $name() {
            check_without(Safeguard::$safeguard);
        })*
    };
}

controls! {
    without_writing_first_a_history_fails WriteBeforeReply
    without_syncing_first_a_history_fails SyncBeforeReply
    without_cutting_after_a_failed_sync_a_history_fails CutAfterFailedSync
    without_syncing_what_is_replayed_a_history_fails SyncOnReplay
    without_remembering_what_is_replayed_a_history_fails RememberOnReplay
    without_waiting_for_the_entry_a_history_fails EntryBeforeReclaim
    without_syncing_folders_a_history_fails SyncFolders
}
