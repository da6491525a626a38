//! Reading Parquet through the store, so that what the store says and what the file says stay apart.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::store::Store;
use crate::{DataFile, Error};

/// A data file, read in ranges.
pub(super) struct FileReader {
    store: Store,
    object: String,
    bytes: u64,
}

impl AsyncFileReader for FileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let read = async { self.store.read_range(&self.object, range).await };
        read.map(|read| read.map_err(|error| ParquetError::External(Box::new(error)))).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.bytes;
            Ok(Arc::new(ParquetMetaDataReader::new().load_and_finish(self, bytes).await?))
        }
        .boxed()
    }
}

/// Opens a data file.
///
/// # Errors
/// [`Error::Corrupt`] names the file if it is not what the manifest says; others are the store's.
pub(super) async fn open(store: &Store, file: &DataFile) -> Result<ParquetRecordBatchStreamBuilder<FileReader>, Error> {
    let reader = FileReader { store: store.clone(), object: file.path.to_string(), bytes: file.bytes };
    ParquetRecordBatchStreamBuilder::new(reader).await.map_err(|error| failed(store, file, error))
}

/// What a failed read says: the store's trouble, or the file's.
pub(super) fn failed(store: &Store, file: &DataFile, error: ParquetError) -> Error {
    let detail = error.to_string();
    let mut inner = error;
    loop {
        let ParquetError::External(source) = inner else { break };
        match source.downcast::<Error>() {
            Ok(error) => return *error,
            Err(source) => match source.downcast::<ParquetError>() {
                Ok(error) => inner = *error,
                Err(_) => break,
            },
        }
    }
    Error::corrupt(&store.name(file.path.as_ref()), detail)
}
