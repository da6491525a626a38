//! Whose rows an erasure removes, and how an entry names it without saying who it was.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::kernels::boolean::or_kleene;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use tracehound_schema::{Dataset, TenantId};
use ulid::Ulid;

use crate::Error;
use crate::disk::Disk;
use crate::manifest::ErasureKind;

const KEY_BYTES: usize = 32;

/// Whose rows an erasure removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Everything of the tenant; its manifest stays, as the proof.
    Tenant,
    /// Rows whose `user_id` or `data_subject_id` is this, exactly.
    User(String),
    /// Rows whose `trace_id` is this.
    Trace([u8; 16]),
}

impl Subject {
    pub(crate) fn kind(&self) -> ErasureKind {
        match self {
            Self::Tenant => ErasureKind::Tenant,
            Self::User(_) => ErasureKind::User,
            Self::Trace(_) => ErasureKind::Trace,
        }
    }

    /// The columns of a dataset that can name it.
    pub(crate) fn columns(&self, dataset: Dataset) -> Vec<&'static str> {
        let wanted: &[&'static str] = match self {
            Self::Tenant => &[],
            Self::User(_) => &["user_id", "data_subject_id"],
            Self::Trace(_) => &["trace_id"],
        };
        let schema = dataset.schema();
        wanted.iter().copied().filter(|column| schema.field_with_name(column).is_ok()).collect()
    }

    /// Its value as files hold it.
    pub(crate) fn value(&self) -> &[u8] {
        match self {
            Self::Tenant => &[],
            Self::User(user) => user.as_bytes(),
            Self::Trace(trace) => trace,
        }
    }

    /// Which rows are the subject's. Columns that a batch does not have name nobody.
    ///
    /// # Errors
    /// [`Error::Internal`] if a column has another type than its dataset says.
    pub(crate) fn rows(&self, batch: &RecordBatch) -> Result<BooleanArray, Error> {
        let all = |value: bool| BooleanArray::from(vec![value; batch.num_rows()]);
        let wrong = |column: &str| Error::internal(format!("column {column} is not what its dataset says"));
        let text = |column: &str, value: &str| match batch.column_by_name(column) {
            None => Ok::<_, Error>(all(false)),
            Some(found) => {
                let texts = found.as_string_opt::<i32>().ok_or_else(|| wrong(column))?;
                Ok(texts.iter().map(|found| Some(found == Some(value))).collect())
            }
        };
        match self {
            Self::Tenant => Ok(all(true)),
            Self::User(user) => {
                let (own, about) = (text("user_id", user)?, text("data_subject_id", user)?);
                or_kleene(&own, &about).map_err(Error::internal)
            }
            Self::Trace(trace) => match batch.column_by_name("trace_id") {
                None => Ok(all(false)),
                Some(found) => {
                    let ids = found.as_fixed_size_binary_opt().ok_or_else(|| wrong("trace_id"))?;
                    Ok(ids.iter().map(|found| Some(found == Some(trace.as_slice()))).collect())
                }
            },
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant => f.write_str("the tenant"),
            Self::User(_) => f.write_str("a user"),
            Self::Trace(_) => f.write_str("a trace"),
        }
    }
}

/// The key of erasure HMACs. Who has it can tell whether an entry erased a certain subject; nobody else can.
pub(crate) struct ErasureKey([u8; KEY_BYTES]);

impl ErasureKey {
    /// Reads the key, making it, readable by its owner only, if there is none.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk fails, [`Error::Corrupt`] if the file is not a key.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        match Self::read(path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            outcome => return outcome,
        }
        // A ULID has 80 random bits; these are five.
        let mut random = Sha256::new();
        for _ in 0..5 {
            random.update(Ulid::new().to_bytes());
        }
        let key: [u8; KEY_BYTES] = random.finalize().into();
        let temporary = path.with_extension("key.tmp");
        let io = |e| Error::io(path, e);
        let make = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(&key)?;
            file.sync_all()?;
            // Another may have made it meanwhile: the first stays.
            match fs::hard_link(&temporary, path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            }?;
            fs::remove_file(&temporary)?;
            Disk::Real.sync_dir(path.parent().unwrap_or(Path::new(".")))
        };
        make().map_err(io)?;
        Self::read(path)
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let io = |e| Error::io(path, e);
        let mut bytes = Vec::new();
        File::open(path).map_err(io)?.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
        let key = bytes.try_into().map_err(|_| Error::corrupt(path, "an erasure key has 32 bytes"))?;
        Ok(Self(key))
    }

    /// The first 8 hex digits of its SHA-256.
    pub(crate) fn id(&self) -> String {
        hex::encode(&Sha256::digest(self.0)[..4])
    }

    /// HMAC-SHA256 of a subject, lowercase hex: over its kind, a zero byte, the tenant, a zero byte, and its value.
    pub(crate) fn name(&self, tenant: &TenantId, subject: &Subject) -> Result<String, Error> {
        let kind = match subject {
            Subject::Tenant => "tenant",
            Subject::User(_) => "user",
            Subject::Trace(_) => "trace",
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).map_err(Error::internal)?;
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(tenant.to_string().as_bytes());
        mac.update(&[0]);
        mac.update(subject.value());
        Ok(hex::encode(mac.finalize().into_bytes()))
    }
}
