//! Which file a decoder failed in. A page that does not decode fails far from where its file's name is known, so
//! the files that the query opened are read again, one by one, until one fails by name.

use std::sync::Arc;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::async_reader::AsyncFileReader;

const ROWS_AT_ONCE: usize = 8192;

/// The first of the files that does not decode, and what is wrong with it.
pub(crate) async fn find(store: &Arc<dyn ObjectStore>, opened: Vec<String>) -> Option<(String, String)> {
    for file in opened {
        if let Err(detail) = decode(store, &file).await {
            return Some((file, detail));
        }
    }
    None
}

async fn decode(store: &Arc<dyn ObjectStore>, file: &str) -> Result<(), String> {
    let path = Path::from(file);
    let meta = store.head(&path).await.map_err(|e| e.to_string())?;
    let readers = DefaultParquetFileReaderFactory::new(Arc::clone(store));
    let reader = readers.create_reader(0, PartitionedFile::new_from_meta(meta), None, &ExecutionPlanMetricsSet::new());
    let reader: Box<dyn AsyncFileReader> = reader.map_err(|e| e.to_string())?;
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(|e| e.to_string())?;
    let rows = builder.with_batch_size(ROWS_AT_ONCE).build().map_err(|e| e.to_string())?;
    rows.map(|batch| batch.map(drop)).try_collect::<()>().await.map_err(|e| e.to_string())
}
