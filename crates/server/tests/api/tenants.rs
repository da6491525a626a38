//! Who may see what.

use serde_json::json;
use sha2::{Digest, Sha256};
use tracehound_server::{Config, KeyConfig};

use crate::support::{Api, Reply, TRACE, spans};

fn with_keys() -> Api {
    let key = |id: &str, secret: &str, tenants: &[&str]| KeyConfig {
        id: id.to_owned(),
        sha256: hex::encode(Sha256::digest(secret)),
        tenants: tenants.iter().map(|tenant| tenant.parse().expect("a tenant")).collect(),
        admin: false,
    };
    let keys =
        vec![key("one", "s1", &["acme"]), key("two", "s2", &["acme", "globex"]), key("three", "s3", &["globex"])];
    Api::with(Config { keys, ..Config::default() })
}

fn count(api: &Api, headers: &[(&str, &str)]) -> Reply {
    let body = json!({"sql": "SELECT count(*) FROM spans", "query_id": "q"}).to_string().into_bytes();
    api.request("POST", "/api/v1/query", headers, Some(body))
}

/// Invariant 5: a session sees one tenant, chosen by authentication.
#[test]
fn invariant_5_each_key_sees_its_tenants_only() {
    let api = with_keys();
    let sent = api.request(
        "POST",
        "/v1/traces",
        &[("x-api-key", "s1"), ("content-type", "application/json")],
        Some(spans().to_string().into_bytes()),
    );
    assert_eq!(sent.status, 200, "{}", sent.text());
    let check = |headers: &[(&str, &str)], spans: i64| {
        assert_eq!(count(&api, headers).ok()["rows"], json!([[spans]]), "{headers:?}");
    };
    check(&[("authorization", "Bearer s1")], 3);
    check(&[("x-api-key", "s1")], 3);
    check(&[("x-api-key", "s3")], 0);
    check(&[("x-api-key", "s2"), ("x-tracehound-tenant", "acme")], 3);
    check(&[("x-api-key", "s2"), ("x-tracehound-tenant", "globex")], 0);
    let trace = |secret: &str| api.request("GET", &format!("/api/v1/traces/{TRACE}"), &[("x-api-key", secret)], None);
    assert_eq!(trace("s1").status, 200);
    trace("s3").problem(404, "not-found");
    for sql in ["SELECT * FROM acme.public.spans", "SELECT * FROM acme.spans", "SELECT path FROM system.files"] {
        let body = json!({"sql": sql}).to_string().into_bytes();
        let text = api.request("POST", "/api/v1/query", &[("x-api-key", "s3")], Some(body)).text();
        assert!(!text.contains("refund") && !text.contains("tenants/acme"), "{sql}: {text}");
    }
}

#[test]
fn callers_without_a_right_are_refused_everywhere() {
    let api = with_keys();
    let none = count(&api, &[]);
    none.problem(401, "unauthenticated");
    assert_eq!(none.header("www-authenticate"), "Bearer");
    count(&api, &[("x-api-key", "wrong")]).problem(401, "unauthenticated");
    count(&api, &[("authorization", "Basic czE6")]).problem(401, "unauthenticated");
    count(&api, &[("x-api-key", "s1"), ("x-tracehound-tenant", "globex")]).problem(403, "forbidden");
    let choose = count(&api, &[("x-api-key", "s2")]).problem(400, "bad-tenant");
    assert!(choose["detail"].as_str().is_some_and(|text| text.contains("acme, globex")), "{choose}");
    count(&api, &[("x-api-key", "s2"), ("x-tracehound-tenant", "../acme")]).problem(400, "bad-tenant");

    let trace = format!("/api/v1/traces/{TRACE}");
    for target in ["/api/v1/query?q=SELECT+1", "/api/v1/schema", "/api/v1/hunts", "/api/v1/hunts/api-scraping", &trace]
    {
        api.get(target).problem(401, "unauthenticated");
    }
    for target in ["/api/v1/query", "/api/v1/query/explain", "/api/v1/hunts/api-scraping/run"] {
        api.post(target, &json!({"sql": "SELECT 1"})).problem(401, "unauthenticated");
    }
    for target in ["/healthz", "/readyz", "/metrics"] {
        let reply = api.get(target);
        assert_eq!(reply.status, 200);
        assert!(!reply.text().contains("acme"), "{target} tells no tenant's name");
    }
}

#[test]
fn without_keys_the_header_chooses_and_is_never_passed_over() {
    let api = Api::with_spans();
    assert_eq!(count(&api, &[]).ok()["rows"], json!([[3]]));
    assert_eq!(count(&api, &[("x-tracehound-tenant", "default")]).ok()["rows"], json!([[3]]));
    assert_eq!(count(&api, &[("x-tracehound-tenant", "acme")]).ok()["rows"], json!([[0]]));
    for wrong in ["", "Acme", "../default", "%2e%2e%2f", "a/b", "a b", &"a".repeat(64)] {
        count(&api, &[("x-tracehound-tenant", wrong)]).problem(400, "bad-tenant");
    }
    // Bytes that are not text, and two tenants at once: neither becomes the default tenant.
    let raw = |lines: &[u8]| {
        use std::io::Write;
        let mut connection = api.connect();
        connection
            .write_all(b"GET /api/v1/query?q=SELECT+1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n")
            .expect("writes");
        connection.write_all(lines).expect("writes");
        connection.write_all(b"\r\n").expect("writes");
        crate::support::read_to_end(connection)
    };
    assert!(raw(b"").starts_with("HTTP/1.1 200 "));
    for lines in
        [b"x-tracehound-tenant: \xe4\r\n".as_slice(), b"x-tracehound-tenant: default\r\nx-tracehound-tenant: acme\r\n"]
    {
        let answer = raw(lines);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("bad-tenant"), "{answer}");
    }
}
