//! Cases 40, 41 and 44: what only gRPC has.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use tonic::Code;
use tracehound_schema::{Encoding, Signal};

use super::grpc::{call, channel, frame, path};
use super::payload::{self, gzip, one, zstd};
use super::replies::{check_grpc, grpc};
use super::server::TestServer;

#[test]
fn case_40_a_hundred_streams_at_once_and_each_compression() {
    let server = TestServer::start();
    for signal in Signal::ALL {
        let calls = server.runtime.block_on(async {
            let channel = channel(server.running().otlp_grpc);
            let calls = (1..=120).map(|mark| {
                let plain = one(signal, Encoding::Protobuf, mark);
                let (name, body) = match mark % 3 {
                    0 => ("identity", frame(&plain, false)),
                    1 => ("gzip", frame(&gzip(&plain), true)),
                    _ => ("zstd", frame(&zstd(&plain), true)),
                };
                let channel = channel.clone();
                async move { call(channel, path(signal), &[("grpc-encoding", name)], body).await }
            });
            futures::future::join_all(calls.collect::<Vec<_>>()).await
        });
        for reply in calls {
            check_grpc(&reply, Code::Ok, false, false);
            assert_eq!(reply.body, b"");
        }
        assert_eq!(server.count(signal), 120, "{signal}");
    }
    let response = server.runtime.block_on(async {
        let mut client = TraceServiceClient::new(channel(server.running().otlp_grpc));
        let body = one(Signal::Traces, Encoding::Protobuf, 200);
        client.export(ExportTraceServiceRequest::decode(body.as_slice()).expect("a request")).await
    });
    assert_eq!(response.expect("a generated client is understood").into_inner(), ExportTraceServiceResponse::default());
}

#[test]
fn case_41_grpc_oversize_is_not_retried() {
    let server = TestServer::with(|config| config.limits.body_bytes = 64 << 10);
    let large = payload::field(9, &vec![0; 70 << 10]);
    for signal in Signal::ALL {
        for (name, body) in [
            ("identity", frame(&large, false)),
            ("gzip", frame(&gzip(&large), true)),
            ("zstd", frame(&zstd(&large), true)),
        ] {
            let reply = grpc(&server, signal, &[("grpc-encoding", name)], body);
            check_grpc(&reply, Code::ResourceExhausted, false, false);
        }
    }
}

#[test]
fn case_44_grpc_bad_data_and_unknown_methods() {
    let server = TestServer::start();
    for signal in Signal::ALL {
        check_grpc(&grpc(&server, signal, &[], frame(b"\xff", false)), Code::InvalidArgument, false, true);
        let broken = frame(&gzip(b"x")[..9], true);
        check_grpc(&grpc(&server, signal, &[("grpc-encoding", "gzip")], broken), Code::InvalidArgument, false, true);
        let unknown = grpc(&server, signal, &[("grpc-encoding", "snappy")], frame(b"x", true));
        check_grpc(&unknown, Code::Unimplemented, false, false);
    }
    for path in ["/opentelemetry.proto.collector.trace.v1.TraceService/Import", "/a.B/C"] {
        let call = async { call(channel(server.running().otlp_grpc), path, &[], frame(b"", false)).await };
        check_grpc(&server.runtime.block_on(call), Code::Unimplemented, false, false);
    }
}
