//! `tracehound data`, on a directory and on a server.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Place, Served, run, span, text, traces};

/// Three files of one hour: two users, two traces.
fn three_files() -> Place {
    let place = Place::new();
    for (trace, user) in [(1, "u-1"), (2, "u-2"), (3, "u-1")] {
        place.ingest(traces("shop", &[span(trace, trace, 0, "read", &[("user.id", text(user))])]));
    }
    place
}

fn data(place: &Place, arguments: &[&str]) -> crate::support::Ended {
    run(&[&["data"][..], arguments, &["--data-dir", &place.data()]].concat())
}

/// The report of a task.
#[track_caller]
fn report(place: &Place, arguments: &[&str]) -> Value {
    let ended = data(place, &[arguments, &["-o", "json"]].concat()).expect(0);
    serde_json::from_str(&ended.out).expect("JSON")
}

fn live(place: &Place) -> Vec<PathBuf> {
    data(place, &["files", "--live"]).expect(0).out.lines().map(PathBuf::from).collect()
}

fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(file, bytes).expect("written");
}

#[test]
fn what_is_stored_is_listed() {
    let place = three_files();
    let tenants = data(&place, &["tenants"]).expect(0).rows();
    assert_eq!((&tenants[0]["tenant"], &tenants[0]["rows"]), (&json!("default"), &json!(3)), "{tenants:?}");
    let partitions = data(&place, &["partitions"]).expect(0).rows();
    assert_eq!((&partitions[0]["first_hour"], &partitions[0]["rows"]), (&json!("2026-11-22T15"), &json!(3)));
    assert_eq!(data(&place, &["files", "--dataset", "spans"]).expect(0).rows().len(), 3);
    assert_eq!(data(&place, &["files", "--dataset", "logs"]).expect(0).rows().len(), 0);
    data(&place, &["files", "--dataset", "spam"]).expect(2);
    let live = live(&place);
    assert!(live.len() == 3 && live.iter().all(|path| path.is_file()), "{live:?}");
}

#[test]
fn merging_changes_files_and_no_row() {
    let place = three_files();
    let rows = |place: &Place| place.rows("SELECT trace_id, attributes, user_id, _commit FROM spans ORDER BY trace_id");
    let before = rows(&place);
    let merged = report(&place, &["compact"]);
    assert_eq!((&merged["files_before"], &merged["files_after"], &merged["rows"]), (&json!(3), &json!(1), &json!(3)));
    assert_eq!(rows(&place), before);
    assert_eq!(live(&place).len(), 1);
    assert_eq!(report(&place, &["compact", "--from", "2026-11-22"])["units"], 0, "there is nothing left");
    let as_of = |entry: &str| {
        let sql = ["sql", "-c", "SELECT count(*) AS n FROM spans", "--as-of", entry, "--data-dir", &place.data()];
        run(&sql).expect(0).rows()[0]["n"].clone()
    };
    assert_eq!((as_of("1"), as_of("2"), as_of("3")), (json!(1), json!(2), json!(3)));
    let swept = report(&place, &["sweep"]);
    assert_eq!(swept["removed"], 0, "the grace is not over: {swept}");
}

#[test]
fn damage_is_found_named_and_set_aside() {
    let place = three_files();
    let whole = data(&place, &["verify", "--deep", "-o", "table"]).expect(0);
    assert!(whole.err.contains("all as they were written"), "{}", whole.err);
    let damaged = live(&place)[1].clone();
    flip(&damaged);
    let ended = data(&place, &["verify"]).expect(6);
    let found: Value = serde_json::from_str(&ended.out).expect("JSON");
    let path = found["defects"][0]["path"].as_str().expect("a path").to_owned();
    assert!(damaged.ends_with(&path), "{found}");
    assert!(ended.err.contains("error[defects]: 1 defect was found"), "{}", ended.err);

    data(&place, &["verify", "--quarantine"]).expect(6);
    assert_eq!(data(&place, &["quarantine", "list"]).expect(0).rows()[0]["path"], path);
    assert_eq!(place.rows("SELECT count(*) AS n FROM spans"), [json!({"n": 2})]);
    flip(&damaged);
    data(&place, &["quarantine", "release", &path]).expect(0);
    data(&place, &["verify"]).expect(0);
    assert_eq!(place.rows("SELECT count(*) AS n FROM spans"), [json!({"n": 3})]);

    data(&place, &["quarantine", "add", &path, "--why", "a doubt"]).expect(0);
    assert_eq!(data(&place, &["quarantine", "list"]).expect(0).rows()[0]["detail"], "a doubt");
    data(&place, &["quarantine", "add", "spans/nothing.parquet", "--why", "x"]).expect(1);
}

#[test]
fn nothing_is_erased_that_nobody_meant_to_erase() {
    let place = three_files();
    let erase = |more: &[&str]| data(&place, &[&["erase", "--why", "asked"][..], more].concat());
    let count = || place.rows("SELECT count(*) AS n FROM spans")[0]["n"].clone();
    erase(&[]).expect(2);
    erase(&["--user", "u-1", "--trace", &"01".repeat(16)]).expect(2);
    let unsure = erase(&["--user", "u-1"]).expect(2);
    assert!(unsure.err.contains("--yes"), "{}", unsure.err);
    let dry = report(&place, &["erase", "--why", "asked", "--user", "u-1", "--dry-run"]);
    assert_eq!((&dry["rows"], &dry["dry_run"], count()), (&json!(2), &json!(true), json!(3)), "{dry}");

    let done = report(&place, &["erase", "--why", "asked", "--user", "u-1", "--yes"]);
    assert_eq!((&done["rows"], count()), (&json!(2), json!(1)), "{done}");
    assert_eq!(place.rows("SELECT user_id FROM spans"), [json!({"user_id": "u-2"})]);
    erase(&["--trace", "xyz", "--yes"]).expect(2);
    report(&place, &["erase", "--why", "asked", "--trace", &"02".repeat(16), "--yes", "--now"]);
    assert_eq!(count(), 0);
    data(&place, &["verify", "--deep"]).expect(0);
    let log =
        std::fs::read_to_string(place.dir.path().join("data/store/tenant=default/manifest/00000000000000000004.json"));
    let log = log.expect("an entry");
    assert!(log.contains("\"asked\"") && !log.contains("u-1"), "the subject is not named: {log}");
}

