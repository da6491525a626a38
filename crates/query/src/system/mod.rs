//! `system.*`: what there is behind the tables. Rows are made when a query reads them.

mod files;
mod partitions;
mod storage;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::memory::DataSourceExec;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use tracehound_schema::Dataset;
use tracehound_storage::{DataFile, Engine, Snapshot};

/// A table of the schema `system`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SystemTable {
    Files,
    Partitions,
    Storage,
}

/// All of them, in the order they are listed.
pub(crate) const TABLES: [SystemTable; 3] = [SystemTable::Files, SystemTable::Partitions, SystemTable::Storage];

impl SystemTable {
    /// Its name within the schema.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Partitions => "partitions",
            Self::Storage => "storage",
        }
    }

    /// What its rows are.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Files => "the live files behind the tables",
            Self::Partitions => "the live files together, by dataset and the hours that they hold",
            Self::Storage => "figures of this tenant's storage: name, value, unit",
        }
    }

    pub(crate) fn schema(self) -> SchemaRef {
        match self {
            Self::Files => files::schema(),
            Self::Partitions => partitions::schema(),
            Self::Storage => storage::schema(),
        }
    }

    /// The table of one tenant.
    pub(crate) fn over(self, engine: &Engine, snapshot: &Arc<Snapshot>) -> Computed {
        Computed { table: self, schema: self.schema(), engine: engine.clone(), snapshot: Arc::clone(snapshot) }
    }
}

/// A table whose rows are computed by each scan.
pub(crate) struct Computed {
    table: SystemTable,
    schema: SchemaRef,
    engine: Engine,
    snapshot: Arc<Snapshot>,
}

impl fmt::Debug for Computed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Computed").field("table", &self.table).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for Computed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = match self.table {
            SystemTable::Files => files::columns(&self.snapshot).await?,
            SystemTable::Partitions => partitions::columns(&self.snapshot).await?,
            SystemTable::Storage => storage::columns(&self.engine, &self.snapshot),
        };
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let source = MemorySourceConfig::try_new(&[vec![rows]], Arc::clone(&self.schema), projection.cloned())?;
        Ok(DataSourceExec::from_data_source(source))
    }
}

/// All live files of a snapshot, by dataset and in the order of the entries that added them.
async fn live(snapshot: &Snapshot) -> Result<Vec<Arc<DataFile>>> {
    let mut files = Vec::new();
    for dataset in Dataset::ALL {
        let live = snapshot.files(dataset, i64::MIN..=i64::MAX).await;
        files.extend(live.map_err(|e| DataFusionError::External(Box::new(crate::Error::from(e))))?);
    }
    Ok(files)
}

fn fields(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn count(name: &str) -> Field {
    Field::new(name, DataType::UInt64, false)
}

fn time(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false)
}

/// A column of something that each item has.
fn texts<T>(items: &[T], of: impl Fn(&T) -> String) -> ArrayRef {
    Arc::new(arrow::array::StringArray::from_iter_values(items.iter().map(of)))
}

fn counts<T>(items: &[T], of: impl Fn(&T) -> u64) -> ArrayRef {
    Arc::new(arrow::array::UInt64Array::from_iter_values(items.iter().map(of)))
}

fn times<T>(items: &[T], of: impl Fn(&T) -> i64) -> ArrayRef {
    let times = arrow::array::TimestampNanosecondArray::from_iter_values(items.iter().map(of));
    Arc::new(times.with_timezone("UTC"))
}
