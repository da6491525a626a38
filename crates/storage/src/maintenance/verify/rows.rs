//! What is in a Parquet file against what the manifest says of it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Int64Type, TimestampNanosecondType};
use arrow::row::{OwnedRow, RowConverter, SortField};
use futures::StreamExt;
use tracehound_schema::Hour;

use super::Verifier;
use crate::maintenance::reader;
use crate::{DataFile, Error, files};

const SLICE_NS: i64 = 600_000_000_000;

/// Compares a file with the manifest: its footer, or with `deep` all its rows. Returns what is wrong.
///
/// # Errors
/// If the store cannot be read.
pub(super) async fn check(verifier: &Verifier<'_>, file: &DataFile) -> Result<Option<String>, Error> {
    match read(verifier, file).await {
        Err(Error::Corrupt { detail, .. }) => Ok(Some(format!("it does not decode: {detail}"))),
        outcome => outcome,
    }
}

async fn read(verifier: &Verifier<'_>, file: &DataFile) -> Result<Option<String>, Error> {
    let failed = |e| reader::failed(verifier.store(), file, e);
    let builder = reader::open(verifier.store(), file).await?;
    let rows = builder.metadata().file_metadata().num_rows();
    if u64::try_from(rows) != Ok(file.rows) {
        return Ok(Some(format!("its footer says {rows} rows, the manifest {}", file.rows)));
    }
    let has_commit_column = builder.schema().column_with_name("_commit").is_some();
    if has_commit_column != file.has_commit_column {
        return Ok(Some(format!("it has {} _commit column", if has_commit_column { "a" } else { "no" })));
    }
    if !verifier.options.deep {
        return Ok(None);
    }
    let mut batches = builder.build().map_err(failed)?;
    let mut seen = Seen::new(file)?;
    while let Some(batch) = batches.next().await {
        if let Some(detail) = seen.add(&batch.map_err(failed)?)? {
            return Ok(Some(detail));
        }
    }
    Ok(seen.end())
}

/// What the rows of a file say, so far.
struct Seen<'a> {
    file: &'a DataFile,
    rows: u64,
    event_time: (i64, i64),
    ingest_time: (i64, i64),
    commits: (u64, u64),
    sort: Option<(RowConverter, Option<OwnedRow>)>,
}

const NONE: (i64, i64) = (i64::MAX, i64::MIN);

impl<'a> Seen<'a> {
    fn new(file: &'a DataFile) -> Result<Self, Error> {
        let dataset = file.dataset;
        let mut types = Vec::new();
        if dataset.sorts_by_slice() {
            types.push(DataType::Int64);
        }
        for name in dataset.sort_columns() {
            let schema = dataset.schema();
            types.push(schema.field_with_name(name).map_err(Error::internal)?.data_type().clone());
        }
        let options = SortOptions { descending: false, nulls_first: true };
        let fields = types.into_iter().map(|data_type| SortField::new_with_options(data_type, options)).collect();
        // A later release may sort otherwise; then only what the file says is known, not how to check it.
        let sort = if file.sort == files::sort_text(dataset) {
            Some((RowConverter::new(fields).map_err(Error::internal)?, None))
        } else {
            None
        };
        Ok(Self { file, rows: 0, event_time: NONE, ingest_time: NONE, commits: (u64::MAX, 0), sort })
    }

    /// Adds rows; returns what is wrong with them.
    fn add(&mut self, batch: &RecordBatch) -> Result<Option<String>, Error> {
        let dataset = self.file.dataset;
        let times = |name: &str| {
            let column = batch.column_by_name(name).and_then(|column| {
                column.as_primitive_opt::<TimestampNanosecondType>().filter(|times| times.null_count() == 0).cloned()
            });
            column.ok_or_else(|| format!("its column {name} is not one of times"))
        };
        let (event, ingest) = match (times(dataset.time_column()), times("ingest_time")) {
            (Ok(event), Ok(ingest)) => (event, ingest),
            (Err(detail), _) | (_, Err(detail)) => return Ok(Some(detail)),
        };
        self.rows += batch.num_rows() as u64;
        widen(&mut self.event_time, event.values());
        widen(&mut self.ingest_time, ingest.values());
        if self.file.has_commit_column {
            let column = batch.column_by_name("_commit").and_then(|column| column.as_primitive_opt::<Int64Type>());
            let Some(column) = column.filter(|column| column.null_count() == 0) else {
                return Ok(Some("its _commit column is not one of whole numbers".to_owned()));
            };
            for commit in column.values() {
                let Ok(commit) = u64::try_from(*commit) else {
                    return Ok(Some(format!("a row has the _commit {commit}")));
                };
                self.commits = (self.commits.0.min(commit), self.commits.1.max(commit));
            }
        }
        if let Some((converter, last)) = &mut self.sort {
            let mut keys: Vec<ArrayRef> = Vec::new();
            if dataset.sorts_by_slice() {
                let slices = event.values().iter().map(|time| time.div_euclid(SLICE_NS));
                keys.push(Arc::new(Int64Array::from_iter_values(slices)));
            }
            for name in dataset.sort_columns() {
                let Some(column) = batch.column_by_name(name) else {
                    return Ok(Some(format!("it has no column {name}")));
                };
                keys.push(Arc::clone(column));
            }
            let rows = converter.convert_columns(&keys).map_err(Error::internal)?;
            let first = rows.iter().next();
            let falls = first.zip(last.as_ref()).is_some_and(|(first, last)| first < last.row())
                || rows.iter().zip(rows.iter().skip(1)).any(|(a, b)| b < a);
            if falls {
                return Ok(Some(format!("its rows are not sorted by {}", self.file.sort)));
            }
            if let Some(row) = rows.iter().next_back() {
                *last = Some(row.owned());
            }
        }
        Ok(None)
    }

    /// What is wrong with the rows as a whole.
    fn end(self) -> Option<String> {
        let file = self.file;
        if self.rows != file.rows {
            return Some(format!("it holds {} rows, the manifest says {}", self.rows, file.rows));
        }
        if self.event_time != file.event_time || self.ingest_time != file.ingest_time {
            return Some("its times are not those that the manifest says".to_owned());
        }
        let hours = (Hour::containing(self.event_time.0), Hour::containing(self.event_time.1));
        if hours != file.hours {
            return Some(format!("its rows are of hours {} to {}, which the manifest does not say", hours.0, hours.1));
        }
        if file.has_commit_column && self.commits != file.commits {
            return Some("its _commit column is not what the manifest says".to_owned());
        }
        None
    }
}

fn widen(range: &mut (i64, i64), values: &[i64]) {
    for value in values {
        *range = (range.0.min(*value), range.1.max(*value));
    }
}
