//! The arguments of every command.

mod data;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::output::Format;

pub(crate) use data::*;

/// Hunts attackers in OpenTelemetry data.
#[derive(Debug, Parser)]
#[command(name = "tracehound", version, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 retryable, 4 not authorised, 6 a check failed, 130 interrupted."
)]
pub(crate) struct Cli {
    /// Write errors to stderr as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server: OTLP receivers, SQL over HTTP, embedded store
    Serve(ServeArgs),
    /// A simulated company with attackers in it: ingest, hunt, look
    Demo(DemoArgs),
    /// Ask SQL
    Sql(SqlArgs),
    /// Take in OTLP files: protobuf, JSON lines or the Collector's file exporter, plain, gzip or zstd
    Ingest(IngestArgs),
    /// The library of hunts: list, show, run
    Hunts(HuntsArgs),
    /// One trace: as a waterfall, or as rows
    Trace(TraceArgs),
    /// Tables, columns and what they mean
    Schema(SchemaArgs),
    /// What is stored: list, merge, check, erase, back up, restore
    Data(DataArgs),
    /// Check this machine, the data directory and the server
    Doctor(DoctorArgs),
}

/// Where the data is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PlaceArgs {
    /// A data directory, opened in this process [env: TRACEHOUND_DATA_DIR; default: the platform's]
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A server's HTTP address, such as http://127.0.0.1:4320 [env: TRACEHOUND_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The tenant in the data directory, or one of the key's own on the server [default: default]
    #[arg(long, value_name = "NAME", env = "TRACEHOUND_TENANT")]
    pub(crate) tenant: Option<String>,
    /// The server's key
    #[arg(long, value_name = "SECRET", env = "TRACEHOUND_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where data is kept [env: TRACEHOUND_DATA_DIR; default: the platform's data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// HTTP API, with OTLP/HTTP too [default: 127.0.0.1:4320]; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// OTLP/gRPC [default: 127.0.0.1:4317]
    #[arg(long, value_name = "ADDR")]
    pub(crate) otlp_grpc: Option<String>,
    /// OTLP/HTTP [default: 127.0.0.1:4318]
    #[arg(long, value_name = "ADDR")]
    pub(crate) otlp_http: Option<String>,
    /// Where files and manifests are kept: s3://bucket/prefix, gs://, az:// or file:///folder
    /// [default: the data directory]; credentials come from AWS_*, GOOGLE_* and AZURE_*
    #[arg(long, value_name = "URL", env = "TRACEHOUND_STORE")]
    pub(crate) store: Option<String>,
    /// Limits, keys and the rest, as TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// The simulated company.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// An empty or new directory for its data [default: a new one in the platform's data directory]
    #[arg(long, value_name = "DIR", env = "TRACEHOUND_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// End after the hunts, with exit code 0 if everything planted was found and nothing else, else 6
    #[arg(long)]
    pub(crate) once: bool,
    /// Same seed, same data
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(crate) seed: u64,
    /// The end of the simulated last day [default: now, to the hour]
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) now: Option<String>,
    /// How much traffic, 1 being all
    #[arg(long, value_name = "F", default_value_t = 1.0, hide = true)]
    pub(crate) scale: f64,
}

#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// The SQL
    #[arg(short, long = "command", value_name = "SQL", conflicts_with_all = ["file", "stdin"])]
    pub(crate) command: Option<String>,
    /// A file that holds the SQL
    #[arg(short, long, value_name = "FILE", conflicts_with = "stdin")]
    pub(crate) file: Option<PathBuf>,
    /// - reads the SQL from standard input
    #[arg(value_name = "-", value_parser = ["-"])]
    pub(crate) stdin: Option<String>,
    #[command(flatten)]
    pub(crate) asking: AskingArgs,
    /// See the data as of this manifest entry, or as it was at this time
    #[arg(long, value_name = "ENTRY|TIME", allow_hyphen_values = true)]
    pub(crate) as_of: Option<String>,
    /// Show the plan instead of running it
    #[arg(long)]
    pub(crate) explain: bool,
    /// Exit with code 6 if there are rows
    #[arg(long)]
    pub(crate) fail_on_rows: bool,
}

/// What a query is told, and how its answer is written.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AskingArgs {
    /// The value of $NAME in the SQL; may be given many times
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = parameter, allow_hyphen_values = true)]
    pub(crate) params: Vec<(String, String)>,
    /// $from: -24h, now-6h, 2026-11-22, 2026-11-22T15:00:00Z, Unix seconds
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// $to, exclusive [default: now]
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    /// The most rows, 0 for all [default: 1000 in tables, else all]
    #[arg(long, value_name = "N")]
    pub(crate) max_rows: Option<usize>,
    /// The most time, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct OutputArgs {
    /// auto is a table on a terminal and ndjson in a pipe
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Auto)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Files, - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How long to go on trying when the server asks to wait
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) retry_for: std::time::Duration,
    /// json writes the summary to stdout as one line
    #[arg(short, long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    pub(crate) output: String,
}

#[derive(Debug, Args)]
pub(crate) struct HuntsArgs {
    #[command(subcommand)]
    pub(crate) command: HuntsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HuntsCommand {
    /// All hunts
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// What a hunt looks for, its parameters and its SQL
    Show {
        /// Its name
        name: String,
    },
    /// Run a hunt
    Run(Box<HuntsRunArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct HuntsRunArgs {
    /// Its name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) asking: AskingArgs,
    /// See the data as of this manifest entry, or as it was at this time
    #[arg(long, value_name = "ENTRY|TIME", allow_hyphen_values = true)]
    pub(crate) as_of: Option<String>,
    /// Exit with code 6 if there are rows
    #[arg(long)]
    pub(crate) fail_on_rows: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    #[command(subcommand)]
    pub(crate) command: TraceCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TraceCommand {
    /// Draw a trace as a waterfall
    View(TraceViewArgs),
    /// The rows of a trace
    Get {
        /// Its id, 32 hex digits
        id: String,
        #[command(flatten)]
        place: PlaceArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TraceViewArgs {
    /// Its id, 32 hex digits
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// The most spans that are drawn
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) max_spans: usize,
    /// Draw with plain ASCII
    #[arg(long)]
    pub(crate) ascii: bool,
    /// The width in columns [default: the terminal's, else COLUMNS, else 100]
    #[arg(long, value_name = "N")]
    pub(crate) width: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Only this table
    pub(crate) table: Option<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let name = name.trim_start_matches('$');
    if name.is_empty() {
        return Err("the name before = is empty".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_may_begin_with_a_hyphen() {
        let cli =
            Cli::try_parse_from(["tracehound", "sql", "-c", "SELECT 1", "--from", "-24h", "-p", "$a=b=c"]).unwrap();
        let Command::Sql(args) = cli.command else { panic!("sql") };
        assert_eq!(args.asking.from.as_deref(), Some("-24h"));
        assert_eq!(args.asking.params, [("a".to_owned(), "b=c".to_owned())]);
    }

    #[test]
    fn two_places_are_refused() {
        let refused = Cli::try_parse_from(["tracehound", "sql", "-c", "x", "--data-dir", "d", "--url", "http://h"]);
        assert_eq!(refused.unwrap_err().exit_code(), 2);
    }
}
