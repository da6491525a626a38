//! Nothing is removed that nobody meant to remove.

use std::io::{self, BufRead, IsTerminal};

use serde_json::Value;
use tracehound_server::DataTask;

use super::one;
use crate::backend::Backend;
use crate::cli::SureArgs;
use crate::failure::Failure;
use crate::output::Format;
use crate::terminal;

/// Does a task that removes something: only says what would go with `--dry-run`, asks a person before it goes on, and
/// needs `--yes` where there is none. `task` makes the task, dry or not. Returns the last report.
pub(super) async fn removing(
    backend: &Backend,
    sure: SureArgs,
    format: Format,
    task: &dyn Fn(bool) -> DataTask,
    question: &str,
) -> anyhow::Result<Value> {
    if !sure.yes && !sure.dry_run {
        must_be_able_to_ask()?;
    }
    if !sure.yes {
        let report = one(backend, task(true), format).await?;
        if sure.dry_run || !ask(question)? {
            return Ok(report);
        }
    }
    one(backend, task(false), format).await
}

/// # Errors
/// A usage error where nobody can be asked.
pub(super) fn must_be_able_to_ask() -> Result<(), Failure> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        return Ok(());
    }
    Err(Failure::usage("there is nobody to ask whether to go on").hint("--yes goes on without asking"))
}

/// Asks a person; everything but a yes is a no.
pub(super) fn ask(question: &str) -> Result<bool, Failure> {
    terminal::say(format!("{question} [y/N]"));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::failed("io", format!("cannot read the answer: {error}")))?;
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !yes {
        terminal::say("nothing was changed");
    }
    Ok(yes)
}
