//! The JSON of an entry; `docs/format.md` is its description.

use object_store::path::Path as ObjectPath;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;
use tracehound_schema::{Dataset, Hour, TenantId};
use ulid::Ulid;

use super::seal;
use super::time::Time;
use crate::{DataFile, Error, Origin, SidecarRef, partition};

/// The format version of entries. Version 1 is read too: it has no `sidecar`, `commits`, `reason` and `erasure`.
pub(crate) const FORMAT: u32 = 2;

/// A manifest entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) format: u32,
    pub(crate) entry: u64,
    pub(crate) tenant: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<String>,
    pub(crate) operation: Operation,
    pub(crate) writer: Writer,
    pub(crate) time: Time,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) add: Vec<File>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) remove: Vec<Removed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wal: Option<WalRange>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) payloads: Vec<Payload>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) erasure: Option<Erasure>,
}

/// What an erasure was about. The subject is an HMAC, so that the entry does not name whom it erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Erasure {
    pub(crate) kind: ErasureKind,
    /// HMAC-SHA256 of the subject, lowercase hex.
    pub(crate) subject: String,
    /// The id of the HMAC's key: the first 8 hex digits of its SHA-256.
    pub(crate) key: String,
    /// Who asked for it.
    pub(crate) by: String,
    /// Rows that went.
    pub(crate) rows: u64,
}

/// Whose rows an erasure removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ErasureKind {
    User,
    Trace,
    Tenant,
}

/// What an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Operation {
    Flush,
    Compact,
    Retain,
    Erase,
    Import,
}

/// Who wrote an entry: a process start, and an intent to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Writer {
    #[serde(with = "ulid_text")]
    pub(crate) epoch: Ulid,
    #[serde(with = "ulid_text")]
    pub(crate) commit: Ulid,
}

/// A file that an entry adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) dataset: Dataset,
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) sha256: String,
    pub(crate) hours: (Hour, Hour),
    pub(crate) event_time: (Time, Time),
    pub(crate) ingest_time: (Time, Time),
    pub(crate) sort: String,
    pub(crate) schema: u32,
    pub(crate) mapping: u32,
    pub(crate) origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sidecar: Option<Sidecar>,
    /// The least and the greatest `_commit`, where the file has such a column of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commits: Option<(u64, u64)>,
}

/// The sidecar of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sidecar {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// A file that an entry removes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Removed {
    pub(crate) dataset: Dataset,
    pub(crate) path: String,
}

/// The frames of a WAL that an entry covers for its tenant, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WalRange {
    #[serde(with = "ulid_text")]
    pub(crate) directory: Ulid,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A payload behind an entry, so that a retry of it is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payload {
    #[serde(with = "hex_text")]
    pub(crate) h: [u8; 16],
    pub(crate) t: Time,
    pub(crate) a: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) r: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) m: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Entry {
    /// The bytes that are stored and hashed.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("an entry holds only text, numbers and lists");
        if self.format == 1 { json } else { seal::seal(json) }
    }

    /// Reads an entry and checks what it says of itself.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] if a newer release wrote it, [`Error::Corrupt`]
    /// if it breaks the format; `path` names it in either.
    pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let format = check_format(path, bytes, FORMAT)?;
        let corrupt = |detail: String| Error::corrupt(path, detail);
        let entry: Self = match format {
            1 => serde_json::from_slice(bytes),
            _ => serde_json::from_slice(&seal::open(bytes).map_err(corrupt)?),
        }
        .map_err(|e| corrupt(e.to_string()))?;
        for file in &entry.add {
            file.check().map_err(corrupt)?;
        }
        Ok(entry)
    }
}

/// The format version that JSON says it has.
///
/// # Errors
/// [`Error::NewerFormat`] if it is newer than `supported`, [`Error::Corrupt`] if there is none.
pub(crate) fn check_format(path: &Path, bytes: &[u8], supported: u32) -> Result<u32, Error> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let found: Result<Format, _> = serde_json::from_slice(bytes);
    let Format { format } = found.map_err(|e| Error::corrupt(path, format!("no format: {e}")))?;
    if format > supported {
        return Err(Error::NewerFormat { path: path.to_owned(), found: format.to_string(), supported });
    }
    Ok(format)
}

