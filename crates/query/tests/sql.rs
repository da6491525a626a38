//! Runs `sql/tests/**/*.slt`, each over the OTLP messages of the file that its first line names
//! (`# data: testdata/….otlp.json`), in every state that data goes through: in memory, in files, in merged files
//! with promoted attributes, some of each, after a restart. A second line `# held: half` keeps a script that
//! tells of entries and files to one state: the first half of the messages in files, the rest in memory.
//!
//! Besides SQL a query may be `hunt NAME from=… to=… PARAMETER=VALUE …`, or SQL behind
//! `with from=… to=… PARAMETER=VALUE …;`. A value with spaces stands in double quotes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fixture;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use fixture::{Fixture, Held, NOW};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tracehound_query::{Answer, Error, ParamValue, QueryRequest, TimeRange, hunts, render};

struct Database(std::sync::Arc<Fixture>);

#[derive(Debug)]
struct Failed(Error);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let near = self.0.did_you_mean().join(", ");
        write!(f, "{}: {} [{near}]", self.0.code(), self.0)
    }
}

impl std::error::Error for Failed {}

#[async_trait]
impl AsyncDB for Database {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        let request = request(sql).map_err(Failed)?;
        let answer = self.0.queries.run(&self.0.tenant, request).await.map_err(Failed)?;
        output(&answer).map_err(Failed)
    }

    async fn shutdown(&mut self) {}
}

fn request(sql: &str) -> Result<QueryRequest, Error> {
    if let Some(words) = sql.strip_prefix("hunt ") {
        let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
        let (range, given) = settings(rest)?;
        let hunt = hunts::get(name.trim())?;
        let range = range.or(Some(TimeRange { from_ns: NOW - hunt.window_ns, to_ns: NOW }));
        return Ok(QueryRequest { time_range: range, params: hunt.bind(&given)?, ..QueryRequest::new(&hunt.sql) });
    }
    if let Some(rest) = sql.strip_prefix("with ").and_then(|rest| rest.split_once(';')) {
        let (range, given) = settings(rest.0)?;
        let params = given.into_iter().map(|(name, value)| match value.split_once("::") {
            Some((value, data_type)) => (name, ParamValue::typed(data_type, value)),
            None => (name, ParamValue::text(value)),
        });
        return Ok(QueryRequest { time_range: range, params: params.collect(), ..QueryRequest::new(rest.1.trim()) });
    }
    Ok(QueryRequest::new(sql))
}

/// Reads `from=… to=… name=value name="a value"`.
fn settings(text: &str) -> Result<(Option<TimeRange>, BTreeMap<String, String>), Error> {
    let mut given = BTreeMap::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        given.insert(name.trim().to_owned(), value.to_owned());
        rest = after.trim();
    }
    let (from, to) = (given.remove("from"), given.remove("to"));
    let range = from.map(|from| TimeRange::parse(&from, to.as_deref(), NOW)).transpose()?;
    Ok((range, given))
}

fn output(answer: &Answer) -> Result<DBOutput<DefaultColumnType>, Error> {
    let types = render::columns(&answer.schema).into_iter().map(|column| match column.type_name.as_str() {
        "double" | "real" => DefaultColumnType::FloatingPoint,
        name if name.ends_with("int") || name.ends_with("integer") => DefaultColumnType::Integer,
        _ => DefaultColumnType::Text,
    });
    let mut rows = Vec::new();
    for batch in &answer.batches {
        for row in render::text_rows(batch)? {
            let cell = |cell: Option<String>| {
                cell.map_or("NULL".to_owned(), |text| if text.is_empty() { "(empty)".to_owned() } else { text })
            };
            rows.push(row.into_iter().map(cell).collect());
        }
    }
    Ok(DBOutput::Rows { types: types.collect(), rows })
}

fn scripts(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scripts(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            found.push(path);
        }
    }
    found.sort();
}

#[test]
fn every_script_passes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    scripts(&root.join("sql/tests"), &mut found);
    assert!(!found.is_empty());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut failures = Vec::new();
    for path in found {
        let script = std::fs::read_to_string(&path).unwrap();
        let data = script.lines().next().and_then(|line| line.strip_prefix("# data: "));
        let data = data.unwrap_or_else(|| panic!("{}: the first line is no # data:", path.display()));
        let states = if script.lines().nth(1) == Some("# held: half") { &[Held::Half][..] } else { &Held::ALL };
        for held in states {
            let result = runtime.block_on(async {
                let fixture = std::sync::Arc::new(Fixture::held(&root.join(data.trim()), *held).await);
                let mut runner = Runner::new(|| async { Ok(Database(std::sync::Arc::clone(&fixture))) });
                runner.run_script_async(&script).await
            });
            if let Err(error) = result {
                failures.push(format!("{}, {held:?}: {error}", path.display()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
