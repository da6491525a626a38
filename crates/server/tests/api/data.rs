//! What is stored, and what can be done to it.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tracehound_server::{Config, KeyConfig};

use crate::support::{Api, TRACE, spans};

/// A server that merges only when it is told to.
fn quiet(keys: Vec<KeyConfig>) -> Api {
    let mut config = Config { keys, ..Config::default() };
    config.compaction.background = false;
    Api::with(config)
}

/// Two files of one hour, and one of another.
fn two_flushes() -> Api {
    let api = quiet(Vec::new());
    for name in ["POST /refund", "POST /other"] {
        let mut sent = spans();
        sent["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] = json!(name);
        api.send(&sent);
        api.flush();
    }
    api
}

fn count(api: &Api) -> Value {
    api.sql("SELECT count(*) FROM spans")[0][0].clone()
}

#[test]
fn what_is_stored_is_listed_in_any_form() {
    let api = two_flushes();
    let tenants = api.get("/api/v1/data/tenants").ok();
    assert_eq!((&tenants["tenants"][0]["tenant"], &tenants["tenants"][0]["rows"]), (&json!("default"), &json!(6)));
    let partitions = api.get("/api/v1/data/partitions?rows=objects").ok();
    let hours: Vec<_> = partitions["rows"].as_array().expect("rows").iter().map(|row| &row["first_hour"]).collect();
    assert_eq!(hours, ["2026-11-21T17", "2026-11-22T17"]);
    assert_eq!(api.get("/api/v1/data/files").ok()["rows"].as_array().map(Vec::len), Some(4));
    assert_eq!(api.get("/api/v1/data/files?dataset=logs").ok()["rows"], json!([]));
    assert!(api.get("/api/v1/data/files?format=csv").text().starts_with("dataset,first_hour,"));
    assert_eq!(api.get("/api/v1/data/quarantine").ok(), json!({"quarantine": []}));
    api.get("/api/v1/data/files?dataset=spam").problem(400, "bad-request");
    api.get("/api/v1/data/files?tenant=acme").problem(400, "bad-request");
    api.get("/api/v1/data/secrets").problem(404, "not-found");
}

#[test]
fn tasks_answer_with_their_report() {
    let api = two_flushes();
    let task = |name: &str, body: Value| api.post(&format!("/api/v1/data/{name}"), &body);
    let merged = task("compact", json!({"dataset": "spans"})).ok();
    assert_eq!((&merged["files_before"], &merged["files_after"], &merged["rows"]), (&json!(4), &json!(2), &json!(6)));
    assert_eq!(task("verify", json!({"deep": true})).ok()["defects"], json!([]));
    assert_eq!(task("retention", json!({"age": "30d", "dry_run": true})).ok()["files"], json!([]));
    assert_eq!(task("sweep", json!({})).ok()["removed"], 0);
    let erase = |more: Value| {
        let mut body = json!({"subject": {"trace": TRACE}, "why": "asked"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        task("erase", body)
    };
    assert_eq!((&erase(json!({"dry_run": true})).ok()["rows"], count(&api)), (&json!(4), json!(6)));
    assert_eq!((&erase(json!({})).ok()["rows"], count(&api)), (&json!(4), json!(2)));
    let backup = task("backup", json!({"to": api.data_dir().join("backup").display().to_string()})).ok();
    assert_eq!(backup["tenants"][0]["rows"], 2, "{backup}");
}

#[test]
fn what_cannot_be_done_is_a_problem() {
    let api = two_flushes();
    let refused = |name: &str, body: Value, status: u16, code: &str| {
        api.post(&format!("/api/v1/data/{name}"), &body).problem(status, code)
    };
    refused("fly", json!({}), 404, "not-found");
    refused("compact", json!({"colour": "red"}), 400, "bad-request");
    refused("compact", json!({"hours": ["yesterday", "today"]}), 400, "bad-request");
    refused("retention", json!({}), 422, "parameter-invalid");
    refused("retention", json!({"age": "soon"}), 422, "parameter-invalid");
    refused("erase", json!({"subject": {"user": "u-1"}}), 400, "bad-request");
    refused("erase", json!({"subject": {"user": "u-1"}, "why": " "}), 422, "parameter-invalid");
    refused("erase", json!({"subject": {"trace": "xyz"}, "why": "x"}), 422, "parameter-invalid");
    refused("erase", json!({"subject": {"tenant": "acme"}, "why": "x"}), 422, "parameter-invalid");
    refused("quarantine", json!({"path": "spans/nothing.parquet", "why": "x"}), 404, "not-found");
    refused("backup", json!({}), 422, "parameter-invalid");
    let acme = [("x-tracehound-tenant", "acme"), ("content-type", "application/json")];
    api.request("POST", "/api/v1/data/compact", &acme, None).problem(404, "not-found");
    api.request("PUT", "/api/v1/data/compact", &acme, None).problem(405, "method-not-allowed");
    assert_eq!(count(&api), 6);
}

/// A page that somebody visits must not reach the server on their machine.
#[test]
fn no_web_page_changes_what_is_stored() {
    let api = two_flushes();
    let erase = |headers: &[(&str, &str)]| {
        let body = json!({"subject": {"trace": TRACE}, "why": "asked"}).to_string().into_bytes();
        api.request("POST", "/api/v1/data/erase", headers, Some(body))
    };
    // Without a preflight a page sends no other type than these.
    for simple in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        erase(&[("content-type", simple)]).problem(415, "unsupported-media-type");
    }
    erase(&[]).problem(415, "unsupported-media-type");
    // A name of theirs that leads to this machine makes it their own origin.
    for host in ["evil.example", "evil.example:4320", "localhost.evil.example", "127.0.0.1.evil.example:80"] {
        erase(&[("content-type", "application/json"), ("host", host)]).problem(403, "forbidden");
    }
    assert_eq!(count(&api), 6);
    for host in ["localhost:4320", "127.0.0.1:4320", "[::1]:4320"] {
        assert_eq!(erase(&[("content-type", "application/json; charset=utf-8"), ("host", host)]).status, 200, "{host}");
    }
}

#[test]
fn keys_read_and_only_admins_change() {
    let key = |id: &str, tenants: &[&str], admin: bool| KeyConfig {
        id: id.to_owned(),
        sha256: hex::encode(Sha256::digest(id)),
        tenants: tenants.iter().map(|tenant| tenant.parse().expect("a tenant")).collect(),
        admin,
    };
    let api = quiet(vec![key("reader", &["acme"], false), key("admin", &["acme", "globex"], true)]);
    for tenant in ["acme", "globex"] {
        let headers = [("x-api-key", "admin"), ("x-tracehound-tenant", tenant), ("content-type", "application/json")];
        assert_eq!(api.request("POST", "/v1/traces", &headers, Some(spans().to_string().into_bytes())).status, 200);
    }
    api.flush();
    let names = |secret: &str| {
        let reply = api.request("GET", "/api/v1/data/tenants", &[("x-api-key", secret)], None).ok();
        let tenants = reply["tenants"].as_array().expect("tenants").clone();
        tenants.iter().map(|tenant| tenant["tenant"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names("reader"), names("admin")),
        (vec!["acme".to_owned()], vec!["acme".to_owned(), "globex".to_owned()])
    );
    api.get("/api/v1/data/tenants").problem(401, "unauthenticated");
    let task = |secret: &str, name: &str, body: Value| {
        let headers = [("x-api-key", secret), ("x-tracehound-tenant", "acme"), ("content-type", "application/json")];
        api.request("POST", &format!("/api/v1/data/{name}"), &headers, Some(body.to_string().into_bytes()))
    };
    let erasure = json!({"subject": {"trace": TRACE}, "why": "asked"});
    for (name, body) in [
        ("compact", json!({})),
        ("verify", json!({"quarantine": true})),
        ("retention", json!({"age": "1d"})),
        ("erase", erasure.clone()),
        ("quarantine", json!({"path": "x", "why": "x"})),
        ("release", json!({"path": "x"})),
        ("sweep", json!({})),
        ("backup", json!({})),
    ] {
        let problem = task("reader", name, body).problem(403, "forbidden");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("admin = true")), "{problem}");
    }
    assert_eq!(task("reader", "verify", json!({})).status, 200);
    // Where backups go is the operator's decision.
    task("admin", "backup", json!({"to": "/tmp/elsewhere"})).problem(403, "forbidden");
    assert_eq!(task("admin", "erase", erasure).ok()["rows"], 2);
    let globex = [("x-api-key", "admin"), ("x-tracehound-tenant", "globex")];
    let found = api.request("GET", &format!("/api/v1/traces/{TRACE}"), &globex, None);
    assert_eq!(found.status, 200, "the other tenant's rows stay");
}