/// SHA-256 of an entry's bytes, lowercase hex.
pub(crate) fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl File {
    /// Checks what a file says of itself.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { path, .. } = self;
        for path in [path].into_iter().chain(self.sidecar.as_ref().map(|sidecar| &sidecar.path)) {
            let inside = ObjectPath::parse(path).is_ok_and(|parsed| parsed.as_ref() == path)
                && path.split('/').next() == Some(self.dataset.as_str())
                && !path.split('/').any(|part| part == "..");
            if !inside {
                return Err(format!("file {path:?} is not below its dataset's folder"));
            }
        }
        if self.commits.is_some_and(|(least, greatest)| least > greatest) {
            return Err(format!("file {path:?} has a range of commits that ends before it starts"));
        }
        let of_its_day = match partition::Part::of_path(path) {
            Some(partition::Part::Wide) => true,
            Some(day) => [self.hours.0, self.hours.1].map(partition::Part::of_hour) == [day, day],
            None => false,
        };
        if !of_its_day {
            return Err(format!("file {path:?} holds hours that its folder does not say"));
        }
        if self.hours.0 > self.hours.1 || self.event_time.0 > self.event_time.1 {
            return Err(format!("file {path:?} has a range that ends before it starts"));
        }
        Ok(())
    }

    /// A live file as an entry would name it.
    pub(crate) fn of(tenant: &TenantId, file: &DataFile) -> Self {
        let folder = partition::tenant_dir(tenant);
        let path = |path: &ObjectPath| partition::below(&folder, path.as_ref()).to_owned();
        let sidecar = |SidecarRef { path: object, bytes, sha256 }: &SidecarRef| Sidecar {
            path: path(object),
            bytes: *bytes,
            sha256: sha256.clone(),
        };
        Self {
            dataset: file.dataset,
            path: path(&file.path),
            bytes: file.bytes,
            rows: file.rows,
            sha256: file.sha256.clone(),
            hours: file.hours,
            event_time: (Time(file.event_time.0), Time(file.event_time.1)),
            ingest_time: (Time(file.ingest_time.0), Time(file.ingest_time.1)),
            sort: file.sort.clone(),
            schema: file.schema_version,
            mapping: file.mapping_version,
            origin: file.origin,
            sidecar: file.sidecar.as_ref().map(sidecar),
            commits: file.has_commit_column.then_some(file.commits),
        }
    }

    /// The file as readers know it.
    pub(crate) fn live(&self, tenant: &TenantId, commit: u64) -> DataFile {
        let object = |path: &str| ObjectPath::from(format!("{}/{path}", partition::tenant_dir(tenant)));
        let sidecar = |Sidecar { path, bytes, sha256 }: &Sidecar| SidecarRef {
            path: object(path),
            bytes: *bytes,
            sha256: sha256.clone(),
        };
        DataFile {
            dataset: self.dataset,
            path: object(&self.path),
            bytes: self.bytes,
            rows: self.rows,
            sha256: self.sha256.clone(),
            hours: self.hours,
            event_time: (self.event_time.0.0, self.event_time.1.0),
            ingest_time: (self.ingest_time.0.0, self.ingest_time.1.0),
            sort: self.sort.clone(),
            commit,
            commits: self.commits.unwrap_or((commit, commit)),
            has_commit_column: self.commits.is_some(),
            sidecar: self.sidecar.as_ref().map(sidecar),
            schema_version: self.schema,
            mapping_version: self.mapping,
            origin: self.origin,
        }
    }
}

pub(crate) mod ulid_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use ulid::Ulid;

    pub(crate) fn serialize<S: Serializer>(id: &Ulid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ulid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ulid::from_string(&text).map_err(|_| D::Error::custom(format!("{text:?} is not a ULID")))
    }
}

mod hex_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(hash: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(hash))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut hash = [0; 16];
        hex::decode_to_slice(&text, &mut hash)
            .map_err(|_| D::Error::custom(format!("{text:?} is not 32 hex digits")))?;
        Ok(hash)
    }
}
