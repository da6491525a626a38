use arrow::datatypes::DataType;

/// The name of a type in an answer's columns.
///
/// `text`, `boolean`, `tinyint` to `bigint` (`unsigned …`), `real`, `double`, `decimal`, `timestamp`, `date`,
/// `time`, `interval`, `duration`, `id` (trace, span and series ids), `bytes`, `attributes` (an attribute
/// map), `value` (one attribute's value, of any type), `list<…>`, `struct<name: …>`, `map<…, …>`, `null`.
pub fn type_name(data_type: &DataType) -> String {
    use DataType as T;
    match data_type {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "text".to_owned(),
        T::Boolean => "boolean".to_owned(),
        T::Int8 => "tinyint".to_owned(),
        T::Int16 => "smallint".to_owned(),
        T::Int32 => "integer".to_owned(),
        T::Int64 => "bigint".to_owned(),
        T::UInt8 => "unsigned tinyint".to_owned(),
        T::UInt16 => "unsigned smallint".to_owned(),
        T::UInt32 => "unsigned integer".to_owned(),
        T::UInt64 => "unsigned bigint".to_owned(),
        T::Float16 | T::Float32 => "real".to_owned(),
        T::Float64 => "double".to_owned(),
        T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..) => "decimal".to_owned(),
        T::Timestamp(..) => "timestamp".to_owned(),
        T::Date32 | T::Date64 => "date".to_owned(),
        T::Time32(_) | T::Time64(_) => "time".to_owned(),
        T::Interval(_) => "interval".to_owned(),
        T::Duration(_) => "duration".to_owned(),
        T::FixedSizeBinary(_) => "id".to_owned(),
        T::Binary | T::LargeBinary | T::BinaryView => "bytes".to_owned(),
        T::Null => "null".to_owned(),
        T::Dictionary(_, value) => type_name(value),
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) | T::ListView(item) | T::LargeListView(item) => {
            format!("list<{}>", type_name(item.data_type()))
        }
        T::Struct(_) if super::cell::is_attribute_value(data_type) => "value".to_owned(),
        T::Struct(fields) => {
            let field =
                |field: &arrow::datatypes::FieldRef| format!("{}: {}", field.name(), type_name(field.data_type()));
            format!("struct<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        T::Map(entry, _) => match entry.data_type() {
            T::Struct(fields) if fields.len() == 2 => {
                if super::cell::is_attribute_value(fields[1].data_type()) {
                    return "attributes".to_owned();
                }
                format!("map<{}, {}>", type_name(fields[0].data_type()), type_name(fields[1].data_type()))
            }
            _ => "map".to_owned(),
        },
        T::RunEndEncoded(_, values) => type_name(values.data_type()),
        T::Union(..) => "union".to_owned(),
    }
}
