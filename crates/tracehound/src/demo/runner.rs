use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracehound_query::{hunts, time};
use tracehound_server::{Config, Running, Server, ServerOptions};

use super::api;
use super::attacks::Truth;
use super::calendar::{Calendar, HISTORY_DAYS, HOUR_NS};
use super::company::{Company, SERVICES};
use super::directory;
use super::report::{self, HuntRun};
use super::sender::{self, Sent};
use super::traffic::Traffic;
use super::verdict::{Finding, Verdict};
use crate::cli::DemoArgs;
use crate::failure::{Exit, Failure};
use crate::place;
use crate::terminal::{Output, say};
use crate::waterfall::{self, Style};

/// Hours of telemetry that wait to be sent.
const HOURS_WAITING: usize = 8;
/// The rows that are flushed at once.
const FLUSH_BYTES: usize = 160 << 20;
/// The most time of one hunt.
const HUNT_TIME: Duration = Duration::from_secs(110);

/// Runs the demo: a server, a company's telemetry over OTLP/gRPC, the hunts,
/// one trace; then serves until interrupted, or ends with `--once`.
///
/// # Errors
/// A directory that is not the demo's, a server that cannot start, telemetry
/// that was not taken whole, a hunt that failed. Findings that differ from what
/// was planted are no error but, with `--once`, exit code 6.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    if !(args.scale > 0.0 && args.scale <= 10.0) {
        return Err(Failure::usage("--scale is above 0 and at most 10").into());
    }
    let calendar = Calendar { anchor_ns: anchor(args.now.as_deref())? };
    let (from, to) = (moment(calendar.window_ns()), moment(calendar.anchor_ns));
    let dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => directory::fresh(&place::platform_data_dir()?.join("demo"), &name(args.seed, calendar)),
    };
    directory::prepare(&dir, &format!("seed {} now {to}\n", args.seed))?;

    let server = serve(&dir, args.once).await?;
    let (url, otlp_url) = (format!("http://{}", server.http), format!("http://{}", server.otlp_grpc));
    let company = Company::new(args.seed, args.scale);
    tell(&format!(
        "{} services, {} users, {HISTORY_DAYS} thin days and a busy one until {to}\n\
         seed {}, the same data again with: tracehound demo --seed {} --now {to}\n\
         data in {}",
        SERVICES.len(),
        company.users().len(),
        args.seed,
        args.seed,
        dir.display()
    ))?;

    let (sent, truths) = ingest(company, calendar, args.seed, otlp_url).await?;
    let records = sent.spans + sent.logs + sent.points;
    let seconds = began.elapsed().as_secs_f64();
    tell(&format!(
        "sent {} spans, {} log records, {} data points over OTLP/gRPC in {seconds:.1} s ({:.0} a second)",
        sent.spans,
        sent.logs,
        sent.points,
        records as f64 / seconds
    ))?;

    let runs = hunt_all(&url, &from, &to).await?;
    for run in &runs {
        tell(&report::hunt(run))?;
    }
    let findings: Vec<Finding> = runs.into_iter().flat_map(|run| run.findings).collect();
    let verdict = Verdict::reach(&truths, &findings);
    tell(&report::verdict(&truths, &verdict))?;

    let shown = shown_trace(&truths).context("no attack was planted")?;
    let (asked, trace) = (url.clone(), shown.clone());
    let spans = tokio::task::spawn_blocking(move || api::spans(&asked, &trace))
        .await
        .context("the trace could not be read")??;
    tell(&format!("trace {shown}:\n{}", waterfall::draw(&spans, Style::for_stdout())))?;
    // With --once the server ends here, and the directory is what is left.
    let place = if args.once { format!("--data-dir {}", dir.display()) } else { format!("--url {url}") };
    tell(&report::next_commands(&place, &from, &to, &shown))?;
    say(format!("the demo took {:.1} s", began.elapsed().as_secs_f64()));

    if !args.once {
        tell(&format!("serving on {url} until interrupted (Ctrl-C)"))?;
        interrupted().await?;
    }
    server.shutdown().await.context("the server did not shut down cleanly")?;
    let right = verdict.is_right() || !args.once;
    Ok(if right { ExitCode::SUCCESS } else { Exit::CheckFailed.into() })
}

