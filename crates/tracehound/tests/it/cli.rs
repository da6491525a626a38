use crate::support::{Place, run, span, text, traces};

#[test]
fn usage_errors_have_a_code_of_their_own() {
    run(&[]).expect(2);
    run(&["fly"]).expect(2);
    run(&["sql", "--data-dir", "a", "--url", "http://b", "-c", "SELECT 1"]).expect(2);
    run(&["sql", "--url", "localhost", "-c", "SELECT 1"]).expect(2);
    let ended = run(&["--json", "fly"]).expect(2);
    let error: serde_json::Value = serde_json::from_str(&ended.err).expect("JSON");
    assert_eq!(error["error"]["code"], "usage");
    assert!(run(&["--help"]).expect(0).out.contains("ingest"));
    assert!(run(&["--version"]).expect(0).out.starts_with("tracehound "));
}

#[test]
fn reading_makes_no_directory() {
    let place = Place::new();
    for arguments in
        [&["sql", "-c", "SELECT 1"][..], &["hunts", "run", "pii-by-non-admin"], &["trace", "view", &"1".repeat(32)]]
    {
        let data = place.data();
        let ended = run(&[arguments, &["--data-dir", &data]].concat()).expect(2);
        assert!(ended.err.starts_with("error[no-data]"), "{}", ended.err);
        assert!(ended.err.contains("hint: "), "{}", ended.err);
    }
    assert!(!place.dir.path().join("data").exists());
}

#[test]
fn nobody_at_the_address_may_be_retried() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let url = format!("http://{free}");
    let ended = run(&["sql", "--url", &url, "-c", "SELECT 1"]).expect(3);
    assert!(ended.err.starts_with("error[unreachable]"), "{}", ended.err);
    let place = Place::new();
    let file = place.file("a.json", traces("shop", &[span(1, 1, 0, "a", &[])]));
    run(&["ingest", "--url", &url, "--retry-for", "1s", &file]).expect(3);
    run(&["doctor", "--url", &url]).expect(6);
}

#[test]
fn hunts_are_listed_shown_and_run() {
    let list = run(&["hunts", "list"]).expect(0).rows();
    for name in [
        "pii-by-non-admin",
        "lateral-movement",
        "credential-stuffing",
        "api-scraping",
        "pii-leaves-boundary",
        "new-destinations",
    ] {
        assert!(list.iter().any(|hunt| hunt["name"] == name), "{name}");
    }
    let shown = run(&["hunts", "show", "pii-by-non-admin"]).expect(0).out;
    assert!(shown.contains("$from") && shown.contains("T1530"), "{shown}");
    let ended = run(&["hunts", "show", "pii-by-nonadmin"]).expect(1);
    assert!(ended.err.contains("did you mean pii-by-non-admin"), "{}", ended.err);

    let place = Place::new();
    let attributes = |user: &str| {
        let class = ("security.data_classification", text("PII"));
        vec![("user.id", text(user)), ("user.roles", text("user")), class, ("data.subject.id", text("u-2"))]
    };
    place.ingest(traces(
        "customers",
        &[span(1, 1, 0, "read", &attributes("u-1")), span(2, 2, 0, "read", &attributes("u-2"))],
    ));
    let data = place.data();
    let hunt = ["hunts", "run", "pii-by-non-admin", "--data-dir", &data, "--from", "2026-11-22", "--to", "2026-11-23"];
    let rows = run(&hunt).expect(0).rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["user_id"], "u-1");
    assert_eq!(rows[0]["trace_ids"], serde_json::json!(["01".repeat(16)]));
    run(&[&hunt[..], &["--fail-on-rows"]].concat()).expect(6);
    run(&[&hunt[..], &["-p", "colour=red"]].concat()).expect(2);
}

#[test]
fn a_trace_is_drawn_and_got() {
    let place = Place::new();
    let evil = span(1, 3, 9, "\u{1b}]0;x\u{7}", &[]);
    place.ingest(traces(
        "gateway",
        &[span(1, 1, 0, "POST /pay", &[("user.id", text("u-1"))]), span(1, 2, 1, "auth", &[]), evil],
    ));
    let (data, id) = (place.data(), "01".repeat(16));
    let drawn = run(&["trace", "view", &id, "--data-dir", &data, "--width", "80"]).expect(0).out;
    assert!(
        drawn.contains("gateway POST /pay") && drawn.contains("└ gateway auth") && drawn.contains("u-1"),
        "{drawn}"
    );
    assert!(drawn.contains("parent of these spans has not arrived"), "{drawn}");
    assert!(!drawn.contains('\u{1b}'), "{drawn:?}");
    let ascii = run(&["trace", "view", &id, "--data-dir", &data, "--ascii"]).expect(0).out;
    assert!(ascii.is_ascii(), "{ascii}");
    let ended = run(&["trace", "view", &id, "--data-dir", &data, "--max-spans", "1"]).expect(0);
    assert!(ended.err.contains("1 of 3 spans"), "{}", ended.err);
    assert_eq!(run(&["trace", "get", &id, "--data-dir", &data]).expect(0).rows().len(), 3);
    run(&["trace", "view", &"02".repeat(16), "--data-dir", &data]).expect(1);
    run(&["trace", "view", "xyz", "--data-dir", &data]).expect(2);
}

#[test]
fn the_schema_is_told_without_data() {
    let tables = run(&["schema"]).expect(0).rows();
    for name in ["spans", "logs", "metrics", "actors", "system.files"] {
        assert!(tables.iter().any(|table| table["table"] == name), "{name} in {tables:?}");
    }
    let columns = run(&["schema", "spans"]).expect(0).rows();
    assert!(columns.iter().any(|column| column["column"] == "user_id" && column["type"] == "text"));
    assert!(run(&["schema", "span"]).expect(1).err.contains("spans"));
}

#[test]
fn a_healthy_directory_is_healthy() {
    let place = Place::new();
    place.ingest(traces("shop", &[span(1, 1, 0, "a", &[])]));
    let checks = run(&["doctor", "--data-dir", &place.data()]).expect(0).rows();
    let state = |check: &str| checks.iter().find(|row| row["check"] == check).map(|row| row["state"].clone());
    assert_eq!(state("manifest"), Some("ok".into()), "{checks:?}");
    assert_eq!(state("disk sync"), Some("ok".into()), "{checks:?}");
}

#[test]
fn a_broken_manifest_is_found() {
    let place = Place::new();
    place.ingest(traces("shop", &[span(1, 1, 0, "a", &[])]));
    let entry = place.dir.path().join("data/store/tenant=default/manifest/00000000000000000001.json");
    let text = std::fs::read_to_string(&entry).expect("an entry");
    std::fs::write(&entry, &text[..text.len() / 2]).expect("cut");
    let ended = run(&["doctor", "--data-dir", &place.data()]).expect(6);
    assert!(ended.rows().iter().any(|row| row["state"] == "FAIL"), "{}", ended.out);
    let ended = run(&["sql", "--data-dir", &place.data(), "-c", "SELECT 1"]).expect(1);
    assert!(ended.err.starts_with("error[storage-corrupt]"), "{}", ended.err);
}
