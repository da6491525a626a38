//! Bodies made to hurt: the right code, and a process that stays alive and small.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tonic::Code;
use tracehound_schema::{Encoding, Signal};

use super::grpc::{call, channel, frame, path};
use super::http::{Reply, Request, connect};
use super::payload::{envelope, field, one, with_attributes, zstd};
use super::server::TestServer;

const MIB: usize = 1 << 20;

fn export(signal: Signal, body: Vec<u8>) -> Request {
    Request::post(&format!("/v1/{signal}")).header("content-type", "application/x-protobuf").body(body)
}

fn check_answers(server: &TestServer) {
    let reply = server.otlp(&export(Signal::Logs, one(Signal::Logs, Encoding::Protobuf, 77)));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// It answers, holds nothing, and stayed small.
fn check_alive(server: &TestServer) {
    check_answers(server);
    assert!(
        server.api(&Request::get("/metrics")).text().contains("tracehound_in_flight_bytes 0\n"),
        "all is given back"
    );
    assert!(peak_bytes() < 2 << 30, "{} bytes at the peak", peak_bytes());
}

/// The most memory that this process has had, the server and the test together.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// Zeros, compressed piece by piece.
fn gzip_zeros(bytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for _ in 0..bytes / MIB {
        encoder.write_all(&[0; MIB]).expect("in memory");
    }
    encoder.finish().expect("in memory")
}

#[test]
fn a_body_one_byte_over_64_mib_is_413() {
    let server = TestServer::start();
    let reply = server.otlp(&export(Signal::Traces, vec![0; 64 * MIB + 1]));
    assert_eq!(reply.status, 413, "{}", reply.text());
    let reply = server.otlp(&export(Signal::Traces, vec![0; 64 * MIB + 1]).chunked());
    assert_eq!(reply.status, 413, "{}", reply.text());
    check_alive(&server);
}

#[test]
fn bombs_stop_at_the_bound() {
    let server = TestServer::start();
    // 10 MB that would become 10 GiB. The member repeats, so it is compressed once.
    let ten = gzip_zeros(64 * MIB).repeat(160);
    assert!((9 * MIB..12 * MIB).contains(&ten.len()), "{} bytes", ten.len());
    let once = gzip_zeros(128 * MIB);
    for (name, body) in [("gzip", ten), ("gzip", once), ("zstd", zstd(&vec![0; 256 * MIB]))] {
        let request = export(Signal::Traces, body.clone()).header("content-encoding", name);
        let reply = server.otlp(&request);
        assert_eq!(reply.status, 413, "{name} {}: {}", body.len(), reply.text());
        let reply = server.runtime.block_on(async {
            let headers = [("grpc-encoding", name)];
            call(channel(server.running().otlp_grpc), path(Signal::Traces), &headers, frame(&body, true)).await
        });
        assert_eq!(reply.code, Code::ResourceExhausted, "{reply:?}");
        assert!(reply.details.retry_info().is_none());
    }
    check_alive(&server);
}

#[test]
fn a_wide_zstd_window_is_refused() {
    let server = TestServer::start();
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.window_log(27).expect("a window");
    encoder.write_all(b"small").expect("in memory");
    encoder.flush().expect("in memory");
    let body = encoder.finish().expect("in memory");
    let reply = server.otlp(&export(Signal::Traces, body).header("content-encoding", "zstd"));
    assert_eq!(reply.status, 413, "{}", reply.text());
    check_alive(&server);
}

#[test]
fn a_million_attributes_or_one_of_40_mb_reject_the_record_only() {
    let server = TestServer::start();
    for (mark, signal) in (1..).zip(Signal::ALL) {
        let attribute = [field(1, b"k"), field(2, &field(1, b"v"))].concat();
        let million = with_attributes(signal, &attribute, |number, one| field(number, one).repeat(1_000_000));
        let value = field(2, &field(1, &vec![b'x'; 40 * MIB]));
        let large = with_attributes(signal, &[field(1, b"k"), value].concat(), field);
        for record in [million, large] {
            let reply = server.otlp(&export(signal, envelope(&[record])));
            assert_eq!(reply.status, 200, "{signal}: {}", reply.text());
            assert!(!reply.body.is_empty(), "{signal}: partial success says that one was rejected");
        }
        assert_eq!(server.count(signal), 0);
        assert_eq!(server.otlp(&export(signal, one(signal, Encoding::Protobuf, mark))).status, 200);
    }
    assert_eq!(server.sql("SELECT count(*) FROM system.ingest_rejects"), json!([[6]]));
}

#[test]
fn an_attribute_of_100_mb_is_over_the_body_limit() {
    let server = TestServer::start();
    let body =
        format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"{}"}}]}}}}]}}"#, "x".repeat(100_000_000));
    let reply = server.otlp(&Request::post("/v1/traces").header("content-type", "application/json").body(body));
    assert_eq!(reply.status, 413, "{}", reply.text());
    check_alive(&server);
}

#[test]
fn thirty_million_empty_records_are_too_large_or_rejected() {
    let server = TestServer::start();
    for signal in Signal::ALL {
        let records = field(2, &[]).repeat(32 * MIB - 16);
        let reply = server.otlp(&export(signal, field(1, &field(2, &records))));
        assert!(matches!(reply.status, 200 | 413), "{signal}: {} {}", reply.status, reply.text());
        assert!(!reply.body.is_empty());
    }
    check_alive(&server);
}

#[test]
fn drops_of_a_body_do_not_stall_others() {
    let server = TestServer::with(|config| config.limits.body_timeout = Duration::from_secs(1));
    let head = export(Signal::Traces, Vec::new()).header("content-length", "1000").head();
    let mut slow: Vec<_> = (0..100).map(|_| connect(server.running().otlp_http)).collect();
    for stream in &mut slow {
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(b"\x0a").expect("sent");
    }
    check_answers(&server);
    for stream in &mut slow {
        assert_eq!(Reply::read(stream).status, 503);
    }
    check_alive(&server);
}