#[test]
fn what_is_old_goes_when_asked() {
    let place = three_files();
    data(&place, &["retention", "--yes"]).expect(2);
    data(&place, &["retention", "--age", "soon", "--yes"]).expect(2);
    let none = report(&place, &["retention", "--size", "1GiB", "--dry-run"]);
    assert_eq!(none["rows"], 0, "{none}");
    let all = report(&place, &["retention", "--size", "1B", "--dataset", "spans", "--yes"]);
    assert_eq!(all["rows"], 3, "{all}");
    assert_eq!(live(&place).len(), 0);
    data(&place, &["verify"]).expect(0);
}

#[test]
fn a_backup_is_restored_to_the_same_rows() {
    let place = three_files();
    report(&place, &["compact"]);
    let to = place.dir.path().join("backup").display().to_string();
    data(&place, &["backup"]).expect(2);
    let first = report(&place, &["backup", &to]);
    assert_eq!(first["tenants"][0]["rows"], 3, "{first}");
    let second = report(&place, &["backup", &to]);
    assert!(
        second["kept"].as_u64() > Some(0) && second["copied_bytes"].as_u64() < first["copied_bytes"].as_u64(),
        "{second}"
    );

    let new = place.dir.path().join("new").display().to_string();
    run(&["data", "restore", &to, "--data-dir", &new]).expect(2);
    run(&["data", "restore", &to, "--data-dir", &place.data(), "--yes"]).expect(2);
    let nothing = place.dir.path().join("nothing").display().to_string();
    run(&["data", "restore", &nothing, "--data-dir", &nothing, "--yes"]).expect(1);
    run(&["data", "restore", &to, "--data-dir", &new, "--yes"]).expect(0);
    let sql = "SELECT trace_id, attributes, _commit FROM spans ORDER BY trace_id";
    let restored = run(&["sql", "--data-dir", &new, "-c", sql]).expect(0).rows();
    assert_eq!(restored, place.rows(sql));
    run(&["data", "verify", "--deep", "--data-dir", &new]).expect(0);
}

#[test]
fn a_server_does_the_same() {
    let place = three_files();
    let to = place.dir.path().join("backup").display().to_string();
    let mut served = Served::start(place.dir.path(), Some("[compaction]\nbackground = false\n"));
    let url = served.http.clone();
    let data = |arguments: &[&str]| run(&[&["data"][..], arguments, &["--url", &url]].concat());
    assert_eq!(data(&["tenants"]).expect(0).rows()[0]["rows"], 3);
    assert_eq!(data(&["partitions"]).expect(0).rows().len(), 1);
    assert_eq!(data(&["files"]).expect(0).rows().len(), 3);
    let report = |arguments: &[&str]| -> Value {
        serde_json::from_str(&data(&[arguments, &["-o", "json"]].concat()).expect(0).out).expect("JSON")
    };
    assert_eq!(report(&["compact"])["files_after"], 1);
    assert_eq!(report(&["backup", &to])["tenants"][0]["rows"], 3);
    assert_eq!(report(&["verify", "--deep"])["defects"], json!([]));
    assert_eq!(report(&["erase", "--user", "u-1", "--why", "asked", "--dry-run"])["rows"], 2);
    assert_eq!(report(&["erase", "--user", "u-1", "--why", "asked", "--yes"])["rows"], 2);
    data(&["retention", "--yes"]).expect(2);
    assert_eq!(data(&["quarantine", "list"]).expect(0).rows().len(), 0);
    data(&["quarantine", "release", "spans/x.parquet"]).expect(0);
    report(&["sweep"]);
    served.signal("TERM");
    assert_eq!(served.wait(), Some(0), "{}", served.log());
}

#[test]
fn only_an_admins_key_changes_what_is_stored() {
    let place = three_files();
    // SHA-256 of "secret" and of "other".
    let config = "[compaction]\nbackground = false\n\
        [[keys]]\nid = \"reader\"\nsha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"\ntenants = [\"default\"]\n\
        [[keys]]\nid = \"admin\"\nsha256 = \"d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa\"\ntenants = [\"default\"]\nadmin = true\n";
    let served = Served::start(place.dir.path(), Some(config));
    let data = |key: &str, arguments: &[&str]| {
        run(&[&["data"][..], arguments, &["--url", &served.http, "--key", key]].concat())
    };
    for reading in [&["tenants"][..], &["partitions"], &["files"], &["verify"], &["quarantine", "list"]] {
        data("secret", reading).expect(0);
        data("wrong", reading).expect(4);
    }
    for changing in
        [&["compact"][..], &["sweep"], &["verify", "--quarantine"], &["erase", "--user", "u-1", "--why", "x", "--yes"]]
    {
        data("secret", changing).expect(4);
        data("other", changing).expect(0);
    }
    // Where backups go is the operator's decision.
    data("other", &["backup", &place.dir.path().join("b").display().to_string()]).expect(4);
    data("other", &["backup"]).expect(2);
}
