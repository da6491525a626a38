//! Each hunt over its scenario: `sql/tests/hunts/<hunt>.slt`.
//!
//! A file begins with `# data: <OTLP file>`. The first half of its messages is flushed to Parquet, the rest is not.
//! A statement is `hunt NAME from=T to=T [PARAMETER=VALUE]…`, or plain SQL.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tempfile::TempDir;
use tracehound_otlp::file::MessageReader;
use tracehound_query::{Queries, QueryLimits, QueryRequest, TimeRange, hunts, render};
use tracehound_schema::{DecodeLimits, Payload, TenantId};
use tracehound_storage::{Clock, Engine, Options};

/// Half an hour after the scenarios end.
const NOW_NS: i64 = 1_795_350_600_000_000_000;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

impl Failed {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

struct Scenario {
    queries: Queries,
    engine: Engine,
    _dir: TempDir,
}

impl Scenario {
    async fn load(path: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Clock = Arc::new(|| NOW_NS);
        let decode = |payload: &Payload, limits: &DecodeLimits| {
            tracehound_otlp::decode(payload, limits).map_err(|error| error.to_string())
        };
        let engine = Engine::open(Options::new(dir.path(), Arc::clone(&clock)), Arc::new(decode)).await.unwrap();
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let messages: Vec<_> = MessageReader::new(BufReader::new(file), 64 << 20).collect::<Result<_, _>>().unwrap();
        let half = messages.len().div_ceil(2);
        for (index, (signal, encoding, body)) in messages.into_iter().enumerate() {
            let tenant = TenantId::default_tenant();
            let payload = Payload { tenant, signal, encoding, received_at_ns: NOW_NS, ingest_key_id: None, body };
            let decoded = tracehound_otlp::decode(&payload, &DecodeLimits::default()).unwrap();
            assert_eq!(decoded.rejected(), 0, "{}", decoded.message);
            engine.append(payload, decoded).await.unwrap();
            if index + 1 == half {
                engine.flush().await.unwrap();
            }
        }
        let queries = Queries::new(engine.clone(), QueryLimits::default(), clock).unwrap();
        Self { queries, engine, _dir: dir }
    }
}

/// The request of a statement.
fn request(statement: &str) -> Result<QueryRequest, Failed> {
    let Some(words) = statement.strip_prefix("hunt ") else { return Ok(QueryRequest::new(statement)) };
    let mut words = words.split_whitespace();
    let hunt = hunts::get(words.next().unwrap_or_default()).map_err(Failed::of)?;
    let mut given = BTreeMap::new();
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(|| Failed(format!("{word} is not NAME=VALUE")))?;
        given.insert(name.to_owned(), value.to_owned());
    }
    let (from, to) = (given.remove("from").unwrap_or_default(), given.remove("to"));
    let range = TimeRange::parse(&from, to.as_deref(), NOW_NS).map_err(Failed::of)?;
    let params = hunt.bind(&given).map_err(Failed::of)?;
    Ok(QueryRequest { sql: hunt.sql.clone(), params, time_range: Some(range), ..QueryRequest::default() })
}

#[async_trait]
impl AsyncDB for Scenario {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, statement: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        let request = request(statement.trim())?;
        let answer = self.queries.run(&TenantId::default_tenant(), request).await.map_err(Failed::of)?;
        let mut rows = Vec::new();
        for batch in &answer.batches {
            for row in render::text_rows(batch).map_err(Failed::of)? {
                let cell = |cell: Option<String>| match cell {
                    None => "NULL".to_owned(),
                    Some(text) if text.is_empty() => "(empty)".to_owned(),
                    Some(text) => text,
                };
                rows.push(row.into_iter().map(cell).collect());
            }
        }
        let types = vec![DefaultColumnType::Any; answer.schema.fields().len()];
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {
        self.engine.clone().close().await.unwrap();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hunt_finds_the_attack_of_its_scenario_and_nothing_else() {
    let mut failures = Vec::new();
    for hunt in hunts::list() {
        let slt = root().join("sql/tests/hunts").join(format!("{}.slt", hunt.name));
        let text = fs::read_to_string(&slt).unwrap_or_else(|error| panic!("{}: {error}", slt.display()));
        let data = text.lines().next().and_then(|line| line.strip_prefix("# data: "));
        let data = root().join(data.unwrap_or_else(|| panic!("{}: the first line names no data", slt.display())));
        let mut runner = Runner::new(|| async { Ok(Scenario::load(&data).await) });
        if let Err(error) = runner.run_file_async(&slt).await {
            failures.push(error.display(false).to_string());
        }
        runner.shutdown_async().await;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
