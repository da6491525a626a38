//! What a query may be told, by POST and by GET.

use serde_json::{Value, json};

use crate::support::{Api, NOW_NS, TRACE, encoded, spans};

#[test]
fn rows_are_there_at_once_and_after_the_flush() {
    let api = Api::with_spans();
    let count = json!({"sql": "SELECT count(*) FROM spans"});
    let before = api.query(count.clone());
    assert_eq!((&before["rows"], &before["stats"]["rows_unflushed"]), (&json!([[3]]), &json!(3)));
    api.flush();
    let after = api.query(count.clone());
    assert_eq!((&after["rows"], &after["stats"]["rows_unflushed"]), (&json!([[3]]), &json!(0)));
    assert!(after["stats"]["files_read"].as_u64() >= Some(1), "{after}");
    assert!(after["as_of"]["entry"].as_u64() > before["as_of"]["entry"].as_u64());
    let mut more = spans();
    more["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["spanId"] = json!("00000000000000aa");
    api.send(&more);
    let both = api.query(count);
    assert_eq!((&both["rows"], &both["stats"]["rows_unflushed"]), (&json!([[6]]), &json!(3)));
}

#[test]
fn parameters_are_values_and_never_sql() {
    let api = Api::with_spans();
    let names = |user: Value| {
        api.rows(json!({"sql": "SELECT name FROM spans WHERE user_id = $user", "params": {"user": user}}))
    };
    assert_eq!(names(json!("u-17")), json!([["POST /refund"]]));
    assert_eq!(names(json!({"type": "Utf8", "value": "u-2"})), json!([["GET /"]]));
    assert_eq!(names(json!("u-17' OR '1'='1")), json!([]));
    assert_eq!(names(json!(null)), json!([]));
    let by_get = |value: &str| {
        api.get(&format!(
            "/api/v1/query?q={}&p.user={}",
            encoded("SELECT name FROM spans WHERE user_id = $user"),
            encoded(value)
        ))
        .ok()["rows"]
            .take()
    };
    assert_eq!(by_get("u-17"), json!([["POST /refund"]]));
    assert_eq!(by_get("x' OR true --"), json!([]));
    assert_eq!(by_get(""), json!([]), "an empty text is a value too");
    let id = json!({"sql": "SELECT count(*) FROM spans WHERE trace_id = $id", "params": {"id": TRACE.to_uppercase()}});
    assert_eq!(api.rows(id), json!([[2]]));
}

#[test]
fn parameters_have_types() {
    let api = Api::empty();
    let check = |param: Value, expected: Value| {
        let found = api.rows(json!({"sql": "SELECT $p AS p", "params": {"p": param}}));
        assert_eq!(found[0][0], expected, "{param}");
    };
    check(json!("1"), json!("1"));
    check(json!(1), json!(1));
    check(json!(-1), json!(-1));
    check(json!(u64::MAX), json!("18446744073709551615"));
    check(json!(1.5), json!(1.5));
    check(json!(true), json!(true));
    check(json!(null), json!(null));
    check(json!({"type": "Int64", "value": "250"}), json!(250));
    check(json!({"type": "Int64", "value": 250}), json!(250));
    check(json!({"type": "Int64", "value": i64::MIN.to_string()}), json!(i64::MIN.to_string()));
    check(json!({"type": "Float64", "value": "NaN"}), json!("NaN"));
    check(json!({"type": "Boolean", "value": false}), json!(false));
    check(json!({"type": "Timestamp", "value": "2026-11-22T18:00:00Z"}), json!("2026-11-22T18:00:00.000000000Z"));
    check(json!({"type": "Utf8", "value": null}), json!(null));
    let slow = json!({"sql": "SELECT name FROM spans WHERE duration_ns >= $min", "params": {"min": "250000000"}});
    let api = Api::with_spans();
    assert_eq!(api.rows(slow), json!([["POST /refund"]]), "text takes the type of what it meets");
}

#[test]
fn from_and_to_are_bound_from_the_time_range() {
    let api = Api::with_spans();
    let sql = "SELECT count(*) FROM spans WHERE start_time >= $from AND start_time < $to";
    let check = |from: Value, to: Value, expected: i64| {
        let rows = api.rows(json!({"sql": sql, "time_range": {"from": from, "to": to}}));
        assert_eq!(rows, json!([[expected]]), "{from} {to}");
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string().replace("null", ""), str::to_owned);
        let target =
            format!("/api/v1/query?q={}&from={}&to={}", encoded(sql), encoded(&text(&from)), encoded(&text(&to)));
        assert_eq!(api.get(&target).ok()["rows"], json!([[expected]]), "{target}");
    };
    check(json!("now-6h"), json!("now"), 2);
    check(json!("-26h"), json!("-24h"), 1);
    check(json!("-26h"), json!(null), 3);
    check(json!("2026-11-22T17:00:00.000000001Z"), json!("2026-11-22T17:00:00.000000002Z"), 1);
    check(json!(1_795_366_800), json!(1_795_370_400_000_i64), 2);
    check(json!(NOW_NS - 3_600_000_000_000 + 2), json!(NOW_NS), 1);
    let shown = api.query(json!({"sql": "SELECT $from AS f, $to AS t", "time_range": {"from": "-1h"}}));
    assert_eq!(shown["rows"], json!([["2026-11-22T17:00:00.000000000Z", "2026-11-22T18:00:00.000000000Z"]]));
    assert_eq!(shown["columns"][0], json!({"name": "f", "type": "timestamp"}));
}

