use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, BooleanBufferBuilder, Float64Array, Int64Array, MapArray,
    StringArray, StructArray, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Fields, Float64Type, Int64Type};
use arrow::error::ArrowError;

use crate::promoted::NEXT_OVERFLOW;

/// Rebuilds attribute maps from what stayed in the map column, the order of
/// entries, and the promoted columns of its scope.
///
/// All arrays have one element a row. `overflow` is the map column, `order` the
/// file's `attr_order.<scope>` (absent: every row is in the usual order), and
/// `promoted` has each key with its column, in column order. The result has the
/// type of `overflow`; entries, duplicates and their order are what was sent.
///
/// # Errors
/// If lengths or types do not fit, an order names what is not there or misses
/// an entry (a damaged file), or the result would not fit 32-bit offsets.
pub fn whole_map(
    overflow: &MapArray,
    order: Option<&BinaryArray>,
    promoted: &[(String, ArrayRef)],
) -> Result<MapArray, ArrowError> {
    let rows = overflow.len();
    if promoted.iter().any(|(_, column)| column.len() != rows) || order.is_some_and(|order| order.len() != rows) {
        return Err(damaged("columns of one batch differ in length"));
    }
    if promoted.is_empty() && order.is_none_or(|order| order.null_count() == rows) {
        return Ok(overflow.clone());
    }
    let overflow = Overflow::new(overflow)?;
    let columns = promoted.iter().map(|(key, column)| Column::new(key, column)).collect::<Result<Vec<_>, _>>()?;
    let mut entries = Entries::new(&overflow, &columns);
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    for row in 0..rows {
        let mut rest = overflow.entries_of(row);
        match order.filter(|order| order.is_valid(row)) {
            None => {
                for column in &columns {
                    if column.has(row) {
                        entries.push_promoted(column, row);
                    }
                }
                for entry in rest {
                    entries.push_overflow(&overflow, entry);
                }
            }
            Some(order) => {
                let places = order.value(row);
                let (mut named, present) = (0, columns.iter().filter(|column| column.has(row)).count());
                if places.len() % 2 != 0 {
                    return Err(damaged("an order of attributes has an odd length"));
                }
                for place in places.chunks_exact(2).map(|place| u16::from_le_bytes([place[0], place[1]])) {
                    if place == NEXT_OVERFLOW {
                        let entry = rest.next().ok_or_else(|| damaged("an order names more entries than there are"))?;
                        entries.push_overflow(&overflow, entry);
                    } else {
                        let column = columns.get(usize::from(place)).filter(|column| column.has(row));
                        let column = column.ok_or_else(|| damaged("an order names an attribute that is not there"))?;
                        entries.push_promoted(column, row);
                        named += 1;
                    }
                }
                if rest.next().is_some() || named != present {
                    return Err(damaged("an order does not name all entries"));
                }
            }
        }
        offsets.push(entries.len()?);
    }
    entries.finish(&overflow, offsets)
}

fn damaged(detail: &str) -> ArrowError {
    ArrowError::InvalidArgumentError(detail.to_owned())
}

/// The map column, taken apart.
struct Overflow<'a> {
    map: &'a MapArray,
    fields: &'a Fields,
    value_fields: &'a Fields,
    keys: &'a StringArray,
    values: &'a StructArray,
    text: &'a StringArray,
    int: &'a Int64Array,
    double: &'a Float64Array,
    bool: &'a BooleanArray,
    other: &'a BinaryArray,
}

impl<'a> Overflow<'a> {
    fn new(map: &'a MapArray) -> Result<Self, ArrowError> {
        let wrong = || damaged("the map is not one of attributes");
        let DataType::Struct(fields) = map.entries().data_type() else { return Err(wrong()) };
        let keys = map.keys().as_string_opt().ok_or_else(wrong)?;
        let values = map.values().as_struct_opt().ok_or_else(wrong)?;
        let [text, int, double, bool, other] = values.columns() else { return Err(wrong()) };
        Ok(Self {
            map,
            fields,
            value_fields: values.fields(),
            keys,
            values,
            text: text.as_string_opt().ok_or_else(wrong)?,
            int: int.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?,
            double: double.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?,
            bool: bool.as_boolean_opt().ok_or_else(wrong)?,
            other: other.as_binary_opt().ok_or_else(wrong)?,
        })
    }

