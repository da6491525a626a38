use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracehound_schema::TenantId;

/// What went wrong, by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the data directory open: stop it, or talk to it.
    #[error("data directory \"{}\" is in use by {holder}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote into it: its process id and address.
        holder: String,
    },
    /// A bound is reached; retry after the delay, when a flush has made room.
    #[error("overloaded: {what}")]
    Overloaded {
        /// Which bound.
        what: &'static str,
        /// How long to wait before a retry.
        retry_after: Duration,
    },
    /// The disk is full or the store is down; a later retry is sensible.
    #[error("storage unavailable: {detail}")]
    Unavailable {
        /// What failed.
        detail: String,
        /// How long to wait before a retry.
        retry_after: Duration,
    },
    /// A sync failed, so nothing can be promised until a restart.
    #[error("writes are refused until restart: {detail}")]
    Poisoned {
        /// The sync that failed.
        detail: String,
    },
    /// Stored bytes break the format; retrying is useless.
    #[error("corrupt file \"{}\": {detail}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A file was written by a newer release: use that release.
    #[error("file \"{}\" has format {found}, this release reads up to {supported}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The newest version that this release reads.
        supported: u32,
    },
    /// An operation of the file system failed.
    #[error("i/o error on \"{}\"", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store cannot be used as configured: change the configuration.
    #[error("store \"{store}\" cannot be used: {detail}")]
    StoreUnusable {
        /// Its URL.
        store: String,
        /// Why.
        detail: String,
    },
    /// Another process writes to a store that must have one writer only.
    #[error("store \"{store}\" has another writer, {holder}, and must have only one: {why}")]
    StoreHeld {
        /// Its URL.
        store: String,
        /// Who has it.
        holder: String,
        /// What the probe of the store found.
        why: String,
        /// After how many seconds the store is free if the other writer is dead.
        wait_seconds: u64,
    },
    /// An object that was to be created is there already: read it, it may be ours.
    #[error("\"{}\" exists already", path.display())]
    Exists {
        /// The object.
        path: PathBuf,
    },
    /// The payload does not fit a WAL frame; it never will.
    #[error("payload of {bytes} bytes is over the limit of {bytes_max} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The manifest has no such entry yet.
    #[error("tenant {tenant} has no manifest entry {entry}: the latest is {latest}")]
    NoSuchEntry {
        /// Whose manifest.
        tenant: TenantId,
        /// The entry asked for.
        entry: u64,
        /// The latest that exists.
        latest: u64,
    },
    /// The tenant never sent anything.
    #[error("there is no tenant {tenant}")]
    NoSuchTenant {
        /// Its name.
        tenant: TenantId,
    },
    /// No live file has this path.
    #[error("tenant {tenant} has no live file {path:?}")]
    NoSuchFile {
        /// Whose file.
        tenant: TenantId,
        /// The path that was asked for.
        path: String,
    },
    /// Files of an earlier entry were removed after their grace.
    #[error("tenant {tenant} as of entry {entry} is gone: {path:?} was removed after its grace; choose a later entry")]
    Gone {
        /// Whose files.
        tenant: TenantId,
        /// The entry asked for.
        entry: u64,
        /// One of them.
        path: String,
    },
    /// There is no backup there, or none of this name.
    #[error("no backup in \"{}\"", path.display())]
    NoBackup {
        /// Where backups are recorded.
        path: PathBuf,
    },
    /// Somebody else changed what the commit was about: discard its files and look again.
    #[error("overtaken by another commit: {detail}")]
    Conflict {
        /// What is no longer so.
        detail: String,
    },
    /// The engine is closed.
    #[error("storage is closed")]
    Closed,
    /// A bug of ours: rows that do not have their dataset's schema, or a
    /// background task that died.
    #[error("internal error: {detail}")]
    Internal {
        /// What was found.
        detail: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn corrupt(path: &Path, detail: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), detail: detail.into() }
    }

    pub(crate) fn internal(detail: impl ToString) -> Self {
        Self::Internal { detail: detail.to_string() }
    }

    /// The error and its sources in one line, for logs and status.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    }
}
