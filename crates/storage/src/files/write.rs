//! A flush: rows split by hour, sorted, written.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::TimestampNanosecondType;
use arrow::row::Rows;
use tracehound_schema::{Dataset, Hour, TenantId};

use super::sort::Sorter;
use super::writer::{FileWriter, Layout};
use crate::manifest::File;
use crate::store::Store;
use crate::{Error, Origin, partition, runtime};

/// The most files of their own that a flush gives to hours of one dataset.
pub(crate) const HOURS_MAX: usize = 48;
pub(super) const ROWS_AT_ONCE: usize = 8192;

/// Where a row is: its batch and its row within.
type Place = (usize, usize);

/// Writes the rows of a dataset as durable files, with sidecars, that no entry names yet.
///
/// Rows go to a file per hour, those of all but the 48 fullest hours to one late file.
///
/// # Errors
/// [`Error::Io`] if the disk fails; files written by then stay, unnamed.
pub(crate) fn write(
    store: &Store,
    tenant: &TenantId,
    dataset: Dataset,
    batches: &[RecordBatch],
    origin: Origin,
) -> Result<Vec<File>, Error> {
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    let sorter = Sorter::new(dataset)?;
    let keys = batches.iter().map(|batch| sorter.keys(batch)).collect::<Result<Vec<_>, _>>()?;
    let sources: Vec<_> = batches.iter().collect();
    let layout = Layout::of_flush(dataset, origin);
    let mut files = Vec::new();
    for (hour, mut places) in split(dataset, batches)? {
        sort(&keys, &mut places);
        let path = partition::data_file(dataset, hour, runtime::new_id());
        let rows = places.len() as u64;
        let mut file = FileWriter::create(store, tenant, path, &layout, rows)?;
        for places in places.chunks(ROWS_AT_ONCE) {
            file.write(&interleave_record_batch(&sources, places).map_err(Error::internal)?)?;
        }
        files.push(file.finish()?);
    }
    Ok(files)
}

/// Rows by hour, those of late hours under `None`.
type ByHour = Vec<(Option<Hour>, Vec<Place>)>;

fn split(dataset: Dataset, batches: &[RecordBatch]) -> Result<ByHour, Error> {
    let mut hours: BTreeMap<Hour, Vec<Place>> = BTreeMap::new();
    for (batch, rows) in batches.iter().enumerate() {
        let times = rows.column_by_name(dataset.time_column());
        let times = times.and_then(|times| times.as_primitive_opt::<TimestampNanosecondType>());
        let times = times.ok_or_else(|| Error::internal(format!("{dataset} rows lack their time")))?;
        for (row, time) in times.values().iter().enumerate() {
            hours.entry(Hour::containing(*time)).or_default().push((batch, row));
        }
    }
    let mut hours: Vec<_> = hours.into_iter().collect();
    // Stable, so that among equals the earliest hours win.
    hours.sort_by_key(|(_, places)| Reverse(places.len()));
    let late: Vec<_> = hours.split_off(hours.len().min(HOURS_MAX));
    let mut files: Vec<_> = hours.into_iter().map(|(hour, places)| (Some(hour), places)).collect();
    files.sort_by_key(|(hour, _)| *hour);
    let late: Vec<Place> = late.into_iter().flat_map(|(_, places)| places).collect();
    if !late.is_empty() {
        files.push((None, late));
    }
    Ok(files)
}

/// Sorts rows as the dataset says; equal ones stay in the order they came.
fn sort(keys: &[Rows], places: &mut [Place]) {
    let key = |(batch, row): Place| keys[batch].row(row);
    places.sort_unstable_by(|a, b| key(*a).cmp(&key(*b)).then(a.cmp(b)));
}

#[cfg(test)]
mod tests;
