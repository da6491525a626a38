//! `system.files`: what the manifest says of each live file.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::Result;
use tracehound_storage::{Origin, Snapshot};

use super::{count, counts, fields, live, text, texts, time, times};

pub(super) fn schema() -> SchemaRef {
    let maybe_text = |name: &str| Field::new(name, DataType::Utf8, true);
    fields(vec![
        text("dataset"),
        text("path"),
        count("rows"),
        count("bytes"),
        text("first_hour"),
        text("last_hour"),
        time("first_time"),
        time("last_time"),
        time("first_ingest_time"),
        time("last_ingest_time"),
        Field::new("commit", DataType::Int64, true),
        text("sha256"),
        text("origin"),
        count("first_commit"),
        count("last_commit"),
        Field::new("has_commit_column", DataType::Boolean, false),
        text("sort"),
        count("schema_version"),
        count("mapping_version"),
        maybe_text("sidecar"),
        Field::new("sidecar_bytes", DataType::UInt64, true),
        maybe_text("sidecar_sha256"),
        maybe_text("quarantined"),
    ])
}

pub(super) async fn columns(snapshot: &Snapshot) -> Result<Vec<ArrayRef>> {
    let files = live(snapshot).await?;
    let sidecars = || files.iter().map(|file| file.sidecar.as_ref());
    Ok(vec![
        texts(&files, |file| file.dataset.to_string()),
        texts(&files, |file| file.path.to_string()),
        counts(&files, |file| file.rows),
        counts(&files, |file| file.bytes),
        texts(&files, |file| file.hours.0.to_string()),
        texts(&files, |file| file.hours.1.to_string()),
        times(&files, |file| file.event_time.0),
        times(&files, |file| file.event_time.1),
        times(&files, |file| file.ingest_time.0),
        times(&files, |file| file.ingest_time.1),
        Arc::new(files.iter().map(|file| i64::try_from(file.commit).ok()).collect::<Int64Array>()),
        texts(&files, |file| file.sha256.clone()),
        texts(&files, |file| {
            let origin = match file.origin {
                Origin::Live => "live",
                Origin::Backfill => "backfill",
                Origin::Replay => "replay",
            };
            origin.to_owned()
        }),
        counts(&files, |file| file.commits.0),
        counts(&files, |file| file.commits.1),
        Arc::new(files.iter().map(|file| Some(file.has_commit_column)).collect::<BooleanArray>()),
        texts(&files, |file| file.sort.clone()),
        counts(&files, |file| u64::from(file.schema_version)),
        counts(&files, |file| u64::from(file.mapping_version)),
        Arc::new(sidecars().map(|sidecar| Some(sidecar?.path.to_string())).collect::<StringArray>()),
        Arc::new(sidecars().map(|sidecar| Some(sidecar?.bytes)).collect::<UInt64Array>()),
        Arc::new(sidecars().map(|sidecar| Some(sidecar?.sha256.clone())).collect::<StringArray>()),
        Arc::new(
            files
                .iter()
                .map(|file| snapshot.quarantined(file))
                .map(|why| Some(why?.to_string()))
                .collect::<StringArray>(),
        ),
    ])
}
