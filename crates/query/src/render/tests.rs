use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DurationNanosecondArray, FixedSizeBinaryArray, Float64Array,
    Int64Array, ListArray, MapArray, StringArray, StructArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Int64Type};
use tracehound_schema::{attribute_map_type, attribute_value_fields};

use super::*;
use crate::Receipt;

#[track_caller]
fn check(column: ArrayRef, type_name: &str, expected: &str) {
    let batch = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap();
    assert_eq!(columns(&batch.schema())[0].type_name, type_name);
    let rows: Vec<_> = json_rows(&batch).unwrap().into_iter().map(|mut row| row.remove(0)).collect();
    assert_eq!(Value::Array(rows).to_string(), expected);
}

/// Two rows: `{"s": "x", "i": 2^60, "d": NaN, "b": true, "o": [1], "e": none, "s" again: "y"}` and none.
fn attributes() -> MapArray {
    let one = b"\x2a\x04\x0a\x02\x18\x01";
    let values = StructArray::new(
        attribute_value_fields(),
        vec![
            Arc::new(StringArray::from(vec![Some("x"), None, None, None, None, None, Some("y")])),
            Arc::new(Int64Array::from(vec![None, Some(1 << 60), None, None, None, None, None])),
            Arc::new(Float64Array::from(vec![None, None, Some(f64::NAN), None, None, None, None])),
            Arc::new(BooleanArray::from(vec![None, None, None, Some(true), None, None, None])),
            Arc::new(BinaryArray::from_opt_vec(vec![None, None, None, None, Some(one.as_slice()), None, None])),
        ],
        None,
    );
    let DataType::Map(entry, _) = attribute_map_type() else { unreachable!() };
    let DataType::Struct(fields) = entry.data_type().clone() else { unreachable!() };
    let keys = Arc::new(StringArray::from(vec!["s", "i", "d", "b", "o", "e", "s"]));
    let entries = StructArray::new(fields, vec![keys, Arc::new(values)], None);
    MapArray::new(entry, OffsetBuffer::from_lengths([7, 0]), entries, None, false)
}

#[test]
fn values_have_their_forms() {
    check(Arc::new(StringArray::from(vec![Some("a"), None])), "text", r#"["a",null]"#);
    check(
        Arc::new(Int64Array::from(vec![1 << 53, (1 << 53) + 1, i64::MIN])),
        "bigint",
        r#"[9007199254740992,"9007199254740993","-9223372036854775808"]"#,
    );
    check(Arc::new(UInt64Array::from(vec![u64::MAX])), "unsigned bigint", r#"["18446744073709551615"]"#);
    check(
        Arc::new(Float64Array::from(vec![0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY])),
        "double",
        r#"[0.5,"NaN","Infinity","-Infinity"]"#,
    );
    let times = TimestampNanosecondArray::from(vec![0, 1_795_370_400_123_456_789, -1]).with_timezone("UTC");
    check(
        Arc::new(times),
        "timestamp",
        r#"["1970-01-01T00:00:00.000000000Z","2026-11-22T18:00:00.123456789Z","1969-12-31T23:59:59.999999999Z"]"#,
    );
    let ids = FixedSizeBinaryArray::try_from_iter([[0xABu8; 8]].iter()).unwrap();
    check(Arc::new(ids), "id", r#"["abababababababab"]"#);
    check(Arc::new(BinaryArray::from(vec![b"\x00\xff".as_slice()])), "bytes", r#"["00ff"]"#);
    let decimals = Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 2).unwrap();
    check(Arc::new(decimals), "decimal", r#"["123.45"]"#);
    check(
        Arc::new(DurationNanosecondArray::from(vec![90_000_000_000])),
        "duration",
        r#"["0 days 0 hours 1 mins 30.000000000 secs"]"#,
    );
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    check(Arc::new(lists), "list<bigint>", "[[1,null],null]");
    check(
        Arc::new(attributes()),
        "attributes",
        r#"[{"b":true,"d":"NaN","e":null,"i":"1152921504606846976","o":[1],"s":"y"},{}]"#,
    );
}

#[test]
fn csv_quotes_as_rfc_4180_says() {
    let texts =
        StringArray::from(vec![Some("plain"), Some("a,b"), Some("say \"x\"\r\n"), Some(""), None, Some("t\tb\\")]);
    let numbers = Int64Array::from(vec![1, 2, 3, 4, 5, 6]);
    let columns: Vec<(&str, ArrayRef)> = vec![("a,b", Arc::new(texts)), ("n", Arc::new(numbers))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut out = Vec::new();
    csv_header(&batch.schema(), &mut out);
    csv(&batch, &mut out).unwrap();
    let expected = "\"a,b\",n\r\nplain,1\r\n\"a,b\",2\r\n\"say \"\"x\"\"\r\n\",3\r\n\"\",4\r\n,5\r\nt\tb\\,6\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);

    let mut out = Vec::new();
    tsv_header(&batch.schema(), &mut out);
    tsv(&batch, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "a,b\tn\nplain\t1\na,b\t2\nsay \"x\"\\r\\n\t3\n\t4\n\t5\nt\\tb\\\\\t6\n"
    );
}

#[test]
fn documents_hold_columns_rows_and_receipt() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let schema = Arc::new(Schema::new(vec![
        arrow::datatypes::Field::new("x", DataType::Int64, false),
        arrow::datatypes::Field::new("x", DataType::Int64, false),
    ]));
    let batch = RecordBatch::try_new(schema.clone(), vec![numbers.clone(), numbers]).unwrap();
    let mut lines = Vec::new();
    ndjson(&batch, &mut lines).unwrap();
    assert_eq!(lines, b"{\"x\":1,\"x_2\":1}\n");

    let receipt = Receipt { entry: 7, rows: 1, ..Receipt::default() };
    let truncated = Some(crate::Truncation::Rows(1));
    let answer = Answer { schema, batches: vec![batch], truncated, receipt, query_id: "q".to_owned() };
    let document: Value = serde_json::from_slice(&json(&answer, Rows::Arrays).unwrap()).unwrap();
    assert_eq!(document["columns"][1], json!({"name": "x", "type": "bigint"}));
    assert_eq!(document["rows"], json!([[1, 1]]));
    assert_eq!(document["truncated"], json!(true));
    assert_eq!(document["as_of"]["entry"], json!(7));
    assert_eq!(document["query_id"], json!("q"));
    let document: Value = serde_json::from_slice(&json(&answer, Rows::Objects).unwrap()).unwrap();
    assert_eq!(document["rows"], json!([{"x": 1, "x_2": 1}]));
}
