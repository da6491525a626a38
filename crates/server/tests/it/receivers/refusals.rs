//! Cases 11 to 16, 21, 22, 25 to 29: requests that are refused, over both transports.

use std::convert::Infallible;
use std::io::Write;
use std::time::{Duration, Instant};

use axum::body::Body;
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tonic::Code;
use tracehound_schema::{Encoding, Signal};
use tracehound_server::{Config, KeyConfig};

use super::grpc::{call, channel, frame, path};
use super::http::{Reply, Request, connect};
use super::payload::{self, ENCODINGS, ballast, gzip, media_type, one, zstd};
use super::replies::{check_grpc, check_refused, export, grpc, table};
use super::server::TestServer;

#[test]
fn case_03_11_12_malformed_bodies_are_400_with_details() {
    let server = TestServer::start();
    for (signal, encoding, mark) in table() {
        let bodies: &[&[u8]] = match encoding {
            Encoding::Protobuf => &[b"\xff", b"\x0a\x05abc", b"\x0f"],
            Encoding::Json => &[b"{", b"[]", b"\xff", b"{} {}", b"nonsense"],
        };
        for body in bodies {
            let reply = server.otlp(&export(signal, encoding, body.to_vec()));
            check_refused(&reply, encoding, 400, Code::InvalidArgument, &["BadRequest"]);
        }
        let mut cut = one(signal, encoding, mark);
        cut.pop();
        let reply = server.otlp(&export(signal, encoding, cut));
        check_refused(&reply, encoding, 400, Code::InvalidArgument, &["BadRequest"]);
        assert_eq!(server.count(signal), 0);
    }
}

#[test]
fn case_13_to_16_wrong_type_method_and_path_have_a_status_too() {
    let server = TestServer::start();
    for signal in Signal::ALL {
        let path = format!("/v1/{signal}");
        for request in [
            Request::post(&path).body("{}"),
            Request::post(&path).header("content-type", "text/plain").body("{}"),
            Request::post(&path).header("content-type", "application/grpc").body("{}"),
        ] {
            check_refused(&server.otlp(&request), Encoding::Json, 415, Code::InvalidArgument, &[]);
        }
        for method in ["GET", "PUT", "DELETE"] {
            for encoding in ENCODINGS {
                let request = Request::new(method, &path).header("content-type", media_type(encoding));
                for reply in [server.otlp(&request), server.api(&request)] {
                    check_refused(&reply, encoding, 405, Code::Unimplemented, &[]);
                    assert_eq!(reply.header("allow"), Some("POST"));
                }
            }
        }
    }
    for encoding in ENCODINGS {
        for path in ["/v1/profiles", "/", "/v1/traces/"] {
            let request = Request::post(path).header("content-type", media_type(encoding));
            check_refused(&server.otlp(&request), encoding, 404, Code::NotFound, &[]);
        }
    }
}

#[test]
fn case_21_22_over_the_limit_raw_and_decompressed() {
    let server = TestServer::with(|config| config.limits.body_bytes = 64 << 10);
    for (signal, encoding, _) in table() {
        let large = match encoding {
            Encoding::Protobuf => payload::field(9, &vec![0; 70 << 10]),
            Encoding::Json => format!("{{\"unknown\":\"{}\"}}", "a".repeat(70 << 10)).into_bytes(),
        };
        for request in [
            export(signal, encoding, large.clone()),
            export(signal, encoding, large.clone()).chunked(),
            export(signal, encoding, gzip(&large)).header("content-encoding", "gzip"),
            export(signal, encoding, zstd(&large)).header("content-encoding", "zstd"),
        ] {
            check_refused(&server.otlp(&request), encoding, 413, Code::ResourceExhausted, &[]);
        }
    }
}

#[test]
fn case_25_43_over_a_tenants_quota() {
    let server = TestServer::with(|config| config.limits.tenant_ingest_bytes_per_second = Some(1));
    for (signal, encoding, mark) in table() {
        let tenant = format!("{signal}-{mark}");
        let request =
            |mark| export(signal, encoding, one(signal, encoding, mark)).header("x-tracehound-tenant", &tenant);
        assert_eq!(server.otlp(&request(1)).status, 200, "a full bucket lets one pass");
        check_refused(&server.otlp(&request(2)), encoding, 429, Code::ResourceExhausted, &["RetryInfo"]);
        let frame = frame(&one(signal, Encoding::Protobuf, 3), false);
        let reply = grpc(&server, signal, &[("x-tracehound-tenant", &tenant)], frame);
        check_grpc(&reply, Code::ResourceExhausted, true, false);
    }
}

