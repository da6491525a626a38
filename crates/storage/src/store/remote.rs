//! Objects in an object store: S3, Google Cloud Storage, Azure, or memory in tests.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::{FuturesUnordered, StreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{
    Error as StoreError, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};

use super::cache::Cached;
use super::lease::{Claim, Lease};
use super::local::{Temporary, create_dirs};
use super::new_file::NewFile;
use super::probe::{StoreProbe, probe};
use super::{Listed, StoreOptions, StoreStatus, lease, probe as probing};
use crate::disk::{Disk, DiskFile};
use crate::{Error, runtime};

/// Files over this size are uploaded in parts.
const SINGLE_PUT_BYTES_MAX: u64 = 16 << 20;
/// All parts but the last have this size; some stores insist on equal ones.
const PART_BYTES: u64 = 8 << 20;
const PARTS_AT_ONCE: usize = 4;
/// When to try again after the store did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// An object store.
#[derive(Clone)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    reader: Arc<dyn ObjectStore>,
    url: Arc<str>,
    staging: Option<Arc<Path>>,
    cache: Option<Cached>,
    probe: Option<StoreProbe>,
    lease: Option<Arc<Lease>>,
}

/// The content of an upload.
pub(super) enum Body {
    Bytes(Bytes),
    File(Arc<DiskFile>, u64),
}

impl Body {
    pub(super) fn file(file: DiskFile, bytes: u64) -> Self {
        Self::File(Arc::new(file), bytes)
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, bytes) => *bytes,
        }
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let at = |offset: u64| usize::try_from(offset).map_err(Error::internal);
        match self {
            Self::Bytes(bytes) => Ok(bytes.slice(at(range.start)?..at(range.end)?)),
            Self::File(file, _) => {
                let (file, mut bytes) = (Arc::clone(file), vec![0; at(range.end - range.start)?]);
                let read = runtime::blocking(move || {
                    file.read_exact_at(&mut bytes, range.start)?;
                    Ok::<_, std::io::Error>(Bytes::from(bytes))
                });
                read.await?.map_err(|e| Error::io(Path::new("staging"), e))
            }
        }
    }
}

impl Remote {
    pub(super) fn new(store: Arc<dyn ObjectStore>, url: &str, staging: Option<PathBuf>) -> Self {
        let reader = Arc::clone(&store);
        let (url, staging) = (url.trim_end_matches('/').into(), staging.map(Into::into));
        Self { store, reader, url, staging, cache: None, probe: None, lease: None }
    }

    /// Tries the store out, takes its lease where that is needed, and puts the cache in front of it.
    pub(super) async fn prepare(&mut self, options: &StoreOptions, data_dir: &Path, claim: Claim) -> Result<(), Error> {
        let found = match probe(&*self.store).await {
            Ok(found) => found,
            Err(probing::Failure::Unusable(detail)) => {
                return Err(Error::StoreUnusable { store: self.url.to_string(), detail });
            }
            Err(probing::Failure::Unavailable(error)) => return Err(self.failed("use", "", &error)),
        };
        let took_ms = u64::try_from(found.took.as_millis()).unwrap_or(u64::MAX);
        match &found.single_writer {
            None => tracing::info!(store = %self.url, took_ms, "the store keeps writers apart"),
            Some(why) => {
                tracing::warn!(store = %self.url, took_ms, why, "the store does not keep writers apart: it may have only one");
                self.lease = Some(self.lease(claim, why).await?);
            }
        }
        self.probe = Some(found);
        // The data directory is ours alone: what is staged there was left by a crash.
        if let Some(staging) = &self.staging {
            let _ = std::fs::remove_dir_all(staging);
        }
        if options.cache_bytes > 0 {
            let folder = data_dir.join("cache");
            let cache = Cached::new(Arc::clone(&self.store), &self.url, &folder, options.cache_bytes);
            self.reader = Arc::new(cache.clone());
            self.cache = Some(cache.clone());
            // Until it is done, chunks of before count as absent.
            tokio::task::spawn_blocking(move || cache.rediscover());
        }
        Ok(())
    }

    async fn lease(&self, claim: Claim, why: &str) -> Result<Arc<Lease>, Error> {
        let taken = Lease::take(Arc::clone(&self.store), claim, lease::Times::default()).await;
        taken.map_err(|failure| match failure {
            lease::Failure::Held { holder, wait } => Error::StoreHeld {
                store: self.url.to_string(),
                holder,
                why: why.to_owned(),
                wait_seconds: wait.as_secs() + 1,
            },
            lease::Failure::Unavailable(error) => self.failed("take", lease::OBJECT, &error),
        })
    }

    pub(super) async fn close(&self) {
        if let Some(lease) = &self.lease {
            lease.release().await;
        }
    }

    pub(super) fn status(&self) -> StoreStatus {
        StoreStatus {
            name: self.url.to_string(),
            is_shared: self.is_shared(),
            probe: self.probe.clone(),
            cache: self.cache.as_ref().map(Cached::status),
        }
    }

    /// Under a lease nobody else writes.
    pub(super) fn is_shared(&self) -> bool {
        self.lease.is_none()
    }

    /// Whether this process may write now.
    fn check_lease(&self) -> Result<(), Error> {
        self.lease.as_ref().map_or(Ok(()), |lease| lease.check())
    }

