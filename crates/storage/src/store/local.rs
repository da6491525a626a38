//! Objects as files of the local disk, made so that a power cut leaves them
//! whole or absent. object_store's local backend never syncs, so it only reads.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use super::Listed;
use super::new_file::NewFile;
use crate::disk::{Access, Disk, DiskFile};
use crate::runtime::{Safeguard, without};
use crate::{Error, runtime};

/// The suffix of files that are being made.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// A store's root folder on the local disk.
#[derive(Clone)]
pub(super) struct Local {
    disk: Disk,
    root: Arc<Path>,
    reader: Arc<dyn ObjectStore>,
    shared: bool,
    /// Folders whose names this process knows to be durable: it made or synced them itself.
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Local {
    /// Opens a folder, making it if absent.
    pub(super) fn open(disk: Disk, root: &Path, shared: bool) -> Result<Self, Error> {
        create_dirs(&disk, root)?;
        let reader: Arc<dyn ObjectStore> = match &disk {
            Disk::Real => {
                let reader = LocalFileSystem::new_with_prefix(root);
                Arc::new(reader.map_err(|e| Error::io(root, io::Error::other(e)))?)
            }
            #[cfg(test)]
            Disk::Simulated(disk) => Arc::new(crate::sim::SimObjects::Folder(disk.clone(), root.to_owned())),
        };
        let durable = Arc::new(Mutex::new(HashSet::from([root.to_owned()])));
        Ok(Self { disk, root: root.into(), reader, shared, durable })
    }

    pub(super) fn reader(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.reader)
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Where an object is on the disk.
    pub(super) fn path(&self, object: &str) -> PathBuf {
        self.root.join(object)
    }

    /// Runs blocking work on an object off the runtime's threads.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        object: &str,
        work: impl FnOnce(&Self, &str) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (local, object) = (self.clone(), object.to_owned());
        runtime::blocking(move || work(&local, &object)).await?
    }

    pub(super) fn create(&self, object: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(object);
        let temporary = self.written(&path, bytes)?;
        self.disk.hard_link(temporary.path(), &path).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { path: path.clone() },
            _ => Error::io(&path, e),
        })?;
        synced(&path, self.disk.sync_dir(parent(&path)))
    }

    pub(super) fn put(&self, object: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(object);
        self.written(&path, bytes)?.rename(&path)
    }

    /// Writes a file outside any store, durably and as a whole.
    pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
        create_dirs(&Disk::Real, parent(path))?;
        written(&Disk::Real, path, bytes)?.rename(path)
    }

    pub(super) fn read(&self, object: &str) -> Result<Option<Bytes>, Error> {
        let path = self.path(object);
        let mut file = match self.disk.open(&path, Access::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, e)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| Error::io(&path, e))?;
        // An earlier attempt may have left the file or its name unsynced.
        synced(&path, file.sync_all())?;
        synced(&path, self.disk.sync_dir(parent(&path)))?;
        Ok(Some(bytes.into()))
    }

    pub(super) fn read_range(&self, object: &str, range: &Range<u64>) -> Result<Bytes, Error> {
        let path = self.path(object);
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => Error::corrupt(&path, "the file is missing"),
            io::ErrorKind::UnexpectedEof => Error::corrupt(&path, format!("the file ends before byte {}", range.end)),
            _ => Error::io(&path, e),
        };
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(Error::internal)?;
        let file = self.disk.open(&path, Access::Read).map_err(failed)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, range.start).map_err(failed)?;
        Ok(bytes.into())
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<Listed>, Error> {
        let mut listed = Vec::new();
        let mut dirs = vec![self.path(folder)];
        while let Some(dir) = dirs.pop() {
            let Some(listing) = unless_absent(&dir, self.disk.list(&dir))? else { continue };
            for found in listing {
                let path = found.path;
                if found.is_dir {
                    dirs.push(path);
                    continue;
                }
                // A file may go while we look.
                let Some(facts) = unless_absent(&path, self.disk.facts(&path))? else { continue };
                let Some(object) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) else { continue };
                listed.push(Listed { object: object.to_owned(), bytes: facts.bytes, modified_ns: facts.modified_ns });
            }
        }
        Ok(listed)
    }

    pub(super) fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let dir = self.path(folder);
        let mut folders = Vec::new();
        let Some(listing) = unless_absent(&dir, self.disk.list(&dir))? else { return Ok(folders) };
        for found in listing.iter().filter(|found| found.is_dir) {
            folders.extend(found.path.file_name().and_then(|name| name.to_str()).map(str::to_owned));
        }
        Ok(folders)
    }

    pub(super) fn delete(&self, object: &str) -> Result<(), Error> {
        let path = self.path(object);
        unless_absent(&path, self.disk.remove_file(&path)).map(|_| ())
    }

    pub(super) fn new_file(&self, object: &str) -> Result<NewFile, Error> {
        let path = self.path(object);
        self.create_dirs(parent(&path))?;
        let (temporary, file) = Temporary::new(&self.disk, &path)?;
        Ok(NewFile::local(file, temporary, path))
    }

    /// A temporary file with these bytes, synced.
    fn written(&self, path: &Path, bytes: &[u8]) -> Result<Temporary, Error> {
        self.create_dirs(parent(path))?;
        written(&self.disk, path, bytes)
    }

    /// Makes a folder below the root and its parents, durably.
    ///
    /// That a folder is there says nothing of its name being durable: the
    /// process that made it may have died before it was synced, or another
    /// thread of this one may be about to.
    fn create_dirs(&self, dir: &Path) -> Result<(), Error> {
        if self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(dir) {
            return Ok(());
        }
        let above = parent(dir);
        if without(Safeguard::SyncFolders) && self.disk.is_dir(dir) {
            return Ok(());
        }
        self.create_dirs(above)?;
        create_dir(&self.disk, dir)?;
        synced(above, self.disk.sync_dir(above))?;
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).insert(dir.to_owned());
        Ok(())
    }
}

