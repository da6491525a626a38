//! What breaks a limit is rejected alone, with a reason.

use arrow::array::AsArray;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tracehound_otlp::{Error, decode};
use tracehound_schema::{DecodeLimits, Decoded, Signal};

use crate::protobuf;

fn attribute(key: &str, bytes: usize) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue("x".repeat(bytes))) });
    KeyValue { key: key.to_owned(), value, key_strindex: 0 }
}

fn span() -> Span {
    Span { trace_id: vec![1; 16], span_id: vec![2; 8], name: "ok".to_owned(), ..Span::default() }
}

fn request(resource: Resource, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let of_resource = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![of_resource] }
}

fn decoded(request: &ExportTraceServiceRequest) -> Result<Decoded, Error> {
    decode(&protobuf(Signal::Traces, request), &DecodeLimits::default())
}

fn reasons(decoded: &Decoded) -> Vec<String> {
    let column = decoded.rejects.column_by_name("reason").unwrap();
    column.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}

#[test]
fn a_bad_span_is_rejected_and_its_neighbours_are_kept() {
    let many = |count: usize| vec![attribute("k", 1); count];
    let bad: [(&str, Span); 13] = [
        ("trace_id_length", Span { trace_id: vec![1; 15], ..span() }),
        ("trace_id_length", Span { trace_id: vec![], ..span() }),
        ("trace_id_zero", Span { trace_id: vec![0; 16], ..span() }),
        ("span_id_length", Span { span_id: vec![1; 16], ..span() }),
        ("span_id_zero", Span { span_id: vec![0; 8], ..span() }),
        ("parent_span_id_length", Span { parent_span_id: vec![1; 7], ..span() }),
        ("attributes_count", Span { attributes: many(1025), ..span() }),
        ("attribute_bytes", Span { attributes: vec![attribute("k", 1 << 20)], ..span() }),
        ("children_count", Span { events: vec![Event::default(); 16_385], ..span() }),
        ("children_count", Span { links: vec![Link::default(); 16_385], ..span() }),
        ("attributes_count", Span { events: vec![Event { attributes: many(1025), ..Event::default() }], ..span() }),
        ("trace_id_length", Span { links: vec![Link { trace_id: vec![1; 4], ..Link::default() }], ..span() }),
        ("span_id_length", Span { links: vec![Link { span_id: vec![1; 4], ..Link::default() }], ..span() }),
    ];
    for (reason, bad) in bad {
        let spans = vec![span(), bad.clone(), span()];
        let decoded = decoded(&request(Resource::default(), spans)).unwrap();
        assert_eq!((decoded.accepted(), reasons(&decoded)), (2, vec![reason.to_owned()]));
        assert!(decoded.message.starts_with(&format!("1 of 3 spans rejected: 1 {reason} (")), "{}", decoded.message);
        let record = decoded.rejects.column_by_name("record").unwrap().as_binary::<i32>().value(0).to_vec();
        assert!(record.len() <= DecodeLimits::default().reject_bytes_max);
        let whole = prost::Message::encode_to_vec(&bad);
        assert!(whole.starts_with(&record) && !record.is_empty());
    }
}

#[test]
fn exactly_at_the_limit_is_accepted() {
    let spans = vec![
        Span { attributes: vec![attribute("k", 1); 1024], ..span() },
        Span { attributes: vec![attribute("k", (1 << 20) - 1)], ..span() },
        Span { events: vec![Event::default(); 16_384], ..span() },
        Span { parent_span_id: vec![0; 8], ..span() },
    ];
    let decoded = decoded(&request(Resource::default(), spans)).unwrap();
    assert_eq!((decoded.accepted(), decoded.message.as_str()), (4, ""));
}

#[test]
fn a_bad_resource_rejects_all_its_records() {
    let resource = Resource { attributes: vec![attribute("k", 1); 1025], ..Resource::default() };
    let mut request = request(resource, vec![span(), span()]);
    request.resource_spans.push(ResourceSpans {
        scope_spans: vec![ScopeSpans { spans: vec![span()], ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    });
    let decoded = decoded(&request).unwrap();
    assert_eq!((decoded.accepted(), decoded.rejected()), (1, 2));
    assert_eq!(reasons(&decoded), ["attributes_count", "attributes_count"]);
}

#[test]
fn messages_tally_reasons_and_stay_short() {
    let hostile = "x".repeat(100_000);
    let spans = vec![
        Span { trace_id: vec![1; 15], ..span() },
        Span { trace_id: vec![1; 15], ..span() },
        Span { attributes: vec![attribute(&hostile, 1 << 20)], ..span() },
        span(),
    ];
    let message = decoded(&request(Resource::default(), spans)).unwrap().message;
    assert!(
        message.starts_with("3 of 4 spans rejected: 2 trace_id_length (trace_id has 15 bytes, must be 16), 1 attribute_bytes (attribute \"xxx"),
        "{message}"
    );
    assert!(message.len() < 400, "{message}");
}

#[test]
fn a_resource_is_not_multiplied_without_bound() {
    let attributes = (0..60).map(|index| attribute(&format!("k{index}"), 1 << 18)).collect();
    let resource = Resource { attributes, ..Resource::default() };
    let refused = decoded(&request(resource, vec![span(); 1000]));
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{:?}", refused.map(|_| ()));
}
