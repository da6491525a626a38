//! SQL that is meant to hurt: each ends in a clear error, in time, and the server goes on.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Api;

/// The deadline of each; what is over it was not stopped.
const TIMEOUT_MS: u64 = 1000;
const SLACK: Duration = Duration::from_secs(2);

/// Runs a hostile query, which has to end as one of `codes` (or in an answer, for `ok`), and another after it.
#[track_caller]
fn check(api: &Api, name: &str, sql: &str, codes: &[&str]) {
    let limits =
        json!({"timeout_ms": TIMEOUT_MS, "max_rows": 1_000_000_000_000_u64, "max_bytes": 1_000_000_000_000_u64});
    let started = Instant::now();
    let reply = api.post("/api/v1/query", &json!({"sql": sql, "limits": limits}));
    let took = started.elapsed();
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let code = if reply.status == 200 { "ok" } else { body["code"].as_str().unwrap_or("(none)") };
    let shown: String = reply.text().chars().take(300).collect();
    assert!(codes.contains(&code), "{name}: {code} {shown}");
    assert!(took < Duration::from_millis(TIMEOUT_MS) + SLACK, "{name} took {took:?}");
    let after = Instant::now();
    assert_eq!(api.sql("SELECT 1"), json!([[1]]), "after {name}");
    assert!(after.elapsed() < SLACK, "after {name} a query took {:?}", after.elapsed());
}

const TOO_MUCH: &[&str] = &["limit-terms", "limit-tokens", "limit-depth", "limit-text"];

#[test]
fn texts_that_grow_in_planning() {
    let api = Api::with_spans();
    check(&api, "a sum of 10,000", &format!("SELECT {}1", "1+".repeat(10_000)), TOO_MUCH);
    check(
        &api,
        "20,000 ORs",
        &format!("SELECT 1 FROM spans WHERE {}false", "duration_ns = 1 OR ".repeat(20_000)),
        TOO_MUCH,
    );
    check(&api, "5,000 UNIONs", &format!("{}SELECT 1", "SELECT 1 UNION ALL ".repeat(5000)), TOO_MUCH);
    let chained: String = (1..4000).map(|n| format!(", c{n} AS (SELECT * FROM c{})", n - 1)).collect();
    check(&api, "4,000 WITHs", &format!("WITH c0 AS (SELECT 1){chained} SELECT * FROM c3999"), TOO_MUCH);
    let doubling: String =
        (1..40).map(|n| format!(", c{n} AS (SELECT a.x FROM c{m} AS a, c{m} AS b)", m = n - 1)).collect();
    check(&api, "WITHs that double", &format!("WITH c0 AS (SELECT 1 AS x){doubling} SELECT * FROM c39"), TOO_MUCH);
    check(&api, "brackets", &format!("SELECT {}1{}", "(".repeat(4000), ")".repeat(4000)), TOO_MUCH);
    check(&api, "functions in functions", &format!("SELECT {}1{}", "abs(".repeat(2000), ")".repeat(2000)), TOO_MUCH);
    check(
        &api,
        "CASE in CASE",
        &format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(2000), " END".repeat(2000)),
        TOO_MUCH,
    );
    check(&api, "NOTs", &format!("SELECT {}true", "NOT ".repeat(8000)), TOO_MUCH);
    check(
        &api,
        "subqueries",
        &format!("SELECT * FROM {}spans{}", "(SELECT * FROM ".repeat(1000), ")".repeat(1000)),
        TOO_MUCH,
    );
    check(&api, "arrays in arrays", &format!("SELECT {}1{}", "[".repeat(3000), "]".repeat(3000)), TOO_MUCH);
    let joins: String = (0..300).map(|n| format!(" JOIN spans AS s{n} USING (trace_id)")).collect();
    check(&api, "300 joins", &format!("SELECT 1 FROM spans{joins}"), TOO_MUCH);
    let depth = 60;
    let nested = format!("SELECT {}1{}", "abs(".repeat(depth), ")".repeat(depth));
    check(&api, "as deep as is allowed", &nested, &["ok", "limit-depth", "timeout"]);
}

