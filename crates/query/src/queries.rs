use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tracehound_schema::{Dataset, TenantId};
use tracehound_storage::{Clock, Engine};

use crate::catalogue::{self, Function, Table};
use crate::runtime::QueryRuntime;
use crate::session::{SCHEMA, Sessions, State};
use crate::work::{Mode, Work, snapshot_as_of};
use crate::{Answer, Error, QueryLimits, QueryRequest, explain, system, views};

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

impl Queries {
    /// Starts the query threads over an engine.
    ///
    /// # Errors
    /// [`Error::Internal`] if threads cannot be started.
    pub fn new(engine: Engine, limits: QueryLimits, clock: Clock) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let threads = if limits.threads == 0 { cores.max(2) } else { limits.threads };
        let sessions = Sessions::new(engine.clone(), &limits, threads).map_err(|e| explain::error(e, "", &[]))?;
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
        let mut tables: Vec<_> = Dataset::ALL.into_iter().map(catalogue::dataset_table).collect();
        tables.extend(system::TABLES.into_iter().map(catalogue::system_table));
        let snapshot = Arc::new(self.engine.snapshot(&TenantId::default_tenant()));
        for view in views::all() {
            let sql = format!("SELECT * FROM {} LIMIT 0", view.name);
            let (sessions, snapshot, now_ns) = (Arc::clone(&self.sessions), Arc::clone(&snapshot), (self.clock)());
            let planned = async move {
                let states = [State { schema: SCHEMA.to_owned(), snapshot }];
                let state = sessions.session(&states, &views::used_by(&sql), &Arc::default(), "schema", now_ns).await;
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
                columns: catalogue::columns(&schema, |_| String::new()),
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
        self.engine.refresh(tenant).await?;
        let now_ns = (self.clock)();
        let snapshot = match request.as_of {
            Some(as_of) => snapshot_as_of(&self.engine, tenant, as_of).await?,
            None => self.engine.snapshot(tenant),
        };
        let place = tokio::time::timeout(timeout, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.map_err(|_| Error::Timeout { after: timeout })?.map_err(Error::internal)?;
        let work = Work {
            engine: self.engine.clone(),
            sessions: Arc::clone(&self.sessions),
            limits: Arc::clone(&self.limits),
            snapshot: Arc::new(snapshot),
            now_ns,
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
