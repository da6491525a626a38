//! A dataset as a table: live files that neither manifest nor blooms rule out, and rows that are in no file yet.
//!
//! ```text
//! union ─┬─ files whose rows all have one `_commit`, that of the entry that added them
//!        ├─ files with a `_commit` column (merged from several entries)
//!        ├─ those of them with later commits than the snapshot sees, filtered by row
//!        └─ unflushed rows, without `_commit`
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::Session;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::DataSourceExec;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::union::UnionExec;
use object_store::{ObjectMeta, ObjectStore};
use tracehound_schema::Dataset;
use tracehound_storage::{DataFile, Engine, Snapshot};

use crate::named_reader::NamedReaderFactory;
use crate::promotion::PromotionAdapterFactory;
use crate::receipt::{Counts, Scanned};
use crate::{needles, pruning};

/// The column that says which manifest entry made a row visible; null while it is not flushed.
pub(crate) const COMMIT: &str = "_commit";

/// What the tables of a session read from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) store_url: ObjectStoreUrl,
}

/// One dataset of a snapshot.
pub(crate) struct DatasetTable {
    dataset: Dataset,
    snapshot: Arc<Snapshot>,
    source: Source,
    schema: SchemaRef,
    counts: Arc<Counts>,
}

impl std::fmt::Debug for DatasetTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatasetTable").field("dataset", &self.dataset).finish_non_exhaustive()
    }
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

/// Where `_commit` of a file's rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    /// In the manifest, the same for all rows.
    OfFile,
    /// In a column of the file.
    OfRow,
    /// In a column of the file; rows after this entry do not count.
    UpTo(i64),
}

/// What a scan is asked for.
struct Asked<'a> {
    state: &'a dyn Session,
    projection: Option<&'a Vec<usize>>,
    filters: &'a [Expr],
    limit: Option<usize>,
}

impl DatasetTable {
    pub(crate) fn new(dataset: Dataset, snapshot: Arc<Snapshot>, source: Source, counts: Arc<Counts>) -> Self {
        Self { dataset, snapshot, source, schema: table_schema(dataset), counts }
    }

    /// The files to open, counted.
    async fn files(&self, filters: &[Expr]) -> Result<Vec<Arc<DataFile>>> {
        let times = pruning::times(filters, self.dataset.time_column());
        let live = self.snapshot.files(self.dataset, times.range()).await;
        let live = live.map_err(|e| DataFusionError::External(Box::new(crate::Error::from(e))))?;
        let in_time = live.len() as u64;
        let held = needles::holding(live, &needles::wanted(filters), self.source.engine.needles()).await;
        let held_count = held.len() as u64;
        let mut read = Vec::with_capacity(held.len());
        for file in held {
            match self.snapshot.quarantined(&file) {
                Some(detail) => self.counts.quarantined(file.path.as_ref(), &detail),
                None => read.push(file),
            }
        }
        let planned = self.snapshot.totals(self.dataset).files;
        self.counts.scan(&Scanned {
            planned,
            pruned: planned.saturating_sub(held_count),
            by_bloom: in_time - held_count,
            read: read.len() as u64,
            unflushed: self.snapshot.rows(self.dataset).iter().map(|rows| rows.num_rows() as u64).sum(),
        });
        Ok(read)
    }

    fn commit_of(&self, file: &DataFile) -> Commit {
        match self.snapshot.as_of() {
            _ if !file.has_commit_column => Commit::OfFile,
            Some(entry) if file.commits.1 > entry => Commit::UpTo(i64::try_from(entry).unwrap_or(i64::MAX)),
            _ => Commit::OfRow,
        }
    }

