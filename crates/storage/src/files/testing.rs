//! Rows with any attributes, for tests of files.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array, MapArray, RecordBatch,
    StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use proptest::collection::vec;
use proptest::prelude::*;
use tracehound_schema::{Dataset, attribute_map_type, attribute_value_fields};

use crate::testing::{NOW_NS, batch};

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    Other(Vec<u8>),
    Absent,
}

pub(crate) type Map = Vec<(String, Value)>;

/// A map column; `None` is a null map.
pub(crate) fn maps(rows: &[Option<Map>]) -> MapArray {
    let entries: Vec<_> = rows.iter().flatten().flatten().collect();
    let texts: StringArray =
        entries.iter().map(|(_, v)| if let Value::Text(v) = v { Some(v.as_str()) } else { None }).collect();
    let ints: Int64Array = entries.iter().map(|(_, v)| if let Value::Int(v) = v { Some(*v) } else { None }).collect();
    let doubles: Float64Array =
        entries.iter().map(|(_, v)| if let Value::Double(v) = v { Some(*v) } else { None }).collect();
    let bools: BooleanArray =
        entries.iter().map(|(_, v)| if let Value::Bool(v) = v { Some(*v) } else { None }).collect();
    let others: BinaryArray =
        entries.iter().map(|(_, v)| if let Value::Other(v) = v { Some(v.as_slice()) } else { None }).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(texts), Arc::new(ints), Arc::new(doubles), Arc::new(bools), Arc::new(others)];
    let values = StructArray::new(attribute_value_fields(), columns, None);
    let keys = StringArray::from_iter_values(entries.iter().map(|(key, _)| key));
    let DataType::Map(field, ordered) = attribute_map_type() else { panic!("a map") };
    let DataType::Struct(fields) = field.data_type().clone() else { panic!("of structs") };
    let entries = StructArray::new(fields, vec![Arc::new(keys), Arc::new(values)], None);
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.as_ref().map_or(0, Vec::len)));
    let nulls = NullBuffer::from_iter(rows.iter().map(Option::is_some));
    MapArray::new(field, offsets, entries, Some(nulls).filter(|nulls| nulls.null_count() > 0), ordered)
}

/// Any value; doubles include NaN and negative zero.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "[a-cä]{0,3}".prop_map(Value::Text),
        2 => (-3..3_i64).prop_map(Value::Int),
        1 => prop_oneof![Just(f64::NAN), Just(-0.0), Just(0.5)].prop_map(Value::Double),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => vec(any::<u8>(), 0..3).prop_map(Value::Other),
        1 => Just(Value::Absent),
    ]
}

/// A map of keys that often repeat, in any order: few keys, many keys, odd keys.
pub(crate) fn map() -> impl Strategy<Value = Map> {
    let key = prop_oneof![
        8 => (0..8_u32).prop_map(|n| format!("key.{n}")),
        2 => (0..300_u32).prop_map(|n| format!("k{n}")),
        1 => Just(String::new()),
        1 => Just("schlüssel \u{1F511}".to_owned()),
        1 => Just("l".repeat(200)),
    ];
    vec((key, value()), 0..12)
}

/// A span to be: its time, service, name, trace, user and attributes.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) time_ns: i64,
    pub(crate) service: &'static str,
    pub(crate) name: String,
    pub(crate) trace: u8,
    pub(crate) user: Option<String>,
    pub(crate) attributes: Map,
    pub(crate) resource: Map,
}

/// Rows of spans.
pub(crate) fn spans(spans: &[Span]) -> RecordBatch {
    let rows: Vec<_> = spans.iter().map(|span| (span.time_ns, span.service, span.name.as_str())).collect();
    let rows = batch(Dataset::Spans, &rows, NOW_NS);
    let maps_of = |map: fn(&Span) -> &Map| -> ArrayRef {
        Arc::new(maps(&spans.iter().map(|span| Some(map(span).clone())).collect::<Vec<_>>()))
    };
    let traces: Vec<_> = spans.iter().map(|span| [span.trace; 16]).collect();
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| -> ArrayRef {
        match field.name().as_str() {
            "attributes" => maps_of(|span| &span.attributes),
            "resource" => maps_of(|span| &span.resource),
            "trace_id" => Arc::new(FixedSizeBinaryArray::try_from_iter(traces.iter()).unwrap()),
            "user_id" => Arc::new(spans.iter().map(|span| span.user.as_deref()).collect::<StringArray>()),
            // Not always start plus duration, which is 0 here.
            "end_time" if spans.len() % 2 == 1 => Arc::clone(rows.column_by_name("ingest_time").unwrap()),
            _ => Arc::clone(column),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}
