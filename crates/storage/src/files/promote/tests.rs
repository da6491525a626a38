use arrow::array::AsArray;
use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tracehound_schema::{PROMOTED_METADATA, PromotedKind, promoted_columns, whole_map};

use super::*;
use crate::files::counts::{Counter, KeyCount};
use crate::files::testing::{Map, Value, map, maps, spans};
use crate::testing::{parquet_metadata, read_parquet};

const SCOPE: &str = "attributes";

fn promoted(key: &str, kind: PromotedKind) -> Promoted {
    Promoted { scope: SCOPE.to_owned(), key: key.to_owned(), kind, residual: false }
}

fn scope(keys: &[Promoted]) -> Scope {
    Splitter::new(Dataset::Spans, keys).scopes.remove(0)
}

/// Writes what was split as Parquet, reads it, and rebuilds the maps.
fn through_parquet(scope: &Scope, split: Split) -> MapArray {
    let mut fields = vec![Field::new(SCOPE, split.overflow.data_type().clone(), true)];
    fields.extend(scope.promoted.iter().map(Promoted::field));
    fields.push(Field::new(attribute_order_column(SCOPE), DataType::Binary, true));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(split.overflow)];
    columns.extend(split.columns);
    columns.push(split.order);
    let promoted = serde_json::to_string(&scope.promoted).unwrap();
    let schema = Arc::new(Schema::new(fields));
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, None).unwrap();
    writer.write(&rows).unwrap();
    writer.append_key_value_metadata(KeyValue::new(PROMOTED_METADATA.to_owned(), promoted));
    writer.close().unwrap();
    let bytes = bytes::Bytes::from(bytes);
    let promoted = promoted_columns(&parquet_metadata(bytes.clone())).unwrap();
    let read = read_parquet(bytes);
    let read = arrow::compute::concat_batches(&read[0].schema(), &read).unwrap();
    let promoted: Vec<_> =
        promoted.iter().map(|p| (p.key.clone(), read.column_by_name(&p.column()).unwrap().clone())).collect();
    let order = read.column_by_name(&attribute_order_column(SCOPE)).unwrap().as_binary::<i32>();
    whole_map(read.column(0).as_map(), Some(order), &promoted).unwrap()
}

