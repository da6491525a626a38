//! Queries as their callers see them: receipts, limits, deadlines, damage, plans.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fixture;

use std::path::Path;
use std::time::Duration;

use fixture::{Fixture, Held, NOW};
use tracehound_query::{AsOf, Error, QuarantinedFile, QueryRequest, TimeRange, Truncation, render};

const HOUR: i64 = 3_600_000_000_000;

async fn fixture() -> Fixture {
    Fixture::over(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/query/fixture.otlp.json")).await
}

async fn texts(fixture: &Fixture, sql: &str) -> Vec<String> {
    let answer = fixture.queries.run(&fixture.tenant, QueryRequest::new(sql)).await.unwrap();
    let rows = answer.batches.iter().flat_map(|batch| render::text_rows(batch).unwrap());
    rows.map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn receipts_count_files_and_rows() {
    let fixture = fixture().await;
    let receipt = async |sql: &str| {
        let answer = fixture.queries.run(&fixture.tenant, QueryRequest::new(sql)).await.unwrap();
        let receipt = answer.receipt;
        assert!(receipt.elapsed_ns > 0 && receipt.files_failed == 0);
        (receipt.entry, receipt.files_planned, receipt.files_pruned, receipt.rows_unflushed, receipt.rows)
    };
    assert_eq!(receipt("SELECT name FROM spans").await, (1, 1, 0, 3, 6));
    assert_eq!(receipt("SELECT name FROM spans WHERE start_time >= '2026-11-22T16:00:00Z'").await, (1, 1, 1, 3, 3));
    assert_eq!(receipt("SELECT name FROM spans WHERE start_time < '2026-11-22T16:00:00Z'").await, (1, 1, 0, 3, 3));
}

/// Invariant: pruning changes cost, never answers.
#[tokio::test]
async fn invariant_6_pruned_answers_equal_full_scans() {
    let fixture = fixture().await;
    fixture.engine.flush().await.unwrap();
    let all = texts(&fixture, "SELECT CAST(start_time AS BIGINT) FROM spans ORDER BY 1").await;
    let all: Vec<i64> = all.iter().map(|time| time.parse().unwrap()).collect();
    let mut seed: u64 = 42;
    let mut pruned = 0;
    for _ in 0..60 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let near = all[usize::try_from(seed >> 33).unwrap() % all.len()];
        let from_ns = near - [0, 1, HOUR, 2 * HOUR][usize::try_from(seed >> 20).unwrap() % 4];
        let to_ns = near + [1, 1000, HOUR, 3 * HOUR][usize::try_from(seed >> 10).unwrap() % 4];
        let sql = "SELECT CAST(start_time AS BIGINT) AS t FROM spans WHERE start_time >= $from AND start_time < $to";
        let request = QueryRequest { time_range: Some(TimeRange { from_ns, to_ns }), ..QueryRequest::new(sql) };
        let answer = fixture.queries.run(&fixture.tenant, request).await.unwrap();
        pruned += answer.receipt.files_pruned;
        let expected = all.iter().filter(|time| (from_ns..to_ns).contains(time)).count();
        assert_eq!(answer.rows(), expected, "seed 42, {from_ns} to {to_ns}");
    }
    assert!(pruned > 0, "nothing was ever pruned");
}

#[tokio::test]
async fn limits_cut_and_say_so() {
    let fixture = fixture().await;
    let request = QueryRequest { max_rows: Some(2), ..QueryRequest::new("SELECT name FROM spans") };
    let answer = fixture.queries.run(&fixture.tenant, request).await.unwrap();
    assert_eq!((answer.rows(), answer.truncated), (2, Some(Truncation::Rows(2))));
    let request = QueryRequest { max_rows: Some(6), ..QueryRequest::new("SELECT name FROM spans") };
    let answer = fixture.queries.run(&fixture.tenant, request).await.unwrap();
    assert_eq!((answer.rows(), answer.truncated), (6, None));
    let request = QueryRequest { max_bytes: Some(1), ..QueryRequest::new("SELECT name FROM spans") };
    let answer = fixture.queries.run(&fixture.tenant, request).await.unwrap();
    assert_eq!((answer.rows(), answer.truncated), (0, Some(Truncation::Bytes(1))));
}

#[tokio::test]
async fn deadlines_end_queries() {
    let fixture = fixture().await;
    let sql = "SELECT count(*) FROM generate_series(1, 1000000000) AS a(x), generate_series(1, 1000000000) AS b(y)";
    let request = QueryRequest { timeout: Some(Duration::from_millis(300)), ..QueryRequest::new(sql) };
    let error = fixture.queries.run(&fixture.tenant, request).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("timeout", true));
    assert_eq!(texts(&fixture, "SELECT count(*) FROM spans").await, ["6"], "the next query runs");
}