#[test]
fn nulls_are_as_if_absent() {
    let api = Api::empty();
    let body = json!({
        "sql": "SELECT 1", "params": null, "time_range": null, "limits": null, "as_of": null, "query_id": null, "mode": "sync",
    });
    assert_eq!(api.rows(body), json!([[1]]));
    let body =
        json!({"sql": "SELECT 1", "limits": {"max_rows": null, "max_bytes": null, "timeout_ms": null}, "mode": null});
    assert_eq!(api.rows(body), json!([[1]]));
    let empty =
        api.get("/api/v1/query?q=SELECT+1&from=&to=&format=&rows=&max_rows=&max_bytes=&timeout_ms=&as_of=&query_id=");
    assert_eq!(empty.ok()["rows"], json!([[1]]), "forms send the fields that nobody filled in");
}

#[test]
fn cut_answers_say_so_in_body_and_header() {
    let api = Api::with_spans();
    let check = |limits: Value, query: &str, rows: usize, header: &str| {
        let sql = "SELECT name FROM spans ORDER BY start_time";
        let by_post = api.post("/api/v1/query", &json!({"sql": sql, "limits": limits}));
        let by_get = api.get(&format!("/api/v1/query?q={}&{query}", encoded(sql)));
        for reply in [by_post, by_get] {
            let answer = reply.ok();
            assert_eq!(answer["rows"].as_array().map(Vec::len), Some(rows), "{answer}");
            assert_eq!(answer["truncated"], !header.is_empty(), "{answer}");
            assert_eq!(answer["truncation"].as_str().unwrap_or_default(), header);
            assert_eq!(reply.header("x-tracehound-truncated"), header);
            assert_eq!(answer["stats"]["rows"], rows);
        }
        let lines = api.get(&format!("/api/v1/query?format=ndjson&q={}&{query}", encoded(sql)));
        assert_eq!((lines.text().lines().count(), lines.header("x-tracehound-truncated")), (rows, header));
    };
    check(json!({}), "", 3, "");
    check(json!({"max_rows": 3}), "max_rows=3", 3, "");
    check(json!({"max_rows": 2}), "max_rows=2", 2, "cut after 2 rows: there are more");
    check(json!({"max_rows": 0}), "max_rows=0", 0, "cut after 0 rows: there are more");
    check(json!({"max_bytes": 10}), "max_bytes=10", 0, "cut after 10 bytes: there are more rows");
    check(
        json!({"max_rows": u64::MAX, "max_bytes": u64::MAX}),
        "max_rows=18446744073709551615&max_bytes=18446744073709551615",
        3,
        "",
    );
}

#[test]
fn the_servers_own_bounds_hold() {
    let mut config = tracehound_server::Config::default();
    config.limits.query_rows = 100;
    config.limits.query_bytes = 1 << 20;
    let api = Api::with(config);
    let series = "SELECT value, repeat('x', 100) FROM generate_series(1, 100000)";
    let answer = api.query(json!({"sql": series}));
    assert_eq!(answer["truncation"], "cut after 100 rows: there are more");
    let answer = api.query(json!({"sql": series, "limits": {"max_rows": 100_000, "max_bytes": 1_u64 << 60}}));
    assert_eq!(answer["truncation"], "cut after 1048576 bytes: there are more rows");
    // Nulls take no bytes, and still are an answer of millions of rows.
    let nulls = json!({"sql": "SELECT NULL FROM generate_series(1, 3000000)", "limits": {"max_rows": u64::MAX}});
    assert_eq!(api.query(nulls)["truncation"], "cut after 1048576 rows: there are more");
}

