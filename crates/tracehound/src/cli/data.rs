//! The arguments of `tracehound data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tracehound_schema::Dataset;

use super::{OutputArgs, PlaceArgs};

#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    pub(crate) command: DataCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Who has data here, and how much
    Tenants(TenantsArgs),
    /// The hours of a tenant's datasets: files, rows, bytes and the manifest entry that touched each last
    Partitions(ListArgs),
    /// The live files of a tenant
    #[command(after_help = FILES_HELP)]
    Files(FilesArgs),
    /// Merge small files now, instead of when the server gets to it
    #[command(after_help = "Rows are neither added nor removed. A server does the same by itself, a little at a time.")]
    Compact(CompactArgs),
    /// Check every manifest entry and every live file against its hash; exit code 6 when something is wrong
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Remove what is older, or more, than is to be kept
    #[command(after_help = RETENTION_HELP)]
    Retention(RetentionArgs),
    /// Remove a user, a trace or a whole tenant from every file
    #[command(after_help = ERASE_HELP)]
    Erase(EraseArgs),
    /// Damaged files that queries leave out and name
    Quarantine(QuarantineArgs),
    /// Remove objects that no manifest entry needs any more, once their grace has passed
    Sweep(SweepArgs),
    /// Copy a tenant to a folder, as of one entry, and verify the copy
    #[command(after_help = BACKUP_HELP)]
    Backup(BackupArgs),
    /// Make an empty data directory from a backup, and verify it
    #[command(after_help = RESTORE_HELP)]
    Restore(RestoreArgs),
}

const FILES_HELP: &str = "\
Files that compaction has replaced lie beside the live ones until their grace has passed, so other tools must not read
the folders by a pattern. --live prints the paths that make up the tenant, one a line:
  duckdb -c \"SELECT count(*) FROM read_parquet([$(tracehound data files --live --dataset spans | sed \"s/.*/'&'/\" | paste -sd,)])\"";

const VERIFY_HELP: &str = "\
A file that is found damaged is named with what to do about it. With --quarantine it is set aside: queries go on without
it and say so in every answer that would have needed it. Restore it from a backup, then `data quarantine release PATH`.";

const RETENTION_HELP: &str = "\
Whole files go, when their last hour is past the age, or when there is more than the size, oldest first. Without --age
and --size a server applies the policy of its configuration ([retention]), as it does by itself every hour.
  tracehound data retention --dataset spans --age 30d --dry-run";

const ERASE_HELP: &str = "\
Rows are removed from every file that holds them, and the old files deleted once their grace has passed. The manifest
keeps a record that names the subject only by an HMAC, with --why and who asked. Rejected records of a user cannot be told
from others and stay. Without --yes it says what would go and asks.
  tracehound data erase --user u-4711 --why 'request 2026-118' --dry-run";

const BACKUP_HELP: &str = "\
What is at the destination already is not copied again, so a later backup to the same place copies what is new.
  tracehound data backup /mnt/backup
  tracehound data backup --url http://127.0.0.1:4320 /mnt/backup";

const RESTORE_HELP: &str = "\
  tracehound data restore /mnt/backup --data-dir ./restored && tracehound serve --data-dir ./restored";

#[derive(Debug, Args)]
pub(crate) struct TenantsArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Only spans, logs, metrics or ingest_rejects
    #[arg(long, value_name = "NAME")]
    pub(crate) dataset: Option<Dataset>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// Only the paths of the live files, one a line, for other tools
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Only spans, logs, metrics or ingest_rejects
    #[arg(long, value_name = "NAME")]
    pub(crate) dataset: Option<Dataset>,
    /// Only hours from this time on: -24h, 2026-11-22T15:00:00Z
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Only hours before this time [default: now]
    #[arg(long, value_name = "T", allow_hyphen_values = true, requires = "from")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Decode every page too, and check order, hours and blooms
    #[arg(long)]
    pub(crate) deep: bool,
    /// Set damaged data files aside, so that queries go on without them
    #[arg(long)]
    pub(crate) quarantine: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RetentionArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Only spans, logs, metrics or ingest_rejects
    #[arg(long, value_name = "NAME")]
    pub(crate) dataset: Option<Dataset>,
    /// Remove what is older, such as 30d
    #[arg(long, value_name = "TIME")]
    pub(crate) age: Option<String>,
    /// Remove the oldest beyond this size of each dataset, such as 100GiB
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<String>,
    #[command(flatten)]
    pub(crate) sure: SureArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EraseArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) subject: SubjectArgs,
    /// Why, for the manifest's record; do not name the person in it
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
    /// Delete the old files at once: a query that runs meanwhile may fail
    #[arg(long)]
    pub(crate) now: bool,
    #[command(flatten)]
    pub(crate) sure: SureArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Who or what is erased.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SubjectArgs {
    /// The rows whose user_id or data_subject_id is this
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// The rows of this trace, 32 hex digits
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<String>,
    /// Everything of the tenant; its log of entries stays, as the proof
    #[arg(long)]
    pub(crate) whole_tenant: bool,
}

/// How a command that removes things is kept from surprising anybody.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SureArgs {
    /// Say what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Do not ask; needed where nobody can be asked
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineArgs {
    #[command(subcommand)]
    pub(crate) command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// The files in quarantine, and why
    List(TenantsArgs),
    /// Set a file aside: queries go on without it and say so
    Add {
        /// Its path, as `data files` prints it
        path: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        why: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Let queries read a file again, once it is whole
    Release {
        /// Its path, as `data quarantine list` prints it
        path: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// A folder; on a server, of the server's machine, and its own ([backup] to) when this is left out
    #[arg(value_name = "TO")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// As of this manifest entry [default: the latest, after a flush]
    #[arg(long, value_name = "ENTRY")]
    pub(crate) as_of: Option<u64>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The folder that a backup went to
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// The data directory to make; it must be empty or absent [env: TRACEHOUND_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Do not ask; needed where nobody can be asked
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
