//! Tracehound's command line: the server, SQL and hunts over a data directory or a server, ingest and the demo.
//!
//! ```text
//! arguments ─ cli ─→ commands ─→ backend ─┬─ local:  storage + query, in this process
//!                                         └─ remote: the HTTP API
//!                        rows ─→ output ─→ stdout        everything else ─→ stderr
//! ```
//!
//! Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 retryable, 4 not authorised, 6 a check failed,
//! 130 interrupted.

mod backend;
mod cli;
mod commands;
mod demo;
mod failure;
mod output;
mod place;
mod terminal;
mod waterfall;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse_arguments(&error),
    };
    let json = cli.json;
    start_logging(&cli.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&error.into(), json),
    };
    let outcome = runtime.block_on(run(cli.command));
    // A thread that waits for standard input or for a connection must not hold up the end.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| failure::report(&error, json))
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    if !matches!(command, Command::Serve(_) | Command::Demo(_)) {
        end_when_interrupted();
    }
    match command {
        Command::Serve(args) => commands::serve::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Sql(args) => commands::sql::run(args).await,
        Command::Ingest(args) => commands::ingest::run(args).await,
        Command::Hunts(args) => commands::hunts::run(args).await,
        Command::Trace(args) => commands::trace::run(args).await,
        Command::Schema(args) => commands::schema::run(args).await,
        Command::Data(args) => commands::data::run(args).await,
        Command::Doctor(args) => commands::doctor::run(args).await,
    }
}

/// Commands that do not serve keep nothing that an interruption could hurt: what was acknowledged is durable.
fn end_when_interrupted() {
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(i32::from(failure::Exit::Interrupted.code()));
        }
    });
}

fn refuse_arguments(error: &clap::Error) -> ExitCode {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let as_json = std::env::args_os().any(|argument| argument == "--json");
    if as_json && !asked_for {
        let text = error.to_string();
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        return failure::report(&failure::Failure::usage(message).into(), true);
    }
    // A closed pipe leaves nobody to tell.
    let _ = error.print();
    if asked_for { ExitCode::SUCCESS } else { failure::Exit::Usage.into() }
}

fn start_logging(command: &Command) {
    let default = if matches!(command, Command::Serve(_)) { "info" } else { "warn" };
    let filter = std::env::var("TRACEHOUND_LOG").ok().filter(|text| !text.is_empty());
    let filter = tracing_subscriber::EnvFilter::try_new(filter.as_deref().unwrap_or(default))
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal::colour_on_stderr())
        .init();
}
