use std::io::Write;

use serde_json::{Value, json};

use crate::support::{Place, run, run_with_stdin, span, traces};

const COUNT: &str = "SELECT count(*) AS n FROM spans";

fn lines(messages: u8) -> String {
    (1..=messages)
        .map(|n| traces("shop", &[span(n, n, 0, "call", &[]), span(n, n + 100, n, "inner", &[])]) + "\n")
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

fn summary(out: &str) -> Value {
    serde_json::from_str(out).expect("one JSON line")
}

#[test]
fn plain_gzip_zstd_and_standard_input_are_taken() {
    let place = Place::new();
    let data = place.data();
    let plain = place.file("a.json", lines(2));
    let packed = place.file("b.json.gz", gzip(lines(4).as_bytes()));
    let zstd = place.file("c.json.zst", zstd::encode_all(lines(5).as_bytes(), 3).expect("encoded"));
    let ended = run(&["ingest", "--data-dir", &data, &plain, "-o", "json"]).expect(0);
    assert_eq!(
        summary(&ended.out),
        json!({"files": 1, "messages": 2, "accepted": 4, "rejected": 0, "duplicates": 0, "rejections": []})
    );
    // The first two messages again: recognised, across processes.
    let ended = run(&["ingest", "--data-dir", &data, &packed, &zstd, "-o", "json"]).expect(0);
    assert_eq!(
        summary(&ended.out),
        json!({"files": 2, "messages": 9, "accepted": 6, "rejected": 0, "duplicates": 6, "rejections": []})
    );
    let ended = run_with_stdin(&["ingest", "--data-dir", &data, "-"], gzip(lines(6).as_bytes()).as_slice()).expect(0);
    assert_eq!(ended.out, "");
    assert!(ended.err.contains("1 file, 6 messages: 2 records accepted, 0 rejected"), "{}", ended.err);
    assert_eq!(place.rows(COUNT), [json!({"n": 12})]);
    // Everything is in Parquet: nothing waits in memory for a process that has ended.
    assert_ne!(place.rows("SELECT count(*) AS n FROM system.files"), [json!({"n": 0})]);
}

#[test]
fn rejected_records_are_counted_and_told() {
    let place = Place::new();
    let mut bad = span(1, 2, 0, "bad", &[]);
    bad["spanId"] = json!("0000000000000000");
    let file = place.file("a.json", traces("shop", &[span(1, 1, 0, "good", &[]), bad]));
    let ended = run(&["ingest", "--data-dir", &place.data(), &file]).expect(0);
    assert!(ended.err.contains("1 record accepted, 1 rejected"), "{}", ended.err);
    assert!(ended.err.contains("system.ingest_rejects"), "{}", ended.err);
    assert_eq!(place.rows("SELECT count(*) AS n FROM system.ingest_rejects"), [json!({"n": 1})]);
}

#[test]
fn a_broken_file_names_the_place_and_keeps_what_came_before() {
    let place = Place::new();
    let data = place.data();
    let file = place.file("broken.json", lines(3) + "{\"resourceSpans\": [");
    let ended = run(&["ingest", "--data-dir", &data, &file]).expect(1);
    for part in
        ["error[malformed]", "broken.json", "message 4 at byte", "3 messages of this file were ingested and stay"]
    {
        assert!(ended.err.contains(part), "no {part:?} in {}", ended.err);
    }
    assert_eq!(place.rows(COUNT), [json!({"n": 6})]);
    let file = place.file("letters.txt", "Dear all,\nthis is no telemetry.");
    let ended = run(&["ingest", "--data-dir", &data, &file]).expect(1);
    assert!(ended.err.contains("nothing of this file was ingested"), "{}", ended.err);
    let file = place.file("cut.gz", &gzip(lines(3).as_bytes())[..60]);
    run(&["ingest", "--data-dir", &data, &file]).expect(1);
}

#[test]
fn what_cannot_be_read_is_found_first() {
    let place = Place::new();
    let good = place.file("a.json", lines(1));
    let ended = run(&["ingest", "--data-dir", &place.data(), &good, "/does/not/exist"]).expect(1);
    assert!(ended.err.contains("/does/not/exist"), "{}", ended.err);
    run(&["ingest", "--data-dir", &place.data(), &place.dir.path().display().to_string()]).expect(1);
    run(&["ingest", "--data-dir", &place.data(), "-", "-"]).expect(2);
    run(&["ingest", "--data-dir", &place.data()]).expect(2);
    assert!(!place.dir.path().join("data").exists(), "nothing was taken in");
}

#[test]
fn the_real_payloads_of_others_are_taken() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/otlp");
    // They lie beside the repository, where they are at all; their counts were taken by another reader.
    let Ok(expected) = std::fs::read_to_string(fixtures.join("expected.json")) else { return };
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    let files = expected.as_object().expect("files by name");
    assert!(!files.is_empty());
    for (name, expected) in files {
        let (table, records) = match expected["signal"].as_str() {
            Some("traces") => ("spans", "spans"),
            Some("logs") => ("logs", "log_records"),
            _ => ("metrics", "data_points"),
        };
        let records = &expected["counts"][records];
        let place = Place::new();
        let file = fixtures.join(name).display().to_string();
        let ended = run(&["ingest", "--data-dir", &place.data(), &file, "-o", "json"]).expect(0);
        let summary = summary(&ended.out);
        let all = summary["accepted"]
            .as_u64()
            .zip(summary["rejected"].as_u64())
            .map(|(accepted, rejected)| accepted + rejected);
        assert_eq!((all, &summary["messages"]), (records.as_u64(), &expected["messages"]), "{name}: {summary}");
        assert_eq!(place.rows(&format!("SELECT count(*) AS n FROM {table}"))[0]["n"], summary["accepted"], "{name}");
        assert_eq!(
            place.rows("SELECT count(*) AS n FROM system.ingest_rejects")[0]["n"],
            summary["rejected"],
            "{name}"
        );
    }
}
