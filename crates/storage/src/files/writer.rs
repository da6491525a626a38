//! One data file in the making, and its sidecar with it.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortOptions, max, min, sort_to_indices, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampNanosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use tracehound_schema::{Dataset, ENTITY_MAPPING_VERSION, Hour, PROMOTED_METADATA, Promoted, SCHEMA_VERSION, TenantId};

use super::promote::Splitter;
use super::sidecar::{ColumnRange, SidecarBuilder};
use super::{COMMIT, end_time, properties, sort_text};
use crate::manifest::{self, File, Time};
use crate::store::{NewFile, Store};
use crate::{Error, Origin, partition};

/// What a file is to be.
pub(super) struct Layout {
    pub(super) dataset: Dataset,
    pub(super) origin: Origin,
    /// Whether rows come with a `_commit` column, the last one, and with which keys as columns.
    pub(super) merged: Option<Vec<Promoted>>,
    /// How many values a needle column may have at most, where that is known.
    pub(super) distinct: HashMap<String, u64>,
    /// Promoted columns with many distinct values.
    pub(super) many_values: Vec<String>,
}

impl Layout {
    /// Files of a flush: as rows came.
    pub(super) fn of_flush(dataset: Dataset, origin: Origin) -> Self {
        let (distinct, many_values) = (HashMap::new(), Vec::new());
        Self { dataset, origin, merged: None, distinct, many_values }
    }
}

/// A data file in the making. Blocking.
pub(super) struct FileWriter {
    store: Store,
    dataset: Dataset,
    origin: Origin,
    /// Below the tenant's folder.
    path: String,
    object: String,
    schema: SchemaRef,
    parquet: ArrowWriter<NewFile>,
    splitter: Splitter,
    sidecar: SidecarBuilder,
    rows: u64,
    event_time: Option<(i64, i64)>,
    ingest_time: Option<(i64, i64)>,
    commits: Option<(i64, i64)>,
    merged: bool,
}

impl FileWriter {
    /// Starts the file `path` of a tenant, for at most about `rows` rows.
    pub(super) fn create(
        store: &Store,
        tenant: &TenantId,
        path: String,
        layout: &Layout,
        rows: u64,
    ) -> Result<Self, Error> {
        let dataset = layout.dataset;
        let object = format!("{}/{path}", partition::tenant_dir(tenant));
        let promoted = layout.merged.as_deref().unwrap_or_default();
        let splitter = Splitter::new(dataset, promoted);
        let merged = layout.merged.is_some();
        let properties = if merged {
            properties::of_merge(dataset, rows, &layout.many_values)
        } else {
            properties::of_flush(dataset)
        };
        let commit = merged.then(|| Arc::new(Field::new(COMMIT, DataType::Int64, false)));
        let own = if merged { end_time::schema(dataset) } else { dataset.schema() };
        let fields = own.fields().iter().cloned().chain(splitter.fields()).chain(commit);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let file = store.new_file(&object)?;
        let name = store.name(&object);
        let parquet =
            ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(|e| failed(&name, e))?;
        Ok(Self {
            store: store.clone(),
            dataset,
            origin: layout.origin,
            path,
            object,
            schema,
            parquet,
            splitter,
            sidecar: SidecarBuilder::new(dataset, rows, |column| layout.distinct.get(column).copied())?,
            rows: 0,
            event_time: None,
            ingest_time: None,
            commits: None,
            merged,
        })
    }

