//! Rows as JSON text: columns that say something, in schema order.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type};
use serde_json::{Map, Value as Json, json};

/// One object per row, without nulls, empty maps and zeros of counts.
pub(crate) fn rows(batch: &RecordBatch) -> Json {
    let schema = batch.schema();
    let row = |row: usize| {
        let mut object = Map::new();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            let value = value(column, row);
            let dull = matches!(&value, Json::Null) || value == json!({}) || value == json!(0);
            if !dull {
                object.insert(field.name().clone(), value);
            }
        }
        Json::Object(object)
    };
    (0..batch.num_rows()).map(row).collect()
}

fn double(value: f64) -> Json {
    if value.is_finite() { json!(value) } else { json!(value.to_string()) }
}

fn value(column: &ArrayRef, row: usize) -> Json {
    if column.is_null(row) {
        return Json::Null;
    }
    match column.data_type() {
        DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Int32 => json!(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt32 => json!(column.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => json!(column.as_primitive::<UInt64Type>().value(row)),
        DataType::Float64 => double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(..) => json!(column.as_primitive::<TimestampNanosecondType>().value(row)),
        DataType::Binary => json!(hex::encode(column.as_binary::<i32>().value(row))),
        DataType::FixedSizeBinary(_) => json!(hex::encode(column.as_fixed_size_binary().value(row))),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            (0..list.len()).map(|index| value(&list, index)).collect()
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(column.as_struct().columns());
            let named = columns.map(|(field, column)| (field.name().clone(), value(column, row)));
            Json::Object(named.filter(|(_, value)| !value.is_null()).collect())
        }
        // Pairs rather than an object, since order and duplicates matter.
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let entries: ArrayRef = std::sync::Arc::new(entries);
            let pairs = (0..entries.len()).map(|index| value(&entries, index)).collect::<Vec<_>>();
            if pairs.is_empty() { json!({}) } else { json!(pairs.iter().map(pair).collect::<Vec<_>>()) }
        }
        other => panic!("no dataset has {other}"),
    }
}

/// `["key", {"string": "value"}]`
fn pair(entry: &Json) -> Json {
    json!([entry["key"], entry["value"]])
}
