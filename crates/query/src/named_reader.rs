//! Errors of Parquet files that say which file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::{BoxFuture, FutureExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::receipt::Counts;

/// A file could not be read.
#[derive(Debug)]
pub(crate) struct FileError {
    /// Its place in the store.
    pub(crate) file: String,
    /// What is wrong with it.
    pub(crate) detail: String,
    /// The store did not give it; the file itself may be well.
    pub(crate) is_unavailable: bool,
}

impl FileError {
    /// The name while nobody knows it.
    pub(crate) const UNKNOWN: &str = "(unknown)";
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file \"{}\": {}", self.file, self.detail)
    }
}

impl std::error::Error for FileError {}

/// Makes readers whose errors carry a [`FileError`].
pub(crate) struct NamedReaderFactory {
    readers: CachedParquetFileReaderFactory,
    counts: Arc<Counts>,
}

impl NamedReaderFactory {
    /// Opened files are noted in `counts`.
    pub(crate) fn new(readers: CachedParquetFileReaderFactory, counts: Arc<Counts>) -> Self {
        Self { readers, counts }
    }
}

impl fmt::Debug for NamedReaderFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedReaderFactory").finish_non_exhaustive()
    }
}

impl ParquetFileReaderFactory for NamedReaderFactory {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let name = file.object_meta.location.to_string();
        self.counts.opened(&name);
        let reader = self.readers.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(NamedReader { name, reader }))
    }
}

struct NamedReader {
    name: String,
    reader: Box<dyn AsyncFileReader + Send>,
}

fn named(file: &str, error: ParquetError) -> ParquetError {
    use object_store::Error as Store;
    let (detail, is_unavailable) = match store_error(&error) {
        Some(Store::NotFound { .. }) => ("it does not exist".to_owned(), false),
        // The local disk reports a file that is too short in this way.
        Some(Store::Generic { store: "LocalFileSystem", .. }) => (first_line(&error.to_string()), false),
        Some(Store::Generic { .. } | Store::PermissionDenied { .. } | Store::Unauthenticated { .. }) => {
            // It may name hosts and buckets, which are nothing for a client.
            tracing::warn!(file, %error, "the store does not give a file");
            ("the store does not answer".to_owned(), true)
        }
        _ => (first_line(&error.to_string()), false),
    };
    ParquetError::External(Box::new(FileError { file: file.to_owned(), detail, is_unavailable }))
}

fn store_error(error: &ParquetError) -> Option<&object_store::Error> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        if let Some(ParquetError::External(inner)) = error.downcast_ref() {
            source = Some(inner.as_ref());
            continue;
        }
        source = error.source();
    }
    None
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

impl AsyncFileReader for NamedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<bytes::Bytes>> {
        let name = self.name.clone();
        self.reader.get_bytes(range).map(move |got| got.map_err(|e| named(&name, e))).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<bytes::Bytes>>> {
        let name = self.name.clone();
        self.reader.get_byte_ranges(ranges).map(move |got| got.map_err(|e| named(&name, e))).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let name = self.name.clone();
        self.reader.get_metadata(options).map(move |got| got.map_err(|e| named(&name, e))).boxed()
    }
}