/// What the format says of one row: its promoted values, and what is left.
fn by_the_book(keys: &[Promoted], row: &Map) -> (Vec<Option<Value>>, Map) {
    let once = |key: &str| row.iter().filter(|(k, _)| k == key).count() == 1;
    let fits = |kind: PromotedKind, value: &Value| {
        matches!(
            (kind, value),
            (PromotedKind::String, Value::Text(_))
                | (PromotedKind::Int, Value::Int(_))
                | (PromotedKind::Double, Value::Double(_))
                | (PromotedKind::Bool, Value::Bool(_))
        )
    };
    let goes = |(key, value): &&(String, Value)| once(key) && keys.iter().any(|p| p.key == *key && fits(p.kind, value));
    let columns = keys.iter().map(|p| {
        let entry = row.iter().filter(|entry| goes(entry)).find(|(key, _)| *key == p.key);
        entry.map(|(_, value)| value.clone())
    });
    (columns.collect(), row.iter().filter(|entry| !goes(entry)).cloned().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any maps, split by any keys: the columns are what the format says, and the maps come back whole.
    #[test]
    fn maps_are_whole_again(
        rows in vec(option::weighted(0.9, map()), 1..40),
        kinds in vec(0..4_usize, 12),
    ) {
        let names = (0..8).map(|n| format!("key.{n}")).chain(["k1", "", "schlüssel \u{1F511}", "never"].map(String::from));
        let keys: Vec<_> = names.zip(kinds).map(|(key, kind)| promoted(&key, PromotedKind::ALL[kind])).collect();
        let mut scope = scope(&keys);
        let sent = maps(&rows);
        let column: ArrayRef = Arc::new(sent.clone());
        let split = scope.split(&column).unwrap();
        let (mut left, mut residual) = (Vec::new(), vec![false; keys.len()]);
        for (row, map) in rows.iter().enumerate() {
            let Some(map) = map else { left.push(None); continue };
            let (values, rest) = by_the_book(&keys, map);
            for (key, value) in values.iter().enumerate() {
                prop_assert_eq!(split.columns[key].is_valid(row), value.is_some());
                residual[key] |= rest.iter().any(|(k, _)| *k == keys[key].key);
            }
            left.push(Some(rest));
        }
        prop_assert_eq!(&split.overflow, &maps(&left));
        prop_assert_eq!(scope.promoted.iter().map(|p| p.residual).collect::<Vec<_>>(), residual);
        let whole = through_parquet(&scope, split);
        prop_assert_eq!(whole.to_data(), sent.to_data());
    }

    /// The counts that choices are made by are right.
    #[test]
    fn keys_are_counted(rows in vec(map(), 1..30)) {
        let span = |map: &Map| crate::files::testing::Span {
            time_ns: 0, service: "shop", name: String::new(), trace: 0, user: None, attributes: map.clone(), resource: Vec::new(),
        };
        let mut counter = Counter::new(Dataset::Spans);
        for half in rows.chunks(rows.len().div_ceil(2)) {
            counter.count(&spans(&half.iter().map(span).collect::<Vec<_>>())).unwrap();
        }
        let counts = counter.finish();
        prop_assert_eq!(counts.complete, rows.iter().flatten().all(|(key, _)| key.len() <= KEY_BYTES_MAX));
        let total = |count: &KeyCount| count.rows();
        let held = |key: &str| rows.iter().filter(|row| row.iter().any(|(k, _)| k == key)).count() as u64;
        for count in counts.keys.iter().filter(|count| count.scope == SCOPE) {
            prop_assert_eq!(total(count), held(&count.key), "{}", count.key);
            let texts = rows.iter().filter(|row| {
                let entries: Vec<_> = row.iter().filter(|(k, _)| *k == count.key).collect();
                matches!(entries[..], [(_, Value::Text(_))])
            });
            prop_assert_eq!(count.string, texts.count() as u64);
        }
    }
}

/// The usual order costs nothing, another order comes back all the same.
#[test]
fn order_is_kept_only_where_it_is_unusual() {
    let keys = [promoted("a", PromotedKind::String), promoted("b", PromotedKind::Int)];
    let (a, b) = (("a".to_owned(), Value::Text("x".to_owned())), ("b".to_owned(), Value::Int(1)));
    let c = ("c".to_owned(), Value::Bool(true));
    let rows = [
        vec![a.clone(), b.clone(), c.clone()],
        vec![b.clone()],
        vec![],
        vec![c.clone(), b, a.clone()],
        vec![a.clone(), a],
    ];
    let column: ArrayRef = Arc::new(maps(&rows.map(Some)));
    let split = scope(&keys).split(&column).unwrap();
    let order = split.order.as_binary::<i32>();
    let orders: Vec<_> = order.iter().collect();
    assert_eq!(orders, [None, None, None, Some(&[0xFF, 0xFF, 1, 0, 0, 0][..]), None]);
}

/// A damaged order is an error, not another map.
#[test]
fn orders_that_do_not_fit_are_errors() {
    let column: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![Some(1)]));
    let map = maps(&[Some(vec![("c".to_owned(), Value::Int(2))])]);
    let keys = [("a".to_owned(), column)];
    for bad in [&[0, 0][..], &[0xFF, 0xFF], &[1, 0, 0xFF, 0xFF], &[0], &[0, 0, 0xFF, 0xFF, 0xFF, 0xFF], &[]] {
        let order = arrow::array::BinaryArray::from(vec![Some(bad)]);
        assert!(whole_map(&map, Some(&order), &keys).is_err(), "{bad:?}");
    }
    let good = arrow::array::BinaryArray::from(vec![Some(&[0xFF, 0xFF, 0, 0][..])]);
    assert_eq!(whole_map(&map, Some(&good), &keys).unwrap().value_length(0), 2);
}

fn count(key: &str, string: u64, int: u64) -> KeyCount {
    KeyCount {
        scope: SCOPE.to_owned(),
        key: key.to_owned(),
        string,
        int,
        double: 0,
        bool: 0,
        other: 0,
        absent: 0,
        repeated: 0,
    }
}

#[test]
fn frequent_keys_are_chosen_in_their_usual_order() {
    let keys = vec![count("z", 400, 2), count("rare", 9, 0), count("a", 10, 0), count("mixed", 300, 500)];
    let counts = KeyCounts { keys, complete: true };
    let chosen = |max| -> Vec<_> {
        let chosen = choose(Dataset::Spans, &counts, 1000, max, 8);
        chosen.into_iter().map(|p| (p.key, p.kind.to_string(), p.residual)).collect()
    };
    let of = |key: &str, kind: &str, residual| (key.to_owned(), kind.to_owned(), residual);
    let all = [of("z", "string", true), of("a", "string", false), of("mixed", "int", true)];
    assert_eq!(chosen(256), all);
    assert_eq!(chosen(2), [all[0].clone(), all[2].clone()]);
    assert_eq!(chosen(0), []);
}