#[test]
fn answers_that_grow_in_running() {
    let api = Api::with_spans();
    check(&api, "one huge text", "SELECT length(repeat('x', 2000000000))", &["limit-argument"]);
    check(
        &api,
        "huge texts by rows",
        "SELECT length(repeat(name, 1000000)) FROM spans, generate_series(1, 1000000)",
        &["limit-argument", "limit-memory", "timeout"],
    );
    check(&api, "padding", "SELECT length(lpad('x', 2000000000))", &["limit-argument"]);
    check(&api, "a huge array", "SELECT cardinality(array_repeat(1, 2000000000))", &["limit-argument"]);
    check(&api, "a long count", "SELECT count(*) FROM generate_series(1, 9223372036854775807)", &["timeout"]);
    check(
        &api,
        "a cross join",
        "SELECT count(*) FROM generate_series(1, 1000000000) AS a(x), generate_series(1, 1000000000) AS b(y)",
        &["timeout", "limit-memory"],
    );
    check(
        &api,
        "a large sort",
        "SELECT value FROM generate_series(1, 1000000000) ORDER BY value % 7, value DESC",
        &["timeout", "limit-memory"],
    );
    check(
        &api,
        "a large group",
        "SELECT value, count(*) FROM generate_series(1, 1000000000) GROUP BY value",
        &["timeout", "limit-memory"],
    );
    check(
        &api,
        "a window",
        "SELECT sum(value) OVER (PARTITION BY value % 3 ORDER BY value) FROM generate_series(1, 1000000000)",
        &["timeout", "limit-memory"],
    );
    check(
        &api,
        "endless recursion",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        &["timeout", "limit-memory", "sql-not-allowed", "sql-invalid"],
    );
    check(
        &api,
        "recursion that doubles",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r CROSS JOIN (VALUES (1), (2)) AS v(x)) SELECT count(*) FROM r",
        &["timeout", "limit-memory", "sql-not-allowed", "sql-invalid"],
    );
    check(
        &api,
        "a regular expression",
        "SELECT count(*) FROM spans WHERE regexp_like(repeat('a', 100000), '(a*)*(a*)*(a*)*b{1,1000}$')",
        &["ok", "sql-execution", "timeout", "limit-argument"],
    );
    check(
        &api,
        "a large regular expression",
        "SELECT regexp_like('a', '((((a{1,100}){1,100}){1,100}){1,100}){1,100}')",
        &["sql-execution"],
    );
}

/// Such a join never yields, so that it keeps its thread beyond its deadline and its neighbours wait.
#[test]
#[ignore = "known gap, a join of every pair outlives its deadline: cargo nextest run -p tracehound-server --run-ignored only joins_that"]
fn joins_that_compare_every_pair() {
    let api = Api::with_spans();
    check(
        &api,
        "a join on an inequality",
        "SELECT count(*) FROM generate_series(1, 3000000) AS a(x) JOIN generate_series(1, 3000000) AS b(y) ON x * 2 < y + 1",
        &["timeout", "limit-memory"],
    );
}

/// Rows of views share their values, so that little memory is much text: it must not be made all at once.
#[test]
fn little_memory_that_is_much_text() {
    let api = Api::empty();
    let sql = "SELECT t.x, value FROM (SELECT arrow_cast(repeat('x', 1000000), 'Utf8View') AS x) AS t CROSS JOIN generate_series(1, 10000)";
    let mut connection = api.begin(&json!({"sql": sql}));
    let mut start = vec![0; 20 << 20];
    let read = connection.read(&mut start).expect("an answer");
    let text = String::from_utf8_lossy(&start[..read]).into_owned();
    if text.starts_with("HTTP/1.1 200 ") {
        connection.read_exact(&mut start).expect("more of the answer");
    } else {
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    }
    assert_eq!(api.sql("SELECT 1"), json!([[1]]));
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak_kib < 1 << 20, "{peak_kib} KiB for an answer of 10 GB");
}

/// Many at once: those who ask for little still get it.
#[test]
fn neighbours_of_hostile_queries_are_served() {
    let api = Api::with_spans();
    let bomb = json!({
        "sql": "SELECT count(*) FROM generate_series(1, 1000000000) AS a(x), generate_series(1, 1000000000) AS b(y)",
        "limits": {"timeout_ms": 4000},
    });
    let bombs: Vec<_> = (0..8).map(|_| api.begin(&bomb)).collect();
    std::thread::sleep(Duration::from_millis(200));
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let started = Instant::now();
        assert_eq!(api.sql("SELECT count(*) FROM spans"), json!([[3]]));
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    for bomb in bombs {
        let mut answer = vec![0; 20];
        let mut bomb = bomb;
        bomb.read_exact(&mut answer).expect("an answer");
        assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 504 "));
    }
}
