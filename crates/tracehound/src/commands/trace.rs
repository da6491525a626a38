use std::io::Write;
use std::process::ExitCode;

use serde_json::Map;
use tracehound_query::{ParamValue, QueryRequest};

use crate::backend::Backend;
use crate::cli::{PlaceArgs, TraceArgs, TraceCommand, TraceViewArgs};
use crate::failure::Failure;
use crate::output::{self, Answer};
use crate::place::Place;
use crate::terminal::{self, Output};
use crate::waterfall::{self, Span, Style};

/// The most spans of a trace that are read; far more than are drawn.
const SPANS_READ_MAX: usize = 100_000;

/// Shows one trace.
pub(crate) async fn run(args: TraceArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        TraceCommand::View(args) => view(args).await,
        TraceCommand::Get { id, place, output } => {
            let sql = "SELECT * FROM spans WHERE trace_id = $trace_id ORDER BY start_time, span_id";
            output::write(spans(&id, &place, sql).await?, output.output)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn view(args: TraceViewArgs) -> anyhow::Result<ExitCode> {
    let answer = spans(&args.id, &args.place, waterfall::SQL).await?;
    let truncated = answer.truncated.clone();
    let columns = answer.columns.clone();
    let rows = answer.into_rows()?;
    let spans: Vec<_> =
        rows.into_iter().map(|row| Span::from_row(&columns.iter().cloned().zip(row).collect::<Map<_, _>>())).collect();
    let style = Style::for_stdout();
    let style = Style {
        columns: args.width.unwrap_or(style.columns),
        ascii: args.ascii || style.ascii,
        spans_max: args.max_spans.max(1),
        ..style
    };
    let mut out = Output::new();
    out.write_all(waterfall::draw(&spans, style).as_bytes())?;
    out.flush()?;
    if spans.len() > style.spans_max {
        terminal::say(format!(
            "notice: {} of {} spans are drawn; --max-spans N draws more",
            style.spans_max,
            spans.len()
        ));
    }
    if let Some(truncated) = truncated {
        terminal::say(format!(
            "notice: the trace is larger than what is read of one: {}",
            terminal::escape(&truncated)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The spans of a trace; it is an error if there are none.
async fn spans(id: &str, place: &PlaceArgs, sql: &str) -> Result<Answer, Failure> {
    let id = id.trim();
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!("{id:?} is not a trace id")).hint("a trace id has 32 hex digits"));
    }
    let backend = Backend::open(Place::choose(place)?).await?;
    let mut request = QueryRequest::new(sql);
    request.params.insert("trace_id".to_owned(), ParamValue::text(id.to_ascii_lowercase()));
    request.max_rows = Some(SPANS_READ_MAX);
    let answer = backend.query(request).await;
    let closed = backend.close().await;
    let answer = answer?;
    closed?;
    if answer.is_empty() {
        let message = format!("there is no trace {}", id.to_ascii_lowercase());
        return Err(Failure::failed("not-found", message)
            .hint("is it another tenant's (--tenant), or in another place (--data-dir, --url)?"));
    }
    Ok(answer)
}
