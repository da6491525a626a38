//! Rows become Parquet files: split by hour, sorted, written, hashed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::compute::{SortOptions, interleave_record_batch};
use arrow::datatypes::{DataType, TimestampNanosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::sync::Arc;
use tracehound_schema::{Dataset, ENTITY_MAPPING_VERSION, Hour, SCHEMA_VERSION, TenantId};
use ulid::Ulid;

use crate::manifest::{File, Time};
use crate::store::Store;
use crate::{Error, Origin, partition};

/// The most files of their own that a flush gives to hours of one dataset.
pub(crate) const HOURS_MAX: usize = 48;
const ROW_GROUP_ROWS: usize = 131_072;
const ROWS_AT_ONCE: usize = 8192;
const SLICE_NS: i64 = 600_000_000_000;
const STATISTICS_BYTES_MAX: usize = 64;

/// Where a row is: its batch and its row within.
type Place = (usize, usize);

/// How a dataset's files are sorted, in the manifest's words.
pub(crate) fn sort_text(dataset: Dataset) -> String {
    let slice = dataset.sorts_by_slice().then_some("slice10m");
    let columns: Vec<_> = slice.into_iter().chain(dataset.sort_columns().iter().copied()).collect();
    columns.join(",")
}

/// Writes the rows of a dataset as durable files that no entry names yet.
///
/// Rows go to a file per hour, those of all but the 48 fullest hours to one late file.
///
/// # Errors
/// [`Error::Io`] and [`Error::Unavailable`] if the store fails; files written by then stay, unnamed.
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
    let source = Source::new(dataset, batches)?;
    let mut files = Vec::new();
    for (hour, mut places) in source.split() {
        source.sort(&mut places);
        let path = partition::data_file(dataset, hour, Ulid::new());
        files.push(source.write(store, tenant, path, &places, origin)?);
    }
    Ok(files)
}

/// The rows to be written, with the columns that placing and sorting look at.
struct Source<'a> {
    dataset: Dataset,
    batches: Vec<&'a RecordBatch>,
    times: Vec<TimestampNanosecondArray>,
    ingest_times: Vec<TimestampNanosecondArray>,
    keys: Vec<Rows>,
}

impl<'a> Source<'a> {
    fn new(dataset: Dataset, batches: &'a [RecordBatch]) -> Result<Self, Error> {
        let column = |batch: &RecordBatch, name: &str| {
            let found = batch.column_by_name(name);
            found.cloned().ok_or_else(|| Error::internal(format!("{dataset} rows lack {name}")))
        };
        let times_of = |name: &str| {
            let times = batches.iter().map(|batch| {
                let column = column(batch, name)?;
                let times = column.as_primitive_opt::<TimestampNanosecondType>();
                times.cloned().ok_or_else(|| Error::internal(format!("{name} is not a time")))
            });
            times.collect::<Result<Vec<_>, Error>>()
        };
        let times = times_of(dataset.time_column())?;
        let ingest_times = times_of("ingest_time")?;

        let keys_of = |batch: &RecordBatch, times: &TimestampNanosecondArray| {
            let slice = |time: &i64| time.div_euclid(SLICE_NS);
            let slices = || Arc::new(Int64Array::from_iter_values(times.values().iter().map(slice)));
            let mut keys: Vec<ArrayRef> = Vec::new();
            if dataset.sorts_by_slice() {
                keys.push(slices());
            }
            for name in dataset.sort_columns() {
                keys.push(column(batch, name)?);
            }
            Ok::<_, Error>(keys)
        };
        let options = SortOptions { descending: false, nulls_first: true };
        let field = |key: &DataType| SortField::new_with_options(key.clone(), options);
        let schema = dataset.schema();
        let types = dataset.sort_columns().iter().map(|name| {
            let column = schema.field_with_name(name).map_err(Error::internal)?;
            Ok::<_, Error>(column.data_type().clone())
        });
        let mut types = types.collect::<Result<Vec<_>, _>>()?;
        if dataset.sorts_by_slice() {
            types.insert(0, DataType::Int64);
        }
        let converter = RowConverter::new(types.iter().map(field).collect());
        let converter = converter.map_err(Error::internal)?;
        let keys = batches
            .iter()
            .zip(&times)
            .map(|(batch, times)| converter.convert_columns(&keys_of(batch, times)?).map_err(Error::internal));
        let keys = keys.collect::<Result<Vec<_>, Error>>()?;
        Ok(Self { dataset, batches: batches.iter().collect(), times, ingest_times, keys })
    }

    /// The rows by hour, those of late hours under `None`.
    fn split(&self) -> Vec<(Option<Hour>, Vec<Place>)> {
        let mut hours: BTreeMap<Hour, Vec<Place>> = BTreeMap::new();
        for (batch, times) in self.times.iter().enumerate() {
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
        files
    }

    /// Sorts rows as the dataset says; equal ones stay in the order they came.
    fn sort(&self, places: &mut [Place]) {
        let key = |(batch, row): Place| self.keys[batch].row(row);
        places.sort_unstable_by(|a, b| key(*a).cmp(&key(*b)).then(a.cmp(b)));
    }

    fn write(
        &self,
        store: &Store,
        tenant: &TenantId,
        path: String,
        places: &[Place],
        origin: Origin,
    ) -> Result<File, Error> {
        let object = format!("{}/{path}", partition::tenant_dir(tenant));
        let name = store.name(&object);
        let failed = |e: parquet::errors::ParquetError| match e {
            parquet::errors::ParquetError::External(source) => match source.downcast() {
                Ok(source) => Error::io(&name, *source),
                Err(source) => Error::internal(source),
            },
            other => Error::internal(other),
        };
        let file = store.new_file(&object)?;
        let properties = properties(self.dataset);
        let mut writer = ArrowWriter::try_new(file, self.dataset.schema(), Some(properties)).map_err(failed)?;
        for places in places.chunks(ROWS_AT_ONCE) {
            let rows = interleave_record_batch(&self.batches, places).map_err(Error::internal)?;
            writer.write(&rows).map_err(failed)?;
        }
        let written = writer.into_inner().map_err(failed)?.finish_blocking()?;
        let event_time = range(&self.times, places);
        let ingest_time = range(&self.ingest_times, places);
        Ok(File {
            dataset: self.dataset,
            path,
            bytes: written.bytes,
            rows: places.len() as u64,
            sha256: written.sha256,
            hours: (Hour::containing(event_time.0.0), Hour::containing(event_time.1.0)),
            event_time,
            ingest_time,
            sort: sort_text(self.dataset),
            schema: SCHEMA_VERSION,
            mapping: ENTITY_MAPPING_VERSION,
            origin,
            sidecar: None,
            commits: None,
        })
    }
}

fn range(times: &[TimestampNanosecondArray], places: &[Place]) -> (Time, Time) {
    let values = || places.iter().map(|(batch, row)| times[*batch].value(*row));
    (Time(values().min().unwrap_or_default()), Time(values().max().unwrap_or_default()))
}

fn properties(dataset: Dataset) -> WriterProperties {
    let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    WriterProperties::builder()
        .set_created_by(format!("tracehound {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(true)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_column_index_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_key_value_metadata(Some(vec![
            pair("tracehound.format", "1".to_owned()),
            pair("tracehound.dataset", dataset.to_string()),
            pair("tracehound.schema", SCHEMA_VERSION.to_string()),
            pair("tracehound.mapping", ENTITY_MAPPING_VERSION.to_string()),
            pair("tracehound.sort", sort_text(dataset)),
        ]))
        .build()
}

#[cfg(test)]
mod tests;
