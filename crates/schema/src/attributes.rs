use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};

/// The fields of an attribute's value: at most one is not null.
///
/// `string`, `int`, `double` and `bool` hold OTLP's scalars; `other` holds the
/// protobuf encoding of the whole `AnyValue` for bytes, arrays and maps. All
/// null is an attribute without a value.
pub fn attribute_value_fields() -> Fields {
    Fields::from(vec![
        Field::new("string", DataType::Utf8, true),
        Field::new("int", DataType::Int64, true),
        Field::new("double", DataType::Float64, true),
        Field::new("bool", DataType::Boolean, true),
        Field::new("other", DataType::Binary, true),
    ])
}

/// The type of an attribute map: entries in the order they were sent,
/// duplicate keys kept.
pub fn attribute_map_type() -> DataType {
    let entry = DataType::Struct(Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Struct(attribute_value_fields()), true),
    ]));
    DataType::Map(Arc::new(Field::new("key_value", entry, false)), false)
}
