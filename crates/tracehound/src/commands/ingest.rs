//! Files of OTLP messages into a data directory or a server.

mod input;
mod records;
mod sink;
mod summary;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesOrdered, StreamExt};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;

use crate::cli::IngestArgs;
use crate::failure::{Exit, Failure};
use crate::place::Place;
use crate::terminal;
use input::Message;
use sink::{Outcome, Sink};
use summary::Summary;

/// Messages under way at once.
const UNDER_WAY: usize = 4;

/// Takes in the files one after another, and says what became of their records.
pub(crate) async fn run(args: IngestArgs) -> anyhow::Result<ExitCode> {
    let place = Place::choose(&args.place)?;
    check_files(&args)?;
    let sink = Arc::new(Sink::open(place, args.retry_for).await?);
    let bar = progress(&args.files);
    let mut summary = Summary::default();
    let mut ended = Ok(());
    for file in &args.files {
        bar.set_message(terminal::escape(&name(file)).into_owned());
        ended = ingest(file, &sink, &bar, &mut summary).await;
        if ended.is_err() {
            break;
        }
        summary.files += 1;
    }
    bar.finish_and_clear();
    // What was taken in stays, whatever came after it: it has to reach its files too.
    let closed = match Arc::into_inner(sink) {
        Some(sink) => sink.close().await,
        None => Err(Failure::failed("internal", "a message is still under way")),
    };
    summary.write(args.output == "json")?;
    ended?;
    closed?;
    Ok(ExitCode::SUCCESS)
}

/// Finds what cannot be read before anything is taken in.
fn check_files(args: &IngestArgs) -> Result<(), Failure> {
    if args.files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(Failure::usage("standard input can be read once only"));
    }
    for file in args.files.iter().filter(|file| !is_stdin(file)) {
        let refuse =
            |what: String| Failure::new(Exit::Failed, "io", format!("cannot read \"{}\": {what}", file.display()));
        let metadata = std::fs::metadata(file).map_err(|error| refuse(error.to_string()))?;
        if metadata.is_dir() {
            return Err(refuse("it is a directory".to_owned()).hint("name the files in it"));
        }
    }
    Ok(())
}

async fn ingest(file: &Path, sink: &Arc<Sink>, bar: &ProgressBar, summary: &mut Summary) -> Result<(), Failure> {
    // Reading blocks, so it has a thread; the channel's bound keeps it from running ahead.
    let (sender, mut messages) = mpsc::channel(2);
    let (path, of_file) = (file.to_owned(), bar.clone());
    let limit = sink.message_bytes_max();
    let reader = tokio::task::spawn_blocking(move || input::read(&path, limit, &of_file, &sender));

    let before = summary.messages;
    let mut under_way = FuturesOrdered::new();
    let mut failed: Option<(u64, Failure)> = None;
    let mut more = true;
    while more || !under_way.is_empty() {
        tokio::select! {
            message = messages.recv(), if more && failed.is_none() && under_way.len() < UNDER_WAY => match message {
                Some(message) => under_way.push_back(send(Arc::clone(sink), message)),
                None => more = false,
            },
            Some((number, outcome)) = under_way.next(), if !under_way.is_empty() => match outcome {
                Ok(outcome) => {
                    summary.add(&name(file), number, outcome);
                    bar.set_prefix(format!("{} messages, {} records", summary.messages, summary.accepted));
                }
                // Those behind it are under way already: they end, and count.
                Err(failure) if failed.is_none() => failed = Some((number, failure)),
                Err(_) => {}
            },
            else => break,
        }
        if failed.is_some() {
            more = false;
        }
    }
    drop(messages);
    let read = reader.await.map_err(|error| Failure::failed("internal", error.to_string()))?;
    let taken = summary.messages - before;
    let so_far = match taken {
        0 => "nothing of this file was ingested".to_owned(),
        1 => "1 message of this file was ingested and stays".to_owned(),
        _ => format!("{taken} messages of this file were ingested and stay"),
    };
    if let Some((number, failure)) = failed {
        let message = format!("{}: message {number}: {}; {so_far}", name(file), failure.message);
        return Err(Failure { message, ..failure });
    }
    read.map_err(|failure| Failure { message: format!("{}: {}; {so_far}", name(file), failure.message), ..failure })
}

async fn send(sink: Arc<Sink>, message: Message) -> (u64, Result<Outcome, Failure>) {
    let Message { number, signal, encoding, body } = message;
    (number, sink.accept(signal, encoding, body).await)
}

/// Bytes of all files, on a terminal only; of standard input nobody knows how many there are.
fn progress(files: &[std::path::PathBuf]) -> ProgressBar {
    let length = |file: &std::path::PathBuf| {
        (!is_stdin(file)).then(|| std::fs::metadata(file).ok()).flatten().map(|it| it.len())
    };
    let total: Option<u64> = files.iter().map(length).sum();
    let template = if total.is_some() {
        "{bar:30} {bytes}/{total_bytes}  {prefix}  {wide_msg}"
    } else {
        "{spinner} {bytes}  {prefix}  {wide_msg}"
    };
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(300));
    bar
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn name(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}
