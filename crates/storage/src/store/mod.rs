//! Where objects are kept: a folder of the local disk, or an object store.
//!
//! An object is created once and never changed, so readers need no locks and
//! caches no invalidation. What a call reported as done is durable.

mod cache;
mod connect;
#[cfg(test)]
pub(crate) mod faulty;
mod lease;
mod local;
mod new_file;
mod options;
mod probe;
mod record;
mod remote;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use url::Url;

pub use self::cache::CacheStatus;
use self::connect::Place;
pub(crate) use self::lease::Claim;
use self::local::Local;
pub(crate) use self::local::{TEMPORARY_SUFFIX, create_dirs};
pub(crate) use self::new_file::NewFile;
pub use self::options::StoreOptions;
pub use self::probe::StoreProbe;
pub use self::record::store_of;
use self::remote::Remote;
use crate::Error;
use crate::disk::Disk;

/// A store of objects, by names such as `tenant=acme/manifest/….json`. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Local(Local),
    Remote(Remote),
}

/// What there is to know about a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Its URL, or its path on the disk.
    pub name: String,
    /// Whether other processes may write to it too.
    pub is_shared: bool,
    /// What trying it out found; `None` for a store that needs no probe.
    pub probe: Option<StoreProbe>,
    /// The read cache; `None` without one.
    pub cache: Option<CacheStatus>,
}

/// An object that a listing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its name below the store's root.
    pub(crate) object: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// When it was last written, by the store's clock, nanoseconds.
    pub(crate) modified_ns: i64,
}

impl Store {
    /// Opens the store that the options name, by default the folder `store` of
    /// the data directory, as the writer that `claim` names. A remote store is
    /// probed first; one that does not keep writers apart is taken under a lease.
    ///
    /// # Errors
    /// [`Error::StoreUnusable`] if the options do not make a store or it
    /// answers wrongly, [`Error::StoreHeld`] if another writer has it and two
    /// would damage it, [`Error::Unavailable`] if it does not answer,
    /// [`Error::Io`] if the disk fails.
    pub(crate) async fn open(
        options: &StoreOptions,
        disk: &Disk,
        data_dir: &Path,
        claim: Claim,
    ) -> Result<Self, Error> {
        record::check(data_dir, options.url.as_ref())?;
        let mut store = Self::connect(options, disk, data_dir)?;
        if let Some(url) = &options.url {
            if let Backend::Remote(remote) = &mut store.backend {
                remote.prepare(options, data_dir, claim).await?;
            }
            record::write(data_dir, url)?;
        }
        Ok(store)
    }

    /// The store that the options name, for a copy of data: neither probed nor cached, and without a lease.
    ///
    /// # Errors
    /// [`Error::StoreUnusable`] if the options do not make a store, [`Error::Io`] if the disk fails.
    pub(crate) fn connect(options: &StoreOptions, disk: &Disk, data_dir: &Path) -> Result<Self, Error> {
        let local = |root: &Path, shared| Local::open(disk.clone(), root, shared);
        let (store, url) = match (&options.object_store, &options.url) {
            (Some(store), url) => (Arc::clone(store), url.as_ref().map_or("memory:/", Url::as_str)),
            (None, Some(url)) => match connect::connect(url, options)? {
                Place::Remote(store) => (store, url.as_str()),
                Place::Folder(folder) => return Ok(Self { backend: Backend::Local(local(&folder, true)?) }),
            },
            (None, None) => return Ok(Self { backend: Backend::Local(local(&data_dir.join("store"), false)?) }),
        };
        // Files are staged on the operating system's disk; beside a simulated one, in memory.
        let staging = matches!(disk, Disk::Real).then(|| data_dir.join("staging"));
        Ok(Self::remote(store, url, staging))
    }

    /// Ends writing: the next writer need not wait.
    pub(crate) async fn close(&self) {
        if let Backend::Remote(remote) = &self.backend {
            remote.close().await;
        }
    }

    /// What there is to know about the store.
    pub(crate) fn status(&self) -> StoreStatus {
        match &self.backend {
            Backend::Local(local) => StoreStatus {
                name: local.path("").display().to_string(),
                is_shared: local.is_shared(),
                probe: None,
                cache: None,
            },
            Backend::Remote(remote) => remote.status(),
        }
    }

    /// A store in a folder that no other process writes to; made if absent.
    pub(crate) fn local(root: &Path) -> Result<Self, Error> {
        Ok(Self { backend: Backend::Local(Local::open(Disk::Real, root, false)?) })
    }

    /// An object store. `url` is how messages name it. New files are collected
    /// below `staging`, or without it in memory.
    pub(crate) fn remote(store: Arc<dyn ObjectStore>, url: &str, staging: Option<PathBuf>) -> Self {
        Self { backend: Backend::Remote(Remote::new(store, url, staging)) }
    }

