//! Attribute maps: their limits, and their column.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, MapArray, StringBuilder, StructArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use tracehound_schema::{DecodeLimits, attribute_map_type, attribute_value_fields};

use crate::rejects::Rejection;
use crate::text::{quoted, value_of};

/// Checks attributes against the limits; `owner` says whose they are.
pub(crate) fn check_attributes(owner: &str, attributes: &[KeyValue], limits: &DecodeLimits) -> Result<(), Rejection> {
    if attributes.len() > limits.attributes_max {
        return Err(Rejection::new(
            "attributes_count",
            format!("{owner} has {} attributes, at most {} are accepted", attributes.len(), limits.attributes_max),
        ));
    }
    for attribute in attributes {
        let bytes = attribute.key.len() + value_bytes(attribute.value.as_ref());
        if bytes > limits.attribute_bytes_max {
            return Err(Rejection::new(
                "attribute_bytes",
                format!(
                    "attribute {} of {owner} has {bytes} bytes, at most {} are accepted",
                    quoted(&attribute.key),
                    limits.attribute_bytes_max
                ),
            ));
        }
    }
    Ok(())
}

/// The bytes of a value: of text and bytes their length, of others that of their encoding.
pub(crate) fn value_bytes(value: Option<&AnyValue>) -> usize {
    match value.and_then(|value| value.value.as_ref()) {
        None => 0,
        Some(Value::StringValue(text)) => text.len(),
        Some(Value::BytesValue(bytes)) => bytes.len(),
        Some(Value::BoolValue(_)) => 1,
        Some(Value::IntValue(_) | Value::DoubleValue(_)) => 8,
        Some(value) => value.encoded_len(),
    }
}

/// What attributes take in a map column, about.
pub(crate) fn map_bytes(attributes: &[KeyValue]) -> usize {
    let entry = |attribute: &KeyValue| 32 + attribute.key.len() + value_bytes(attribute.value.as_ref());
    attributes.iter().map(entry).sum()
}

/// Builds a column of attribute maps.
#[derive(Debug)]
pub(crate) struct AttributeMaps {
    offsets: Vec<i32>,
    keys: StringBuilder,
    strings: StringBuilder,
    ints: Int64Builder,
    doubles: Float64Builder,
    bools: BooleanBuilder,
    others: BinaryBuilder,
    scratch: Vec<u8>,
    entries: usize,
}

impl Default for AttributeMaps {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            keys: StringBuilder::new(),
            strings: StringBuilder::new(),
            ints: Int64Builder::new(),
            doubles: Float64Builder::new(),
            bools: BooleanBuilder::new(),
            others: BinaryBuilder::new(),
            scratch: Vec::new(),
            entries: 0,
        }
    }
}

impl AttributeMaps {
    /// Appends one map.
    pub(crate) fn append(&mut self, attributes: &[KeyValue]) {
        for attribute in attributes {
            self.keys.append_value(&attribute.key);
            self.append_value(value_of(attribute));
        }
        self.entries += attributes.len();
        self.offsets.push(offset(self.entries));
    }

    fn append_value(&mut self, value: Option<&Value>) {
        let (mut string, mut int, mut double, mut bool) = (None, None, None, None);
        let mut other = None;
        match value {
            None => {}
            Some(Value::StringValue(text)) => string = Some(text),
            Some(Value::IntValue(value)) => int = Some(*value),
            Some(Value::DoubleValue(value)) => double = Some(*value),
            Some(Value::BoolValue(value)) => bool = Some(*value),
            Some(value) => {
                self.scratch.clear();
                value.encode(&mut self.scratch);
                other = Some(&self.scratch);
            }
        }
        self.strings.append_option(string);
        self.ints.append_option(int);
        self.doubles.append_option(double);
        self.bools.append_option(bool);
        self.others.append_option(other);
    }

    /// The column.
    pub(crate) fn finish(mut self) -> ArrayRef {
        let value = StructArray::new(
            attribute_value_fields(),
            vec![
                Arc::new(self.strings.finish()),
                Arc::new(self.ints.finish()),
                Arc::new(self.doubles.finish()),
                Arc::new(self.bools.finish()),
                Arc::new(self.others.finish()),
            ],
            None,
        );
        let DataType::Map(entry, sorted) = attribute_map_type() else { unreachable!("attribute maps are maps") };
        let DataType::Struct(fields) = entry.data_type() else { unreachable!("entries of maps are structs") };
        let entries = StructArray::new(fields.clone(), vec![Arc::new(self.keys.finish()), Arc::new(value)], None);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        Arc::new(MapArray::new(entry, offsets, entries, None, sorted))
    }
}

/// An element count as an Arrow offset.
pub(crate) fn offset(count: usize) -> i32 {
    i32::try_from(count).expect("the decoding budget keeps counts below 2^31")
}
