use object_store::path::Path;
use tracehound_schema::{Dataset, TenantId};

use crate::manifest::{Entry, ErasureKind, Operation, WalRange};
use crate::partition::tenant_dir;

/// An entry of a tenant's manifest, for people and reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Its number.
    pub entry: u64,
    /// When it was written, nanoseconds; never before the entry before it.
    pub time_ns: i64,
    /// What it is for: `flush`, `compact`, `retain`, `erase` or `import`.
    pub operation: &'static str,
    /// The process start that wrote it, a ULID.
    pub writer: String,
    /// The intent that it was, a ULID.
    pub commit: String,
    /// SHA-256 of the entry's bytes, lowercase hex.
    pub sha256: String,
    /// SHA-256 of the bytes of the entry before; absent in the first.
    pub previous: Option<String>,
    /// The files that it added.
    pub added: Vec<EntryFile>,
    /// The dataset and the path below the store's root of each file that it removed.
    pub removed: Vec<(Dataset, Path)>,
    /// The sequences of a WAL that it covers: the WAL's id, the first and the last.
    pub wal: Option<(String, u64, u64)>,
    /// How many payloads it names.
    pub payloads: u64,
    /// Why it was written, for people.
    pub reason: Option<String>,
    /// What it erased.
    pub erasure: Option<EntryErasure>,
}

/// A file that an entry added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFile {
    /// The dataset its rows belong to.
    pub dataset: Dataset,
    /// Its place below the store's root.
    pub path: Path,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the whole file, lowercase hex.
    pub sha256: String,
}

/// What an entry erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryErasure {
    /// `user`, `trace` or `tenant`.
    pub kind: &'static str,
    /// HMAC-SHA256 of whom or what, lowercase hex.
    pub subject: String,
    /// The id of the HMAC's key.
    pub key: String,
    /// Who asked for it.
    pub by: String,
    /// Rows that went.
    pub rows: u64,
}

impl ManifestEntry {
    pub(crate) fn new(entry: &Entry, sha256: String) -> Self {
        let tenant: &TenantId = &entry.tenant;
        let object = |path: &str| Path::from(format!("{}/{path}", tenant_dir(tenant)));
        let added = entry.add.iter().map(|file| EntryFile {
            dataset: file.dataset,
            path: object(&file.path),
            rows: file.rows,
            bytes: file.bytes,
            sha256: file.sha256.clone(),
        });
        let erasure = entry.erasure.as_ref().map(|erasure| EntryErasure {
            kind: match erasure.kind {
                ErasureKind::User => "user",
                ErasureKind::Trace => "trace",
                ErasureKind::Tenant => "tenant",
            },
            subject: erasure.subject.clone(),
            key: erasure.key.clone(),
            by: erasure.by.clone(),
            rows: erasure.rows,
        });
        Self {
            entry: entry.entry,
            time_ns: entry.time.0,
            operation: match entry.operation {
                Operation::Flush => "flush",
                Operation::Compact => "compact",
                Operation::Retain => "retain",
                Operation::Erase => "erase",
                Operation::Import => "import",
            },
            writer: entry.writer.epoch.to_string(),
            commit: entry.writer.commit.to_string(),
            sha256,
            previous: entry.previous.clone(),
            added: added.collect(),
            removed: entry.remove.iter().map(|removed| (removed.dataset, object(&removed.path))).collect(),
            wal: entry.wal.map(|WalRange { directory, from, to }| (directory.to_string(), from, to)),
            payloads: entry.payloads.len() as u64,
            reason: entry.reason.clone(),
            erasure,
        }
    }
}
