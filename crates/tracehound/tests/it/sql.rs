use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;

use crate::support::{Place, binary, run, run_with_stdin, span, text, traces};

fn some() -> Place {
    let place = Place::new();
    let spans = [
        span(1, 1, 0, "GET /a", &[("user.id", text("u-1")), ("n", json!({"intValue": "9007199254740993"}))]),
        span(1, 2, 1, "SELECT", &[]),
        span(2, 3, 0, "\u{1b}[2Jevil\u{202e}\n|", &[]),
    ];
    place.ingest(traces("shop", &spans));
    place
}

const SQL: &str = "SELECT name, user_id, span_id FROM spans ORDER BY start_time";

#[test]
fn a_file_becomes_exact_rows() {
    let place = some();
    let rows = place.rows("SELECT trace_id, span_id, parent_span_id, start_time, duration_ns, name, kind, service_name, scope_name, user_id, attributes FROM spans WHERE trace_id = '01010101010101010101010101010101' ORDER BY start_time");
    assert_eq!(
        rows,
        [
            json!({
                "trace_id": "01".repeat(16), "span_id": "01".repeat(8), "parent_span_id": null, "start_time": "2026-11-22T15:00:00.001000000Z",
                "duration_ns": 5_000_000, "name": "GET /a", "kind": "SERVER", "service_name": "shop", "scope_name": "test", "user_id": "u-1",
                "attributes": {"user.id": "u-1", "n": "9007199254740993"}
            }),
            json!({
                "trace_id": "01".repeat(16), "span_id": "02".repeat(8), "parent_span_id": "01".repeat(8), "start_time": "2026-11-22T15:00:00.002000000Z",
                "duration_ns": 5_000_000, "name": "SELECT", "kind": "SERVER", "service_name": "shop", "scope_name": "test", "user_id": null,
                "attributes": {}
            }),
        ]
    );
}

#[test]
fn each_format_holds_the_same_rows() {
    let place = some();
    let data = place.data();
    let get = |format: &str| run(&["sql", "--data-dir", &data, "-c", SQL, "-o", format]).expect(0).out;
    assert_eq!(
        get("csv"),
        "name,user_id,span_id\r\nGET /a,u-1,0101010101010101\r\nSELECT,,0202020202020202\r\n\"\u{1b}[2Jevil\u{202e}\n|\",,0303030303030303\r\n"
    );
    assert_eq!(get("tsv").lines().nth(1), Some("GET /a\tu-1\t0101010101010101"));
    assert_eq!(get("markdown").lines().nth(2), Some("| GET /a | u-1 | 0101010101010101 |"));
    assert!(get("vertical").contains("user_id │ u-1\n"));
    assert_eq!(get("json").matches("span_id").count(), 3);
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&get("json")).expect("JSON").len(), 3);
    assert_eq!(get("auto"), get("ndjson"));
    let table = get("table");
    assert!(table.contains("GET /a") && table.contains("NULL"), "{table}");
    // People's formats escape what a terminal would obey.
    for format in ["table", "markdown", "vertical"] {
        let text = get(format);
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}') && text.contains("{1b}[2Jevil"),
            "{format}: {text}"
        );
    }
}

#[test]
fn sql_comes_from_arguments_files_and_standard_input() {
    let place = some();
    let data = place.data();
    let file = place.file("q.sql", "SELECT count(*) AS n FROM spans");
    let expected = [json!({"n": 3})];
    assert_eq!(run(&["sql", "--data-dir", &data, "-f", &file]).expect(0).rows(), expected);
    let input = b"SELECT count(*) AS n FROM spans";
    assert_eq!(run_with_stdin(&["sql", "--data-dir", &data, "-"], input).expect(0).rows(), expected);
    assert_eq!(run_with_stdin(&["sql", "--data-dir", &data, "-f", "-"], input).expect(0).rows(), expected);
    run(&["sql", "--data-dir", &data]).expect(2);
    run(&["sql", "--data-dir", &data, "-c", "  "]).expect(2);
    run(&["sql", "--data-dir", &data, "-f", "/does/not/exist"]).expect(1);
}