    pub(super) fn reader(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.reader)
    }

    pub(super) fn name(&self, object: &str) -> PathBuf {
        format!("{}/{object}", self.url).into()
    }

    pub(super) async fn create(&self, object: &str, bytes: Bytes) -> Result<(), Error> {
        self.check_lease()?;
        let options = PutOptions::from(PutMode::Create);
        let created = self.store.put_opts(&path(object)?, bytes.into(), options).await;
        created.map(|_| ()).map_err(|error| match error {
            StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } | StoreError::NotModified { .. } => {
                Error::Exists { path: self.name(object) }
            }
            error => self.failed("create", object, &error),
        })
    }

    pub(super) async fn put(&self, object: &str, bytes: Bytes) -> Result<(), Error> {
        self.check_lease()?;
        let put = self.store.put(&path(object)?, bytes.into()).await;
        put.map(|_| ()).map_err(|error| self.failed("write", object, &error))
    }

    pub(super) async fn read(&self, object: &str) -> Result<Option<Bytes>, Error> {
        let failed = |error: StoreError| self.failed("read", object, &error);
        match self.store.get(&path(object)?).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(failed)?)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) async fn read_range(&self, object: &str, range: Range<u64>) -> Result<Bytes, Error> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let wanted = range.end - range.start;
        let ends = || Error::corrupt(&self.name(object), format!("the object ends before byte {}", range.end));
        match self.reader.get_range(&path(object)?, range.clone()).await {
            Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
            Ok(_) => Err(ends()),
            Err(StoreError::NotFound { .. }) => Err(Error::corrupt(&self.name(object), "the object is missing")),
            // A range beyond the end fails in a different way with each store.
            Err(error) => match self.store.head(&path(object)?).await {
                Ok(found) if found.size < range.end => Err(ends()),
                _ => Err(self.failed("read", object, &error)),
            },
        }
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Listed>, Error> {
        let listed = self.store.list(prefix(folder)?.as_ref()).map_ok(|found| Listed {
            object: found.location.to_string(),
            bytes: found.size,
            modified_ns: found.last_modified.timestamp_nanos_opt().unwrap_or_default(),
        });
        listed.try_collect().await.map_err(|error| self.failed("list", folder, &error))
    }

    pub(super) async fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let listed = self.store.list_with_delimiter(prefix(folder)?.as_ref()).await;
        let listed = listed.map_err(|error| self.failed("list", folder, &error))?;
        let names = listed.common_prefixes.iter().filter_map(ObjectPath::filename);
        Ok(names.map(str::to_owned).collect())
    }

    pub(super) async fn delete(&self, object: &str) -> Result<(), Error> {
        self.check_lease()?;
        if let Some(cache) = self.cache.clone() {
            let object = object.to_owned();
            tokio::task::spawn_blocking(move || cache.forget(&object)).await.map_err(Error::internal)?;
        }
        match self.store.delete(&path(object)?).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete", object, &error)),
        }
    }

    pub(super) fn new_file(&self, object: &str) -> Result<NewFile, Error> {
        let staged = match &self.staging {
            Some(staging) => {
                create_dirs(&Disk::Real, staging)?;
                Some(Temporary::new(&Disk::Real, &staging.join("upload"))?)
            }
            None => None,
        };
        Ok(NewFile::remote(staged, self.clone(), object))
    }

    /// Uploads an object under a name that nobody else uses.
    pub(super) async fn upload(&self, object: &str, body: Body) -> Result<(), Error> {
        if body.bytes() <= SINGLE_PUT_BYTES_MAX {
            return self.put(object, body.read(0..body.bytes()).await?).await;
        }
        self.check_lease()?;
        let failed = |error: StoreError| self.failed("upload", object, &error);
        let mut upload = self.store.put_multipart(&path(object)?).await.map_err(failed)?;
        let outcome = upload_parts(upload.as_mut(), &body, failed).await;
        if outcome.is_err() {
            // Best effort: the bucket's lifecycle rule removes what is left.
            let _ = upload.abort().await;
        }
        outcome
    }

    fn failed(&self, verb: &str, object: &str, error: &StoreError) -> Error {
        let detail = format!("cannot {verb} \"{}\": {error}", self.name(object).display());
        Error::Unavailable { detail, retry_after: RETRY_AFTER }
    }
}

async fn upload_parts(
    upload: &mut dyn MultipartUpload,
    body: &Body,
    failed: impl Fn(StoreError) -> Error,
) -> Result<(), Error> {
    let mut running = FuturesUnordered::new();
    let mut offset = 0;
    while offset < body.bytes() {
        let end = body.bytes().min(offset + PART_BYTES);
        let part = body.read(offset..end).await?;
        if running.len() == PARTS_AT_ONCE {
            running.next().await.transpose().map_err(&failed)?;
        }
        running.push(upload.put_part(PutPayload::from(part)));
        offset = end;
    }
    while let Some(uploaded) = running.next().await {
        uploaded.map_err(&failed)?;
    }
    upload.complete().await.map(|_| ()).map_err(failed)
}

fn path(object: &str) -> Result<ObjectPath, Error> {
    ObjectPath::parse(object).map_err(Error::internal)
}

fn prefix(folder: &str) -> Result<Option<ObjectPath>, Error> {
    if folder.is_empty() { Ok(None) } else { path(folder).map(Some) }
}
