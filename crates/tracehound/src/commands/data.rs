//! `tracehound data`: what is stored, and what is done to it.

mod backup;
mod lists;
mod report;
mod sure;

use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use tracehound_query::TimeRange;
use tracehound_schema::Hour;
use tracehound_server::{DataTask, ErasedSubject};

use crate::backend::{Backend, now_ns};
use crate::cli::{
    CompactArgs, DataArgs, DataCommand, EraseArgs, PlaceArgs, QuarantineCommand, RetentionArgs, SubjectArgs,
};
use crate::failure::{Exit, Failure};
use crate::output::Format;
use crate::place::Place;
use crate::terminal;

/// Looks at stored data, or changes it.
pub(crate) async fn run(args: DataArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        DataCommand::Tenants(args) => lists::tenants(args).await,
        DataCommand::Partitions(args) => lists::partitions(args).await,
        DataCommand::Files(args) => lists::files(args).await,
        DataCommand::Compact(args) => {
            let (place, format) = (args.place.clone(), args.output.output);
            task(&place, compact(args)?, format).await.map(|_| ExitCode::SUCCESS)
        }
        DataCommand::Verify(args) => {
            let wanted = DataTask::Verify { deep: args.deep, quarantine: args.quarantine };
            verified(&task(&args.place, wanted, args.output.output).await?)
        }
        DataCommand::Retention(args) => retention(args).await,
        DataCommand::Erase(args) => erase(args).await,
        DataCommand::Quarantine(args) => match args.command {
            QuarantineCommand::List(args) => lists::quarantine(args).await,
            QuarantineCommand::Add { path, why, place } => {
                task(&place, DataTask::Quarantine { path, why }, Format::Auto).await.map(|_| ExitCode::SUCCESS)
            }
            QuarantineCommand::Release { path, place } => {
                task(&place, DataTask::Release { path }, Format::Auto).await.map(|_| ExitCode::SUCCESS)
            }
        },
        DataCommand::Sweep(args) => {
            task(&args.place, DataTask::Sweep {}, args.output.output).await.map(|_| ExitCode::SUCCESS)
        }
        DataCommand::Backup(args) => backup::backup(args).await,
        DataCommand::Restore(args) => backup::restore(args).await,
    }
}

/// Opens the place, does one task there, and writes its report.
async fn task(place: &PlaceArgs, task: DataTask, format: Format) -> anyhow::Result<Value> {
    let backend = Backend::open(Place::choose(place)?).await?;
    let done = one(&backend, task, format).await;
    let closed = backend.close().await;
    let report = done?;
    closed?;
    Ok(report)
}

async fn one(backend: &Backend, task: DataTask, format: Format) -> anyhow::Result<Value> {
    let bar = Bar::new(&task);
    let done = backend.data_task(task.clone(), &|done, total| bar.at(done, total)).await;
    drop(bar);
    let report = done?;
    report::write(task.name(), &report, format)?;
    Ok(report)
}

fn compact(args: CompactArgs) -> Result<DataTask, Failure> {
    let range = args.from.as_deref().map(|from| TimeRange::parse(from, args.to.as_deref(), now_ns())).transpose();
    let range = range.map_err(|error| Failure::query(&error, ""))?;
    let hours = range.map(|range| (Hour::containing(range.from_ns), Hour::containing(range.to_ns.saturating_sub(1))));
    Ok(DataTask::Compact { dataset: args.dataset, hours })
}

/// A verification that found something ends with a code of its own.
fn verified(report: &Value) -> anyhow::Result<ExitCode> {
    match report.get("defects").and_then(Value::as_array).map_or(0, Vec::len) {
        0 => Ok(ExitCode::SUCCESS),
        defects => {
            let found =
                if defects == 1 { "1 defect was found".to_owned() } else { format!("{defects} defects were found") };
            Err(Failure::new(Exit::CheckFailed, "defects", found).into())
        }
    }
}

async fn retention(args: RetentionArgs) -> anyhow::Result<ExitCode> {
    let task = |dry_run| DataTask::Retention {
        dataset: args.dataset,
        age: args.age.clone(),
        size: args.size.clone(),
        dry_run,
    };
    let backend = Backend::open(Place::choose(&args.place)?).await?;
    let format = args.output.output;
    let done = sure::removing(&backend, args.sure, format, &task, "Remove these files?").await;
    let closed = backend.close().await;
    done?;
    closed?;
    Ok(ExitCode::SUCCESS)
}

async fn erase(args: EraseArgs) -> anyhow::Result<ExitCode> {
    let place = Place::choose(&args.place)?;
    let subject = match &args.subject {
        SubjectArgs { user: Some(user), .. } => ErasedSubject::User(user.clone()),
        SubjectArgs { trace: Some(trace), .. } => ErasedSubject::Trace(trace.clone()),
        SubjectArgs { .. } => ErasedSubject::Tenant(place.tenant()),
    };
    let (why, now) = (args.why.clone(), args.now);
    let task = |dry_run| DataTask::Erase { subject: subject.clone(), why: why.clone(), now, dry_run };
    let question = match &subject {
        ErasedSubject::Tenant(tenant) => format!("Erase everything of tenant {tenant} for good?"),
        _ => "Erase these rows for good?".to_owned(),
    };
    if now {
        terminal::say("warning: --now deletes the old files at once: queries that are reading them will fail");
    }
    let backend = Backend::open(place).await?;
    let format = args.output.output;
    let done = sure::removing(&backend, args.sure, format, &task, &question).await;
    let closed = backend.close().await;
    let report = done?;
    closed?;
    let unreadable = report.get("unreadable").and_then(Value::as_array).map_or(0, Vec::len);
    if unreadable > 0 {
        let message = format!("the erasure is not complete: {unreadable} files could not be read");
        let hint =
            "`tracehound data verify` says what is wrong with them; restore or quarantine them, then erase again";
        return Err(Failure::failed("incomplete", message).hint(hint).into());
    }
    Ok(ExitCode::SUCCESS)
}

/// How far a task is, on a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new(task: &DataTask) -> Self {
        let what = match task {
            DataTask::Compact { .. } => "merging",
            DataTask::Verify { .. } => "verifying",
            DataTask::Backup { .. } => "copying",
            _ => "working",
        };
        Self::named(what)
    }

    fn named(what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_message(what);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(300));
        Self(bar)
    }

    fn at(&self, done: u64, total: u64) {
        if self.0.length() != Some(total) {
            if self.0.length().is_none()
                && let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}  {msg}  {eta}")
            {
                self.0.set_style(style);
            }
            self.0.set_length(total);
        }
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
