//! One query, from its text to its rows, on the query threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::format::{ExplainFormat, ExplainStatementOptions};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::{ExplainStatement, Statement};
use futures::StreamExt;
use tracehound_schema::{Dataset, TenantId};
use tracehound_storage::{Engine, Snapshot};

use crate::named_reader::FileError;
use crate::receipt::Counts;
use crate::session::{SCHEMA, Sessions, State};
use crate::{
    Answer, AsOf, Error, ParamValue, QueryLimits, QueryRequest, Receipt, TimeRange, Truncation, as_of, catalogue,
    conditions, culprit, explain, gate, params, views,
};

/// The rows that a state of the data had.
pub(crate) async fn snapshot_as_of(engine: &Engine, tenant: &TenantId, as_of: AsOf) -> Result<Snapshot, Error> {
    let entry = match as_of {
        AsOf::Entry(entry) => entry,
        AsOf::Time(time_ns) => engine.entry_at(tenant, time_ns).await?,
    };
    Ok(engine.snapshot_as_of(tenant, entry).await?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Run,
    Explain,
}

/// One query, on the query threads.
pub(crate) struct Work {
    pub(crate) engine: Engine,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) limits: Arc<QueryLimits>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) now_ns: i64,
    pub(crate) query_id: String,
    pub(crate) request: QueryRequest,
    pub(crate) mode: Mode,
}

impl Work {
    pub(crate) async fn run(self) -> Result<Answer, Error> {
        let sql = self.request.sql.clone();
        let mut names = self.sessions.function_names();
        names.extend(Dataset::ALL.iter().map(ToString::to_string));
        names.extend(views::all().iter().map(|view| view.name.to_owned()));
        let counts = Arc::new(Counts::default());
        let store = self.engine.object_store();
        let error = match self.answer(&counts).await {
            Ok(answer) => return Ok(answer),
            Err(Failure::Own(error)) => error,
            Err(Failure::Engine(error)) => explain::locate(explain::error(*error, &sql, &names), &sql),
        };
        match error {
            Error::Corrupt { file, detail } if file == FileError::UNKNOWN => {
                let (file, detail) = culprit::find(&store, counts.last_opened()).await.unwrap_or((file, detail));
                Err(Error::Corrupt { file, detail })
            }
            other => Err(other),
        }
    }

    async fn answer(self, counts: &Arc<Counts>) -> Result<Answer, Failure> {
        let request = &self.request;
        let mut statement = gate::parse(&request.sql, &self.limits)?;
        bind(&mut statement, &request.params, request.time_range)?;
        let versions = versions(&mut statement, self.now_ns)?;
        if self.mode == Mode::Explain && !matches!(statement, Statement::Explain(_)) {
            statement = explained(statement)?;
        }
        let used = views::used_by(&request.sql);
        let mut states = vec![State { schema: SCHEMA.to_owned(), snapshot: Arc::clone(&self.snapshot) }];
        for (as_of, schema) in versions.0 {
            let snapshot = snapshot_as_of(&self.engine, self.snapshot.tenant(), as_of).await?;
            counts.as_of(snapshot.entry());
            states.push(State { schema, snapshot: Arc::new(snapshot) });
        }
        let state = self.sessions.session(&states, &used, counts, &self.query_id, self.now_ns).await?;
        let plan = state.statement_to_plan(statement).await?;
        let reads_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        if reads_only.verify_plan(&plan).is_err() {
            let message = "only SELECT, EXPLAIN, SHOW TABLES and DESCRIBE run here".to_owned();
            return Err(Error::Forbidden { message }.into());
        }
        let plan = catalogue::described(plan)?;
        let physical = physical(&state, &plan).await?;
        let (batches, truncated) = self.collect(&state, &physical).await?;
        let mut receipt = counts.receipt(self.snapshot.entry());
        add_metrics(physical.as_ref(), &mut receipt);
        receipt.rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let schema = plain_names(&physical.schema());
        let renamed = batches.into_iter().map(|batch| {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let names = plain_names(&batch.schema());
            RecordBatch::try_new_with_options(names, batch.columns().to_vec(), &options)
        });
        let batches = renamed.collect::<Result<_, _>>().map_err(Error::internal)?;
        Ok(Answer { schema, batches, truncated, receipt, query_id: self.query_id })
    }