    /// Creates an object durably, unless it exists.
    ///
    /// # Errors
    /// [`Error::Exists`] if it exists: by an earlier attempt of ours or another's.
    /// [`Error::Poisoned`] if a sync failed: nothing more can be promised.
    /// Others: the object may exist by now or not, and may be another's. Read it.
    pub(crate) async fn create(&self, object: &str, bytes: Bytes) -> Result<(), Error> {
        match &self.backend {
            Backend::Local(local) => local.blocking(object, move |local, object| local.create(object, &bytes)).await,
            Backend::Remote(remote) => remote.create(object, bytes).await,
        }
    }

    /// Creates an object or overwrites it, durably and as a whole. Only for
    /// objects whose name determines their content, or that have one writer.
    ///
    /// # Errors
    /// [`Error::Poisoned`] as in [`create`](Self::create); [`Error::Io`] and
    /// [`Error::Unavailable`] if it could not be written, or nobody knows.
    pub(crate) async fn put(&self, object: &str, bytes: Bytes) -> Result<(), Error> {
        match &self.backend {
            Backend::Local(local) => local.blocking(object, move |local, object| local.put(object, &bytes)).await,
            Backend::Remote(remote) => remote.put(object, bytes).await,
        }
    }

    /// Reads a whole object; `None` if there is none. What it returns is
    /// durable, even where the attempt that wrote it failed half-way: on the
    /// local disk this syncs, so read what is known to be durable with
    /// [`read_range`](Self::read_range).
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Unavailable`] if it cannot be read, [`Error::Poisoned`] if a sync failed.
    pub(crate) async fn read(&self, object: &str) -> Result<Option<Bytes>, Error> {
        match &self.backend {
            Backend::Local(local) => local.blocking(object, Local::read).await,
            Backend::Remote(remote) => remote.read(object).await,
        }
    }

    /// Reads bytes of an object.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if there is no such object or it ends before the
    /// range does, [`Error::Io`] and [`Error::Unavailable`] if it cannot be read.
    pub(crate) async fn read_range(&self, object: &str, range: Range<u64>) -> Result<Bytes, Error> {
        match &self.backend {
            Backend::Local(local) => {
                local.blocking(object, move |local, object| local.read_range(object, &range)).await
            }
            Backend::Remote(remote) => remote.read_range(object, range).await,
        }
    }

    /// All objects below a folder, however deep, in no order; none if there is no such folder.
    ///
    /// On the local disk, names that end in [`TEMPORARY_SUFFIX`] are files in
    /// the making, or what a crash left of such.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Unavailable`] if it cannot be listed.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Listed>, Error> {
        match &self.backend {
            Backend::Local(local) => local.blocking(folder, Local::list).await,
            Backend::Remote(remote) => remote.list(folder).await,
        }
    }

    /// The names of the folders directly below a folder, sorted.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Unavailable`] if it cannot be listed.
    pub(crate) async fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let mut folders = match &self.backend {
            Backend::Local(local) => local.blocking(folder, Local::folders).await?,
            Backend::Remote(remote) => remote.folders(folder).await?,
        };
        folders.sort_unstable();
        Ok(folders)
    }

    /// Deletes an object; absent is success. A power cut may bring it back, for the sweep to find.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Unavailable`] if it may still be there.
    pub(crate) async fn delete(&self, object: &str) -> Result<(), Error> {
        match &self.backend {
            Backend::Local(local) => local.blocking(object, Local::delete).await,
            Backend::Remote(remote) => remote.delete(object).await,
        }
    }

    /// Starts an object of unknown length. It stands under its name after
    /// [`NewFile::finish`]; dropped before, it leaves nothing. Blocking, as is writing to it.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk fails.
    pub(crate) fn new_file(&self, object: &str) -> Result<NewFile, Error> {
        match &self.backend {
            Backend::Local(local) => local.new_file(object),
            Backend::Remote(remote) => remote.new_file(object),
        }
    }

    /// The store as query engines read it, with names relative to its root.
    pub(crate) fn reader(&self) -> Arc<dyn ObjectStore> {
        match &self.backend {
            Backend::Local(local) => local.reader(),
            Backend::Remote(remote) => remote.reader(),
        }
    }

    /// How messages name an object: a path on the disk, or a URL.
    pub(crate) fn name(&self, object: &str) -> PathBuf {
        match &self.backend {
            Backend::Local(local) => local.path(object),
            Backend::Remote(remote) => remote.name(object),
        }
    }

    /// Whether processes with another data directory may write to it too.
    pub(crate) fn is_shared(&self) -> bool {
        match &self.backend {
            Backend::Local(local) => local.is_shared(),
            Backend::Remote(remote) => remote.is_shared(),
        }
    }
}

#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod tests;
