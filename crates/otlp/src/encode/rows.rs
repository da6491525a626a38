//! Typed access to the columns of rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array,
    ListArray, MapArray, PrimitiveArray, RecordBatch, StringArray, StructArray,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use prost::Message;

use crate::Error;

/// Columns by name: of rows, or of the structs in their lists.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    columns: Vec<(String, ArrayRef)>,
}

impl Columns {
    pub(super) fn of_rows(rows: &RecordBatch) -> Self {
        let schema = rows.schema();
        let names = schema.fields().iter().map(|field| field.name().clone());
        Self { columns: names.zip(rows.columns().iter().map(Arc::clone)).collect() }
    }

    fn of_struct(array: &StructArray) -> Self {
        let names = array.fields().iter().map(|field| field.name().clone());
        Self { columns: names.zip(array.columns().iter().map(Arc::clone)).collect() }
    }

    /// The column `name`, which must be a `T`.
    fn get<T: Array + Clone + 'static>(&self, name: &str) -> Result<T, Error> {
        let wrong = |what: &str| Error::Rows { detail: format!("column {name} {what}") };
        let (_, column) = self.columns.iter().find(|(known, _)| known == name).ok_or_else(|| wrong("is missing"))?;
        let unexpected = || wrong(&format!("has type {}", column.data_type()));
        column.as_any().downcast_ref::<T>().cloned().ok_or_else(unexpected)
    }

    pub(super) fn texts(&self, name: &str) -> Result<Texts, Error> {
        self.get(name).map(Texts)
    }

    pub(super) fn ids(&self, name: &str) -> Result<Ids, Error> {
        self.get(name).map(Ids)
    }

    pub(super) fn binary(&self, name: &str) -> Result<BinaryArray, Error> {
        self.get(name)
    }

    pub(super) fn bools(&self, name: &str) -> Result<BooleanArray, Error> {
        self.get(name)
    }

    pub(super) fn numbers<T: ArrowPrimitiveType>(&self, name: &str) -> Result<Numbers<T>, Error> {
        self.get(name).map(Numbers)
    }

    pub(super) fn attributes(&self, name: &str) -> Result<Attributes, Error> {
        Attributes::new(&self.get::<MapArray>(name)?)
    }

    /// A column of lists of structs, and the structs' columns.
    pub(super) fn structs(&self, name: &str) -> Result<(Lists, Self), Error> {
        let lists: ListArray = self.get(name)?;
        let unexpected = || Error::Rows { detail: format!("column {name} does not hold structs") };
        let elements = lists.values().as_any().downcast_ref().ok_or_else(unexpected)?;
        let columns = Self::of_struct(elements);
        Ok((Lists(lists), columns))
    }

    /// A column of lists of numbers.
    pub(super) fn number_lists<T: ArrowPrimitiveType>(&self, name: &str) -> Result<NumberLists<T>, Error> {
        let lists: ListArray = self.get(name)?;
        let unexpected = || Error::Rows { detail: format!("column {name} has other elements") };
        let elements = lists.values().as_any().downcast_ref().cloned().ok_or_else(unexpected)?;
        Ok(NumberLists { lists: Lists(lists), elements })
    }

    /// A column of lists of text.
    pub(super) fn text_lists(&self, name: &str) -> Result<TextLists, Error> {
        let lists: ListArray = self.get(name)?;
        let unexpected = || Error::Rows { detail: format!("column {name} has other elements") };
        let elements = lists.values().as_any().downcast_ref().cloned().ok_or_else(unexpected)?;
        Ok(TextLists { lists: Lists(lists), elements })
    }
}

/// A column of text.
#[derive(Debug)]
pub(super) struct Texts(StringArray);

impl Texts {
    /// The text of a row; null is empty.
    pub(super) fn get(&self, row: usize) -> String {
        self.str(row).to_owned()
    }

    pub(super) fn str(&self, row: usize) -> &str {
        if self.0.is_null(row) { "" } else { self.0.value(row) }
    }

    pub(super) fn optional(&self, row: usize) -> Option<&str> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}

/// A column of ids.
#[derive(Debug)]
pub(super) struct Ids(FixedSizeBinaryArray);

impl Ids {
    /// The id of a row; null is empty.
    pub(super) fn get(&self, row: usize) -> Vec<u8> {
        if self.0.is_null(row) { Vec::new() } else { self.0.value(row).to_vec() }
    }
}

