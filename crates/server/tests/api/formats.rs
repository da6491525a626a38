//! The forms of an answer.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow::ipc::reader::StreamReader;
use serde_json::{Value, json};

use crate::support::{Api, TRACE, encoded};

const SQL: &str = "SELECT trace_id, name, start_time, duration_ns, parent_span_id, attributes['big'] AS big, attributes['note'] AS note \
                   FROM spans ORDER BY start_time DESC LIMIT 2";

fn target(format: &str) -> String {
    format!("/api/v1/query?q={}&query_id=q1{format}", encoded(SQL))
}

#[test]
fn json_has_columns_rows_and_the_receipt() {
    let api = Api::with_spans();
    let reply = api.get(&target(""));
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("x-tracehound-query-id"), "q1");
    assert_eq!(reply.header("x-tracehound-truncated"), "");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("cache-control"), "no-store");
    let mut answer = reply.ok();
    for varies in ["elapsed_ns", "bytes_read"] {
        assert!(answer["stats"][varies].is_u64(), "{answer}");
        answer["stats"][varies] = json!("…");
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&answer).expect("JSON"), @r##"
    {
      "as_of": {
        "entry": 0
      },
      "columns": [
        {
          "name": "trace_id",
          "type": "id"
        },
        {
          "name": "name",
          "type": "text"
        },
        {
          "name": "start_time",
          "type": "timestamp"
        },
        {
          "name": "duration_ns",
          "type": "bigint"
        },
        {
          "name": "parent_span_id",
          "type": "id"
        },
        {
          "name": "big",
          "type": "text"
        },
        {
          "name": "note",
          "type": "text"
        }
      ],
      "incomplete": false,
      "query_id": "q1",
      "rows": [
        [
          "5b8efff798038103d269b633813fc60c",
          "charge",
          "2026-11-22T17:00:00.000000002Z",
          1,
          "eee19b7ec3c1b174",
          null,
          null
        ],
        [
          "5b8efff798038103d269b633813fc60c",
          "POST /refund",
          "2026-11-22T17:00:00.000000001Z",
          250000001,
          null,
          "9007199254740993",
          "a \"b\", c\nd"
        ]
      ],
      "stats": {
        "bytes_read": "…",
        "elapsed_ns": "…",
        "entry": 0,
        "files_failed": 0,
        "files_planned": 0,
        "files_pruned": 0,
        "files_pruned_by_bloom": 0,
        "files_quarantined": 0,
        "files_read": 0,
        "row_groups_pruned": 0,
        "row_groups_read": 0,
        "rows": 2,
        "rows_unflushed": 3
      },
      "truncated": false
    }
    "##);
}

#[test]
fn rows_can_be_objects() {
    let api = Api::with_spans();
    let answer = api.get(&target("&rows=objects")).ok();
    assert_eq!(
        answer["rows"][0],
        json!({
            "trace_id": TRACE, "name": "charge", "start_time": "2026-11-22T17:00:00.000000002Z", "duration_ns": 1,
            "parent_span_id": "eee19b7ec3c1b174", "big": null, "note": null,
        })
    );
    assert_eq!(answer["rows"][1]["big"], "9007199254740993", "doubles would lose its last digit");
}

