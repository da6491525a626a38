//! A copy elsewhere, and a data directory from it.

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;
use tracehound_server::{DataTask, backup_place};
use tracehound_storage::{RestoreOptions, StoreOptions};

use super::{Bar, report, sure, task};
use crate::backend::is_data_dir;
use crate::cli::{BackupArgs, RestoreArgs};
use crate::failure::{Exit, Failure};
use crate::place::{self, Place};
use crate::terminal;

/// Copies a tenant.
pub(super) async fn backup(args: BackupArgs) -> anyhow::Result<ExitCode> {
    if let (Place::Directory { .. }, None) = (Place::choose(&args.place)?, &args.to) {
        let failure = Failure::usage("there is no place for the backup");
        return Err(failure.hint("name a folder, such as /mnt/backup").into());
    }
    let format = args.output.output;
    let report = task(&args.place, DataTask::Backup { to: args.to, as_of: args.as_of }, format).await?;
    whole(&report, "the backup is without")
}

/// Makes a data directory.
pub(super) async fn restore(args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let data_dir = place::data_dir(args.data_dir)?;
    if !is_empty(&data_dir) {
        let what = if is_data_dir(&data_dir) { "holds data already" } else { "is not empty" };
        let failure = Failure::new(Exit::Usage, "not-empty", format!("\"{}\" {what}", data_dir.display()));
        return Err(failure.hint("restore into a new directory: --data-dir DIR").into());
    }
    if !args.yes {
        sure::must_be_able_to_ask()?;
        if !sure::ask(&format!("Restore {} into {}?", terminal::escape(&args.from), data_dir.display()))? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let from = backup_place(&args.from).map_err(|error| Failure::usage(error.to_string()))?;
    let options = RestoreOptions { data_dir, store: StoreOptions::default(), tenants: Vec::new(), backup: None };
    let bar = Bar::named("restoring");
    let restored = tracehound_storage::restore(&from, &options, &|done, total| bar.at(done, total)).await;
    drop(bar);
    let report = restored.map_err(|error| Failure::storage(&error))?;
    let report = serde_json::to_value(report)?;
    report::write("restore", &report, args.output.output)?;
    whole(&report, "what was restored is without")
}

/// A copy that is not whole ends with a code of its own.
fn whole(report: &Value, without: &str) -> anyhow::Result<ExitCode> {
    match report.get("damaged").and_then(Value::as_array).map_or(0, Vec::len) {
        0 => Ok(ExitCode::SUCCESS),
        damaged => {
            let files = if damaged == 1 { "1 file".to_owned() } else { format!("{damaged} files") };
            let failure = Failure::new(Exit::CheckFailed, "defects", format!("{without} {files}"));
            Err(failure.hint("`tracehound data verify` at the source says what is wrong").into())
        }
    }
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(!dir.exists(), |mut entries| entries.next().is_none())
}
