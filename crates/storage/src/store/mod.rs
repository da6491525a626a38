//! Where objects are kept: a folder of the local disk, or an object store.
//!
//! An object is created once and never changed, so readers need no locks and
//! caches no invalidation. What a call reported as done is durable.

mod local;
mod new_file;
mod options;
mod remote;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;

use self::local::Local;
pub(crate) use self::local::{TEMPORARY_SUFFIX, create_dirs, sync_dir};
pub(crate) use self::new_file::{NewFile, Written};
pub use self::options::StoreOptions;
use self::remote::Remote;
use crate::Error;

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
    /// Opens the store that the options name; by default the folder `store` of the data directory.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk fails, [`Error::Unavailable`] if the options do not make a store.
    pub(crate) fn open(options: &StoreOptions, data_dir: &Path) -> Result<Self, Error> {
        let staging = data_dir.join("staging");
        if let Some(store) = &options.object_store {
            return Ok(Self::remote(Arc::clone(store), "memory:/", Some(staging)));
        }
        Self::local(&data_dir.join("store"))
    }

    /// A store in a folder that no other process writes to; made if absent.
    pub(crate) fn local(root: &Path) -> Result<Self, Error> {
        Ok(Self { backend: Backend::Local(Local::open(root, false)?) })
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
            Backend::Remote(_) => true,
        }
    }
}

#[cfg(test)]
mod tests;