/// Starts the server on the usual ports where they are free, so that commands
/// need no address; with `--once` on any free ones.
async fn serve(dir: &Path, once: bool) -> anyhow::Result<Running> {
    let mut config = Config::default();
    let listen = &mut config.listen;
    for address in [&mut listen.http, &mut listen.otlp_grpc, &mut listen.otlp_http] {
        if once || TcpListener::bind(*address).is_err() {
            address.set_port(0);
        }
    }
    config.limits.query_timeout = HUNT_TIME;
    // A month arrives within seconds, in which each flush touches many hours: fewer of them, fewer small files.
    config.storage.flush_bytes = FLUSH_BYTES;
    Server::start(ServerOptions::new(config, dir)).await.context("the demo's server cannot start")
}

/// Waits until somebody ends the demo.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("cannot wait for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

/// The end of the data: the time asked for, or now, to the full hour before.
fn anchor(now: Option<&str>) -> anyhow::Result<u64> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let clock_ns = i64::try_from(clock.as_nanos()).context("the clock stands after 2262")?;
    let now_ns = now.map_or(Ok(clock_ns), |text| time::parse(text, clock_ns));
    let now_ns = now_ns.map_err(|error| Failure::usage(format!("--now: {error}")))?;
    let anchor_ns = u64::try_from(now_ns).unwrap_or_default() / HOUR_NS * HOUR_NS;
    if anchor_ns < 60 * 24 * HOUR_NS {
        return Err(Failure::usage("--now lies before March 1970").into());
    }
    Ok(anchor_ns)
}

fn moment(time_ns: u64) -> String {
    time::rfc3339(time_ns.cast_signed()).replace(".000000000", "")
}

fn name(seed: u64, calendar: Calendar) -> String {
    let day: String = moment(calendar.anchor_ns).chars().take(13).collect();
    format!("seed-{seed}-{day}")
}

/// Makes the telemetry on a thread of its own and sends it as it comes.
async fn ingest(
    company: Company,
    calendar: Calendar,
    seed: u64,
    otlp_url: String,
) -> anyhow::Result<(Sent, Vec<Truth>)> {
    let (hours, received) = mpsc::channel(HOURS_WAITING);
    let style = ProgressStyle::with_template("sending {bar:40} {pos}/{len} hours  {elapsed}")?;
    let progress = ProgressBar::new(Traffic::hours()).with_style(style);
    let shown = progress.clone();
    let maker = tokio::task::spawn_blocking(move || {
        let (traffic, truths) = Traffic::new(&company, calendar, seed);
        for hour in traffic {
            if hours.blocking_send(hour).is_err() {
                // The sender gave up and says why.
                break;
            }
            shown.inc(1);
        }
        truths
    });
    let sent = sender::send(otlp_url, received).await;
    progress.finish_and_clear();
    let truths = maker.await.context("the telemetry could not be made")?;
    Ok((sent?, truths))
}

/// Runs every hunt of the library over the busy day.
async fn hunt_all(url: &str, from: &str, to: &str) -> anyhow::Result<Vec<HuntRun>> {
    let mut runs = Vec::new();
    for hunt in hunts::list() {
        let began = Instant::now();
        let (url, name, from, to) = (url.to_owned(), hunt.name.clone(), from.to_owned(), to.to_owned());
        let findings = tokio::task::spawn_blocking(move || api::run_hunt(&url, &name, &from, &to))
            .await
            .with_context(|| format!("hunt {} did not end", hunt.name))??;
        let (name, title) = (hunt.name.clone(), hunt.title.clone());
        runs.push(HuntRun { name, title, findings, took: began.elapsed() });
    }
    Ok(runs)
}

/// The trace that is drawn: the first one of the lateral movement.
fn shown_trace(truths: &[Truth]) -> Option<String> {
    let drawn = truths.iter().find(|truth| truth.attack == "lateral-movement").or(truths.first())?;
    drawn.traces.first().map(hex::encode)
}

fn tell(text: &str) -> anyhow::Result<()> {
    let mut out = Output::new();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}
