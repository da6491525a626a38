//! Schema, traces, hunts and the server's own state.

use serde_json::{Value, json};

use crate::support::{Api, TRACE, spans};

#[test]
fn the_schema_names_tables_columns_and_functions() {
    let api = Api::empty();
    let schema = api.get("/api/v1/schema").ok();
    let table = |name: &str| {
        let tables = schema["tables"].as_array().expect("tables");
        tables.iter().find(|table| table["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    for name in ["spans", "logs", "metrics", "system.files", "system.ingest_rejects"] {
        let table = table(name);
        assert_eq!(table["kind"], "table");
        assert!(table["description"].as_str().is_some_and(|text| !text.is_empty()), "{table}");
    }
    assert_eq!(table("actors")["kind"], "view");
    let spans = table("spans");
    let column = spans["columns"].as_array().expect("columns").iter().find(|column| column["name"] == "trace_id");
    assert_eq!(
        column,
        Some(&json!({"name": "trace_id", "type": "id", "nullable": false, "description": "the trace it belongs to"}))
    );
    // All of it can be asked.
    for table in schema["tables"].as_array().expect("tables") {
        let columns: Vec<_> = table["columns"]
            .as_array()
            .expect("columns")
            .iter()
            .map(|c| format!("\"{}\"", c["name"].as_str().expect("a name")))
            .collect();
        let name = table["name"].as_str().expect("a name");
        let rows = api.sql(&format!("SELECT {} FROM {name}", columns.join(", ")));
        // Figures are there before the first row is.
        assert_eq!(rows.as_array().expect("rows").is_empty(), name != "system.storage", "{name}: {rows}");
    }
    let functions = schema["functions"].as_array().expect("functions");
    for name in ["count", "date_bin"] {
        let function =
            functions.iter().find(|function| function["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        assert!(function["syntax"].as_str().is_some_and(|text| text.contains(name)), "{function}");
    }
    assert!(functions.iter().all(|function| function["name"] != "version"));
}

#[test]
fn a_trace_has_its_spans_by_time() {
    let api = Api::with_spans();
    let names = |reply: Value| -> Vec<String> {
        reply["rows"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| row["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let trace = api.get(&format!("/api/v1/traces/{TRACE}?rows=objects")).ok();
    assert_eq!(names(trace.clone()), ["POST /refund", "charge"]);
    assert_eq!(trace["rows"][0]["attributes"]["big"], "9007199254740993");
    assert_eq!(trace["rows"][1]["parent_span_id"], trace["rows"][0]["span_id"]);
    api.flush();
    let upper = api.get(&format!("/api/v1/traces/{}?rows=objects", TRACE.to_uppercase())).ok();
    assert_eq!(names(upper), ["POST /refund", "charge"]);
    let csv = api.get_as(&format!("/api/v1/traces/{TRACE}"), "text/csv");
    assert_eq!((csv.status, csv.header("content-type")), (200, "text/csv; charset=utf-8; header=present"));
    let cut = api.get(&format!("/api/v1/traces/{TRACE}?max_rows=1"));
    assert_eq!(
        (cut.ok()["rows"].as_array().map(Vec::len), cut.header("x-tracehound-truncated")),
        (Some(1), "cut after 1 rows: there are more")
    );

    api.get("/api/v1/traces/ffffffffffffffffffffffffffffffff").problem(404, "not-found");
    let longer = format!("{TRACE}0");
    for wrong in [
        "x",
        "5b8e",
        &TRACE[1..],
        &longer,
        "zz8efff798038103d269b633813fc60c",
        "5b8efff7-9803-8103-d269-b633813fc60c",
        "%27%20OR%201=1",
    ] {
        api.get(&format!("/api/v1/traces/{wrong}")).problem(400, "sql-bad-id");
    }
}

#[test]
fn hunts_are_listed_shown_and_run() {
    let api = Api::with_spans();
    let list = api.get("/api/v1/hunts").ok();
    let names: Vec<_> =
        list["hunts"].as_array().expect("hunts").iter().map(|hunt| hunt["name"].as_str().expect("a name")).collect();
    for name in [
        "pii-by-non-admin",
        "lateral-movement",
        "credential-stuffing",
        "api-scraping",
        "pii-leaves-boundary",
        "new-destinations",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(list["hunts"][0]["sql"].is_null(), "the list is short");
    for name in &names {
        let hunt = api.get(&format!("/api/v1/hunts/{name}")).ok();
        for key in ["title", "finds", "why", "window", "benign", "next", "sql"] {
            assert!(hunt[key].as_str().is_some_and(|text| !text.is_empty()), "{name}: {key}");
        }
        assert!(hunt["parameters"].as_array().expect("parameters").iter().all(|p| p["help"].is_string()), "{name}");
        let run = api.request("POST", &format!("/api/v1/hunts/{name}/run"), &[], None);
        assert_eq!(run.ok()["rows"], json!([]), "{name} over harmless spans");
        assert_eq!(run.header("x-tracehound-to"), "2026-11-22T18:00:00.000000000Z");
    }
    let window = api.post("/api/v1/hunts/api-scraping/run", &json!({}));
    assert_eq!(window.header("x-tracehound-from"), "2026-11-21T18:00:00.000000000Z", "its own window");
    let near = api.get("/api/v1/hunts/api-scrapin").problem(404, "not-found");
    assert!(near["detail"].as_str().is_some_and(|text| text.contains("api-scraping")), "{near}");
    api.post("/api/v1/hunts/nothing/run", &json!({})).problem(404, "not-found");
}

#[test]
fn hunts_take_parameters_and_a_range() {
    // Somebody without a role touches the personal data of another.
    let mut touches = spans();
    let attributes = &mut touches["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"];
    for (key, value) in [("data.classification", "PII"), ("data.subject.id", "u-99")] {
        attributes.as_array_mut().expect("attributes").push(json!({"key": key, "value": {"stringValue": value}}));
    }
    let api = Api::empty();
    api.send(&touches);
    let body = |more: Value| {
        let mut body = json!({
            "params": {"allowed": "clerk:*:*", "unknown_min": 1, "unknown_share": "0.5"},
            "time_range": {"from": "-30h", "to": "now"}, "query_id": "h1",
        });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let run = api.post("/api/v1/hunts/pii-by-non-admin/run?rows=objects", &body(json!({})));
    let answer = run.ok();
    assert_eq!(
        (&answer["query_id"], run.header("x-tracehound-from")),
        (&json!("h1"), "2026-11-21T12:00:00.000000000Z")
    );
    assert_eq!(answer["rows"].as_array().map(Vec::len), Some(1), "{answer}");
    let other_class = body(json!({"params": {"classification": "secret"}}));
    assert_eq!(api.post("/api/v1/hunts/pii-by-non-admin/run", &other_class).ok()["rows"], json!([]));
    let cut = api.post("/api/v1/hunts/pii-by-non-admin/run", &body(json!({"limits": {"max_rows": 0}})));
    assert_eq!(cut.header("x-tracehound-truncated"), "cut after 0 rows: there are more");
    let csv = api.post("/api/v1/hunts/pii-by-non-admin/run?format=csv", &body(json!({})));
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8; header=present");
    let refused = |more: Value, status: u16, code: &str| {
        api.post("/api/v1/hunts/pii-by-non-admin/run", &body(more)).problem(status, code);
    };
    refused(json!({"params": {"unknown_min": "many"}}), 422, "parameter-invalid");
    refused(json!({"params": {"unknown_min": [1]}}), 422, "parameter-invalid");
    refused(json!({"params": {"nothing": 1}}), 422, "parameter-unknown");
    refused(json!({"time_range": {"from": "now"}}), 422, "parameter-invalid");
    refused(json!({"as_of": 1_000_000}), 404, "not-found");
    refused(json!({"sql": "SELECT 1"}), 400, "bad-request");
}

#[test]
fn the_servers_state_can_be_watched() {
    let api = Api::with_spans();
    assert_eq!(api.get("/healthz").ok()["status"], "ok");
    assert_eq!(api.get("/readyz").ok(), json!({"status": "ready"}));
    let metric = |line: &str| {
        let reply = api.get("/metrics");
        assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let text = reply.text();
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {line} in {text}")).parse::<u64>().expect("a number")
    };
    assert_eq!(metric("tracehound_otlp_records_total{signal=\"traces\",outcome=\"accepted\"}"), 3);
    assert_eq!(metric("tracehound_otlp_records_total{signal=\"traces\",outcome=\"rejected\"}"), 0);
    assert_eq!((metric("tracehound_unflushed_rows"), metric("tracehound_files")), (3, 0));
    assert!(metric("tracehound_wal_bytes") > 0 && metric("tracehound_memtable_bytes") > 0);
    api.sql("SELECT 1");
    api.sql("SELECT 2");
    api.post("/api/v1/query", &json!({"sql": "SELECT nothing FROM spans"})).problem(400, "sql-unknown-column");
    assert_eq!(metric("tracehound_queries_total{outcome=\"ok\"}"), 2);
    assert_eq!(metric("tracehound_queries_total{outcome=\"sql-unknown-column\"}"), 1);
    api.flush();
    assert_eq!((metric("tracehound_unflushed_rows"), metric("tracehound_tenants")), (0, 1));
    assert!(metric("tracehound_files") >= 1 && metric("tracehound_file_bytes") > 0);
    assert_eq!(metric("tracehound_writes_refused"), 0);
}
