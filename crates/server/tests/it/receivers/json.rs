//! Cases 33 to 39: JSON as the specification has it, and depth.

use serde_json::{Value, json};
use tonic::Code;
use tracehound_schema::{Encoding, Signal};

use super::grpc::frame;
use super::payload::{deep, json_envelope, json_with_trace_id, one};
use super::replies::{check_grpc, check_refused, export, grpc, table};
use super::server::TestServer;

#[test]
fn case_33_to_38_json_as_the_specification_has_it() {
    let server = TestServer::start();
    for signal in Signal::ALL {
        let send = |records: &[Value]| server.otlp(&export(signal, Encoding::Json, json_envelope(signal, records)));
        for id in ["abc", "zz010101010101010101010101010101"] {
            let reply = send(&[json_with_trace_id(signal, id)]);
            check_refused(&reply, Encoding::Json, 400, Code::InvalidArgument, &["BadRequest"]);
        }
        let reply = send(&[json_with_trace_id(signal, "AbCdEf0101010101abcdef0101010101")]);
        assert_eq!((reply.status, reply.text().as_str()), (200, "{}"), "hex of any case");
        let mut odd = json_with_trace_id(signal, "0A0101010101010101010101010101FF");
        odd["unknown"] = json!({"at": [{"any": "depth"}]});
        odd["attributes"] = Value::Null;
        odd["trace_id"] = json!("snake case is unknown, so this is not read");
        let reply = send(&[odd]);
        assert_eq!((reply.status, reply.text().as_str()), (200, "{}"));
    }
    let ids = server.sql("SELECT trace_id FROM spans ORDER BY trace_id");
    assert_eq!(ids, json!([["0a0101010101010101010101010101ff"], ["abcdef0101010101abcdef0101010101"]]));
    let values = json!({"name": "n", "sum": {"aggregationTemporality": 2, "dataPoints": [
        {"asDouble": "NaN", "timeUnixNano": "1700000000000000000"},
        {"asInt": 7, "timeUnixNano": 1_700_000_000_000_000_000_u64},
        {"asDouble": "1.5", "flags": "1"},
    ]}});
    let reply = server.otlp(&export(Signal::Metrics, Encoding::Json, json_envelope(Signal::Metrics, &[values])));
    assert_eq!((reply.status, reply.text().as_str()), (200, "{}"));
    assert_eq!(server.sql("SELECT count(*) FROM metrics WHERE name = 'n'"), json!([[3]]));
}

#[test]
fn case_39_depth_is_refused_without_a_crash() {
    let server = TestServer::start();
    for (signal, encoding, mark) in table() {
        let reply = server.otlp(&export(signal, encoding, deep(signal, encoding, 100_000)));
        check_refused(&reply, encoding, 400, Code::InvalidArgument, &["BadRequest"]);
        let reply = server.otlp(&export(signal, encoding, deep(signal, encoding, 20)));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(server.otlp(&export(signal, encoding, one(signal, encoding, mark))).status, 200, "it lives");
    }
    for signal in Signal::ALL {
        let reply = grpc(&server, signal, &[], frame(&deep(signal, Encoding::Protobuf, 100_000), false));
        check_grpc(&reply, Code::InvalidArgument, false, true);
    }
}
