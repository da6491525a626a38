use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tracehound_schema::{DecodeLimits, Signal};

use super::check;
use crate::Error;
use crate::budget::Budget;

fn walk(signal: Signal, body: &[u8], limits: &DecodeLimits) -> Result<(), Error> {
    check(signal, body, limits, &mut Budget::new(limits.decoded_bytes_max))
}

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// A request of one span with these bytes.
fn of_span(span: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, span)))
}

/// A span attribute whose value is nested `levels` deep, built from the inside.
fn nested(levels: usize, wrap: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut value = vec![0x10, 1];
    for _ in 0..levels {
        value = wrap(&value);
    }
    of_span(&field(9, &field(2, &value)))
}

fn in_array(value: &[u8]) -> Vec<u8> {
    field(5, &field(1, value))
}

fn in_map(value: &[u8]) -> Vec<u8> {
    field(6, &field(1, &field(2, value)))
}

#[test]
fn what_the_walk_lets_through_prost_decodes() {
    let limits = DecodeLimits::default();
    for body in [nested(40, in_array), nested(30, in_map)] {
        assert_eq!(walk(Signal::Traces, &body, &limits), Ok(()));
        ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    }
}

#[test]
fn nesting_is_refused_without_recursion() {
    let limits = DecodeLimits::default();
    for body in [nested(41, in_array), nested(31, in_map)] {
        let refused = walk(Signal::Traces, &body, &limits);
        assert!(matches!(refused, Err(Error::TooDeep { levels_max: 40, .. })), "{refused:?}");
    }
    // 100,000 levels, each a few bytes: prepend from the inside out.
    let mut reversed = vec![1, 0x10];
    let mut length = 2_u64;
    for _ in 0..100_000 {
        for tag in [0x0a_u8, 0x2a] {
            let mut head = vec![tag];
            prost::encoding::encode_varint(length, &mut head);
            length += head.len() as u64;
            reversed.extend(head.iter().rev());
        }
    }
    reversed.reverse();
    let body = of_span(&field(9, &field(2, &reversed)));
    let refused = walk(Signal::Traces, &body, &limits);
    assert!(matches!(refused, Err(Error::TooDeep { .. })), "{refused:?}");
}

#[test]
fn many_small_messages_are_too_large() {
    let limits = DecodeLimits::default();
    let spans = [0x12, 0].repeat(4 << 20);
    let body = field(1, &field(2, &spans));
    let refused = walk(Signal::Traces, &body, &limits);
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    let few = field(1, &field(2, &[0x12, 0].repeat(1000)));
    assert_eq!(walk(Signal::Traces, &few, &limits), Ok(()));
}

#[test]
fn packed_numbers_are_counted() {
    let limits = DecodeLimits { decoded_bytes_max: 64 << 10, ..DecodeLimits::default() };
    let buckets = |count: usize| {
        let point = field(8, &field(2, &vec![0; count]));
        field(1, &field(2, &field(2, &field(10, &field(1, &point)))))
    };
    assert_eq!(walk(Signal::Metrics, &buckets(1000), &limits), Ok(()));
    let refused = walk(Signal::Metrics, &buckets(10_000), &limits);
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
}

#[test]
fn broken_wire_data_is_malformed() {
    let limits = DecodeLimits::default();
    for (body, detail) in [
        (vec![0x0a], "truncated varint at byte 1 in ExportTraceServiceRequest"),
        (vec![0x0a, 5, 1], "length 5 beyond the end of its message at byte 2 in ExportTraceServiceRequest"),
        (vec![0x08, 1], "field 1 has wire type 0 at byte 1 in ExportTraceServiceRequest"),
        (vec![0x00], "invalid field number at byte 1 in ExportTraceServiceRequest"),
        (vec![0x0e], "field 1 has wire type 6 at byte 1 in ExportTraceServiceRequest"),
        (vec![0x7e], "invalid wire type 6 at byte 1 in ExportTraceServiceRequest"),
        (vec![0x7c], "end of a group that did not begin at byte 1 in ExportTraceServiceRequest"),
        (vec![0xff; 11], "varint of more than 64 bits at byte 9 in ExportTraceServiceRequest"),
        (of_span(&[0x39, 1, 2]), "truncated field at byte 7 in Span"),
        (of_span(&field(9, &[0x0a, 200, 1])), "length 200 beyond the end of its message at byte 11 in KeyValue"),
    ] {
        let expected = Error::Malformed { what: "ExportTraceServiceRequest", detail: detail.to_owned() };
        assert_eq!(walk(Signal::Traces, &body, &limits), Err(expected), "{body:?}");
    }
}

#[test]
fn unknown_fields_are_passed_over() {
    let limits = DecodeLimits::default();
    // A varint, 64 and 32 bits, bytes, and a group with a group inside.
    let unknown = [
        vec![0xf8, 0x07, 1],
        [vec![0xf9, 0x07], vec![0; 8]].concat(),
        [vec![0xfd, 0x07], vec![0; 4]].concat(),
        vec![0xfa, 0x07, 2, 1, 1],
        vec![0xfb, 0x07, 0x0b, 0x08, 1, 0x0c, 0xfc, 0x07],
    ]
    .concat();
    let body = of_span(&unknown);
    assert_eq!(walk(Signal::Traces, &body, &limits), Ok(()));
    ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
}
