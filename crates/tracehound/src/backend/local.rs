use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracehound_query::{Queries, QueryLimits, QueryRequest, render};
use tracehound_schema::{DecodeLimits, Encoding, Payload, Signal, TenantId};
use tracehound_server::{Accepted, IngestError, Ingester, decoder, system_clock};
use tracehound_storage::{Engine, Options, store_of};

use crate::failure::{Exit, Failure};
use crate::output::{Answer, Rows};
use crate::{place, terminal};

/// The bytes of an answer when all rows were asked for.
const ANSWER_BYTES_MAX: usize = 4 << 30;

/// A data directory that this process holds open.
pub(crate) struct Local {
    engine: Engine,
    ingester: Ingester,
    queries: Queries,
    tenant: TenantId,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> i64 {
    system_clock()()
}

impl Local {
    /// Opens a directory that has to be a data directory.
    pub(crate) async fn open_existing(path: &Path, tenant: TenantId) -> Result<Self, Failure> {
        Self::open_existing_for(path, tenant, true).await
    }

    /// The same; says which tenants there are if this one is not among them, where that matters.
    pub(crate) async fn open_existing_for(path: &Path, tenant: TenantId, matters: bool) -> Result<Self, Failure> {
        if !is_data_dir(path) {
            let what = if path.exists() { "holds no Tracehound data" } else { "does not exist" };
            return Err(Failure::new(Exit::Usage, "no-data", format!("data directory \"{}\" {what}", path.display()))
                .hint("say where the data is with --data-dir DIR or --url URL; `tracehound demo` and `tracehound ingest` make a new one"));
        }
        let local = Self::open(path, tenant).await?;
        let known: Vec<_> = local.engine.tenants().iter().map(ToString::to_string).collect();
        if matters && !known.is_empty() && !known.contains(&local.tenant.to_string()) {
            let (tenant, known) = (&local.tenant, known.join(", "));
            terminal::say(format!("warning: tenant {tenant} has no data here; --tenant may be one of {known}"));
        }
        Ok(local)
    }

    /// Opens a directory, making it if absent.
    pub(crate) async fn open(path: &Path, tenant: TenantId) -> Result<Self, Failure> {
        let clock = system_clock();
        let mut options = Options::new(path, Arc::clone(&clock));
        // Opened with another store than the one it belongs to, a directory is refused.
        options.store.url = store_of(path).map_err(|error| Failure::storage(&error))?;
        options.store.environment = place::store_environment();
        // A command does what it is asked to; merging and sweeping are a server's, or a command's own.
        options.maintenance.background = false;
        let engine = Engine::open(options, decoder()).await.map_err(|error| Failure::storage(&error))?;
        // A person waits for as long as it takes, and may interrupt.
        let hour = Duration::from_secs(3600);
        let limits = QueryLimits { timeout: hour, timeout_max: hour * 24, ..QueryLimits::default() };
        let queries = Queries::new(engine.clone(), limits, clock).map_err(|error| Failure::query(&error, ""))?;
        let ingester = Ingester::new(engine.clone(), DecodeLimits::default());
        Ok(Self { engine, ingester, queries, tenant })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub(crate) fn queries(&self) -> &Queries {
        &self.queries
    }

    pub(crate) async fn query(&self, request: QueryRequest) -> Result<Answer, Failure> {
        let (request, sql) = unbounded(request);
        let answer = self.queries.run(&self.tenant, request).await;
        self::answer(answer, &sql)
    }

    pub(crate) async fn explain(&self, request: QueryRequest) -> Result<Answer, Failure> {
        let (request, sql) = unbounded(request);
        let answer = self.queries.explain(&self.tenant, request).await;
        self::answer(answer, &sql)
    }

    /// Stores one OTLP message.
    pub(crate) async fn accept(&self, signal: Signal, encoding: Encoding, body: Bytes) -> Result<Accepted, Failure> {
        let payload = Payload {
            tenant: self.tenant.clone(),
            signal,
            encoding,
            received_at_ns: now_ns(),
            ingest_key_id: None,
            body,
        };
        self.ingester.accept(payload).await.map_err(|error| match error {
            IngestError::Malformed(what) => Failure::failed("malformed", what),
            IngestError::TooLarge(what) => Failure::failed("too-large", what),
            IngestError::Quota { .. } | IngestError::RetryLater { .. } => {
                Failure::new(Exit::Retryable, "storage-unavailable", error.to_string())
                    .hint("check the free space of the disk and try again")
            }
            IngestError::Internal(what) => Failure::failed("internal", what),
        })
    }

    /// Writes what is not in files yet, and gives the directory up.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        drop((self.queries, self.ingester));
        self.engine.close().await.map_err(|error| Failure::storage(&error))
    }
}

/// Whether a directory was made by Tracehound.
pub(crate) fn is_data_dir(path: &Path) -> bool {
    path.join("wal").is_dir() || path.join("store").is_dir()
}

fn unbounded(mut request: QueryRequest) -> (QueryRequest, String) {
    if request.max_rows == Some(usize::MAX) {
        request.max_bytes = request.max_bytes.or(Some(ANSWER_BYTES_MAX));
    }
    let sql = request.sql.clone();
    (request, sql)
}

fn answer(answer: Result<tracehound_query::Answer, tracehound_query::Error>, sql: &str) -> Result<Answer, Failure> {
    let answer = answer.map_err(|error| Failure::query(&error, sql))?;
    Ok(Answer {
        columns: render::columns(&answer.schema).into_iter().map(|column| column.name).collect(),
        stats: render::stats(&answer),
        truncated: answer.truncated.map(|truncated| truncated.to_string()),
        rows: Rows::Batches(answer.batches),
    })
}
