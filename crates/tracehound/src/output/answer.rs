use arrow::array::RecordBatch;
use serde_json::Value;
use tracehound_query::render;

use super::ragged;
use crate::failure::Failure;

/// The rows of a query, from this process or from a server.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The names of the columns; two may share one.
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Rows,
    /// Which limit cut the rows.
    pub(crate) truncated: Option<String>,
    /// The receipt, as the HTTP API shows it; null where nothing was asked.
    pub(crate) stats: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Rows {
    Batches(Vec<RecordBatch>),
    Values(Vec<Vec<Value>>),
}

impl Answer {
    /// Rows of our own.
    pub(crate) fn of(columns: &[&str], rows: Vec<Vec<Value>>) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { columns, rows: Rows::Values(rows), truncated: None, stats: Value::Null }
    }

    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.rows {
            Rows::Values(rows) => rows.is_empty(),
            Rows::Batches(batches) => batches.iter().all(|batch| batch.num_rows() == 0),
        }
    }

    /// Calls `each` with every row, a batch in memory at a time.
    pub(crate) fn for_each(self, mut each: impl FnMut(Vec<Value>) -> anyhow::Result<()>) -> anyhow::Result<usize> {
        let columns = self.columns.len();
        let mut count = 0;
        let mut take = |row: Vec<Value>| {
            if row.len() != columns {
                return Err(ragged().into());
            }
            count += 1;
            each(row)
        };
        match self.rows {
            Rows::Values(rows) => rows.into_iter().try_for_each(&mut take)?,
            Rows::Batches(batches) => {
                for batch in batches {
                    let rows = render::json_rows(&batch).map_err(|error| Failure::query(&error, ""))?;
                    rows.into_iter().try_for_each(&mut take)?;
                }
            }
        }
        Ok(count)
    }

    /// All rows at once.
    pub(crate) fn into_rows(self) -> anyhow::Result<Vec<Vec<Value>>> {
        let mut rows = Vec::new();
        self.for_each(|row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }
}