#[test]
fn as_of_shows_an_earlier_state() {
    let api = Api::with_spans();
    api.flush();
    let count = |as_of: Value| api.rows(json!({"sql": "SELECT count(*) FROM spans", "as_of": as_of}));
    let as_of = api.query(json!({"sql": "SELECT 1"}))["as_of"].take();
    let entry = as_of["entry"].clone();
    let mut more = spans();
    more["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] = json!("other");
    api.send(&more);
    assert_eq!(count(json!(null)), json!([[6]]));
    assert_eq!(count(as_of.clone()), json!([[3]]), "without rows that are in no file");
    api.flush();
    assert_eq!(count(json!(null)), json!([[6]]));
    assert_eq!(count(as_of), json!([[3]]));
    assert_eq!(count(entry.clone()), json!([[3]]));
    let by_get = api.get(&format!("/api/v1/query?q=SELECT+count(*)+FROM+spans&as_of={entry}")).ok();
    assert_eq!((&by_get["rows"], &by_get["as_of"]["entry"]), (&json!([[3]]), &entry));
    let body = |as_of: Value| api.post("/api/v1/query", &json!({"sql": "SELECT 1", "as_of": as_of}));
    body(json!(1_000_000)).problem(404, "not-found");
    body(json!("yesterday")).problem(400, "bad-request");
    body(json!({"time": 3})).problem(400, "bad-request");
}

#[test]
fn query_ids_are_echoed_or_made() {
    let api = Api::empty();
    let named = api.post("/api/v1/query", &json!({"sql": "SELECT 1", "query_id": "my-query_1.a"}));
    assert_eq!(
        (named.ok()["query_id"].as_str(), named.header("x-tracehound-query-id")),
        (Some("my-query_1.a"), "my-query_1.a")
    );
    let (one, two) = (api.get("/api/v1/query?q=SELECT+1"), api.get("/api/v1/query?q=SELECT+1"));
    let id = one.ok()["query_id"].as_str().expect("an id").to_owned();
    assert_eq!((id.len(), one.header("x-tracehound-query-id")), (26, id.as_str()));
    assert_ne!(id, two.header("x-tracehound-query-id"));
    for wrong in ["", "a b", "a\r\nb", "ä", &"x".repeat(65)] {
        api.post("/api/v1/query", &json!({"sql": "SELECT 1", "query_id": wrong})).problem(400, "bad-request");
    }
    // Errors name the query too, also those that come before it runs.
    let check = |body: Value, status: u16, code: &str| {
        let problem = api.post("/api/v1/query", &body).problem(status, code);
        assert_eq!(problem["query_id"], "mine", "{problem}");
    };
    check(json!({"sql": "SELEC", "query_id": "mine"}), 400, "sql-syntax");
    check(
        json!({"sql": "SELECT 1", "query_id": "mine", "time_range": {"from": "yesterday"}}),
        422,
        "parameter-invalid",
    );
    check(json!({"sql": "SELECT 1", "query_id": "mine", "params": {"a": []}}), 422, "parameter-invalid");
    assert_eq!(
        api.get("/api/v1/query?query_id=mine&q=SELECT+1&max_rows=x").problem(400, "bad-request")["query_id"],
        "mine"
    );
}

#[test]
fn explain_plans_without_running() {
    let api = Api::with_spans();
    api.flush();
    let body = json!({"sql": "SELECT count(*) FROM spans WHERE start_time >= $from", "time_range": {"from": "-6h"}, "query_id": "e1"});
    let answer = api.post("/api/v1/query/explain", &body).ok();
    assert_eq!(answer["columns"][0]["name"], "plan_type");
    assert_eq!(answer["columns"][1]["name"], "plan");
    assert_eq!(answer["query_id"], "e1");
    let plans = answer["rows"].to_string();
    assert!(plans.contains("physical_plan") && plans.contains("spans"), "{plans}");
    let stats = &answer["stats"];
    assert_eq!(
        (&stats["files_planned"], &stats["files_pruned"], &stats["bytes_read"]),
        (&json!(2), &json!(1), &json!(0)),
        "{stats}"
    );
    // This would take longer than anybody waits.
    let long = json!({"sql": "SELECT count(*) FROM generate_series(1, 1000000000) AS a(x), generate_series(1, 1000000000) AS b(y)"});
    assert_eq!(api.post("/api/v1/query/explain", &long).status, 200);
    api.post("/api/v1/query/explain", &json!({"sql": "SELECT nme FROM spans"})).problem(400, "sql-unknown-column");
    api.post("/api/v1/query/explain", &json!({"sql": "DROP TABLE spans"})).problem(400, "sql-not-allowed");
    let csv = api.post("/api/v1/query/explain?format=csv", &body);
    assert!(csv.text().starts_with("plan_type,plan"), "{}", csv.text());
}
