use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::format::{ExplainFormat, ExplainStatementOptions};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::{ExplainStatement, Statement};
use futures::StreamExt;
use tokio::sync::Semaphore;
use tracehound_schema::{Dataset, TenantId};
use tracehound_storage::{Clock, Engine, Snapshot};

use crate::receipt::Counts;
use crate::runtime::QueryRuntime;
use crate::session::Sessions;
use crate::{
    Answer, Error, ParamValue, QueryLimits, QueryRequest, Receipt, TimeRange, Truncation, conditions, explain, gate,
    params, provider, views,
};

/// SQL over the tenants of an engine. Cheap to clone.
#[derive(Clone)]
pub struct Queries {
    engine: Engine,
    limits: Arc<QueryLimits>,
    clock: Clock,
    sessions: Arc<Sessions>,
    runtime: Arc<QueryRuntime>,
    places: Arc<Semaphore>,
    made: Arc<AtomicU64>,
}

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

impl Queries {
    /// Starts the query threads over an engine.
    ///
    /// # Errors
    /// [`Error::Internal`] if threads cannot be started.
    pub fn new(engine: Engine, limits: QueryLimits, clock: Clock) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let threads = if limits.threads == 0 { cores.max(2) } else { limits.threads };
        let sessions =
            Sessions::new(engine.object_store(), &limits, threads).map_err(|e| explain::error(e, "", &[]))?;
        Ok(Self {
            engine,
            clock,
            sessions: Arc::new(sessions),
            runtime: Arc::new(QueryRuntime::new(threads)?),
            places: Arc::new(Semaphore::new(limits.concurrent.max(1))),
            made: Arc::default(),
            limits: Arc::new(limits),
        })
    }

    /// Runs a query to its end.
    ///
    /// Dropping the returned future stops the query. The caller's runtime must have its timers on.
    ///
    /// # Errors
    /// See [`Error`]; a query that could not read every file it needed fails.
    pub async fn run(&self, tenant: &TenantId, request: QueryRequest) -> Result<Answer, Error> {
        self.execute(tenant, request, Mode::Run).await
    }

    /// The plan of a query instead of its rows: `plan_type` and `plan`. The receipt tells which files it would read.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn explain(&self, tenant: &TenantId, request: QueryRequest) -> Result<Answer, Error> {
        self.execute(tenant, request, Mode::Explain).await
    }

    /// The bounds in force.
    pub fn limits(&self) -> &QueryLimits {
        &self.limits
    }

    /// The tables and views, with their columns.
    ///
    /// # Errors
    /// [`Error::Internal`] if a view does not plan.
    pub async fn tables(&self) -> Result<Vec<Table>, Error> {
        let mut tables: Vec<_> = Dataset::ALL.into_iter().map(dataset_table).collect();
        tables.push(Table {
            name: "system.files".to_owned(),
            is_view: false,
            description: "the live files behind the tables".to_owned(),
            columns: columns(&crate::system::files_schema(), |_| String::new()),
        });
        let snapshot = Arc::new(self.engine.snapshot(&TenantId::default_tenant()));
        for view in views::all() {
            let sql = format!("SELECT * FROM {} LIMIT 0", view.name);
            let (sessions, snapshot, now_ns) = (Arc::clone(&self.sessions), Arc::clone(&snapshot), (self.clock)());
            let planned = async move {
                let state = sessions.session(snapshot, &views::used_by(&sql), &Arc::default(), "schema", now_ns).await;
                let state = state.map_err(|e| explain::error(e, "", &[]))?;
                let plan = state.create_logical_plan(&sql).await.map_err(|e| explain::error(e, "", &[]))?;
                Ok(Arc::clone(plan.schema().inner()))
            };
            let schema = self.runtime.run(self.limits.timeout, planned).await?;
            let comment = view.sql.lines().take_while(|line| line.starts_with("--"));
            let comment: Vec<_> = comment.map(|line| line.trim_start_matches('-').trim()).collect();
            tables.push(Table {
                name: view.name.to_owned(),
                is_view: true,
                description: comment.join(" "),
                columns: columns(&schema, |_| String::new()),
            });
        }
        Ok(tables)
    }

    /// The table or view of a name.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the names that are like it.
    pub async fn describe(&self, name: &str) -> Result<Table, Error> {
        let mut tables = self.tables().await?;
        match tables.iter().position(|table| table.name == name) {
            Some(index) => Ok(tables.swap_remove(index)),
            None => {
                let near = crate::did_you_mean::nearest(name, tables.iter().map(|table| table.name.as_str()));
                let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) };
                Err(Error::NotFound { message: format!("there is no table {name:?}{hint}") })
            }
        }
    }

    /// The functions that SQL knows, with their documentation.
    pub fn functions(&self) -> Vec<Function> {
        let function = |(name, syntax, description)| Function { name, syntax, description };
        self.sessions.documented().into_iter().map(function).collect()
    }

    async fn execute(&self, tenant: &TenantId, request: QueryRequest, mode: Mode) -> Result<Answer, Error> {
        let started = Instant::now();
        let timeout = request.timeout.unwrap_or(self.limits.timeout).min(self.limits.timeout_max);
        let query_id = request.query_id.clone().unwrap_or_else(|| self.query_id());
        let snapshot = match request.as_of {
            Some(entry) => self.engine.snapshot_as_of(tenant, entry).await?,
            None => self.engine.snapshot(tenant),
        };
        let place = tokio::time::timeout(timeout, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.map_err(|_| Error::Timeout { after: timeout })?.map_err(Error::internal)?;
        let work = Work {
            sessions: Arc::clone(&self.sessions),
            limits: Arc::clone(&self.limits),
            snapshot: Arc::new(snapshot),
            now_ns: (self.clock)(),
            query_id,
            request,
            mode,
        };
        let left = timeout.saturating_sub(started.elapsed()).max(Duration::from_millis(1));
        let future = async move {
            let _place = place;
            work.run().await
        };
        let answer = self.runtime.run(left, future).await;
        let mut answer = answer.map_err(|e| match e {
            Error::Timeout { .. } => Error::Timeout { after: timeout },
            other => other,
        })?;
        answer.receipt.elapsed_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Ok(answer)
    }

    fn query_id(&self) -> String {
        format!("q-{:x}-{}", (self.clock)(), self.made.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Run,
    Explain,
}

/// One query, on the query threads.
struct Work {
    sessions: Arc<Sessions>,
    limits: Arc<QueryLimits>,
    snapshot: Arc<Snapshot>,
    now_ns: i64,
    query_id: String,
    request: QueryRequest,
    mode: Mode,
}

impl Work {
    async fn run(self) -> Result<Answer, Error> {
        let sql = self.request.sql.clone();
        let mut names = self.sessions.function_names();
        names.extend(Dataset::ALL.iter().map(ToString::to_string));
        names.extend(views::all().iter().map(|view| view.name.to_owned()));
        self.answer().await.map_err(|e| match e {
            Failure::Own(error) => error,
            Failure::Engine(error) => explain::locate(explain::error(*error, &sql, &names), &sql),
        })
    }

    async fn answer(self) -> Result<Answer, Failure> {
        let request = &self.request;
        let mut statement = gate::parse(&request.sql, &self.limits)?;
        bind(&mut statement, &request.params, request.time_range)?;
        if self.mode == Mode::Explain && !matches!(statement, Statement::Explain(_)) {
            statement = explained(statement)?;
        }
        let counts = Arc::new(Counts::default());
        let used = views::used_by(&request.sql);
        let snapshot = Arc::clone(&self.snapshot);
        let state = self.sessions.session(snapshot, &used, &counts, &self.query_id, self.now_ns).await?;
        let plan = state.statement_to_plan(statement).await?;
        let reads_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        if reads_only.verify_plan(&plan).is_err() {
            let message = "only SELECT, EXPLAIN, SHOW TABLES and DESCRIBE run here".to_owned();
            return Err(Error::Forbidden { message }.into());
        }
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

fn dataset_table(dataset: Dataset) -> Table {
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

fn columns(schema: &arrow::datatypes::Schema, meaning: impl Fn(&str) -> String) -> Vec<TableColumn> {
    let column = |field: &arrow::datatypes::FieldRef| TableColumn {
        name: field.name().clone(),
        type_name: crate::render::type_name(field.data_type()),
        nullable: field.is_nullable(),
        description: meaning(field.name()),
    };
    schema.fields().iter().map(column).collect()
}
