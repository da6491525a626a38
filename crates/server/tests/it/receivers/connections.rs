//! Cases 32 and 45: connections that break, wait, or outlive the server.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::{StreamExt, stream};
use tonic::Code;
use tower::ServiceExt;
use tracehound_schema::{Encoding, Signal};

use super::grpc::{call, channel, frame, path};
use super::http::{Reply, connect};
use super::payload::one;
use super::replies::{check_grpc, export, grpc, table};
use super::server::TestServer;

/// A body, how many of its bytes are a whole message already, and how many records the body has.
fn body_with_whole_start(signal: Signal, encoding: Encoding, mark: u8) -> (Vec<u8>, usize, u64) {
    let start = one(signal, encoding, mark);
    match encoding {
        // Messages that follow each other are one.
        Encoding::Protobuf => ([start.clone(), one(signal, encoding, mark + 100)].concat(), start.len(), 2),
        Encoding::Json => ([start.as_slice(), b"  "].concat(), start.len(), 1),
    }
}

#[test]
fn case_32_a_lost_reply_is_recognised_and_a_broken_request_leaves_nothing() {
    let mut server = TestServer::start();
    let mut stored = BTreeMap::new();
    for (signal, encoding, mark) in table() {
        let (body, start, records) = body_with_whole_start(signal, encoding, mark);
        let request = export(signal, encoding, body.clone());
        let mut broken = connect(server.running().otlp_http);
        broken.write_all(request.head().as_bytes()).expect("sent");
        broken.write_all(&body[..start]).expect("sent");
        broken.shutdown(Shutdown::Write).expect("broken off");
        let mut ignored = Vec::new();
        let _ = broken.read_to_end(&mut ignored);
        assert_eq!(server.otlp(&request).status, 200);
        assert_eq!(server.otlp(&request).status, 200, "the reply was lost, the client sends again");
        *stored.entry(signal).or_insert(0) += records;
        assert_eq!(server.count(signal), stored[&signal], "{signal} {encoding:?}");
    }
    server.restart();
    for (signal, encoding, mark) in table() {
        let (body, ..) = body_with_whole_start(signal, encoding, mark);
        assert_eq!(server.otlp(&export(signal, encoding, body)).status, 200);
        assert_eq!(server.count(signal), stored[&signal], "{signal} {encoding:?}");
    }
}

#[test]
fn case_32_a_call_that_breaks_off_leaves_nothing_and_a_retry_is_recognised_on_each_transport() {
    let mut server = TestServer::start();
    let message = |signal| body_with_whole_start(signal, Encoding::Protobuf, 1);
    for signal in Signal::ALL {
        let (body, start, records) = message(signal);
        let whole = frame(&body, false);
        let send = |body: Body| {
            server.runtime.block_on(async {
                let channel = channel(server.running().otlp_grpc);
                let request = Request::post(path(signal)).header("content-type", "application/grpc");
                let request = request.body(tonic::body::Body::new(body)).expect("a request");
                // Whatever the client makes of its own failure.
                let _ = channel.oneshot(request).await;
            });
        };
        let cut = whole[..5 + start].to_vec();
        send(Body::from(cut.clone()));
        send(Body::from_stream(stream::iter([Ok(cut), Err(std::io::Error::other("gone"))])));
        assert_eq!(server.count(signal), 0, "{signal}");
        for _ in 0..2 {
            check_grpc(&grpc(&server, signal, &[], whole.clone()), Code::Ok, false, false);
        }
        assert_eq!(server.otlp(&export(signal, Encoding::Protobuf, body)).status, 200);
        assert_eq!(server.count(signal), records, "{signal}");
    }
    server.restart();
    for signal in Signal::ALL {
        let (body, _, records) = message(signal);
        check_grpc(&grpc(&server, signal, &[], frame(&body, false)), Code::Ok, false, false);
        assert_eq!(server.count(signal), records, "{signal}");
    }
}

#[test]
fn case_45_a_stop_loses_nothing_in_flight() {
    for signal in Signal::ALL {
        let mut server = TestServer::start();
        let address = server.running().otlp_http;
        let body = one(signal, Encoding::Json, 1);
        let request = export(signal, Encoding::Json, body.clone());
        let mut stream = connect(address);
        stream.write_all(request.head().as_bytes()).expect("sent");
        stream.write_all(&body[..5]).expect("sent");
        std::thread::sleep(Duration::from_millis(100));
        let stopping = server.stop_in_background();
        std::thread::sleep(Duration::from_millis(100));
        stream.write_all(&body[5..]).expect("still read");
        assert_eq!(Reply::read(&mut stream).status, 200, "{signal}");
        server.runtime.block_on(stopping).expect("it ends").expect("a clean stop");
    }
}

#[test]
fn case_45_goaway_loses_no_call_in_flight() {
    for signal in Signal::ALL {
        let mut server = TestServer::start();
        let address = server.running().otlp_grpc;
        let whole = frame(&one(signal, Encoding::Protobuf, 1), false);
        let (start, end) = (whole[..7].to_vec(), whole[7..].to_vec());
        let (more, rest) = futures::channel::oneshot::channel::<()>();
        let body = stream::iter([Ok::<_, Infallible>(start)]).chain(stream::once(async move {
            rest.await.expect("told to go on");
            Ok(end)
        }));
        let calling = server
            .runtime
            .spawn(async move { call(channel(address), path(signal), &[], Body::from_stream(body)).await });
        std::thread::sleep(Duration::from_millis(150));
        let stopping = server.stop_in_background();
        std::thread::sleep(Duration::from_millis(150));
        assert!(!stopping.is_finished(), "it waits for the call");
        more.send(()).expect("the call waits");
        let reply = server.runtime.block_on(calling).expect("a reply");
        check_grpc(&reply, Code::Ok, false, false);
        server.runtime.block_on(stopping).expect("it ends").expect("a clean stop");
        server.open();
        assert_eq!(server.count(signal), 1, "{signal}");
    }
}

#[test]
fn case_45_pings_during_a_slow_call_are_answered() {
    let server = TestServer::start();
    for signal in Signal::ALL {
        let whole = frame(&one(signal, Encoding::Protobuf, 1), false);
        let bytes = stream::iter(whole.into_iter().map(|byte| Ok::<_, Infallible>(vec![byte])));
        let slow = bytes.then(|byte| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            byte
        });
        let reply = server.runtime.block_on(async {
            call(channel(server.running().otlp_grpc), path(signal), &[], Body::from_stream(slow)).await
        });
        check_grpc(&reply, Code::Ok, false, false);
        assert_eq!(server.count(signal), 1, "{signal}");
    }
}
