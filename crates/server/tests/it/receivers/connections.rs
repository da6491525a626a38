//! Cases 32 and 45: connections that break, wait, or outlive the server.

use std::convert::Infallible;
use std::io::Write;
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

#[test]
fn case_32_a_lost_reply_is_recognised_and_a_broken_request_leaves_nothing() {
    let mut server = TestServer::start();
    for (signal, encoding, mark) in table() {
        let request = export(signal, encoding, one(signal, encoding, mark));
        let head = request.head();
        let body = one(signal, encoding, mark);
        let mut broken = connect(server.running().otlp_http);
        broken.write_all(head.as_bytes()).expect("sent");
        broken.write_all(&body[..body.len() - 1]).expect("sent");
        drop(broken);
        assert_eq!(server.otlp(&request).status, 200);
        assert_eq!(server.otlp(&request).status, 200, "the reply was lost, the client sends again");
    }
    server.restart();
    for (signal, encoding, mark) in table() {
        assert_eq!(server.otlp(&export(signal, encoding, one(signal, encoding, mark))).status, 200);
        assert_eq!(server.count(signal), 2, "{signal}");
    }
}

#[test]
fn case_32_a_call_that_breaks_off_leaves_nothing_and_a_retry_is_recognised_on_each_transport() {
    let mut server = TestServer::start();
    let frame = |signal| frame(&one(signal, Encoding::Protobuf, 1), false);
    for signal in Signal::ALL {
        let whole = frame(signal);
        let broken = stream::iter([Ok(whole[..whole.len() - 1].to_vec()), Err(std::io::Error::other("gone"))]);
        server.runtime.block_on(async {
            let channel = channel(server.running().otlp_grpc);
            let request = Request::post(path(signal)).header("content-type", "application/grpc");
            let request = request.body(tonic::body::Body::new(Body::from_stream(broken))).expect("a request");
            // Whatever the client makes of its own failure.
            let _ = channel.oneshot(request).await;
        });
        assert_eq!(server.count(signal), 0, "{signal}");
        for _ in 0..2 {
            check_grpc(&grpc(&server, signal, &[], whole.clone()), Code::Ok, false, false);
        }
        let request = export(signal, Encoding::Protobuf, one(signal, Encoding::Protobuf, 1));
        assert_eq!(server.otlp(&request).status, 200);
        assert_eq!(server.count(signal), 1, "{signal}");
    }
    server.restart();
    for signal in Signal::ALL {
        check_grpc(&grpc(&server, signal, &[], frame(signal)), Code::Ok, false, false);
        assert_eq!(server.count(signal), 1, "{signal}");
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
        let calling = server.runtime.spawn(async move {
            call(channel(address), path(signal), &[], Body::from_stream(body)).await
        });
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
fn case_45_an_idle_connection_lives_on_pings() {
    let server = TestServer::start();
    server.runtime.block_on(async {
        let channel = channel(server.running().otlp_grpc);
        for (mark, signal) in (1..).zip(Signal::ALL) {
            let body = frame(&one(signal, Encoding::Protobuf, mark), false);
            check_grpc(&call(channel.clone(), path(signal), &[], body).await, Code::Ok, false, false);
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    });
}
