//! `system.files`: the live files of the snapshot.

use std::sync::Arc;

use arrow::array::{Int64Builder, RecordBatch, StringBuilder, TimestampNanosecondBuilder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::MemTable;
use datafusion::common::{DataFusionError, Result};
use tracehound_schema::Dataset;
use tracehound_storage::{Origin, Snapshot};

pub(crate) fn files_schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("dataset", DataType::Utf8, false),
        Field::new("path", DataType::Utf8, false),
        Field::new("rows", DataType::UInt64, false),
        Field::new("bytes", DataType::UInt64, false),
        Field::new("first_hour", DataType::Utf8, false),
        Field::new("last_hour", DataType::Utf8, false),
        Field::new("first_time", time(), false),
        Field::new("last_time", time(), false),
        Field::new("first_ingest_time", time(), false),
        Field::new("last_ingest_time", time(), false),
        Field::new("commit", DataType::Int64, true),
        Field::new("sha256", DataType::Utf8, false),
        Field::new("origin", DataType::Utf8, false),
    ]))
}

/// The live files as a table.
pub(crate) async fn files(snapshot: &Snapshot) -> Result<MemTable> {
    let texts = || StringBuilder::new();
    let times = || TimestampNanosecondBuilder::new().with_timezone("UTC");
    let (mut dataset, mut path, mut rows, mut bytes) = (texts(), texts(), UInt64Builder::new(), UInt64Builder::new());
    let (mut first_hour, mut last_hour, mut first, mut last) = (texts(), texts(), times(), times());
    let (mut first_ingest, mut last_ingest) = (times(), times());
    let (mut commit, mut sha256, mut origin) = (Int64Builder::new(), texts(), texts());
    let mut files = Vec::new();
    for dataset in Dataset::ALL {
        let live = snapshot.files(dataset, i64::MIN..=i64::MAX).await;
        files.extend(live.map_err(|e| DataFusionError::External(Box::new(e)))?);
    }
    for file in files {
        dataset.append_value(file.dataset.to_string());
        path.append_value(file.path.as_ref());
        rows.append_value(file.rows);
        bytes.append_value(file.bytes);
        first_hour.append_value(file.hours.0.to_string());
        last_hour.append_value(file.hours.1.to_string());
        first.append_value(file.event_time.0);
        last.append_value(file.event_time.1);
        first_ingest.append_value(file.ingest_time.0);
        last_ingest.append_value(file.ingest_time.1);
        commit.append_option(i64::try_from(file.commit).ok());
        sha256.append_value(&file.sha256);
        origin.append_value(match file.origin {
            Origin::Live => "live",
            Origin::Backfill => "backfill",
            Origin::Replay => "replay",
        });
    }
    let batch = RecordBatch::try_new(
        files_schema(),
        vec![
            Arc::new(dataset.finish()),
            Arc::new(path.finish()),
            Arc::new(rows.finish()),
            Arc::new(bytes.finish()),
            Arc::new(first_hour.finish()),
            Arc::new(last_hour.finish()),
            Arc::new(first.finish()),
            Arc::new(last.finish()),
            Arc::new(first_ingest.finish()),
            Arc::new(last_ingest.finish()),
            Arc::new(commit.finish()),
            Arc::new(sha256.finish()),
            Arc::new(origin.finish()),
        ],
    )?;
    MemTable::try_new(files_schema(), vec![vec![batch]])
}
