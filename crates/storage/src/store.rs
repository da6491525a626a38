//! Files on the local disk, made so that a power cut leaves them whole or
//! absent. object_store's local backend never syncs, so it only reads here.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use sha2::{Digest, Sha256};

use crate::Error;

/// The suffix of files that are being made.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// A store's root folder on the local disk.
#[derive(Clone)]
pub(crate) struct LocalStore {
    root: PathBuf,
    reader: Arc<LocalFileSystem>,
}

/// A file that was written and synced, and now stands under its name.
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl LocalStore {
    /// Opens a store, making its root if absent.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        create_dirs(root)?;
        let reader = LocalFileSystem::new_with_prefix(root).map_err(|e| Error::io(root, io::Error::other(e)))?;
        Ok(Self { root: root.to_owned(), reader: Arc::new(reader) })
    }

    /// The store as query engines read it.
    pub(crate) fn reader(&self) -> Arc<LocalFileSystem> {
        Arc::clone(&self.reader)
    }

    /// Where an object is on the disk.
    pub(crate) fn path(&self, object: &str) -> PathBuf {
        self.root.join(object)
    }

    /// Creates an object durably, unless it exists.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if a sync failed: nothing more can be promised.
    /// Others: the object may exist by then or not, and may be another's. Read it.
    pub(crate) fn create(&self, object: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(object);
        let dir = parent(&path);
        create_dirs(dir)?;
        let temporary = temporary(&path);
        let make = || {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            Ok(file)
        };
        let made = make().map_err(|e| Error::io(&path, e)).and_then(|file: File| {
            synced(&path, file.sync_all())?;
            fs::hard_link(&temporary, &path).map_err(|e| Error::io(&path, e))?;
            synced(&path, sync_dir(dir))
        });
        // Best effort: the next start removes what is left.
        let _ = fs::remove_file(&temporary);
        made
    }

    /// Reads a whole object; `None` if there is none.
    pub(crate) fn read(&self, object: &str) -> Result<Option<Bytes>, Error> {
        let path = self.path(object);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&path, e)),
        }
    }

    /// Syncs an object and its name, which an earlier attempt may have left unsynced.
    pub(crate) fn sync(&self, object: &str) -> Result<(), Error> {
        let path = self.path(object);
        let file = File::open(&path).map_err(|e| Error::io(&path, e))?;
        synced(&path, file.sync_all())?;
        synced(&path, sync_dir(parent(&path)))
    }

    /// Starts a file of unknown length. It stands under its name after
    /// [`NewFile::finish`]; dropped before, it leaves nothing.
    pub(crate) fn new_file(&self, object: &str) -> Result<NewFile, Error> {
        let path = self.path(object);
        create_dirs(parent(&path))?;
        let temporary = temporary(&path);
        let file = File::create_new(&temporary).map_err(|e| Error::io(&temporary, e))?;
        Ok(NewFile { file, temporary, path, sha256: Sha256::new(), bytes: 0, finished: false })
    }
}

/// A file in the making; see [`LocalStore::new_file`].
pub(crate) struct NewFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    sha256: Sha256,
    bytes: u64,
    finished: bool,
}

impl NewFile {
    /// Syncs the file, gives it its name, and syncs that.
    pub(crate) fn finish(mut self) -> Result<Written, Error> {
        synced(&self.path, self.file.sync_all())?;
        fs::rename(&self.temporary, &self.path).map_err(|e| Error::io(&self.path, e))?;
        synced(&self.path, sync_dir(parent(&self.path)))?;
        self.finished = true;
        let sha256 = std::mem::take(&mut self.sha256).finalize();
        Ok(Written { bytes: self.bytes, sha256: hex::encode(sha256) })
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: the next start removes what is left.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Syncs a folder: names made, changed or removed in it become durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A failed sync cannot be repaired by another: the kernel forgets the error
/// and may have dropped the data.
fn synced(path: &Path, outcome: io::Result<()>) -> Result<(), Error> {
    outcome.map_err(|error| Error::Poisoned { detail: format!("cannot sync \"{}\": {error}", path.display()) })
}

/// Makes a folder and its parents, durably.
pub(crate) fn create_dirs(dir: &Path) -> Result<(), Error> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let above = parent(dir);
    create_dirs(above)?;
    match fs::create_dir(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        Err(e) => return Err(Error::io(dir, e)),
    }
    synced(above, sync_dir(above))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY_SUFFIX);
    name.into()
}
