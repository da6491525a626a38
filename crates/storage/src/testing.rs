//! Rows for tests, made from a text that stands for OTLP: one record a line,
//! `<time_ns> <service> <name>`, or `! <reason>` for a record to be rejected.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, FixedSizeBinaryBuilder, Float64Array, Int32Array, Int64Array, MapBuilder, MapFieldNames,
    RecordBatch, StringArray, StringBuilder, StructBuilder, TimestampNanosecondArray, UInt32Array, UInt64Array,
    new_null_array,
};
use arrow::array::{AsArray, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder};
use arrow::datatypes::DataType;
use sha2::{Digest, Sha256};
use tracehound_schema::{Dataset, DecodeLimits, Decoded, Encoding, Payload, Signal, attribute_value_fields};

use crate::{Clock, Decode, Snapshot};

/// A time inside 2026-11-22T15.
pub(crate) const NOW_NS: i64 = 1_795_361_400_000_000_000;

pub(crate) fn payload(tenant: &str, signal: Signal, body: &str) -> Payload {
    Payload {
        tenant: tenant.parse().unwrap(),
        signal,
        encoding: Encoding::Protobuf,
        received_at_ns: NOW_NS,
        ingest_key_id: None,
        body: body.to_owned().into(),
    }
}

/// A payload of spans with these names.
pub(crate) fn spans(tenant: &str, names: &[&str]) -> Payload {
    let lines: Vec<_> = names.iter().map(|name| format!("{NOW_NS} shop {name}")).collect();
    payload(tenant, Signal::Traces, &lines.join("\n"))
}

pub(crate) fn fixed_clock() -> Clock {
    Arc::new(|| NOW_NS)
}

pub(crate) fn decoder() -> Decode {
    Arc::new(|payload: &Payload, _: &DecodeLimits| decode(payload))
}

pub(crate) fn decode(payload: &Payload) -> Result<Decoded, String> {
    let text = std::str::from_utf8(&payload.body).map_err(|e| e.to_string())?;
    let (mut rows, mut rejects) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let parts: Vec<_> = line.splitn(3, ' ').collect();
        match parts[..] {
            ["!", reason] => rejects.push((payload.received_at_ns, "shop", reason)),
            [time, service, name] => {
                rows.push((time.parse().map_err(|_| format!("{time:?}"))?, service, name));
            }
            _ => return Err(format!("{line:?}")),
        }
    }
    let message = if rejects.is_empty() { String::new() } else { format!("{} rejected", rejects.len()) };
    Ok(Decoded {
        rows: batch(Dataset::of_signal(payload.signal), &rows, payload.received_at_ns),
        rejects: batch(Dataset::IngestRejects, &rejects, payload.received_at_ns),
        message,
    })
}

/// Rows of a dataset: required columns are filled, nullable ones but `service_name` null; the `user_id` of `name@user` is `user`.
pub(crate) fn batch(dataset: Dataset, rows: &[(i64, &str, &str)], ingest_ns: i64) -> RecordBatch {
    let schema = dataset.schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let count = rows.len();
        match field.name().as_str() {
            "ingest_time" => return times(rows.iter().map(|_| ingest_ns)),
            "service_name" => {
                let services = rows.iter().map(|(_, service, _)| *service);
                return Arc::new(StringArray::from_iter_values(services));
            }
            "user_id" => {
                let users = rows.iter().map(|(_, _, name)| name.split_once('@').map(|(_, user)| user));
                return Arc::new(users.collect::<StringArray>());
            }
            _ if field.is_nullable() => return new_null_array(field.data_type(), count),
            _ => {}
        }
        match field.data_type() {
            DataType::Timestamp(..) => times(rows.iter().map(|(time, ..)| *time)),
            DataType::Utf8 => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
            DataType::Binary => Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| row.2.as_bytes()))),
            DataType::FixedSizeBinary(size) => {
                let mut ids = FixedSizeBinaryBuilder::new(*size);
                for row in rows {
                    let hash = Sha256::digest(row.2);
                    ids.append_value(&hash[..usize::try_from(*size).unwrap()]).unwrap();
                }
                Arc::new(ids.finish())
            }
            DataType::UInt32 => Arc::new(UInt32Array::from(vec![0; count])),
            DataType::UInt64 => Arc::new(UInt64Array::from(vec![0; count])),
            DataType::Int32 => Arc::new(Int32Array::from(vec![0; count])),
            DataType::Int64 => Arc::new(Int64Array::from(vec![0; count])),
            DataType::Float64 => Arc::new(Float64Array::from(vec![1.0; count])),
            DataType::Map(..) => attributes(rows, field.data_type()),
            other => panic!("no value for {other}"),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