#[tokio::test]
async fn invariant_9_a_missing_file_fails_the_query_by_name() {
    let fixture = fixture().await;
    let path = texts(&fixture, "SELECT path FROM system.files WHERE dataset = 'spans'").await.remove(0);
    let file = fixture.dir.path().join("store").join(&path);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let run = async || fixture.queries.run(&fixture.tenant, QueryRequest::new("SELECT name FROM spans")).await;
    match run().await {
        Err(Error::Corrupt { file, .. }) => assert!(file.ends_with(&path), "{file} is not {path}"),
        other => panic!("{other:?}"),
    }
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let error = run().await.unwrap_err();
    assert_eq!(error.code(), "storage-corrupt", "{error:?}");
    // Other times do not need it.
    let later = "SELECT name FROM spans WHERE start_time >= '2026-11-22T16:00:00Z'";
    assert_eq!(texts(&fixture, later).await.len(), 3);
}

#[tokio::test]
async fn invariant_9_a_page_that_does_not_decode_fails_the_query_by_name() {
    let fixture = fixture().await;
    fixture.engine.flush().await.unwrap();
    let paths = texts(&fixture, "SELECT path FROM system.files WHERE dataset = 'spans' ORDER BY first_time").await;
    assert!(paths.len() > 1);
    for path in &paths {
        let file = fixture.dir.path().join("store").join(path);
        let bytes = std::fs::read(&file).unwrap();
        let mut damaged = bytes.clone();
        damaged[16..200].fill(0x5a);
        std::fs::write(&file, &damaged).unwrap();
        let error = fixture.queries.run(&fixture.tenant, QueryRequest::new("SELECT * FROM spans")).await.unwrap_err();
        let Error::Corrupt { file: named, .. } = &error else { panic!("{error:?}") };
        assert!(named.ends_with(path), "{error}");
        assert!(error.to_string().contains("data verify --quarantine"), "{error}");
        std::fs::write(&file, &bytes).unwrap();
    }
    assert_eq!(texts(&fixture, "SELECT name FROM spans").await.len(), 6);
}

/// Invariant: an answer that is not whole says so.
#[tokio::test]
async fn invariant_9_files_in_quarantine_are_named_by_the_answers_that_needed_them() {
    let fixture = fixture().await;
    let path = texts(&fixture, "SELECT path FROM system.files WHERE dataset = 'spans'").await.remove(0);
    let below = path.split_once('/').unwrap().1;
    fixture.engine.maintenance().quarantine(&fixture.tenant, below, "a page is damaged").await.unwrap();
    let run = async |sql: &str| fixture.queries.run(&fixture.tenant, QueryRequest::new(sql)).await.unwrap();
    let answer = run("SELECT name FROM spans AS a").await;
    assert_eq!((answer.rows(), answer.receipt.incomplete(), answer.receipt.files_read), (3, true, 0));
    let left_out = QuarantinedFile { file: path.clone(), detail: "a page is damaged".to_owned() };
    assert_eq!(answer.receipt.quarantined, [left_out]);
    let json: serde_json::Value =
        serde_json::from_slice(&render::json(&answer, render::Rows::Arrays).unwrap()).unwrap();
    assert_eq!((&json["incomplete"], &json["quarantined"][0]["file"]), (&true.into(), &path.clone().into()));
    // Other times do not need it.
    let later = run("SELECT name FROM spans WHERE start_time >= '2026-11-22T16:00:00Z'").await;
    assert_eq!((later.rows(), later.receipt.incomplete()), (3, false));
    assert_eq!(
        texts(&fixture, "SELECT quarantined FROM system.files WHERE dataset = 'spans'").await,
        ["a page is damaged"]
    );
    assert!(fixture.engine.maintenance().release(&fixture.tenant, below).await.unwrap());
    let answer = run("SELECT name FROM spans").await;
    assert_eq!((answer.rows(), answer.receipt.incomplete()), (6, false));
}

