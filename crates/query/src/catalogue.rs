//! What there is to ask, for people.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{FieldRef, Schema};
use datafusion::catalog::MemTable;
use datafusion::common::Result;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use tracehound_schema::Dataset;

use crate::system::SystemTable;
use crate::{provider, render};

/// A table or view, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, with its schema where that is not `public`.
    pub name: String,
    /// Whether it is computed from other tables.
    pub is_view: bool,
    /// What its rows are.
    pub description: String,
    /// Its columns: name, type as in answers, nullable, meaning.
    pub columns: Vec<TableColumn>,
}

/// A column of a table, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its type, in the words of [`crate::render::type_name`].
    pub type_name: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it means; empty for views.
    pub description: String,
}

/// A function, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// How it is called.
    pub syntax: String,
    /// What it gives.
    pub description: String,
}

/// The table of a dataset.
pub(crate) fn dataset_table(dataset: Dataset) -> Table {
    let (name, description) = match dataset {
        Dataset::Spans => ("spans", "one row per span"),
        Dataset::Logs => ("logs", "one row per log record"),
        Dataset::Metrics => ("metrics", "one row per metric data point"),
        Dataset::IngestRejects => {
            ("system.ingest_rejects", "records that were received and not accepted, with the reason")
        }
    };
    let known = dataset.columns();
    let meaning = |column: &str| {
        if column == provider::COMMIT {
            return "the manifest entry that made the row visible; null while it is not flushed".to_owned();
        }
        let found = known.iter().find(|known| known.name == column);
        found.map(|known| known.description.to_owned()).unwrap_or_default()
    };
    Table {
        name: name.to_owned(),
        is_view: false,
        description: description.to_owned(),
        columns: columns(&provider::table_schema(dataset), meaning),
    }
}

/// Columns with what they mean.
pub(crate) fn columns(schema: &Schema, meaning: impl Fn(&str) -> String) -> Vec<TableColumn> {
    let column = |field: &FieldRef| TableColumn {
        name: field.name().clone(),
        type_name: render::type_name(field.data_type()),
        nullable: field.is_nullable(),
        description: meaning(field.name()),
    };
    schema.fields().iter().map(column).collect()
}

/// A table of the schema `system`.
pub(crate) fn system_table(table: SystemTable) -> Table {
    Table {
        name: format!("system.{}", table.name()),
        is_view: false,
        description: table.description().to_owned(),
        columns: columns(&table.schema(), |_| String::new()),
    }
}

/// DESCRIBE with the names of types that answers have.
pub(crate) fn described(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::DescribeTable(table) = &plan else { return Ok(plan) };
    let fields = table.schema.fields();
    let names = StringArray::from_iter_values(fields.iter().map(|field| field.name()));
    let types = StringArray::from_iter_values(fields.iter().map(|field| render::type_name(field.data_type())));
    let nullable = fields.iter().map(|field| if field.is_nullable() { "YES" } else { "NO" });
    let columns: Vec<ArrayRef> =
        vec![Arc::new(names), Arc::new(types), Arc::new(StringArray::from_iter_values(nullable))];
    let schema = Arc::clone(table.output_schema.inner());
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let rows = provider_as_source(Arc::new(MemTable::try_new(schema, vec![vec![rows]])?));
    LogicalPlanBuilder::scan("columns", rows, None)?.build()
}
