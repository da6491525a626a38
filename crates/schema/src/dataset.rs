use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::Signal;
use crate::column::{Column, ingest_reject_columns, log_columns, metric_columns, span_columns};

/// The version of all dataset schemas, recorded with every file. It rises when
/// a column is appended; columns are never renamed or removed.
pub const SCHEMA_VERSION: u32 = 1;

/// A set of files under one name in a tenant's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dataset {
    /// One row per span.
    Spans,
    /// One row per log record.
    Logs,
    /// One row per data point.
    Metrics,
    /// One row per rejected record.
    IngestRejects,
}

struct Definition {
    columns: Vec<Column>,
    schema: SchemaRef,
}

static DEFINITIONS: LazyLock<[Definition; 4]> = LazyLock::new(|| {
    let define = |columns: Vec<Column>| {
        let fields: Vec<_> = columns.iter().map(Column::field).collect();
        Definition { columns, schema: Arc::new(Schema::new(fields)) }
    };
    [define(span_columns()), define(log_columns()), define(metric_columns()), define(ingest_reject_columns())]
});

impl Dataset {
    /// All datasets.
    pub const ALL: [Self; 4] = [Self::Spans, Self::Logs, Self::Metrics, Self::IngestRejects];

    /// Its name, as in paths and the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::IngestRejects => "ingest_rejects",
        }
    }

    /// The dataset that a signal's accepted records go to.
    pub fn of_signal(signal: Signal) -> Self {
        match signal {
            Signal::Traces => Self::Spans,
            Signal::Logs => Self::Logs,
            Signal::Metrics => Self::Metrics,
        }
    }

    /// Its stored columns, in file order.
    pub fn columns(self) -> &'static [Column] {
        &self.definition().columns
    }

    /// Its stored columns as an Arrow schema.
    pub fn schema(self) -> SchemaRef {
        Arc::clone(&self.definition().schema)
    }

    /// The timestamp column whose hour is a row's partition.
    pub fn time_column(self) -> &'static str {
        match self {
            Self::Spans => "start_time",
            Self::Logs | Self::Metrics => "time",
            Self::IngestRejects => "ingest_time",
        }
    }

    /// The columns that rows of a file are sorted by, after the 10-minute slice
    /// of the time column where [`sorts_by_slice`](Self::sorts_by_slice) says so.
    pub fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Self::Spans => &["service_name", "name", "start_time"],
            Self::Logs => &["service_name", "time"],
            Self::Metrics => &["name", "series_id", "time"],
            Self::IngestRejects => &["ingest_time"],
        }
    }

    /// Whether rows are sorted by the 10-minute slice of their time first.
    pub fn sorts_by_slice(self) -> bool {
        matches!(self, Self::Spans | Self::Logs)
    }

    fn definition(self) -> &'static Definition {
        &DEFINITIONS[self as usize]
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Dataset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|dataset| dataset.as_str() == name)
            .ok_or_else(|| format!("{name:?} is not a dataset"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_columns_exist() {
        for dataset in Dataset::ALL {
            let schema = dataset.schema();
            for name in dataset.sort_columns().iter().chain([&dataset.time_column()]) {
                assert!(schema.field_with_name(name).is_ok(), "{dataset} has no {name}");
            }
            assert_eq!(dataset.as_str().parse(), Ok(dataset));
        }
    }
}
