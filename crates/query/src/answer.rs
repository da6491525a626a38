use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::{AsOf, ParamValue, Receipt, TimeRange};

/// One SQL query, with what is bound into it.
#[derive(Debug, Clone, Default)]
pub struct QueryRequest {
    /// One SELECT, EXPLAIN, SHOW TABLES or DESCRIBE.
    pub sql: String,
    /// Values of `$name` in the SQL. `from` and `to` are reserved for `time_range`.
    pub params: BTreeMap<String, ParamValue>,
    /// What `$from` and `$to` stand for.
    pub time_range: Option<TimeRange>,
    /// The most rows of the answer; the default is in [`QueryLimits`].
    pub max_rows: Option<usize>,
    /// The most bytes of the answer, as Arrow; the default is in [`QueryLimits`].
    pub max_bytes: Option<usize>,
    /// The time for planning and reading; the default and the bound are in [`QueryLimits`].
    pub timeout: Option<Duration>,
    /// See the data as it was then, without unflushed rows. Tables with an `AS OF` in the SQL have their own.
    pub as_of: Option<AsOf>,
    /// The caller's name for the query; made up if absent.
    pub query_id: Option<String>,
}

impl QueryRequest {
    /// A query without parameters.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), ..Self::default() }
    }
}

/// The rows of a query.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The columns, also when there are no rows.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Set when a limit cut the answer.
    pub truncated: Option<Truncation>,
    /// What was looked at.
    pub receipt: Receipt,
    /// The query's name.
    pub query_id: String,
}

impl Answer {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Which limit cut an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncation {
    /// There are more rows than this.
    Rows(usize),
    /// The rows take more bytes than this.
    Bytes(usize),
}

impl fmt::Display for Truncation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(max) => write!(f, "cut after {max} rows: there are more"),
            Self::Bytes(max) => write!(f, "cut after {max} bytes: there are more rows"),
        }
    }
}

/// The bounds of queries.
#[derive(Debug, Clone)]
pub struct QueryLimits {
    /// The rows of an answer when the request does not say.
    pub max_rows: usize,
    /// The bytes of an answer when the request does not say.
    pub max_bytes: usize,
    /// The time of a query when the request does not say.
    pub timeout: Duration,
    /// The most time that a request may ask for.
    pub timeout_max: Duration,
    /// The memory that all queries share for sorts, joins and groups.
    pub memory_bytes: usize,
    /// The memory for Parquet footers, shared by all queries.
    pub footer_cache_bytes: usize,
    /// The threads that plan and run queries; 0 takes the number of cores, at least 2.
    pub threads: usize,
    /// The queries that run at once; more wait, within their deadline.
    pub concurrent: usize,
    /// The most bytes of a SQL text.
    pub sql_bytes_max: usize,
    /// The most tokens of a SQL text.
    pub tokens_max: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            max_rows: 10_000,
            max_bytes: 256 << 20,
            timeout: Duration::from_secs(30),
            timeout_max: Duration::from_secs(3600),
            memory_bytes: 1 << 30,
            footer_cache_bytes: 256 << 20,
            threads: 0,
            concurrent: 16,
            sql_bytes_max: 256 << 10,
            tokens_max: 20_000,
        }
    }
}
