//! `system.partitions`: how much of a dataset there is in which hours.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use tracehound_schema::{Dataset, Hour};
use tracehound_storage::Snapshot;

use super::{count, counts, fields, live, text, texts};

pub(super) fn schema() -> SchemaRef {
    fields(vec![
        text("dataset"),
        text("first_hour"),
        text("last_hour"),
        count("files"),
        count("rows"),
        count("bytes"),
        Field::new("version", DataType::UInt64, true),
    ])
}

/// Files of one dataset that hold the same hours.
struct Partition {
    dataset: Dataset,
    hours: (Hour, Hour),
    files: u64,
    rows: u64,
    bytes: u64,
    version: Option<u64>,
}

pub(super) async fn columns(snapshot: &Snapshot) -> Result<Vec<ArrayRef>> {
    let mut found: BTreeMap<_, Partition> = BTreeMap::new();
    for file in live(snapshot).await? {
        let (dataset, hours) = (file.dataset, file.hours);
        let empty = Partition { dataset, hours, files: 0, rows: 0, bytes: 0, version: None };
        let partition = found.entry((dataset as usize, hours)).or_insert(empty);
        partition.files += 1;
        partition.rows += file.rows;
        partition.bytes += file.bytes;
    }
    let mut found: Vec<_> = found.into_values().collect();
    for dataset in Dataset::ALL {
        let of_dataset = || found.iter().filter(|partition| partition.dataset == dataset);
        let first = of_dataset().map(|partition| partition.hours.0).min();
        let last = of_dataset().map(|partition| partition.hours.1).max();
        let (Some(first), Some(last)) = (first, last) else { continue };
        let versions = snapshot.versions(dataset, first..=last).await;
        let versions = versions.map_err(|e| DataFusionError::External(Box::new(crate::Error::from(e))))?;
        for partition in found.iter_mut().filter(|partition| partition.dataset == dataset) {
            partition.version = versions.range(partition.hours.0..=partition.hours.1).map(|(_, entry)| *entry).max();
        }
    }
    Ok(vec![
        texts(&found, |partition| partition.dataset.to_string()),
        texts(&found, |partition| partition.hours.0.to_string()),
        texts(&found, |partition| partition.hours.1.to_string()),
        counts(&found, |partition| partition.files),
        counts(&found, |partition| partition.rows),
        counts(&found, |partition| partition.bytes),
        Arc::new(found.iter().map(|partition| partition.version).collect::<UInt64Array>()),
    ])
}