    /// Appends sorted rows: the dataset's columns with whole maps, then `_commit` where the layout says so.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.sidecar.add(rows)?;
        widen(&mut self.event_time, time_range(rows, self.dataset.time_column())?);
        widen(&mut self.ingest_time, time_range(rows, "ingest_time")?);
        self.rows += rows.num_rows() as u64;
        if !self.merged {
            return self.parquet.write(rows).map_err(|e| failed(&self.store.name(&self.object), e));
        }
        let last = rows.num_columns() - 1;
        let commits = rows.column(last);
        let values = commits.as_primitive::<Int64Type>();
        if let (Some(least), Some(greatest)) = (min(values), max(values)) {
            widen(&mut self.commits, (least, greatest));
        }
        let own = rows.project(&(0..last).collect::<Vec<_>>()).map_err(Error::internal)?;
        let mut columns = self.splitter.split(&own)?;
        end_time::leave_out(self.dataset, &mut columns)?;
        columns.push(Arc::clone(commits));
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(Error::internal)?;
        self.parquet.write(&rows).map_err(|e| failed(&self.store.name(&self.object), e))
    }

    /// Its size so far, estimated.
    pub(super) fn bytes(&self) -> u64 {
        (self.parquet.bytes_written() + self.parquet.in_progress_size()) as u64
    }

    /// The memory it takes until its row group is written.
    pub(super) fn memory_bytes(&self) -> usize {
        self.parquet.memory_size()
    }

    /// The rows in its unfinished row group.
    pub(super) fn rows_buffered(&self) -> usize {
        self.parquet.in_progress_rows()
    }

    /// Ends the row group early, to free its memory.
    pub(super) fn end_row_group(&mut self) -> Result<(), Error> {
        self.parquet.flush().map_err(|e| failed(&self.store.name(&self.object), e))
    }

    /// Makes file and sidecar durable; no entry names them yet.
    pub(super) fn finish(mut self) -> Result<File, Error> {
        let name = self.store.name(&self.object);
        let failed = |e| failed(&name, e);
        self.parquet.flush().map_err(failed)?;
        let promoted = self.splitter.promoted();
        if !promoted.is_empty() {
            let promoted = serde_json::to_string(&promoted).map_err(Error::internal)?;
            self.parquet.append_key_value_metadata(KeyValue::new(PROMOTED_METADATA.to_owned(), promoted));
        }
        let ranges = column_ranges(&self.schema, self.parquet.flushed_row_groups())?;
        let sidecar = self.sidecar.finish(ranges)?;
        let written = self.parquet.into_inner().map_err(failed)?.finish_blocking()?;
        let sidecar = write_sidecar(&self.store, &self.path, &self.object, &sidecar)?;
        let (event_time, ingest_time) = (self.event_time.unwrap_or_default(), self.ingest_time.unwrap_or_default());
        let commit = |commit: i64| u64::try_from(commit).map_err(Error::internal);
        let commits = match self.commits {
            Some((least, greatest)) => Some((commit(least)?, commit(greatest)?)),
            None => None,
        };
        Ok(File {
            dataset: self.dataset,
            path: self.path,
            bytes: written.bytes,
            rows: self.rows,
            sha256: written.sha256,
            hours: (Hour::containing(event_time.0), Hour::containing(event_time.1)),
            event_time: (Time(event_time.0), Time(event_time.1)),
            ingest_time: (Time(ingest_time.0), Time(ingest_time.1)),
            sort: sort_text(self.dataset),
            schema: SCHEMA_VERSION,
            mapping: ENTITY_MAPPING_VERSION,
            origin: self.origin,
            sidecar: Some(sidecar),
            commits,
        })
    }
}

/// Where a data file's sidecar is.
pub(super) fn sidecar_path(path: &str) -> String {
    format!("{}.index", path.strip_suffix(".parquet").unwrap_or(path))
}

fn write_sidecar(store: &Store, path: &str, object: &str, bytes: &[u8]) -> Result<manifest::Sidecar, Error> {
    let object = sidecar_path(object);
    let mut file = store.new_file(&object)?;
    file.write_all(bytes).map_err(|e| Error::io(&store.name(&object), e))?;
    let written = file.finish_blocking()?;
    Ok(manifest::Sidecar { path: sidecar_path(path), bytes: written.bytes, sha256: written.sha256 })
}

fn failed(name: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast() {
            Ok(source) => Error::io(name, *source),
            Err(source) => Error::internal(source),
        },
        other => Error::internal(other),
    }
}

fn widen(range: &mut Option<(i64, i64)>, (least, greatest): (i64, i64)) {
    *range = Some(range.map_or((least, greatest), |(a, b)| (a.min(least), b.max(greatest))));
}

fn time_range(rows: &RecordBatch, name: &str) -> Result<(i64, i64), Error> {
    let times = rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
    let times = times.ok_or_else(|| Error::internal(format!("rows lack the time {name}")))?;
    Ok((min(times).unwrap_or_default(), max(times).unwrap_or_default()))
}

/// The ranges of the columns that are not nested, from Parquet's statistics.
fn column_ranges(schema: &Schema, groups: &[RowGroupMetaData]) -> Result<Vec<ColumnRange>, Error> {
    let Some(first) = groups.first() else { return Ok(Vec::new()) };
    let mut ranges = Vec::new();
    for field in schema.fields().iter().filter(|field| !field.data_type().is_nested()) {
        if *field.data_type() == DataType::Binary {
            continue;
        }
        let statistics = StatisticsConverter::try_new(field.name(), schema, first.schema_descr());
        let statistics = statistics.map_err(Error::internal)?;
        let nulls = statistics.row_group_null_counts(groups).map_err(Error::internal)?;
        let least = statistics.row_group_mins(groups).map_err(Error::internal)?;
        let greatest = statistics.row_group_maxes(groups).map_err(Error::internal)?;
        ranges.push(ColumnRange {
            name: field.name().clone(),
            nulls: nulls.iter().flatten().sum(),
            min: extreme(&least, false)?,
            max: extreme(&greatest, true)?,
        });
    }
    Ok(ranges)
}

fn extreme(values: &ArrayRef, greatest: bool) -> Result<Option<String>, Error> {
    let options = SortOptions { descending: greatest, nulls_first: false };
    let first = sort_to_indices(values, Some(options), Some(1)).map_err(Error::internal)?;
    let value = take(values, &first, None).map_err(Error::internal)?;
    if value.is_empty() || value.is_null(0) {
        return Ok(None);
    }
    let value = match value.data_type() {
        DataType::FixedSizeBinary(_) => return Ok(Some(hex::encode(value.as_fixed_size_binary().value(0)))),
        DataType::Timestamp(..) => arrow::compute::cast(&value, &DataType::Int64).map_err(Error::internal)?,
        _ => value,
    };
    let text = ArrayFormatter::try_new(&value, &FormatOptions::default()).map_err(Error::internal)?;
    Ok(Some(text.value(0).to_string()))
}