/// A column of numbers or times.
#[derive(Debug)]
pub(super) struct Numbers<T: ArrowPrimitiveType>(PrimitiveArray<T>);

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// The number of a row; null is 0.
    pub(super) fn get(&self, row: usize) -> T::Native {
        self.optional(row).unwrap_or_default()
    }

    pub(super) fn optional(&self, row: usize) -> Option<T::Native> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}

/// A column of lists.
#[derive(Debug)]
pub(super) struct Lists(ListArray);

impl Lists {
    /// Where the elements of a row's list stand; null is empty.
    pub(super) fn get(&self, row: usize) -> std::ops::Range<usize> {
        if self.0.is_null(row) {
            return 0..0;
        }
        let at = |row: usize| usize::try_from(self.0.value_offsets()[row]).unwrap_or(0);
        at(row)..at(row + 1)
    }
}

/// A column of lists of numbers.
#[derive(Debug)]
pub(super) struct NumberLists<T: ArrowPrimitiveType> {
    lists: Lists,
    elements: PrimitiveArray<T>,
}

impl<T: ArrowPrimitiveType> NumberLists<T> {
    pub(super) fn get(&self, row: usize) -> Vec<T::Native> {
        self.elements.values()[self.lists.get(row)].to_vec()
    }
}

/// A column of lists of text.
#[derive(Debug)]
pub(super) struct TextLists {
    lists: Lists,
    elements: StringArray,
}

impl TextLists {
    pub(super) fn get(&self, row: usize) -> Vec<String> {
        self.lists.get(row).map(|index| self.elements.value(index).to_owned()).collect()
    }

    pub(super) fn contains(&self, row: usize, text: &str) -> bool {
        self.lists.get(row).any(|index| self.elements.value(index) == text)
    }
}

/// A column of attribute maps.
#[derive(Debug)]
pub(super) struct Attributes {
    offsets: Vec<usize>,
    keys: StringArray,
    values: StructArray,
    strings: StringArray,
    ints: Int64Array,
    doubles: Float64Array,
    bools: BooleanArray,
    others: BinaryArray,
}

impl Attributes {
    fn new(maps: &MapArray) -> Result<Self, Error> {
        let unexpected = || Error::Rows { detail: "an attribute map has other fields".to_owned() };
        let keys = maps.keys().as_any().downcast_ref().cloned().ok_or_else(unexpected)?;
        let values: &StructArray = maps.values().as_any().downcast_ref().ok_or_else(unexpected)?;
        let fields = Columns::of_struct(values);
        let offsets = maps.value_offsets().iter();
        Ok(Self {
            offsets: offsets.map(|offset| usize::try_from(*offset).unwrap_or(0)).collect(),
            keys,
            values: values.clone(),
            strings: fields.get("string")?,
            ints: fields.get("int")?,
            doubles: fields.get("double")?,
            bools: fields.get("bool")?,
            others: fields.get("other")?,
        })
    }

    /// The attributes of a row.
    pub(super) fn get(&self, row: usize) -> Result<Vec<KeyValue>, Error> {
        let entry = |index: usize| {
            Ok(KeyValue { key: self.keys.value(index).to_owned(), value: self.value(index)?, key_strindex: 0 })
        };
        (self.offsets[row]..self.offsets[row + 1]).map(entry).collect()
    }

    fn value(&self, index: usize) -> Result<Option<AnyValue>, Error> {
        let value = if self.values.is_null(index) {
            return Ok(None);
        } else if self.strings.is_valid(index) {
            Value::StringValue(self.strings.value(index).to_owned())
        } else if self.ints.is_valid(index) {
            Value::IntValue(self.ints.value(index))
        } else if self.doubles.is_valid(index) {
            Value::DoubleValue(self.doubles.value(index))
        } else if self.bools.is_valid(index) {
            Value::BoolValue(self.bools.value(index))
        } else if self.others.is_valid(index) {
            return any_value(self.others.value(index)).map(Some);
        } else {
            return Ok(None);
        };
        Ok(Some(AnyValue { value: Some(value) }))
    }
}

/// Decodes a value that is stored as protobuf.
pub(super) fn any_value(bytes: &[u8]) -> Result<AnyValue, Error> {
    let wrong = |error| Error::Rows { detail: format!("a value is not an AnyValue: {error}") };
    AnyValue::decode(bytes).map_err(wrong)
}