    /// A scan of files that have their `_commit` in the same place.
    fn files_plan(&self, asked: &Asked<'_>, files: &[Arc<DataFile>], commit: Commit) -> Result<Arc<dyn ExecutionPlan>> {
        let Asked { state, projection, filters, limit } = *asked;
        let Commit::UpTo(entry) = commit else { return self.scan_plan(asked, files, commit) };
        let seen = col(COMMIT).lt_eq(lit(entry));
        let filters: Vec<_> = filters.iter().cloned().chain([seen.clone()]).collect();
        // The filter needs the column whether the query does or not, and a limit counts what it lets through.
        let at = self.schema.index_of(COMMIT)?;
        let mut columns = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let wanted = columns.len();
        if !columns.contains(&at) {
            columns.push(at);
        }
        let asked = Asked { state, projection: Some(&columns), filters: &filters, limit: None };
        let scan = self.scan_plan(&asked, files, commit)?;
        let schema = DFSchema::try_from(scan.schema())?;
        let filter = Arc::new(FilterExec::try_new(state.create_physical_expr(seen, &schema)?, scan)?);
        let plan: Arc<dyn ExecutionPlan> = if columns.len() == wanted {
            filter
        } else {
            let fields = filter.schema();
            let exprs = fields.fields().iter().take(wanted).enumerate().map(|(index, field)| ProjectionExpr {
                expr: Arc::new(datafusion::physical_expr::expressions::Column::new(field.name(), index)),
                alias: field.name().clone(),
            });
            Arc::new(ProjectionExec::try_new(exprs.collect::<Vec<_>>(), filter)?)
        };
        Ok(match limit {
            Some(limit) => Arc::new(datafusion::physical_plan::limit::LocalLimitExec::new(plan, limit)),
            None => plan,
        })
    }

    fn scan_plan(&self, asked: &Asked<'_>, files: &[Arc<DataFile>], commit: Commit) -> Result<Arc<dyn ExecutionPlan>> {
        let Asked { state, projection, filters, limit } = *asked;
        let columns = match commit {
            Commit::OfFile => {
                TableSchema::builder(self.dataset.schema()).with_table_partition_cols(vec![commit_field()]).build()
            }
            Commit::OfRow | Commit::UpTo(_) => TableSchema::builder(Arc::clone(&self.schema)).build(),
        };
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let readers = CachedParquetFileReaderFactory::new(Arc::clone(&self.source.store), cache);
        let readers = NamedReaderFactory::new(readers, Arc::clone(&self.counts));
        let mut source = ParquetSource::new(columns)
            .with_parquet_file_reader_factory(Arc::new(readers))
            .with_pushdown_filters(false)
            .with_enable_page_index(true);
        if let Some(filter) = conjunction(filters.iter().cloned()) {
            let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
            source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
        }
        let mut rows = 0_usize;
        let mut bytes = 0_usize;
        let mut partitioned = Vec::with_capacity(files.len());
        for file in files {
            rows = rows.saturating_add(usize::try_from(file.rows).unwrap_or(usize::MAX));
            bytes = bytes.saturating_add(usize::try_from(file.bytes).unwrap_or(usize::MAX));
            partitioned.push(partitioned_file(file, commit));
        }
        let groups = FileGroup::new(partitioned).split_files(state.config().target_partitions());
        // Inexact on purpose: nothing is answered from the manifest alone, so a damaged file is always found.
        let statistics = Statistics {
            num_rows: Precision::Inexact(rows),
            total_byte_size: Precision::Inexact(bytes.saturating_mul(4)),
            column_statistics: Statistics::unknown_column(&self.schema),
        };
        let config = FileScanConfigBuilder::new(self.source.store_url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(PromotionAdapterFactory)))
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

fn partitioned_file(file: &DataFile, commit: Commit) -> PartitionedFile {
    let meta = ObjectMeta {
        location: file.path.clone(),
        // Files never change, so their name says all that a cache has to know.
        last_modified: DateTime::<Utc>::UNIX_EPOCH,
        size: file.bytes,
        e_tag: None,
        version: None,
    };
    let partitioned = PartitionedFile::new_from_meta(meta);
    if commit != Commit::OfFile {
        return partitioned;
    }
    partitioned.with_partition_values(vec![ScalarValue::Int64(i64::try_from(file.commit).ok())])
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
        let mut read: Vec<(Commit, Vec<Arc<DataFile>>)> = Vec::new();
        for file in self.files(filters).await? {
            let commit = self.commit_of(&file);
            match read.iter_mut().find(|(known, _)| *known == commit) {
                Some((_, files)) => files.push(file),
                None => read.push((commit, vec![file])),
            }
        }
        let asked = Asked { state, projection, filters, limit };
        let mut parts = Vec::with_capacity(read.len() + 1);
        for (commit, files) in &read {
            parts.push(self.files_plan(&asked, files, *commit)?);
        }
        if !self.snapshot.rows(self.dataset).is_empty() || parts.is_empty() {
            parts.push(self.rows_plan(projection)?);
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }
}