    fn entries_of(&self, row: usize) -> std::ops::Range<usize> {
        if self.map.is_null(row) {
            return 0..0;
        }
        let offsets = self.map.value_offsets();
        let at = |i: usize| usize::try_from(offsets[i]).unwrap_or_default();
        at(row)..at(row + 1)
    }
}

/// A promoted column with its key.
struct Column<'a> {
    key: &'a str,
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
}

enum Values<'a> {
    Text(&'a StringArray),
    Int(&'a Int64Array),
    Double(&'a Float64Array),
    Bool(&'a BooleanArray),
}

impl<'a> Column<'a> {
    fn new(key: &'a str, column: &'a ArrayRef) -> Result<Self, ArrowError> {
        let values = match column.data_type() {
            DataType::Utf8 => Values::Text(column.as_string()),
            DataType::Int64 => Values::Int(column.as_primitive()),
            DataType::Float64 => Values::Double(column.as_primitive()),
            DataType::Boolean => Values::Bool(column.as_boolean()),
            other => return Err(ArrowError::InvalidArgumentError(format!("attribute {key:?} is promoted as {other}"))),
        };
        Ok(Self { key, values, nulls: column.nulls() })
    }

    fn has(&self, row: usize) -> bool {
        self.nulls.is_none_or(|nulls| nulls.is_valid(row))
    }
}

/// A column of fixed-width values in the making; `nothing` stands where there is none.
struct Fixed<T> {
    values: Vec<T>,
    valid: BooleanBufferBuilder,
}

impl<T: Default> Fixed<T> {
    fn push(&mut self, value: Option<T>) {
        self.valid.append(value.is_some());
        self.values.push(value.unwrap_or_default());
    }
}

/// A column of bytes in the making.
struct Bytes {
    bytes: Vec<u8>,
    ends: Vec<i32>,
    valid: BooleanBufferBuilder,
}

impl Bytes {
    fn new() -> Self {
        Self { bytes: Vec::new(), ends: vec![0], valid: BooleanBufferBuilder::new(0) }
    }

    fn push(&mut self, value: Option<&[u8]>) {
        self.valid.append(value.is_some());
        self.bytes.extend_from_slice(value.unwrap_or_default());
        // Saturates; `Entries::finish` refuses what is too long.
        self.ends.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
    }

    fn finish(self) -> Result<(OffsetBuffer<i32>, Buffer, Option<NullBuffer>), ArrowError> {
        if self.bytes.len() > i32::MAX as usize {
            return Err(damaged("the attributes of a batch do not fit 32-bit offsets: read fewer rows at once"));
        }
        Ok((OffsetBuffer::new(ScalarBuffer::from(self.ends)), Buffer::from_vec(self.bytes), nulls(self.valid)))
    }
}

fn nulls(mut valid: BooleanBufferBuilder) -> Option<NullBuffer> {
    Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0)
}

/// Entries in the making. A field of the value that is never set is absent.
struct Entries {
    keys: Bytes,
    values_valid: BooleanBufferBuilder,
    text: Option<Bytes>,
    int: Option<Fixed<i64>>,
    double: Option<Fixed<f64>>,
    bool: Option<Fixed<bool>>,
    other: Option<Bytes>,
    len: usize,
}

impl Entries {
    fn new(overflow: &Overflow<'_>, columns: &[Column<'_>]) -> Self {
        let set = |array: &dyn Array| array.null_count() < array.len();
        let any = |kind: fn(&Values<'_>) -> bool| columns.iter().any(|column| kind(&column.values));
        Self {
            keys: Bytes::new(),
            values_valid: BooleanBufferBuilder::new(0),
            text: (set(overflow.text) || any(|v| matches!(v, Values::Text(_)))).then(Bytes::new),
            int: (set(overflow.int) || any(|v| matches!(v, Values::Int(_)))).then(Fixed::default),
            double: (set(overflow.double) || any(|v| matches!(v, Values::Double(_)))).then(Fixed::default),
            bool: (set(overflow.bool) || any(|v| matches!(v, Values::Bool(_)))).then(Fixed::default),
            other: set(overflow.other).then(Bytes::new),
            len: 0,
        }
    }

    fn push_promoted(&mut self, column: &Column<'_>, row: usize) {
        let (mut text, mut int, mut double, mut bool) = (None, None, None, None);
        match column.values {
            Values::Text(values) => text = Some(values.value(row).as_bytes()),
            Values::Int(values) => int = Some(values.value(row)),
            Values::Double(values) => double = Some(values.value(row)),
            Values::Bool(values) => bool = Some(values.value(row)),
        }
        self.push(column.key, true, (text, int, double, bool, None));
    }

    fn push_overflow(&mut self, overflow: &Overflow<'_>, entry: usize) {
        let text = overflow.text.is_valid(entry).then(|| overflow.text.value(entry).as_bytes());
        let int = overflow.int.is_valid(entry).then(|| overflow.int.value(entry));
        let double = overflow.double.is_valid(entry).then(|| overflow.double.value(entry));
        let bool = overflow.bool.is_valid(entry).then(|| overflow.bool.value(entry));
        let other = overflow.other.is_valid(entry).then(|| overflow.other.value(entry));
        let valid = overflow.values.is_valid(entry);
        self.push(overflow.keys.value(entry), valid, (text, int, double, bool, other));
    }

    #[expect(clippy::type_complexity, reason = "one entry's value, field by field")]
    fn push(
        &mut self,
        key: &str,
        valid: bool,
        (text, int, double, bool, other): (Option<&[u8]>, Option<i64>, Option<f64>, Option<bool>, Option<&[u8]>),
    ) {
        self.len += 1;
        self.keys.push(Some(key.as_bytes()));
        self.values_valid.append(valid);
        if let Some(column) = &mut self.text {
            column.push(text);
        }
        if let Some(column) = &mut self.int {
            column.push(int);
        }
        if let Some(column) = &mut self.double {
            column.push(double);
        }
        if let Some(column) = &mut self.bool {
            column.push(bool);
        }
        if let Some(column) = &mut self.other {
            column.push(other);
        }
    }

    fn len(&self) -> Result<i32, ArrowError> {
        i32::try_from(self.len).map_err(|_| damaged("a batch has too many attributes: read fewer rows at once"))
    }

    fn finish(self, overflow: &Overflow<'_>, offsets: Vec<i32>) -> Result<MapArray, ArrowError> {
        let len = self.len;
        let absent = |index: usize| new_null_array(overflow.value_fields[index].data_type(), len);
        let text = match self.text {
            Some(text) => {
                text.finish().and_then(|(ends, bytes, nulls)| Ok(array(StringArray::try_new(ends, bytes, nulls)?)))?
            }
            None => absent(0),
        };
        let int = match self.int {
            Some(int) => array(Int64Array::new(int.values.into(), nulls(int.valid))),
            None => absent(1),
        };
        let double = match self.double {
            Some(double) => array(Float64Array::new(double.values.into(), nulls(double.valid))),
            None => absent(2),
        };
        let bool = match self.bool {
            Some(bool) => array(BooleanArray::new(bool.values.into(), nulls(bool.valid))),
            None => absent(3),
        };
        let other = match self.other {
            Some(other) => {
                other.finish().and_then(|(ends, bytes, nulls)| Ok(array(BinaryArray::try_new(ends, bytes, nulls)?)))?
            }
            None => absent(4),
        };
        let columns = vec![text, int, double, bool, other];
        let values = StructArray::try_new(overflow.value_fields.clone(), columns, nulls(self.values_valid))?;
        let (ends, bytes, _) = self.keys.finish()?;
        let keys = array(StringArray::try_new(ends, bytes, None)?);
        let entries = StructArray::try_new(overflow.fields.clone(), vec![keys, array(values)], None)?;
        let DataType::Map(field, ordered) = overflow.map.data_type() else {
            return Err(damaged("the map is not one of attributes"));
        };
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        MapArray::try_new(Arc::clone(field), offsets, entries, overflow.map.nulls().cloned(), *ordered)
    }
}

impl<T> Default for Fixed<T> {
    fn default() -> Self {
        Self { values: Vec::new(), valid: BooleanBufferBuilder::new(0) }
    }
}

fn array(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}
