//! Cases 1 to 10, 17 to 19, 23, 24, 31 and 46: requests that are accepted, over HTTP.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use tonic::Code;
use tracehound_schema::{Encoding, Signal};

use super::grpc::{channel, frame, h2};
use super::http::{Request, connect};
use super::payload::{self, gzip, json_envelope, media_type, one, records, zstd};
use super::replies::{check_grpc, check_refused, export, grpc, partial, table};
use super::server::TestServer;

#[test]
fn case_01_to_08_each_path_takes_both_encodings_on_one_port() {
    let server = TestServer::start();
    let mut stored = BTreeMap::new();
    for (signal, encoding, mark) in table() {
        for (port, mark) in [("otlp", mark), ("api", mark + 100)] {
            let request = export(signal, encoding, one(signal, encoding, mark));
            let reply = if port == "otlp" { server.otlp(&request) } else { server.api(&request) };
            assert_eq!(reply.status, 200, "{signal} {encoding:?} {port}: {}", reply.text());
            assert_eq!(reply.header("content-type"), Some(media_type(encoding)));
            assert_eq!(partial(signal, encoding, &reply.body), None, "case 8: unset on success");
            *stored.entry(signal).or_insert(0) += 1;
        }
    }
    for (signal, count) in stored {
        assert_eq!(server.count(signal), count, "{signal}");
    }
}

#[test]
fn case_04_content_types_have_parameters_and_any_case() {
    let server = TestServer::start();
    let types = [
        ("application/json; charset=utf-8", Encoding::Json),
        ("Application/JSON", Encoding::Json),
        ("application/x-protobuf;v=1", Encoding::Protobuf),
    ];
    for signal in Signal::ALL {
        for (mark, (name, encoding)) in (1..).zip(types) {
            let body = one(signal, encoding, mark);
            let reply = server.otlp(&Request::post(&format!("/v1/{signal}")).header("content-type", name).body(body));
            assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        }
    }
}

#[test]
fn case_06_07_nothing_is_fine() {
    let server = TestServer::start();
    for (signal, encoding, _) in table() {
        let bodies = match encoding {
            Encoding::Protobuf => vec![vec![], payload::field(1, b""), payload::envelope(&[])],
            Encoding::Json => vec![b"{}".to_vec(), json_envelope(signal, &[])],
        };
        for body in bodies {
            let reply = server.otlp(&export(signal, encoding, body.clone()));
            assert_eq!(reply.status, 200, "{signal} {encoding:?} {body:?}: {}", reply.text());
            assert_eq!(partial(signal, encoding, &reply.body), None);
        }
    }
    for signal in Signal::ALL {
        check_grpc(&grpc(&server, signal, &[], frame(b"", false)), Code::Ok, false, false);
    }
}

#[test]
fn case_09_46_bad_records_are_counted_and_the_rest_is_stored() {
    let server = TestServer::start();
    for (signal, encoding, _) in table() {
        let body = match encoding {
            Encoding::Protobuf => records(signal, encoding, 1..4, 2),
            Encoding::Json => records(signal, encoding, 4..7, 2),
        };
        // A retry is answered as the first time.
        for _ in 0..2 {
            let reply = server.otlp(&export(signal, encoding, body.clone()));
            assert_eq!(reply.status, 200, "{}", reply.text());
            let (rejected, message) = partial(signal, encoding, &reply.body).expect("partial success");
            assert_eq!(rejected, 2, "{signal} {encoding:?}: {message}");
            assert!(!message.is_empty());
        }
    }
    for signal in Signal::ALL {
        assert_eq!(server.count(signal), 6, "{signal}");
        let reply = grpc(&server, signal, &[], frame(&records(signal, Encoding::Protobuf, 7..8, 3), false));
        check_grpc(&reply, Code::Ok, false, false);
        assert_eq!(partial(signal, Encoding::Protobuf, &reply.body).map(|(rejected, _)| rejected), Some(3));
        assert_eq!(server.count(signal), 7, "{signal}");
    }
}

#[test]
fn case_17_to_20_compressions() {
    let server = TestServer::start();
    for (signal, encoding, mark) in table() {
        let plain = |offset: u8| one(signal, encoding, mark + offset);
        let good = [
            ("identity", plain(0)),
            ("gzip", gzip(&plain(10))),
            ("GZIP", gzip(&plain(20))),
            ("zstd", zstd(&plain(30))),
            ("gzip, zstd", zstd(&gzip(&plain(40)))),
        ];
        for (name, body) in good {
            let reply = server.otlp(&export(signal, encoding, body).header("content-encoding", name));
            assert_eq!(reply.status, 200, "{signal} {encoding:?} {name}: {}", reply.text());
        }
        for (name, body) in [("gzip", gzip(&plain(50))), ("zstd", zstd(&plain(50)))] {
            for body in [body[..body.len() - 3].to_vec(), b"plain".to_vec()] {
                let reply = server.otlp(&export(signal, encoding, body).header("content-encoding", name));
                check_refused(&reply, encoding, 400, Code::InvalidArgument, &["BadRequest"]);
            }
        }
        for name in ["br", "deflate", "gzip, br", "gzip, gzip, gzip"] {
            let reply = server.otlp(&export(signal, encoding, plain(60)).header("content-encoding", name));
            check_refused(&reply, encoding, 415, Code::Unimplemented, &[]);
        }
    }
    for signal in Signal::ALL {
        assert_eq!(server.count(signal), 10, "{signal}");
    }
}

#[test]
fn case_23_24_members_and_chunks_are_one_body() {
    let server = TestServer::start();
    for (signal, encoding, mark) in table() {
        let body = one(signal, encoding, mark);
        let (start, end) = body.split_at(body.len() / 2);
        let request = export(signal, encoding, [gzip(start), gzip(end)].concat()).header("content-encoding", "gzip");
        assert_eq!(server.otlp(&request.chunked()).status, 200);
        let reply = server.otlp(&export(signal, encoding, one(signal, encoding, mark + 50)).chunked());
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    for signal in Signal::ALL {
        assert_eq!(server.count(signal), 4, "{signal}");
    }
}

#[test]
fn case_31_http2_without_tls() {
    let server = TestServer::start();
    for (signal, encoding, mark) in table() {
        for (address, mark) in [(server.running().otlp_http, mark), (server.running().http, mark + 50)] {
            let status = server.runtime.block_on(async {
                let headers = [("content-type", media_type(encoding))];
                h2(channel(address), &format!("/v1/{signal}"), &headers, one(signal, encoding, mark)).await.status()
            });
            assert_eq!(status, 200, "{signal} {encoding:?}");
        }
    }
}

#[test]
fn expect_continue_is_answered() {
    let server = TestServer::start();
    let body = one(Signal::Traces, Encoding::Json, 1);
    let request = export(Signal::Traces, Encoding::Json, body.clone()).header("expect", "100-continue");
    let mut stream = connect(server.running().otlp_http);
    stream.write_all(request.head().as_bytes()).expect("sent");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("an interim reply");
    assert_eq!(&first, b"HTTP/1.1 100");
    stream.write_all(&body).expect("sent");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("a reply");
    assert!(rest.contains("HTTP/1.1 200"), "{rest}");
}
