use serde_json::json;

use crate::support::{Place, Served, run, span, text, traces};

#[test]
fn everything_works_over_a_url_too() {
    let place = Place::new();
    let mut served = Served::start(place.dir.path(), None);
    let url = served.http.clone();
    let mut bad = span(2, 9, 0, "bad", &[]);
    bad["spanId"] = json!("0000000000000000");
    let file = place.file(
        "a.json",
        traces("shop", &[span(1, 1, 0, "a", &[("user.id", text("u-1"))]), span(1, 2, 1, "b", &[]), bad]),
    );
    let ended = run(&["ingest", "--url", &url, &file, "-o", "json"]).expect(0);
    let summary: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!((&summary["accepted"], &summary["rejected"]), (&json!(2), &json!(1)), "{summary}");

    let sql = "SELECT name, user_id, attributes, start_time FROM spans ORDER BY start_time";
    let remote = run(&["sql", "--url", &url, "-c", sql]).expect(0);
    assert_eq!(
        remote.rows()[0],
        json!({"name": "a", "user_id": "u-1", "attributes": {"user.id": "u-1"}, "start_time": "2026-11-22T15:00:00.001000000Z"})
    );
    let range = ["--from", "2026-11-22T15:00:00.002Z", "--to", "2026-11-23"];
    let bound = [
        "sql",
        "--url",
        &url,
        "-c",
        "SELECT name FROM spans WHERE start_time >= $from AND start_time < $to AND name = $name",
        "-p",
        "name=b",
    ];
    assert_eq!(run(&[&bound[..], &range].concat()).expect(0).rows(), [json!({"name": "b"})]);
    let ended = run(&["sql", "--url", &url, "-c", "SELECT nam FROM spans"]).expect(1);
    assert!(ended.err.contains("error[sql-unknown-column]") && ended.err.contains("^^^"), "{}", ended.err);
    run(&["sql", "--url", &url, "-c", "SELECT $x"]).expect(2);
    assert!(run(&["sql", "--url", &url, "-c", sql, "--explain"]).expect(0).out.contains("plan"));
    assert_eq!(
        run(&["sql", "--url", &url, "-c", "SELECT unnest(range(0, 20000)) AS n"]).expect(0).rows().len(),
        20_000
    );
    run(&[&["hunts", "run", "pii-by-non-admin", "--url", &url][..], &range].concat()).expect(0);
    assert!(run(&["trace", "view", &"01".repeat(16), "--url", &url]).expect(0).out.contains("shop a"));
    run(&["doctor", "--url", &url]).expect(0);

    // One process a directory, and the second is told where the first is.
    let ended = run(&["sql", "--data-dir", &place.data(), "-c", sql]).expect(3);
    assert!(ended.err.starts_with("error[locked]"), "{}", ended.err);
    assert!(ended.err.contains(&format!("--url {url}")), "{}", ended.err);

    served.signal("TERM");
    assert_eq!(served.wait(), Some(0), "{}", served.log());
    assert_eq!(run(&["sql", "--data-dir", &place.data(), "-c", sql]).expect(0).out, remote.out);
}

#[test]
fn a_server_ends_well_when_interrupted() {
    let place = Place::new();
    let mut served = Served::start(place.dir.path(), None);
    served.signal("INT");
    assert_eq!(served.wait(), Some(0), "{}", served.log());
}

#[test]
fn a_key_is_asked_for_and_names_its_tenants() {
    let place = Place::new();
    // SHA-256 of "secret".
    let config = "[[keys]]\nid = \"k\"\nsha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"\ntenants = [\"a\", \"b\"]\n";
    let served = Served::start(place.dir.path(), Some(config));
    let url = served.http.as_str();
    let sql =
        |more: &[&str]| run(&[&["sql", "--url", url, "-c", "SELECT count(*) AS n FROM spans"][..], more].concat());
    sql(&[]).expect(4);
    sql(&["--key", "wrong", "--tenant", "a"]).expect(4);
    sql(&["--key", "secret", "--tenant", "c"]).expect(4);
    let file = place.file("a.json", traces("shop", &[span(1, 1, 0, "a", &[])]));
    run(&["ingest", "--url", url, &file]).expect(4);
    run(&["ingest", "--url", url, "--key", "secret", "--tenant", "a", &file]).expect(0);
    assert_eq!(sql(&["--key", "secret", "--tenant", "a"]).expect(0).rows(), [json!({"n": 1})]);
    assert_eq!(sql(&["--key", "secret", "--tenant", "b"]).expect(0).rows(), [json!({"n": 0})]);
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let place = Place::new();
    let serve = |more: &[&str]| run(&[&["serve", "--data-dir", &place.data()][..], more].concat());
    let config = place.file("c.toml", "[limits]\nbody_bites = 1\n");
    assert!(serve(&["--config", &config]).expect(2).err.contains("body_bites"));
    assert!(serve(&["--http", "nowhere"]).expect(2).err.contains("--http"));
    serve(&["--http", "0.0.0.0:0"]).expect(2);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = serve(&["--http", &address, "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"]).expect(1);
    assert!(ended.err.contains("error[listen]") && ended.err.contains(&address), "{}", ended.err);
}
