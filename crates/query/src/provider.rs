//! A dataset as a table: live files that the manifest does not rule out, and rows that are in no file yet.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::Session;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::memory::DataSourceExec;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use object_store::{ObjectMeta, ObjectStore};
use tracehound_schema::Dataset;
use tracehound_storage::{DataFile, Snapshot};

use crate::named_reader::NamedReaderFactory;
use crate::pruning;
use crate::receipt::Counts;

/// The column that says which manifest entry made a row visible; null while it is not flushed.
pub(crate) const COMMIT: &str = "_commit";

/// One dataset of a snapshot.
#[derive(Debug)]
pub(crate) struct DatasetTable {
    dataset: Dataset,
    snapshot: Arc<Snapshot>,
    store: Arc<dyn ObjectStore>,
    store_url: ObjectStoreUrl,
    schema: SchemaRef,
    counts: Arc<Counts>,
}

/// The columns of a dataset's table: those of its files, and `_commit`.
pub(crate) fn table_schema(dataset: Dataset) -> SchemaRef {
    let schema = dataset.schema();
    let fields = schema.fields().iter().cloned().chain([commit_field()]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn commit_field() -> FieldRef {
    Arc::new(Field::new(COMMIT, DataType::Int64, true))
}

impl DatasetTable {
    pub(crate) fn new(
        dataset: Dataset,
        snapshot: Arc<Snapshot>,
        store: Arc<dyn ObjectStore>,
        store_url: ObjectStoreUrl,
        counts: Arc<Counts>,
    ) -> Self {
        Self { dataset, snapshot, store, store_url, schema: table_schema(dataset), counts }
    }

    fn files_plan(
        &self,
        state: &dyn Session,
        files: &[Arc<DataFile>],
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns =
            TableSchema::builder(self.dataset.schema()).with_table_partition_cols(vec![commit_field()]).build();
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let readers = CachedParquetFileReaderFactory::new(Arc::clone(&self.store), cache);
        let mut source = ParquetSource::new(columns)
            .with_parquet_file_reader_factory(Arc::new(NamedReaderFactory::new(readers)))
            .with_pushdown_filters(false)
            .with_enable_page_index(true);
        if let Some(filter) = conjunction(filters.iter().cloned()) {
            let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
            source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
        }
        let mut rows = 0;
        let mut bytes = 0;
        let mut partitioned = Vec::with_capacity(files.len());
        for file in files {
            rows += usize::try_from(file.rows).unwrap_or(usize::MAX);
            bytes += usize::try_from(file.bytes).unwrap_or(usize::MAX);
            partitioned.push(partitioned_file(file));
        }
        let groups = FileGroup::new(partitioned).split_files(state.config().target_partitions());
        // Inexact on purpose: nothing is answered from the manifest alone, so a damaged file is always found.
        let statistics = Statistics {
            num_rows: Precision::Inexact(rows),
            total_byte_size: Precision::Inexact(bytes.saturating_mul(4)),
            column_statistics: Statistics::unknown_column(&self.schema),
        };
        let config = FileScanConfigBuilder::new(self.store_url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn rows_plan(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let with_commit = |batch: &RecordBatch| {
            let commit: ArrayRef = Arc::new(Int64Array::new_null(batch.num_rows()));
            let columns = batch.columns().iter().cloned().chain([commit]).collect();
            RecordBatch::try_new(Arc::clone(&self.schema), columns)
        };
        let rows = self.snapshot.rows(self.dataset).iter().map(with_commit).collect::<Result<Vec<_>, _>>()?;
        let source = MemorySourceConfig::try_new(&[rows], Arc::clone(&self.schema), projection.cloned())?;
        Ok(DataSourceExec::from_data_source(source))
    }
}

fn partitioned_file(file: &DataFile) -> datafusion::datasource::listing::PartitionedFile {
    let meta = ObjectMeta {
        location: file.path.clone(),
        // Files never change, so their name says all that a cache has to know.
        last_modified: DateTime::<Utc>::UNIX_EPOCH,
        size: file.bytes,
        e_tag: None,
        version: None,
    };
    let commit = i64::try_from(file.commit).ok();
    datafusion::datasource::listing::PartitionedFile::new_from_meta(meta)
        .with_partition_values(vec![ScalarValue::Int64(commit)])
}

#[async_trait]
impl TableProvider for DatasetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let times = pruning::times(filters, self.dataset.time_column());
        let read = self.snapshot.files(self.dataset, times.range()).await;
        let read = read.map_err(|e| DataFusionError::External(Box::new(e)))?;
        let live = usize::try_from(self.snapshot.totals(self.dataset).files).unwrap_or(usize::MAX);
        let unflushed = self.snapshot.rows(self.dataset).iter().map(RecordBatch::num_rows).sum();
        self.counts.scan(live, live.saturating_sub(read.len()), unflushed);

        let mut parts = Vec::new();
        if !read.is_empty() {
            parts.push(self.files_plan(state, &read, projection, filters, limit)?);
        }
        if unflushed > 0 || parts.is_empty() {
            parts.push(self.rows_plan(projection)?);
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }
}
