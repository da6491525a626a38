use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, MapArray, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use tracehound_schema::{PromotedKind, attribute_value_fields};

use super::values::whole;
use super::*;

/// One row per value, each under key `k`, behind an older `k` with text.
fn maps(values: StructArray) -> MapArray {
    let DataType::Map(entry, _) = attribute_map_type() else { unreachable!() };
    let DataType::Struct(fields) = entry.data_type().clone() else { unreachable!() };
    let rows = values.len() / 2;
    let keys = Arc::new(StringArray::from(vec!["k"; values.len()]));
    let entries = StructArray::new(fields, vec![keys, Arc::new(values)], None);
    MapArray::new(entry, OffsetBuffer::from_lengths(vec![2; rows]), entries, None, false)
}

/// Rows: text "12", text "x", int 7, double 8.0, double 8.5, bool true, array [1], none.
fn values() -> StructArray {
    let array = b"\x2a\x04\x0a\x02\x18\x01".as_slice();
    let o = Some("old");
    StructArray::new(
        attribute_value_fields(),
        vec![
            Arc::new(StringArray::from(vec![
                o,
                Some("12"),
                o,
                Some("x"),
                o,
                None,
                o,
                None,
                o,
                None,
                o,
                None,
                o,
                None,
                o,
                None,
            ])),
            Arc::new(Int64Array::from_iter((0..16).map(|row| (row == 5).then_some(7)))),
            Arc::new(Float64Array::from_iter((0..16).map(|row| match row {
                7 => Some(8.0),
                9 => Some(8.5),
                _ => None,
            }))),
            Arc::new(BooleanArray::from_iter((0..16).map(|row| (row == 11).then_some(true)))),
            Arc::new(BinaryArray::from_iter((0..16).map(|row| (row == 13).then_some(array)))),
        ],
        None,
    )
}

#[track_caller]
fn check(kind: Kind, expected: &[&str]) {
    let map = maps(values());
    let read = Values::of(&map).unwrap().read(&map, "k", kind);
    assert_eq!(read.data_type(), &kind.data_type());
    let text = arrow::compute::cast(&read, &DataType::Utf8).unwrap();
    let found: Vec<_> = text.as_string::<i32>().iter().map(|value| value.unwrap_or("-").to_owned()).collect();
    assert_eq!(found, expected, "{kind}");
}

#[test]
fn values_are_read_by_kind_and_the_last_key_wins() {
    check(Kind::Text, &["12", "x", "7", "8", "8.5", "true", "[1]", "-"]);
    check(Kind::Int, &["-", "-", "7", "8", "-", "-", "-", "-"]);
    check(Kind::Double, &["-", "-", "7.0", "8.0", "8.5", "-", "-", "-"]);
    check(Kind::Bool, &["-", "-", "-", "-", "-", "true", "-", "-"]);
    check(Kind::CastInt, &["12", "-", "7", "8", "-", "-", "-", "-"]);
    check(Kind::CastDouble, &["12.0", "-", "7.0", "8.0", "8.5", "-", "-", "-"]);
    check(Kind::CastBool, &["-", "-", "-", "-", "-", "true", "-", "-"]);
}

#[test]
fn whole_doubles_are_ints_within_bounds() {
    assert_eq!(whole(-0.0), Some(0));
    assert_eq!(whole(9.007_199_254_740_992e15), Some(1 << 53));
    assert_eq!(whole(-9_223_372_036_854_775_808.0), Some(i64::MIN));
    for value in [0.5, f64::NAN, f64::INFINITY, 9_223_372_036_854_775_808.0] {
        assert_eq!(whole(value), None);
    }
}

/// What a promoted column is read as is what the map is read as, for every type of column and every kind.
#[test]
fn promoted_columns_read_like_maps() {
    let texts = ["12", " 7 ", "8.5", "1e3", "x", "", "true", "No", "NaN", "9223372036854775808"];
    let columns: [(PromotedKind, ArrayRef); 4] = [
        (PromotedKind::String, Arc::new(StringArray::from_iter(texts.iter().map(Some).chain([None])))),
        (PromotedKind::Int, Arc::new(Int64Array::from(vec![Some(0), Some(i64::MIN), Some((1 << 53) + 1), None]))),
        (
            PromotedKind::Double,
            Arc::new(Float64Array::from(vec![
                Some(-0.0),
                Some(1e300),
                Some(f64::NAN),
                Some(f64::INFINITY),
                Some(2.0),
                None,
            ])),
        ),
        (PromotedKind::Bool, Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
    ];
    for (column, array) in columns {
        let rows = array.len();
        let empty = MapArray::from(arrow::array::ArrayData::new_null(&attribute_map_type(), rows));
        let nulls = MapArray::new(
            match attribute_map_type() {
                DataType::Map(entry, _) => entry,
                _ => unreachable!(),
            },
            OffsetBuffer::from_lengths(vec![0; rows]),
            empty.entries().slice(0, 0),
            None,
            false,
        );
        let map = tracehound_schema::whole_map(&nulls, None, &[("k".to_owned(), Arc::clone(&array))]).unwrap();
        for kind in Kind::ALL {
            let expected = Values::of(&map).unwrap().read(&map, "k", kind);
            let found = match read_promoted(column, kind) {
                ReadPromoted::Column => Arc::clone(&array),
                ReadPromoted::AsDouble => arrow::compute::cast(&array, &DataType::Float64).unwrap(),
                ReadPromoted::Never => arrow::array::new_null_array(&kind.data_type(), rows),
                ReadPromoted::Function(function) => {
                    let args = ScalarFunctionArgs {
                        args: vec![ColumnarValue::Array(Arc::clone(&array))],
                        arg_fields: vec![Arc::new(Field::new("a", column.data_type(), true))],
                        number_rows: rows,
                        return_field: Arc::new(Field::new("r", kind.data_type(), true)),
                        config_options: Arc::default(),
                    };
                    function.invoke_with_args(args).unwrap().into_array(rows).unwrap()
                }
            };
            // Debug text, since NaN is not equal to itself.
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{column} as {kind}");
        }
    }
}