#[test]
fn parameters_and_times_are_bound() {
    let place = some();
    let data = place.data();
    let sql = "SELECT count(*) AS n FROM spans WHERE name = $name AND start_time >= $from AND start_time < $to";
    let run = |more: &[&str]| run(&[&["sql", "--data-dir", &data, "-c", sql][..], more].concat());
    let range = ["--from", "2026-11-22T15:00:00Z", "--to", "2026-11-22T16:00:00Z"];
    assert_eq!(run(&[&range[..], &["-p", "name=SELECT"]].concat()).expect(0).rows(), [json!({"n": 1})]);
    // A value never becomes SQL.
    assert_eq!(run(&[&range[..], &["-p", "name=' OR 1=1 --"]].concat()).expect(0).rows(), [json!({"n": 0})]);
    assert!(run(&range).expect(2).err.starts_with("error[parameter-missing]"));
    assert!(run(&["-p", "name=x"]).expect(2).err.contains("--from"));
    run(&["--from", "-24h", "-p", "name=x"]).expect(0);
    run(&["--from", "yesterday", "-p", "name=x"]).expect(2);
    run(&["--to", "now", "-p", "name=x"]).expect(2);
    run(&[&range[..], &["-p", "name=x", "-p", "name=y"]].concat()).expect(2);
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let place = some();
    let data = place.data();
    let ended = run(&["sql", "--data-dir", &data, "-c", "SELECT servce_name\nFROM spans"]).expect(1);
    assert!(ended.err.starts_with("error[sql-unknown-column]: "), "{}", ended.err);
    assert!(ended.err.contains("1 | SELECT servce_name\n  |        ^^^^^^^^^^^\n"), "{}", ended.err);
    assert!(ended.err.contains("did you mean service_name"), "{}", ended.err);
    assert_eq!(ended.out, "");
    let ended = run(&["sql", "--json", "--data-dir", &data, "-c", "SELEC 1"]).expect(1);
    let error: serde_json::Value = serde_json::from_str(&ended.err).expect("JSON");
    assert_eq!(error["error"]["code"], "sql-syntax");
    assert_eq!(error["error"]["exit_code"], 1);
    run(&["sql", "--data-dir", &data, "-c", "CREATE TABLE t (a int)"]).expect(1);
}

#[test]
fn rows_can_fail_a_check_and_be_cut() {
    let place = some();
    let data = place.data();
    run(&["sql", "--data-dir", &data, "-c", "SELECT 1 WHERE false", "--fail-on-rows"]).expect(0);
    let ended = run(&["sql", "--data-dir", &data, "-c", SQL, "--fail-on-rows"]).expect(6);
    assert_eq!(ended.rows().len(), 3);
    let ended = run(&["sql", "--data-dir", &data, "-c", SQL, "--max-rows", "2"]).expect(0);
    assert_eq!(ended.rows().len(), 2);
    assert!(ended.err.contains("--max-rows"), "{}", ended.err);
    let many = "SELECT unnest(range(0, 1500)) AS n";
    let ended = run(&["sql", "--data-dir", &data, "-c", many, "-o", "table"]).expect(0);
    assert!(ended.err.contains("--max-rows 0"), "{}", ended.err);
    assert_eq!(run(&["sql", "--data-dir", &data, "-c", many]).expect(0).rows().len(), 1500);
    assert_eq!(
        run(&["sql", "--data-dir", &data, "-c", many, "-o", "csv", "--max-rows", "0"]).expect(0).out.lines().count(),
        1501
    );
}

#[test]
fn a_plan_is_explained() {
    let place = some();
    let ended = run(&["sql", "--data-dir", &place.data(), "-c", SQL, "--explain", "--fail-on-rows"]).expect(0);
    assert!(ended.out.contains("plan"), "{}", ended.out);
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    let place = some();
    let mut child = binary()
        .args(["sql", "--data-dir", &place.data(), "-c", "SELECT unnest(range(0, 1000000)) AS n"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("a line");
    assert_eq!(first, "{\"n\":0}\n");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn tenants_are_apart() {
    let place = some();
    let data = place.data();
    let file = place.file("b", traces("other", &[span(9, 9, 0, "b", &[])]));
    run(&["ingest", "--data-dir", &data, "--tenant", "b", &file]).expect(0);
    let count = "SELECT count(*) AS n FROM spans";
    assert_eq!(place.rows(count), [json!({"n": 3})]);
    assert_eq!(run(&["sql", "--data-dir", &data, "--tenant", "b", "-c", count]).expect(0).rows(), [json!({"n": 1})]);
    run(&["sql", "--data-dir", &data, "--tenant", "../up", "-c", count]).expect(2);
}