#[test]
fn case_26_42_when_memory_is_used_up_clients_are_told_to_wait() {
    let server = TestServer::with(|config| {
        config.limits.body_bytes = 64 << 10;
        config.limits.in_flight_bytes = 128 << 10;
    });
    let held = Request::post("/v1/traces").header("content-type", "application/json").header("content-length", "60000");
    let mut slow = [(); 2].map(|()| connect(server.running().otlp_http));
    for connection in &mut slow {
        connection.write_all(held.head().as_bytes()).expect("sent");
        connection.write_all(&[b' '; 50_000]).expect("sent");
    }
    let holding = || server.api(&Request::get("/metrics")).text().contains("tracehound_in_flight_bytes 131072");
    for _ in 0..200 {
        if holding() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(holding(), "{}", server.api(&Request::get("/metrics")).text());
    for (signal, encoding, mark) in table() {
        let reply = server.otlp(&export(signal, encoding, one(signal, encoding, mark)));
        check_refused(&reply, encoding, 503, Code::Unavailable, &["RetryInfo"]);
        let reply = grpc(&server, signal, &[], frame(&one(signal, Encoding::Protobuf, 1), false));
        check_grpc(&reply, Code::Unavailable, true, false);
    }
}

#[test]
fn case_26_42_when_nothing_can_be_flushed_clients_are_told_to_wait_until_it_can() {
    let server = TestServer::with(|config| {
        config.storage.memtable_bytes = 1 << 20;
        config.storage.flush_bytes = 1 << 19;
    });
    let (store, away) = (server.data_dir().join("store"), server.data_dir().join("away"));
    std::fs::rename(&store, &away).expect("moved");
    std::fs::write(&store, "not a directory: no file can be made in it").expect("written");
    let filling = export(Signal::Logs, Encoding::Protobuf, ballast(Signal::Logs, 2 << 20));
    assert_eq!(server.otlp(&filling).status, 200, "one payload always fits");
    for (signal, encoding, mark) in table() {
        let reply = server.otlp(&export(signal, encoding, one(signal, encoding, mark)));
        check_refused(&reply, encoding, 503, Code::Unavailable, &["RetryInfo"]);
        let reply = grpc(&server, signal, &[], frame(&one(signal, Encoding::Protobuf, mark), false));
        check_grpc(&reply, Code::Unavailable, true, false);
        assert_eq!(server.count(signal), if signal == Signal::Logs { 2 } else { 0 });
    }
    std::fs::remove_file(&store).expect("removed");
    std::fs::rename(&away, &store).expect("moved back");
    let repaired = Instant::now();
    let retry = export(Signal::Traces, Encoding::Json, one(Signal::Traces, Encoding::Json, 1));
    while server.otlp(&retry).status != 200 {
        assert!(repaired.elapsed() < Duration::from_secs(10), "it recovers");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn with_keys(config: &mut Config) {
    let key = |id: &str, secret: &str| KeyConfig {
        id: id.to_owned(),
        sha256: hex::encode(Sha256::digest(secret)),
        tenants: vec!["acme".parse().expect("a tenant")],
        admin: false,
    };
    config.keys = vec![key("one", "secret")];
}

#[test]
fn case_29_44_credentials() {
    let server = TestServer::with(with_keys);
    for (signal, encoding, mark) in table() {
        let request = || export(signal, encoding, one(signal, encoding, mark));
        check_refused(&server.otlp(&request()), encoding, 401, Code::Unauthenticated, &[]);
        let wrong = request().header("authorization", "Bearer wrong");
        check_refused(&server.otlp(&wrong), encoding, 401, Code::Unauthenticated, &[]);
        let foreign = request().header("x-api-key", "secret").header("x-tracehound-tenant", "globex");
        check_refused(&server.otlp(&foreign), encoding, 403, Code::PermissionDenied, &[]);
        assert_eq!(server.otlp(&request().header("authorization", "Bearer secret")).status, 200);
    }
    for signal in Signal::ALL {
        let frame = frame(&one(signal, Encoding::Protobuf, 99), false);
        let check = |headers: &[(&str, &str)], code| {
            check_grpc(&grpc(&server, signal, headers, frame.clone()), code, false, false);
        };
        check(&[], Code::Unauthenticated);
        check(&[("authorization", "Bearer wrong")], Code::Unauthenticated);
        check(&[("x-api-key", "secret"), ("x-tracehound-tenant", "globex")], Code::PermissionDenied);
        check(&[("authorization", "Bearer secret")], Code::Ok);
    }
}

#[test]
fn headers_that_decide_whose_data_this_is_stand_once() {
    let server = TestServer::start();
    for (signal, encoding, mark) in table() {
        let request = || export(signal, encoding, one(signal, encoding, mark));
        for twice in [
            request().header("x-tracehound-tenant", "acme").header("x-tracehound-tenant", "globex"),
            request().header("authorization", "Bearer a").header("authorization", "Bearer b"),
            request().header("x-tracehound-tenant", "../acme"),
            request().header("x-tracehound-tenant", "äcme"),
        ] {
            check_refused(&server.otlp(&twice), encoding, 400, Code::InvalidArgument, &["BadRequest"]);
        }
        assert_eq!(server.count(signal), 0);
    }
}

#[test]
fn slow_bodies_end_and_may_be_retried() {
    let server = TestServer::with(|config| config.limits.body_timeout = Duration::from_millis(200));
    for (signal, encoding, _) in table() {
        let request = export(signal, encoding, Vec::new()).header("content-length", "100");
        let mut stream = connect(server.running().otlp_http);
        stream.write_all(request.head().as_bytes()).expect("sent");
        stream.write_all(b"{").expect("sent");
        check_refused(&Reply::read(&mut stream), encoding, 503, Code::Unavailable, &["RetryInfo"]);
        let endless = stream::iter([Ok::<_, Infallible>(vec![0, 0, 0, 0, 9])]).chain(stream::pending());
        let reply = server.runtime.block_on(async {
            let body = Body::from_stream(endless);
            call(channel(server.running().otlp_grpc), path(signal), &[], body).await
        });
        check_grpc(&reply, Code::Unavailable, true, false);
    }
}