/// Row lineage: merged files keep the entry of each row, and `AS OF` reads it.
#[tokio::test]
async fn merged_files_keep_the_entries_of_their_rows() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/scenarios/lateral-movement.otlp.json");
    let files = Fixture::held(&file, Held::Files).await;
    let merged = Fixture::held(&file, Held::Files).await;
    merged.engine.maintenance().compact(&merged.tenant, None, None).await.unwrap();
    let columns = texts(&merged, "SELECT DISTINCT has_commit_column FROM system.files WHERE dataset = 'spans'").await;
    assert!(columns.contains(&"true".to_owned()), "nothing was merged: {columns:?}");
    for sql in [
        "SELECT _commit, count(*) FROM spans GROUP BY 1 ORDER BY 1",
        "SELECT count(*), count(_commit) FROM spans WHERE _commit = 1",
        "SELECT span_id, name FROM spans VERSION AS OF 1 ORDER BY 1",
        "SELECT span_id, _commit FROM spans VERSION AS OF 1 ORDER BY 1",
        "SELECT attributes FROM spans VERSION AS OF 1 ORDER BY span_id",
        "SELECT count(*) FROM spans VERSION AS OF 1",
        "SELECT count(*) FROM (SELECT 1 FROM spans VERSION AS OF 1 LIMIT 5)",
        "SELECT count(*) FROM spans VERSION AS OF 1 WHERE start_time > '2026-11-21T14:00:00Z'",
        "SELECT count(*) FROM service_calls VERSION AS OF 1",
        "SELECT count(*) FROM spans VERSION AS OF 2",
        "SELECT span_id, end_time, duration_ns FROM spans ORDER BY 1",
        "SELECT count(*) FROM spans WHERE end_time >= '2026-11-21T14:00:00.050Z'",
    ] {
        let expected = texts(&files, sql).await;
        assert!(!expected.is_empty());
        assert_eq!(texts(&merged, sql).await, expected, "{sql}");
    }
}

/// Invariant: blooms change cost, never answers.
#[tokio::test]
async fn invariant_6_files_without_the_needle_are_not_opened() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/scenarios/lateral-movement.otlp.json");
    let fixture = Fixture::held(&file, Held::Merged).await;
    let plain = Fixture::held(&file, Held::Memory).await;
    let run = async |sql: &str| fixture.queries.run(&fixture.tenant, QueryRequest::new(sql)).await.unwrap();
    let mut pruned = 0;
    for sql in [
        "SELECT count(*) FROM spans WHERE trace_id = '02000000000000000000000000000049'",
        "SELECT count(*) FROM spans WHERE trace_id IN ('02000000000000000000000000000049', '0200000000000000000000000000004A')",
        "SELECT count(*) FROM spans WHERE user_id = 'u-7' OR user_id = 'u-100'",
        "SELECT count(*) FROM spans WHERE user_id = 'nobody'",
        "SELECT count(*) FROM spans WHERE user_id = 'u-7' OR name = 'auth.Do'",
        "SELECT count(*) FROM spans WHERE user_id <> 'u-7'",
        "SELECT count(*) FROM actors WHERE trace_id = '02000000000000000000000000000049'",
    ] {
        let receipt = run(sql).await.receipt;
        pruned += receipt.files_pruned_by_bloom;
        assert_eq!(receipt.files_planned, receipt.files_read + receipt.files_pruned);
        assert_eq!(texts(&fixture, sql).await, texts(&plain, sql).await, "{sql}");
    }
    assert!(pruned > 0, "nothing was ever pruned");
    let receipt = run("SELECT count(*) FROM spans WHERE user_id = 'nobody'").await.receipt;
    assert_eq!((receipt.files_read, receipt.files_pruned_by_bloom), (0, receipt.files_planned));
}

