//! One value of a column.

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Number, Value};
use tracehound_schema::{any_value_to_json, attribute_value_fields};

use crate::Error;

/// Integers beyond this are text in JSON, since readers take numbers for doubles.
const EXACT_MAX: u64 = 1 << 53;

/// A value as plain text; `None` is null.
pub(super) fn text(column: &ArrayRef, row: usize) -> Result<Option<String>, Error> {
    Ok(match json(column, row)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    })
}

/// A value as JSON.
pub(super) fn json(column: &ArrayRef, row: usize) -> Result<Value, Error> {
    use DataType as T;
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        T::Null => Value::Null,
        T::Utf8 => Value::String(column.as_string::<i32>().value(row).to_owned()),
        T::LargeUtf8 => Value::String(column.as_string::<i64>().value(row).to_owned()),
        T::Utf8View => Value::String(column.as_string_view().value(row).to_owned()),
        T::Boolean => Value::Bool(column.as_boolean().value(row)),
        T::Int8 => signed(column.as_primitive::<Int8Type>().value(row).into()),
        T::Int16 => signed(column.as_primitive::<Int16Type>().value(row).into()),
        T::Int32 => signed(column.as_primitive::<Int32Type>().value(row).into()),
        T::Int64 => signed(column.as_primitive::<Int64Type>().value(row)),
        T::UInt8 => unsigned(column.as_primitive::<UInt8Type>().value(row).into()),
        T::UInt16 => unsigned(column.as_primitive::<UInt16Type>().value(row).into()),
        T::UInt32 => unsigned(column.as_primitive::<UInt32Type>().value(row).into()),
        T::UInt64 => unsigned(column.as_primitive::<UInt64Type>().value(row)),
        T::Float16 => double(column.as_primitive::<Float16Type>().value(row).to_f64()),
        // The shortest text of a float is that of the float, not of the double next to it.
        T::Float32 => match column.as_primitive::<Float32Type>().value(row) {
            value if value.is_finite() => double(value.to_string().parse().unwrap_or_else(|_| value.into())),
            value => double(value.into()),
        },
        T::Float64 => double(column.as_primitive::<Float64Type>().value(row)),
        T::Timestamp(unit, _) => Value::String(timestamp(column, *unit, row)?),
        T::FixedSizeBinary(_) => Value::String(hex::encode(column.as_fixed_size_binary().value(row))),
        T::Binary => Value::String(hex::encode(column.as_binary::<i32>().value(row))),
        T::LargeBinary => Value::String(hex::encode(column.as_binary::<i64>().value(row))),
        T::BinaryView => Value::String(hex::encode(column.as_binary_view().value(row))),
        T::List(_) => list(&column.as_list::<i32>().value(row))?,
        T::LargeList(_) => list(&column.as_list::<i64>().value(row))?,
        T::FixedSizeList(..) => list(&column.as_fixed_size_list().value(row))?,
        T::Struct(_) if is_attribute_value(column.data_type()) => attribute_value(column.as_struct(), row),
        T::Struct(fields) => {
            let columns = column.as_struct().columns();
            let entry = |(field, column): (&arrow::datatypes::FieldRef, &ArrayRef)| {
                Ok((field.name().clone(), json(column, row)?))
            };
            Value::Object(fields.iter().zip(columns).map(entry).collect::<Result<_, Error>>()?)
        }
        T::Map(..) => {
            let entries = column.as_map().value(row);
            map(&entries)?
        }
        T::Dictionary(..) => {
            let values = arrow::compute::cast(&column.slice(row, 1), &dictionary_values(column.data_type()));
            json(&values.map_err(Error::internal)?, 0)?
        }
        _ => Value::String(formatted(column, row)?),
    })
}

/// Whether a type is that of an attribute's value.
pub(super) fn is_attribute_value(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else { return false };
    let expected = attribute_value_fields();
    fields.len() == expected.len() && fields.iter().zip(&expected).all(|(a, b)| a.name() == b.name())
}

fn signed(value: i64) -> Value {
    if value.unsigned_abs() > EXACT_MAX { Value::String(value.to_string()) } else { value.into() }
}

fn unsigned(value: u64) -> Value {
    if value > EXACT_MAX { Value::String(value.to_string()) } else { value.into() }
}

fn double(value: f64) -> Value {
    Number::from_f64(value).map_or_else(
        || {
            let name = if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            Value::String(name.to_owned())
        },
        Value::Number,
    )
}

fn timestamp(column: &ArrayRef, unit: TimeUnit, row: usize) -> Result<String, Error> {
    let time = match unit {
        TimeUnit::Second => DateTime::<Utc>::from_timestamp(column.as_primitive::<TimestampSecondType>().value(row), 0),
        TimeUnit::Millisecond => {
            DateTime::from_timestamp_millis(column.as_primitive::<TimestampMillisecondType>().value(row))
        }
        TimeUnit::Microsecond => {
            DateTime::from_timestamp_micros(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        TimeUnit::Nanosecond => {
            Some(DateTime::from_timestamp_nanos(column.as_primitive::<TimestampNanosecondType>().value(row)))
        }
    };
    match time {
        Some(time) => Ok(time.to_rfc3339_opts(SecondsFormat::Nanos, true)),
        None => formatted(column, row),
    }
}

fn list(items: &ArrayRef) -> Result<Value, Error> {
    (0..items.len()).map(|row| json(items, row)).collect::<Result<_, _>>().map(Value::Array)
}

/// A map as an object; keys that are not text become theirs. The last of duplicate keys wins.
fn map(entries: &StructArray) -> Result<Value, Error> {
    let (keys, values) = (entries.column(0), entries.column(1));
    let mut object = Map::new();
    for row in 0..entries.len() {
        let key = text(keys, row)?.unwrap_or_default();
        object.insert(key, json(values, row)?);
    }
    Ok(Value::Object(object))
}

/// An attribute's value by the one field of it that is set.
fn attribute_value(value: &StructArray, row: usize) -> Value {
    let set = value.columns().iter().enumerate().find(|(_, column)| !column.is_null(row));
    let Some((index, column)) = set else { return Value::Null };
    match index {
        0 => Value::String(column.as_string::<i32>().value(row).to_owned()),
        1 => signed(column.as_primitive::<Int64Type>().value(row)),
        2 => double(column.as_primitive::<Float64Type>().value(row)),
        3 => Value::Bool(column.as_boolean().value(row)),
        _ => any_value_to_json(column.as_binary::<i32>().value(row)).unwrap_or(Value::Null),
    }
}

fn dictionary_values(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        other => other.clone(),
    }
}

fn formatted(column: &ArrayRef, row: usize) -> Result<String, Error> {
    let options = FormatOptions::default().with_duration_format(DurationFormat::Pretty);
    let formatter = ArrayFormatter::try_new(column, &options).map_err(Error::internal)?;
    formatter.value(row).try_to_string().map_err(Error::internal)
}