/// A file in the making; removed when dropped, unless it got its name.
pub(super) struct Temporary {
    disk: Disk,
    path: Option<PathBuf>,
}

impl Temporary {
    /// Makes an empty file beside `path`, under a name that nobody else uses.
    pub(super) fn new(disk: &Disk, path: &Path) -> Result<(Self, DiskFile), Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}{TEMPORARY_SUFFIX}", runtime::new_id()));
        let path = PathBuf::from(name);
        let file = disk.open(&path, Access::New).map_err(|e| Error::io(&path, e))?;
        Ok((Self { disk: disk.clone(), path: Some(path) }, file))
    }

    fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives the synced file its name, and syncs that.
    pub(super) fn rename(mut self, path: &Path) -> Result<(), Error> {
        self.disk.rename(self.path(), path).map_err(|e| Error::io(path, e))?;
        self.path = None;
        synced(path, self.disk.sync_dir(parent(path)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Best effort: the sweep removes what is left.
            let _ = self.disk.remove_file(path);
        }
    }
}

fn unless_absent<T>(path: &Path, outcome: io::Result<T>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}

/// A failed sync cannot be repaired by another: the kernel forgets the error
/// and may have dropped the data.
pub(super) fn synced(path: &Path, outcome: io::Result<()>) -> Result<(), Error> {
    outcome.map_err(|error| Error::Poisoned { detail: format!("cannot sync \"{}\": {error}", path.display()) })
}

/// Makes a folder and its parents, durably.
pub(crate) fn create_dirs(disk: &Disk, dir: &Path) -> Result<(), Error> {
    let above = parent(dir);
    let existed = dir.as_os_str().is_empty() || disk.is_dir(dir);
    if !existed {
        create_dirs(disk, above)?;
        create_dir(disk, dir)?;
    }
    match disk.sync_dir(above) {
        // A folder of somebody else's that we may only pass through; it made the one in it durable, or did not.
        Err(e) if existed && e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        outcome => synced(above, outcome),
    }
}

/// A temporary file with these bytes, synced, beside `path`.
fn written(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<Temporary, Error> {
    let (temporary, mut file) = Temporary::new(disk, path)?;
    file.write_all(bytes).map_err(|e| Error::io(path, e))?;
    synced(path, file.sync_all())?;
    Ok(temporary)
}

fn create_dir(disk: &Disk, dir: &Path) -> Result<(), Error> {
    match disk.create_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && disk.is_dir(dir) => Ok(()),
        outcome => outcome.map_err(|e| Error::io(dir, e)),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