#[tokio::test]
async fn snapshots_show_what_was() {
    let fixture = fixture().await;
    let request = QueryRequest { as_of: Some(AsOf::Entry(1)), ..QueryRequest::new("SELECT name FROM spans") };
    let answer = fixture.queries.run(&fixture.tenant, request.clone()).await.unwrap();
    assert_eq!((answer.rows(), answer.receipt.entry), (3, 1));
    fixture.engine.flush().await.unwrap();
    assert_eq!(fixture.queries.run(&fixture.tenant, request).await.unwrap().rows(), 3);
    let request = QueryRequest { as_of: Some(AsOf::Entry(99)), ..QueryRequest::new("SELECT 1") };
    assert_eq!(fixture.queries.run(&fixture.tenant, request).await.unwrap_err().code(), "not-found");
    for (time_ns, rows) in [(NOW, 6), (NOW - 1, 0)] {
        let as_of = Some(AsOf::Time(time_ns));
        let request = QueryRequest { as_of, ..QueryRequest::new("SELECT name FROM spans") };
        assert_eq!(fixture.queries.run(&fixture.tenant, request).await.unwrap().rows(), rows);
    }
    let sql = "SELECT count(*) FROM spans, logs VERSION AS OF 1";
    let receipt = fixture.queries.run(&fixture.tenant, QueryRequest::new(sql)).await.unwrap().receipt;
    assert_eq!((receipt.entry, receipt.entries_as_of), (2, vec![1]));
    assert_eq!(texts(&fixture, "SELECT count(*) FROM spans").await, ["6"]);
}

#[tokio::test]
async fn other_tenants_see_nothing() {
    let fixture = fixture().await;
    let other = "other".parse().unwrap();
    let answer = fixture.queries.run(&other, QueryRequest::new("SELECT * FROM spans")).await.unwrap();
    assert_eq!((answer.rows(), answer.receipt.files_planned, answer.receipt.rows_unflushed), (0, 0, 0));
    assert!(answer.schema.field_with_name("trace_id").is_ok());
}

/// The plan of a query: the lines of the named kind, without the names of files.
async fn plan(fixture: &Fixture, sql: &str) -> String {
    let answer = fixture.queries.explain(&fixture.tenant, QueryRequest::new(sql)).await.unwrap();
    let rows = answer.batches.iter().flat_map(|batch| render::text_rows(batch).unwrap());
    rows.flatten().flatten().collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn actors_are_computed_for_the_traces_asked_for() {
    let fixture = fixture().await;
    let sql = "SELECT * FROM actors WHERE trace_id IN (SELECT trace_id FROM spans WHERE data_classification = 'PII')";
    let plan = plan(&fixture, sql).await;
    let (aggregate, join) = (plan.find("Aggregate: groupBy").unwrap(), plan.find("LeftSemi Join").unwrap());
    assert!(aggregate < join, "the semi join stands below the aggregate:\n{plan}");
}

#[tokio::test]
async fn maps_are_read_only_when_asked_for() {
    let fixture = fixture().await;
    let narrow = plan(&fixture, "SELECT name FROM spans WHERE user_id = 'ann'").await;
    assert!(!narrow.contains("attributes") && !narrow.contains("resource"), "{narrow}");
    let wide = plan(&fixture, "SELECT attributes['k'] FROM spans").await;
    assert!(wide.contains("projection=[attributes]"), "{wide}");
}

#[tokio::test]
async fn tables_are_described() {
    let fixture = fixture().await;
    let tables = fixture.queries.tables().await.unwrap();
    let names: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "spans",
            "logs",
            "metrics",
            "system.ingest_rejects",
            "system.files",
            "system.partitions",
            "system.storage",
            "actors",
            "service_calls",
            "traces"
        ]
    );
    let column = &tables[0].columns[3];
    assert_eq!((column.name.as_str(), column.type_name.as_str()), ("trace_id", "id"));
    assert!(tables.iter().all(|table| !table.description.is_empty() && !table.columns.is_empty()));
    assert!(fixture.queries.describe("spanz").await.unwrap_err().to_string().ends_with("did you mean spans?"));
    assert!(fixture.queries.functions().iter().any(|function| function.name == "trace_path"));
    assert_eq!(NOW % HOUR, 0);
}
