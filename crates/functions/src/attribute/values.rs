//! Attribute maps, read by key.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int64Builder, MapArray, StringBuilder};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::{Result, exec_err};
use tracehound_schema::any_value_to_text;

use super::Kind;

/// The parts of a map's values.
pub(super) struct Values<'a> {
    keys: &'a arrow::array::StringArray,
    structs: &'a arrow::array::StructArray,
    string: &'a arrow::array::StringArray,
    int: &'a arrow::array::Int64Array,
    double: &'a arrow::array::Float64Array,
    bool: &'a arrow::array::BooleanArray,
    other: &'a arrow::array::BinaryArray,
}

impl<'a> Values<'a> {
    pub(super) fn of(map: &'a MapArray) -> Result<Self> {
        let values = map.values().as_struct_opt();
        let parts = values.and_then(|structs| {
            Some(Self {
                keys: map.keys().as_string_opt::<i32>()?,
                structs,
                string: structs.columns().first()?.as_string_opt::<i32>()?,
                int: structs.columns().get(1)?.as_primitive_opt::<Int64Type>()?,
                double: structs.columns().get(2)?.as_primitive_opt::<Float64Type>()?,
                bool: structs.columns().get(3)?.as_boolean_opt()?,
                other: structs.columns().get(4)?.as_binary_opt::<i32>()?,
            })
        });
        parts.map_or_else(|| exec_err!("not an attribute map: {}", map.data_type()), Ok)
    }

    /// The values of a key, one a row.
    pub(super) fn read(&self, map: &MapArray, key: &str, kind: Kind) -> ArrayRef {
        let entries = (0..map.len()).map(|row| self.last(map, row, key));
        match kind {
            Kind::Text => {
                let mut built = StringBuilder::with_capacity(map.len(), 0);
                entries.for_each(|entry| self.text(entry, &mut built));
                Arc::new(built.finish())
            }
            Kind::Int | Kind::CastInt => {
                let mut built = Int64Builder::with_capacity(map.len());
                entries.for_each(|entry| built.append_option(entry.and_then(|entry| self.int(entry, kind))));
                Arc::new(built.finish())
            }
            Kind::Double | Kind::CastDouble => {
                let mut built = Float64Builder::with_capacity(map.len());
                entries.for_each(|entry| built.append_option(entry.and_then(|entry| self.double(entry, kind))));
                Arc::new(built.finish())
            }
            Kind::Bool | Kind::CastBool => {
                let mut built = BooleanBuilder::with_capacity(map.len());
                entries.for_each(|entry| built.append_option(entry.and_then(|entry| self.bool(entry, kind))));
                Arc::new(built.finish())
            }
        }
    }

    /// The last entry of a key in a row that has a value.
    fn last(&self, map: &MapArray, row: usize, key: &str) -> Option<usize> {
        if map.is_null(row) {
            return None;
        }
        let offsets = map.value_offsets();
        let (from, to) = (usize::try_from(offsets[row]).ok()?, usize::try_from(offsets[row + 1]).ok()?);
        let found = (from..to).rev().find(|entry| self.keys.value(*entry) == key)?;
        self.structs.is_valid(found).then_some(found)
    }

    fn text(&self, entry: Option<usize>, built: &mut StringBuilder) {
        match entry {
            Some(entry) if self.string.is_valid(entry) => built.append_value(self.string.value(entry)),
            Some(entry) if self.int.is_valid(entry) => built.append_value(self.int.value(entry).to_string()),
            Some(entry) if self.double.is_valid(entry) => built.append_value(double_text(self.double.value(entry))),
            Some(entry) if self.bool.is_valid(entry) => built.append_value(self.bool.value(entry).to_string()),
            Some(entry) if self.other.is_valid(entry) => {
                built.append_option(any_value_to_text(self.other.value(entry)))
            }
            _ => built.append_null(),
        }
    }

    fn int(&self, entry: usize, kind: Kind) -> Option<i64> {
        if self.int.is_valid(entry) {
            return Some(self.int.value(entry));
        }
        if self.double.is_valid(entry) {
            return whole(self.double.value(entry));
        }
        text_as_int(self.lenient_text(entry, kind == Kind::CastInt)?)
    }

    fn double(&self, entry: usize, kind: Kind) -> Option<f64> {
        if self.double.is_valid(entry) {
            return Some(self.double.value(entry));
        }
        if self.int.is_valid(entry) {
            #[expect(clippy::cast_precision_loss, reason = "a double is what was asked for")]
            return Some(self.int.value(entry) as f64);
        }
        text_as_double(self.lenient_text(entry, kind == Kind::CastDouble)?)
    }

    fn bool(&self, entry: usize, kind: Kind) -> Option<bool> {
        if self.bool.is_valid(entry) {
            return Some(self.bool.value(entry));
        }
        text_as_bool(self.lenient_text(entry, kind == Kind::CastBool)?)
    }

    fn lenient_text(&self, entry: usize, lenient: bool) -> Option<&'a str> {
        (lenient && self.string.is_valid(entry)).then(|| self.string.value(entry))
    }
}

/// What CAST makes of text.
pub(super) fn text_as_int(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| whole(text.parse().ok()?))
}

/// What CAST makes of text.
pub(super) fn text_as_double(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// What CAST makes of text.
pub(super) fn text_as_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "1" => Some(true),
        "false" | "f" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// A double without fraction as a whole number, if it is one.
pub(super) fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
    (value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

pub(super) fn double_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        value.to_string()
    }
}
