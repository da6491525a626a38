use arrow::array::{Array, AsArray};
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};
use tracehound_schema::ENTITY_COLUMNS;

use super::*;

const SERVER: i32 = SpanKind::Server as i32;
const CLIENT: i32 = SpanKind::Client as i32;

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

/// `key=value` pairs; `[a|b]` is an array, a number an integer.
fn attributes(text: &str) -> Vec<KeyValue> {
    let value = |text: &str| match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(elements) => {
            let element = |text: &str| AnyValue { value: Some(Value::StringValue(text.to_owned())) };
            let values = elements.split('|').map(element).collect();
            Value::ArrayValue(ArrayValue { values })
        }
        None => match text.parse() {
            Ok(number) => Value::IntValue(number),
            Err(_) => Value::StringValue(text.to_owned()),
        },
    };
    let pairs = text.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, text)| attribute(key, value(text))).collect()
}

/// The columns that are filled, as `column=value`; lists are joined by `|`.
fn filled(span_kind: i32, resource: &str, record: &str) -> String {
    let (resource, record) = (attributes(resource), attributes(record));
    let found = Found::on_resource(&resource).on_record(&record);
    let mut entities = Entities::default();
    entities.append(&found, span_kind);
    let columns = entities.finish();
    let shown = ENTITY_COLUMNS.iter().zip(&columns).filter(|(_, column)| column.is_valid(0));
    let shown = shown.map(|((name, _), column)| {
        let value = match *name {
            "roles" => {
                let roles = column.as_list::<i32>().value(0);
                let roles: Vec<_> = roles.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
                roles.join("|")
            }
            _ => column.as_string::<i32>().value(0).to_owned(),
        };
        format!("{name}={value}")
    });
    shown.collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn check(span_kind: i32, resource: &str, record: &str, expected: &str) {
    assert_eq!(filled(span_kind, resource, record), expected, "{resource} / {record}");
}

#[test]
fn attributes_fill_columns() {
    for (record, expected) in [
        ("", ""),
        ("user.id=u1", "user_id=u1"),
        ("enduser.id=u1", "user_id=u1"),
        ("security.user_id=u1", "user_id=u1"),
        // The order of preference decides, not the order of the attributes.
        ("enduser.id=old; user.id=new", "user_id=new"),
        ("user.id=new; enduser.id=old", "user_id=new"),
        ("security.user_id=s; user.id=u", "user_id=s"),
        // What is empty is no value.
        ("security.user_id=; user.id=u", "user_id=u"),
        ("user.id=", ""),
        // Of the same key, the first counts.
        ("user.id=a; user.id=b", "user_id=a"),
        ("user.id=42", "user_id=42"),
        ("user.id=[a|b]", ""),
        ("security.roles=[admin|auditor]", "roles=admin|auditor; role=admin"),
        ("security.roles=admin, auditor", "roles=admin|auditor; role=admin"),
        ("user.roles=,support,", "roles=support; role=support"),
        ("security.roles=,; user.roles=clerk", "roles=clerk; role=clerk"),
        ("enduser.role=clerk", "roles=clerk; role=clerk"),
        ("security.data_classification=PII", "data_classification=PII"),
        ("data.classification=PII", "data_classification=PII"),
        ("security.auth_method=mfa; security.trust_level=high", "auth_method=mfa; trust_level=high"),
        ("session.id=s", "session_id=s"),
        ("client.address=10.0.0.1; http.client_ip=10.0.0.2", "client_address=10.0.0.1"),
        ("source_region=eu-west-1", "region=eu-west-1"),
        ("tenant.id=t; security.resource_tenant_id=o", "app_tenant_id=t; resource_tenant_id=o"),
        ("data.subject.id=p", "data_subject_id=p"),
        ("unknown=x; User.Id=u", ""),
    ] {
        check(0, "", record, expected);
    }
}

#[test]
fn the_record_goes_before_its_resource() {
    check(0, "user.id=batch", "", "user_id=batch");
    check(0, "user.id=batch", "user_id=u", "user_id=u");
    check(0, "user.id=batch", "user.id=", "user_id=batch");
    // Roles of a resource are not a user's.
    check(0, "user.roles=admin", "", "");
    check(0, "tenant.id=r", "tenant_id=t", "app_tenant_id=t");
}

#[test]
fn a_server_is_not_its_own_peer() {
    check(SERVER, "", "server.address=shop", "");
    check(SpanKind::Consumer as i32, "", "server.address=shop", "");
    check(CLIENT, "", "server.address=bank", "peer_address=bank");
    check(SpanKind::Internal as i32, "", "server.address=bank", "peer_address=bank");
    check(SERVER, "", "client.address=10.0.0.1", "client_address=10.0.0.1");
}

#[test]
fn urls_give_their_host() {
    for (url, host) in [
        ("https://api.example.com/v1?q=1", "api.example.com"),
        ("https://API.Example.com:8443", "api.example.com"),
        ("http://user:pa@ss@host/x@y", "host"),
        ("http://[2001:db8::1]:80/", "2001:db8::1"),
        ("http://good.com\\@evil.com/", "good.com"),
    ] {
        check(CLIENT, "", &format!("url.full={url}"), &format!("peer_address={host}"));
    }
    check(CLIENT, "", "url.full=/relative; peer.address=p", "peer_address=p");
    check(CLIENT, "", "url.full=file:///etc/passwd", "");
    check(CLIENT, "", "http.url=http://old/; url.full=http://new/", "peer_address=new");
}
