use std::io::{self, Read};
use std::process::ExitCode;

use tracehound_query::ParamValue;

use super::asking;
use crate::backend::{Backend, now_ns};
use crate::cli::SqlArgs;
use crate::failure::Failure;
use crate::place::Place;

/// More is refused before it is read; the query engine's own bound is lower.
const SQL_BYTES_MAX: u64 = 4 << 20;

/// Asks SQL.
pub(crate) async fn run(args: SqlArgs) -> anyhow::Result<ExitCode> {
    let place = Place::choose(&args.place)?;
    let mut request = asking::request(text(&args)?, &args.asking);
    let params = asking::params(&args.asking)?;
    request.params = params.into_iter().map(|(name, value)| (name, ParamValue::text(value))).collect();
    request.time_range = asking::time_range(&args.asking, now_ns())?;
    request.as_of = asking::as_of(args.as_of.as_deref(), now_ns())?;
    let backend = Backend::open(place).await?;
    asking::answer(backend, request, args.explain, &args.asking, args.fail_on_rows).await
}

fn text(args: &SqlArgs) -> Result<String, Failure> {
    let stdin = args.stdin.is_some() || args.file.as_deref().is_some_and(|file| file.as_os_str() == "-");
    let text = match (&args.command, &args.file) {
        (Some(sql), _) => sql.clone(),
        _ if stdin => read("standard input", io::stdin().lock())?,
        (None, Some(file)) => {
            let name = format!("\"{}\"", file.display());
            let open = std::fs::File::open(file);
            read(&name, open.map_err(|error| Failure::failed("io", format!("cannot read {name}: {error}")))?)?
        }
        (None, None) => {
            return Err(Failure::usage("there is no SQL").hint("give -c SQL, -f FILE, or - for standard input"));
        }
    };
    if text.trim().is_empty() {
        return Err(Failure::usage("the SQL is empty").hint("such as -c 'SELECT count(*) FROM spans'"));
    }
    Ok(text)
}

fn read(name: &str, source: impl Read) -> Result<String, Failure> {
    let mut text = String::new();
    let read = source.take(SQL_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::failed("io", format!("cannot read SQL from {name}: {error}")))?;
    if text.len() as u64 > SQL_BYTES_MAX {
        return Err(Failure::failed("limit-text", format!("the SQL of {name} is longer than {SQL_BYTES_MAX} bytes")));
    }
    Ok(text)
}