fn times(times: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC"))
}

/// One attribute a row: `test.name`, the row's name.
fn attributes(rows: &[(i64, &str, &str)], data_type: &DataType) -> ArrayRef {
    let names = MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let values = StructBuilder::from_fields(attribute_value_fields(), rows.len());
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), values);
    for row in rows {
        map.keys().append_value("test.name");
        let value = map.values();
        value.field_builder::<StringBuilder>(0).unwrap().append_value(row.2);
        value.field_builder::<Int64Builder>(1).unwrap().append_null();
        value.field_builder::<Float64Builder>(2).unwrap().append_null();
        value.field_builder::<BooleanBuilder>(3).unwrap().append_null();
        value.field_builder::<BinaryBuilder>(4).unwrap().append_null();
        value.append(true);
        map.append(true).unwrap();
    }
    let map = map.finish();
    let (_, offsets, entries, nulls, ordered) = map.into_parts();
    let DataType::Map(field, _) = data_type else { panic!("{data_type} is not a map") };
    let DataType::Struct(fields) = field.data_type() else { panic!("entries are structs") };
    let (_, arrays, entry_nulls) = entries.into_parts();
    let entries = arrow::array::StructArray::new(fields.clone(), arrays, entry_nulls);
    Arc::new(arrow::array::MapArray::new(field.clone(), offsets, entries, nulls, ordered))
}

/// The values of a text column.
pub(crate) fn texts(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    column.iter().map(|text| text.unwrap_or_default().to_owned()).collect()
}

/// The `name`s (of rejects: the reasons) of all rows that a snapshot sees,
/// sorted. The files are read from the disk and checked against the manifest.
pub(crate) async fn names(
    store: Arc<dyn object_store::ObjectStore>,
    snapshot: &Snapshot,
    dataset: Dataset,
) -> Vec<String> {
    let column = if dataset == Dataset::IngestRejects { "reason" } else { "name" };
    let mut names: Vec<String> = snapshot.rows(dataset).iter().flat_map(|batch| texts(batch, column)).collect();
    for file in snapshot.files(dataset, i64::MIN..=i64::MAX).await.unwrap() {
        let bytes = object_store::ObjectStoreExt::get(&store, &file.path).await.unwrap();
        let bytes = bytes.bytes().await.unwrap();
        assert_eq!(bytes.len() as u64, file.bytes);
        assert_eq!(hex::encode(Sha256::digest(&bytes)), file.sha256);
        for batch in read_parquet(bytes) {
            // Merged files have promoted columns and `_commit` after the dataset's own.
            let (schema, own) = (batch.schema(), dataset.schema());
            assert!(schema.fields().iter().zip(own.fields()).all(|(found, own)| found.name() == own.name()));
            assert!(schema.fields().len() >= own.fields().len());
            names.extend(texts(&batch, column));
        }
    }
    names.sort_unstable();
    names
}

pub(crate) fn read_parquet(bytes: bytes::Bytes) -> Vec<RecordBatch> {
    let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    builder.build().unwrap().map(Result::unwrap).collect()
}

/// What a Parquet file says of itself beside its columns.
pub(crate) fn parquet_metadata(bytes: bytes::Bytes) -> std::collections::HashMap<String, String> {
    let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    builder.schema().metadata().clone()
}
