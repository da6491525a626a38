//! Each way to go wrong, as a problem document.

use std::io::Write;

use serde_json::{Value, json};
use tracehound_server::Config;

use crate::support::{Api, encoded, read_to_end};

#[track_caller]
fn shown(problem: &Value) -> String {
    serde_json::to_string_pretty(problem).expect("JSON")
}

#[test]
fn wrong_sql_says_what_where_and_what_was_meant() {
    let api = Api::empty();
    let ask =
        |sql: &str, code: &str| api.post("/api/v1/query", &json!({"sql": sql, "query_id": "q1"})).problem(400, code);
    let column = ask("SELECT name,\n  durration_ns FROM spans", "sql-unknown-column");
    insta::assert_snapshot!(shown(&column), @r##"
    {
      "code": "sql-unknown-column",
      "detail": "there is no column \"durration_ns\"",
      "query_id": "q1",
      "retryable": false,
      "sql": {
        "column": 3,
        "did_you_mean": [
          "duration_ns"
        ],
        "length": 12,
        "line": 2
      },
      "status": 400,
      "title": "sql unknown column",
      "type": "/problems/sql-unknown-column"
    }
    "##);
    let table = ask("SELECT 1 FROM span", "sql-unknown-table");
    assert_eq!(table["sql"], json!({"line": 1, "column": 15, "length": 4, "did_you_mean": ["spans"]}));
    let function = ask("SELECT cuont(*) FROM spans", "sql-unknown-function");
    assert_eq!(function["sql"]["did_you_mean"][0], "count", "{function}");
    let syntax = ask("SELECT name FROM spans WHERE", "sql-syntax");
    assert!(syntax["sql"].is_object(), "{syntax}");
    let place = ask("SELECT 1 +\n + * 2 FROM", "sql-syntax");
    assert_eq!(place["sql"]["line"], 2, "{place}");
    let id = ask("SELECT 1 FROM spans WHERE trace_id = 'xyz'", "sql-bad-id");
    assert_eq!((&id["sql"]["column"], &id["sql"]["length"]), (&json!(38), &json!(5)), "{id}");
    ask("", "sql-syntax");
    ask("SELECT 1; SELECT 2", "sql-syntax");
    ask("SELECT 1 + 'a' FROM spans WHERE start_time = true", "sql-type");
    ask("SELECT 1 / 0", "sql-execution");
    for column in [&column, &table, &function, &syntax] {
        assert_eq!((&column["query_id"], &column["retryable"]), (&json!("q1"), &json!(false)));
    }
}

#[test]
fn statements_that_do_more_than_read_are_refused() {
    let api = Api::with_spans();
    for sql in [
        "DROP TABLE spans",
        "DELETE FROM spans",
        "UPDATE spans SET name = 'x'",
        "INSERT INTO spans SELECT * FROM spans",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/tracehound-copied.csv'",
        "EXPLAIN COPY (SELECT 1) TO '/tmp/tracehound-copied.csv'",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "BEGIN",
        "SHOW ALL",
        "SELECT * FROM information_schema.df_settings",
        "SELECT 1 INTO t",
        "WITH x AS (INSERT INTO spans SELECT * FROM spans) SELECT 1",
    ] {
        let reply = api.post("/api/v1/query", &json!({"sql": sql}));
        let problem = reply.json();
        let code = problem["code"].as_str().unwrap_or_default();
        assert!(reply.status == 400 && (code == "sql-not-allowed" || code == "sql-syntax"), "{sql}: {problem}");
    }
    for sql in ["SELECT version()", "SELECT input_file_name() FROM spans", "SELECT current_setting('x')"] {
        api.post("/api/v1/query", &json!({"sql": sql})).problem(400, "sql-unknown-function");
    }
    for sql in
        ["SELECT * FROM '/etc/passwd'", "SELECT * FROM 'file:///etc/passwd'", "SELECT * FROM \"file:///etc/passwd\""]
    {
        let reply = api.post("/api/v1/query", &json!({"sql": sql}));
        assert_eq!(reply.status, 400, "{sql}: {}", reply.text());
        assert!(!reply.text().contains("root:"), "{sql}");
    }
    assert_eq!(api.sql("SELECT count(*) FROM spans"), json!([[3]]));
    assert!(!std::path::Path::new("/tmp/tracehound-copied.csv").exists());
}

#[test]
fn wrong_parameters_are_422_and_named() {
    let api = Api::empty();
    let ask = |sql: &str, params: Value, code: &str| {
        api.post("/api/v1/query", &json!({"sql": sql, "params": params, "query_id": "q1"})).problem(422, code)
    };
    let missing = ask("SELECT $a", json!({}), "parameter-missing");
    insta::assert_snapshot!(shown(&missing), @r##"
    {
      "code": "parameter-missing",
      "detail": "parameter $a has no value: give -p a=…, or params.a",
      "parameter": "a",
      "query_id": "q1",
      "retryable": false,
      "status": 422,
      "title": "parameter missing",
      "type": "/problems/parameter-missing"
    }
    "##);
    assert_eq!(ask("SELECT 1", json!({"a": 1}), "parameter-unknown")["parameter"], "a");
    assert_eq!(ask("SELECT $a", json!({"a": {"type": "Int64", "value": "x"}}), "parameter-invalid")["parameter"], "a");
    ask("SELECT $a", json!({"a": {"type": "Int65", "value": "1"}}), "parameter-invalid");
    ask("SELECT $a", json!({"a": [1]}), "parameter-invalid");
    ask("SELECT $a", json!({"a": {"value": 1}}), "parameter-invalid");
    ask("SELECT $a", json!({"a": {"type": "Int64", "value": 1, "more": 1}}), "parameter-invalid");
    ask("SELECT $from", json!({}), "parameter-missing");
    ask("SELECT $from", json!({"from": "now"}), "parameter-invalid");
    for range in [
        json!({"from": "yesterday"}),
        json!({"from": "now"}),
        json!({"from": "now", "to": "-1h"}),
        json!({"from": true}),
    ] {
        api.post("/api/v1/query", &json!({"sql": "SELECT 1", "time_range": range})).problem(422, "parameter-invalid");
    }
}

#[test]
fn malformed_requests_are_400() {
    let api = Api::empty();
    for body in [
        "",
        "[]",
        "{",
        "\u{0}",
        "{\"sql\": 1}",
        "{}",
        "{\"sql\": \"SELECT 1\", \"sqll\": 1}",
        "{\"sql\": \"SELECT 1\"} x",
        "{\"sql\": \"SELECT 1\", \"sql\": \"SELECT 2\"}",
        "{\"sql\": \"SELECT 1\", \"limits\": {\"max_rows\": -1}}",
        "{\"sql\": \"SELECT 1\", \"limits\": {\"rows\": 1}}",
        "{\"sql\": \"SELECT 1\", \"mode\": \"async\"}",
        "{\"sql\": \"SELECT 1\", \"time_range\": {\"to\": \"now\"}}",
        "{\"sql\": \"SELECT 1\", \"params\": [1]}",
        "{\"sql\": \"SELECT $a\", \"params\": {\"a\": 1e999}}",
    ] {
        api.request("POST", "/api/v1/query", &[], Some(body.into())).problem(400, "bad-request");
    }
    api.request("POST", "/api/v1/query", &[], Some(b"{\"sql\": \"SELECT '\xff'\"}".to_vec()))
        .problem(400, "bad-request");
    let deep = format!("{{\"sql\": \"SELECT $a\", \"params\": {{\"a\": {}}}}}", "[".repeat(500_000));
    api.request("POST", "/api/v1/query", &[], Some(deep.into())).problem(400, "bad-request");
    for query in [
        "",
        "?p.a=1",
        "?q=",
        "?q=SELECT+1&maxrows=3",
        "?q=SELECT+1&max_rows=-1",
        "?q=SELECT+1&timeout_ms=1s",
        "?q=SELECT+1&to=now",
        "?q=SELECT+1&q=SELECT+2",
        "?q=SELECT+$a&p.a=1&p.a=2",
        "?q=SELECT+1&as_of=x",
        "?q=SELECT+1&query_id=a%20b",
    ] {
        api.get(&format!("/api/v1/query{query}")).problem(400, "bad-request");
    }
    // What would be passed over silently is refused.
    let body = json!({"sql": "SELECT 1"});
    api.post("/api/v1/query?max_rows=3", &body).problem(400, "bad-request");
    api.post("/api/v1/hunts/api-scraping/run?from=-1h", &json!({})).problem(400, "bad-request");
    api.get("/api/v1/traces/00000000000000000000000000000b0b?limit=3").problem(400, "bad-request");
}

#[test]
fn unknown_places_and_methods_are_problems_too() {
    let api = Api::empty();
    for target in [
        "/",
        "/api/v1/nothing",
        "/api/v1/query/",
        "/api/v2/query",
        "/api/v1/traces/",
        "/api/v1/hunts/x/y/z",
        "/v1/nothing",
    ] {
        api.get(target).problem(404, "not-found");
    }
    let check = |method: &str, target: &str, allow: &str| {
        let reply = api.request(method, target, &[], None);
        reply.problem(405, "method-not-allowed");
        let mut found: Vec<_> = reply.header("allow").split(',').map(str::trim).collect();
        found.sort_unstable();
        assert_eq!(found.join(","), allow, "{method} {target}");
    };
    check("DELETE", "/api/v1/query", "GET,HEAD,POST");
    check("GET", "/api/v1/query/explain", "POST");
    check("DELETE", "/api/v1/schema", "GET,HEAD");
    check("OPTIONS", "/api/v1/hunts", "GET,HEAD");
    check("DELETE", "/healthz", "GET,HEAD");
    api.get("/api/v1/hunts/%ff").problem(400, "bad-request");
    api.get("/api/v1/traces/%c3%28").problem(400, "bad-request");
}

#[test]
fn large_requests_are_413_and_large_sql_400() {
    let api = Api::empty();
    let large = json!({"sql": format!("SELECT 1 --{}", "x".repeat(2 << 20))}).to_string().into_bytes();
    api.request("POST", "/api/v1/query", &[], Some(large.clone())).problem(413, "too-large");
    api.request("POST", "/api/v1/query/explain", &[], Some(large.clone())).problem(413, "too-large");
    api.request("POST", "/api/v1/hunts/api-scraping/run", &[], Some(large)).problem(413, "too-large");
    let sql = format!("SELECT 1 --{}", "x".repeat(500 << 10));
    api.post("/api/v1/query", &json!({"sql": sql})).problem(400, "limit-text");

    // A client that asks first is told before it sends.
    let mut connection = api.connect();
    let length = 100 << 20;
    write!(connection, "POST /api/v1/query HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n").expect("writes");
    let answer = read_to_end(connection);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    // One without a length is stopped where the limit is.
    let mut connection = api.connect();
    write!(
        connection,
        "POST /api/v1/query HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .expect("writes");
    for _ in 0..32 {
        write!(connection, "10000\r\n{}\r\n", " ".repeat(0x10000)).expect("writes");
    }
    write!(connection, "0\r\n\r\n").expect("writes");
    let answer = read_to_end(connection);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn slow_and_broken_bodies_end() {
    let mut config = Config::default();
    config.limits.body_timeout = std::time::Duration::from_millis(300);
    let api = Api::with(config);
    let mut connection = api.connect();
    write!(connection, "POST /api/v1/query HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{{")
        .expect("writes");
    let answer = read_to_end(connection);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request-timeout"), "{answer}");
    let mut connection = api.connect();
    write!(connection, "POST /api/v1/query HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{").expect("writes");
    connection.shutdown(std::net::Shutdown::Write).expect("shuts down");
    let answer = read_to_end(connection);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(api.sql("SELECT 1"), json!([[1]]));
}

#[test]
fn timeouts_are_504_and_retryable() {
    let api = Api::empty();
    let long = "SELECT count(*) FROM generate_series(1, 1000000000) AS a(x), generate_series(1, 1000000000) AS b(y)";
    let started = std::time::Instant::now();
    let by_post = api.post("/api/v1/query", &json!({"sql": long, "limits": {"timeout_ms": 200}, "query_id": "q1"}));
    let problem = by_post.problem(504, "timeout");
    insta::assert_snapshot!(shown(&problem), @r##"
    {
      "code": "timeout",
      "detail": "query was stopped after 200 ms: narrow the time range or raise the timeout",
      "query_id": "q1",
      "retryable": true,
      "status": 504,
      "title": "timeout",
      "type": "/problems/timeout"
    }
    "##);
    api.get(&format!("/api/v1/query?timeout_ms=200&q={}", encoded(long))).problem(504, "timeout");
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn damaged_files_are_an_error_and_never_fewer_rows() {
    let api = Api::with_spans();
    api.flush();
    let paths = api.sql("SELECT path FROM system.files WHERE dataset = 'spans'");
    for row in paths.as_array().expect("rows") {
        let path = row[0].as_str().expect("a path");
        let file = find(api.data_dir(), path.rsplit('/').next().expect("a name"));
        std::fs::write(file, b"PAR1 this is no longer what it was PAR1").expect("writes");
    }
    let problem = api.post("/api/v1/query", &json!({"sql": "SELECT name FROM spans"})).problem(500, "storage-corrupt");
    assert_eq!(problem["retryable"], false);
    assert!(!problem.to_string().contains(api.data_dir().to_str().expect("text")), "{problem}");
    assert_eq!(api.sql("SELECT 1"), json!([[1]]));
}

fn find(dir: &std::path::Path, name: &str) -> std::path::PathBuf {
    let entries = || std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let here = entries().find(|path| path.file_name().is_some_and(|found| found == name));
    here.unwrap_or_else(|| {
        let below = entries().filter(|path| path.is_dir()).map(|dir| find(&dir, name));
        below.into_iter().find(|path| path.exists()).unwrap_or_default()
    })
}
