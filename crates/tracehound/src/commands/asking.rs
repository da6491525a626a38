//! From arguments to a query, and from its answer to standard output.

use std::collections::BTreeMap;
use std::process::ExitCode;

use tracehound_query::{AsOf, QueryRequest, TimeRange};

use crate::backend::Backend;
use crate::cli::AskingArgs;
use crate::failure::{Exit, Failure};
use crate::output;

/// The parameters, each once.
pub(super) fn params(args: &AskingArgs) -> Result<BTreeMap<String, String>, Failure> {
    let mut params = BTreeMap::new();
    for (name, value) in &args.params {
        if params.insert(name.clone(), value.clone()).is_some() {
            return Err(Failure::usage(format!("parameter {name} is given twice")));
        }
    }
    Ok(params)
}

/// The time range that `--from` and `--to` name; none without them.
pub(super) fn time_range(args: &AskingArgs, now_ns: i64) -> Result<Option<TimeRange>, Failure> {
    match (&args.from, &args.to) {
        (None, None) => Ok(None),
        (Some(from), to) => match TimeRange::parse(from, to.as_deref(), now_ns) {
            Ok(range) => Ok(Some(range)),
            Err(error) => Err(Failure::query(&error, "")),
        },
        (None, Some(_)) => Err(Failure::usage("--to needs --from").hint("such as --from -24h")),
    }
}

/// The state of the data that `--as-of` names; none without it.
pub(super) fn as_of(text: Option<&str>, now_ns: i64) -> Result<Option<AsOf>, Failure> {
    text.map(|text| AsOf::parse(text, now_ns)).transpose().map_err(|error| Failure::query(&error, ""))
}

/// A query with the limits that the arguments and the format ask for.
pub(super) fn request(sql: String, args: &AskingArgs) -> QueryRequest {
    QueryRequest {
        max_rows: Some(args.output.output.rows_max(args.max_rows)),
        timeout: args.timeout,
        ..QueryRequest::new(sql)
    }
}

/// Runs a query, writes its rows, and gives the data directory up.
pub(super) async fn answer(
    backend: Backend,
    request: QueryRequest,
    explain: bool,
    args: &AskingArgs,
    fail_on_rows: bool,
) -> anyhow::Result<ExitCode> {
    let answer = if explain { backend.explain(request).await } else { backend.query(request).await };
    let written = answer.map_err(anyhow::Error::from).and_then(|answer| output::write(answer, args.output.output));
    let closed = backend.close().await;
    let rows = written?;
    closed?;
    if fail_on_rows && rows > 0 && !explain {
        let rows = if rows == 1 { "there is 1 row".to_owned() } else { format!("there are {rows} rows") };
        return Err(
            Failure::new(Exit::CheckFailed, "rows", format!("{rows}, where --fail-on-rows expects none")).into()
        );
    }
    Ok(ExitCode::SUCCESS)
}