#[test]
fn ndjson_has_an_object_a_line() {
    let api = Api::with_spans();
    let reply = api.get(&target("&format=ndjson"));
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    insta::assert_snapshot!(reply.text(), @r##"
    {"trace_id":"5b8efff798038103d269b633813fc60c","name":"charge","start_time":"2026-11-22T17:00:00.000000002Z","duration_ns":1,"parent_span_id":"eee19b7ec3c1b174","big":null,"note":null}
    {"trace_id":"5b8efff798038103d269b633813fc60c","name":"POST /refund","start_time":"2026-11-22T17:00:00.000000001Z","duration_ns":250000001,"parent_span_id":null,"big":"9007199254740993","note":"a \"b\", c\nd"}
    "##);
    let nothing = api.get("/api/v1/query?format=ndjson&q=SELECT+1+WHERE+false");
    assert_eq!((nothing.status, nothing.text().as_str()), (200, ""));
}

#[test]
fn csv_has_a_header_and_quotes() {
    let api = Api::with_spans();
    let reply = api.get(&target("&format=csv"));
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/csv; charset=utf-8; header=present"));
    insta::assert_snapshot!(reply.text().replace("\r\n", "␍\n"), @r##"
    trace_id,name,start_time,duration_ns,parent_span_id,big,note␍
    5b8efff798038103d269b633813fc60c,charge,2026-11-22T17:00:00.000000002Z,1,eee19b7ec3c1b174,,␍
    5b8efff798038103d269b633813fc60c,POST /refund,2026-11-22T17:00:00.000000001Z,250000001,,9007199254740993,"a ""b"", c
    d"␍
    "##);
    let nothing = api.get("/api/v1/query?format=csv&q=SELECT+1+AS+x+WHERE+false");
    assert_eq!(nothing.text().trim_end(), "x");
}

#[test]
fn arrow_is_a_stream_with_types() {
    let api = Api::with_spans();
    let reply = api.get(&target("&format=arrow"));
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/vnd.apache.arrow.stream"));
    let reader = StreamReader::try_new(reply.body.as_slice(), None).expect("a stream");
    assert_eq!(reader.schema().field(0).data_type(), &DataType::FixedSizeBinary(16));
    let batches: Vec<_> = reader.collect::<Result<_, _>>().expect("batches");
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
    let first = &batches[0];
    assert_eq!(hex::encode(first.column(0).as_fixed_size_binary().value(0)), TRACE);
    assert_eq!(first.column(3).as_primitive::<Int64Type>().value(0), 1);
    assert!(first.column(5).is_null(0));

    let nothing = api.get("/api/v1/query?format=arrow&q=SELECT+1+AS+x+WHERE+false");
    let reader = StreamReader::try_new(nothing.body.as_slice(), None).expect("a stream");
    assert_eq!(reader.schema().field(0).name(), "x");
    assert_eq!(reader.count(), 0);
}

#[test]
fn accept_chooses_and_the_parameter_wins() {
    let api = Api::empty();
    let check = |query: &str, accept: &str, expected: &str| {
        let reply = api.get_as(&format!("/api/v1/query?q=SELECT+1{query}"), accept);
        assert_eq!((reply.status, reply.header("content-type")), (200, expected), "{query} {accept}");
        let body = json!({"sql": "SELECT 1"}).to_string().into_bytes();
        let reply = api.request(
            "POST",
            &format!("/api/v1/query?{}", query.trim_start_matches('&')),
            &[("accept", accept)],
            Some(body),
        );
        assert_eq!((reply.status, reply.header("content-type")), (200, expected), "POST {query} {accept}");
    };
    check("", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json");
    check("", "text/csv", "text/csv; charset=utf-8; header=present");
    check("", "application/jsonl", "application/x-ndjson");
    check("", "application/json;q=0.1, application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream");
    check("&format=json", "text/csv", "application/json");
    check("&format=", "application/x-ndjson", "application/x-ndjson");
    api.get_as("/api/v1/query?q=SELECT+1", "image/png").problem(406, "not-acceptable");
    api.get("/api/v1/query?q=SELECT+1&format=xml").problem(400, "bad-request");
    api.get("/api/v1/query?q=SELECT+1&rows=columns").problem(400, "bad-request");
}

#[test]
fn values_keep_their_meaning() {
    let api = Api::empty();
    let check = |sql: &str, expected: Value| assert_eq!(api.sql(&format!("SELECT {sql}"))[0][0], expected, "{sql}");
    check("9007199254740992", json!(9_007_199_254_740_992_i64));
    check("9007199254740993", json!("9007199254740993"));
    check("-9007199254740993", json!("-9007199254740993"));
    check("CAST(18446744073709551615 AS BIGINT UNSIGNED)", json!("18446744073709551615"));
    check("CAST('NaN' AS DOUBLE)", json!("NaN"));
    check("CAST('-inf' AS DOUBLE)", json!("-Infinity"));
    check("0.1", json!(0.1));
    check("true", json!(true));
    check("NULL", json!(null));
    check("TIMESTAMP '2026-11-22T18:00:00.000000001Z'", json!("2026-11-22T18:00:00.000000001Z"));
    check("DATE '2026-11-22'", json!("2026-11-22"));
    check("make_array(1, NULL)", json!([1, null]));
    check("'ä \u{1f43e} \u{2028}'", json!("ä \u{1f43e} \u{2028}"));
}

/// More than what is held back: sent in pieces, whole in every form.
#[test]
fn large_answers_are_whole() {
    let api = Api::empty();
    let body = json!({
        "sql": "SELECT value AS n, repeat('x', 100) AS text FROM generate_series(1, 30000) ORDER BY n",
        "limits": {"max_rows": 100_000},
    });
    let numbers: Vec<Value> = (1..=30_000).map(Value::from).collect();
    let reply = api.post("/api/v1/query", &body);
    assert!(reply.body.len() > 3 << 20);
    let answer = reply.ok();
    let found: Vec<_> = answer["rows"].as_array().expect("rows").iter().map(|row| row[0].clone()).collect();
    assert!(found == numbers);
    assert_eq!((&answer["truncated"], &answer["stats"]["rows"]), (&json!(false), &json!(30_000)));

    let lines = api.post("/api/v1/query?format=ndjson", &body).text();
    let found: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["n"].clone()).collect();
    assert!(found == numbers);

    let csv = api.post("/api/v1/query?format=csv", &body).text();
    assert_eq!((csv.lines().count(), csv.lines().next()), (30_001, Some("n,text")));

    let arrow = api.post("/api/v1/query?format=arrow", &body).body;
    let batches = StreamReader::try_new(arrow.as_slice(), None).expect("a stream").map(|batch| batch.expect("a batch"));
    assert_eq!(batches.map(|batch| batch.num_rows()).sum::<usize>(), 30_000);
}
