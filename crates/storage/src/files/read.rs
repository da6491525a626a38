//! The rows of data files of any version, as they were sent, with `_commit`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampNanosecondType};
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::{ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use tracehound_schema::{Dataset, Promoted, attribute_order_column, promoted_columns, whole_map};

use super::object_reader::ObjectReader;
use super::{COMMIT, end_time};
use crate::store::Store;
use crate::{DataFile, Error};

/// The columns of a dataset's rows, then `_commit`.
pub(super) fn rows_schema(dataset: Dataset) -> SchemaRef {
    let commit = Arc::new(Field::new(COMMIT, DataType::Int64, false));
    let schema = dataset.schema();
    Arc::new(Schema::new(schema.fields().iter().cloned().chain([commit]).collect::<Vec<_>>()))
}

/// Reads a file's rows in batches, in file order.
pub(super) struct Input {
    name: PathBuf,
    dataset: Dataset,
    schema: SchemaRef,
    promoted: Vec<Promoted>,
    commit: i64,
    stream: ParquetRecordBatchStream<ObjectReader>,
    rows: u64,
    rows_expected: u64,
}

impl Input {
    /// Opens a file, in batches of at most `rows_at_once` rows.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is missing, has another size than the manifest says, or is not a data file.
    pub(super) async fn open(store: &Store, file: &DataFile, rows_at_once: usize) -> Result<Self, Error> {
        let name = store.name(file.path.as_ref());
        let stream = open(store, file).await?;
        let promoted = promoted_columns(stream.schema().metadata()).map_err(|e| Error::corrupt(&name, e))?;
        let commit = i64::try_from(file.commit).map_err(Error::internal)?;
        let stream = stream.with_batch_size(rows_at_once).build().map_err(|e| failed(&name, &e))?;
        let (dataset, schema) = (file.dataset, rows_schema(file.dataset));
        Ok(Self { name, dataset, schema, promoted, commit, stream, rows: 0, rows_expected: file.rows })
    }

    /// How messages name the file.
    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    /// The next rows; `None` after the last, once they were as many as the manifest says.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the file breaks the format.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let Some(rows) = self.stream.next().await else {
            if self.rows != self.rows_expected {
                let detail = format!("it has {} rows, the manifest says {}", self.rows, self.rows_expected);
                return Err(Error::corrupt(&self.name, detail));
            }
            return Ok(None);
        };
        let rows = rows.map_err(|e| failed(&self.name, &e))?;
        self.rows += rows.num_rows() as u64;
        self.whole(&rows).map(Some)
    }

    /// The rows as they were sent: maps whole, promoted columns gone.
    fn whole(&self, rows: &RecordBatch) -> Result<RecordBatch, Error> {
        let corrupt = |detail: String| Error::corrupt(&self.name, detail);
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for field in self.dataset.schema().fields() {
            let column = match rows.column_by_name(field.name()) {
                Some(column) => Arc::clone(column),
                None if field.is_nullable() => new_null_array(field.data_type(), rows.num_rows()),
                None => return Err(corrupt(format!("it lacks the column {}", field.name()))),
            };
            let promoted: Vec<_> = self.promoted.iter().filter(|promoted| promoted.scope == *field.name()).collect();
            if promoted.is_empty() {
                columns.push(column);
                continue;
            }
            let promoted = promoted.into_iter().map(|promoted| {
                let column = rows.column_by_name(&promoted.column());
                let column = column.ok_or_else(|| corrupt(format!("it lacks the column {}", promoted.column())))?;
                Ok((promoted.key.clone(), Arc::clone(column)))
            });
            let promoted = promoted.collect::<Result<Vec<_>, Error>>()?;
            let overflow = column.as_map_opt().ok_or_else(|| corrupt(format!("{} is not a map", field.name())))?;
            let order = rows.column_by_name(&attribute_order_column(field.name()));
            let order = order.and_then(|order| order.as_binary_opt::<i32>());
            let whole = whole_map(overflow, order, &promoted).map_err(|e| corrupt(e.to_string()))?;
            columns.push(Arc::new(whole));
        }
        end_time::fill_in(self.dataset, &mut columns)?;
        columns.push(match rows.column_by_name(COMMIT) {
            Some(commits) => Arc::clone(commits),
            None => Arc::new(Int64Array::from_value(self.commit, rows.num_rows())),
        });
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|e| corrupt(e.to_string()))
    }
}

/// The event times of a file's rows.
pub(super) async fn times(store: &Store, file: &DataFile) -> Result<Vec<i64>, Error> {
    let name = store.name(file.path.as_ref());
    let stream = open(store, file).await?;
    let mask = ProjectionMask::columns(stream.parquet_schema(), [file.dataset.time_column()]);
    let mut stream = stream.with_projection(mask).build().map_err(|e| failed(&name, &e))?;
    let mut times = Vec::new();
    while let Some(rows) = stream.next().await {
        let rows = rows.map_err(|e| failed(&name, &e))?;
        let column = rows.columns().first().and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
        let column = column.ok_or_else(|| Error::corrupt(&name, "it lacks its time column"))?;
        times.extend_from_slice(column.values());
    }
    Ok(times)
}

async fn open(store: &Store, file: &DataFile) -> Result<ParquetRecordBatchStreamBuilder<ObjectReader>, Error> {
    let name = store.name(file.path.as_ref());
    let reader: Arc<dyn ObjectStore> = store.reader();
    let found = reader.head(&file.path).await.map_err(|e| store_failed(&name, &e))?;
    if found.size != file.bytes {
        let detail = format!("it has {} bytes, the manifest says {}", found.size, file.bytes);
        return Err(Error::corrupt(&name, detail));
    }
    let reader = ObjectReader::new(reader, file.path.clone(), file.bytes);
    ParquetRecordBatchStreamBuilder::new(reader).await.map_err(|e| failed(&name, &e))
}

/// What a failed read of a file says: the store's trouble, or the file's.
fn failed(name: &Path, error: &ParquetError) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<object_store::Error>() {
            return store_failed(name, error);
        }
        source = match error.downcast_ref::<ParquetError>() {
            Some(ParquetError::External(inner)) => Some(inner.as_ref()),
            _ => error.source(),
        };
    }
    Error::corrupt(name, error.to_string())
}

/// What a failed read of an object says.
pub(super) fn store_failed(name: &Path, error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::corrupt(name, "it does not exist"),
        other => Error::Unavailable {
            detail: format!("cannot read \"{}\": {other}", name.display()),
            retry_after: Duration::from_secs(1),
        },
    }
}