    async fn collect(
        &self,
        state: &SessionState,
        plan: &Arc<dyn ExecutionPlan>,
    ) -> Result<(Vec<RecordBatch>, Option<Truncation>), Failure> {
        let rows_max = self.request.max_rows.unwrap_or(self.limits.max_rows);
        let bytes_max = self.request.max_bytes.unwrap_or(self.limits.max_bytes);
        // Rows wait here until the query has ended, and count like those that it works on.
        let held = MemoryConsumer::new("answer").register(&state.runtime_env().memory_pool);
        let mut stream = execute_stream(Arc::clone(plan), state.task_ctx())?;
        let (mut batches, mut rows, mut bytes) = (Vec::new(), 0, 0_usize);
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            let left = rows_max - rows;
            if batch.num_rows() > left {
                if left > 0 {
                    batches.push(batch.slice(0, left));
                }
                return Ok((batches, Some(Truncation::Rows(rows_max))));
            }
            bytes = bytes.saturating_add(batch.get_array_memory_size());
            if bytes > bytes_max {
                return Ok((batches, Some(Truncation::Bytes(bytes_max))));
            }
            held.try_grow(batch.get_array_memory_size())?;
            rows += batch.num_rows();
            batches.push(batch);
        }
        Ok((batches, None))
    }
}

/// Names columns as people wrote them: `attributes[k]`, not `spans.attributes[k]`, where that is unique.
fn plain_names(schema: &SchemaRef) -> SchemaRef {
    let plain = |name: &str| {
        let (table, rest) = name.split_once('.')?;
        let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let column = rest.split_once('[').map_or(rest, |(column, _)| column);
        (word(table) && word(column)).then(|| rest.to_owned())
    };
    let names: Vec<_> = schema.fields().iter().map(|f| plain(f.name()).unwrap_or_else(|| f.name().clone())).collect();
    let field = |(field, name): (&FieldRef, &String)| {
        let unique = names.iter().filter(|other| *other == name).count() == 1;
        if unique { field.as_ref().clone().with_name(name) } else { field.as_ref().clone() }
    };
    Arc::new(Schema::new(schema.fields().iter().zip(&names).map(field).collect::<Vec<_>>()))
}

enum Failure {
    Own(Error),
    Engine(Box<datafusion::error::DataFusionError>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl From<datafusion::error::DataFusionError> for Failure {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Self::Engine(Box::new(error))
    }
}

fn bind(
    statement: &mut Statement,
    given: &BTreeMap<String, ParamValue>,
    range: Option<TimeRange>,
) -> Result<(), Error> {
    match statement {
        Statement::Statement(statement) => {
            conditions::compare_with_true(statement);
            params::bind(statement, given, range)
        }
        Statement::Explain(explain) => bind(&mut explain.statement, given, range),
        _ => Ok(()),
    }
}

fn versions(statement: &mut Statement, now_ns: i64) -> Result<as_of::Versions, Error> {
    match statement {
        Statement::Statement(statement) => as_of::resolve(statement, now_ns),
        Statement::Explain(explain) => versions(&mut explain.statement, now_ns),
        _ => Ok(as_of::Versions::default()),
    }
}

fn explained(statement: Statement) -> Result<Statement, Error> {
    if !matches!(&statement, Statement::Statement(_)) {
        return Err(Error::Forbidden { message: "only a SELECT can be explained".to_owned() });
    }
    Ok(Statement::Explain(ExplainStatement {
        options: ExplainStatementOptions { format: Some(ExplainFormat::Indent), ..Default::default() },
        statement: Box::new(statement),
    }))
}

async fn physical(state: &SessionState, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>, Failure> {
    let plan = state.optimize(plan)?;
    Ok(state.query_planner().create_physical_plan(&plan, state).await?)
}

/// Adds what the scans measured.
fn add_metrics(plan: &dyn ExecutionPlan, receipt: &mut Receipt) {
    if let Some(metrics) = plan.metrics() {
        for metric in metrics.iter() {
            match metric.value() {
                MetricValue::Count { name, count } if name == "bytes_scanned" => {
                    receipt.bytes_read += count.value() as u64
                }
                MetricValue::PruningMetrics { name, pruning_metrics } if name == "row_groups_pruned_statistics" => {
                    receipt.row_groups_pruned += pruning_metrics.pruned() as u64;
                }
                // Blooms are asked for the row groups that statistics left.
                MetricValue::PruningMetrics { name, pruning_metrics } if name == "row_groups_pruned_bloom_filter" => {
                    receipt.row_groups_pruned += pruning_metrics.pruned() as u64;
                    receipt.row_groups_read += pruning_metrics.matched() as u64;
                }
                _ => {}
            }
        }
    }
    for child in plan.children() {
        add_metrics(child.as_ref(), receipt);
    }
}
