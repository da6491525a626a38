//! Objects as files of the local disk, made so that a power cut leaves them
//! whole or absent. object_store's local backend never syncs, so it only reads.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use ulid::Ulid;

use super::Listed;
use super::new_file::NewFile;
use crate::Error;

/// The suffix of files that are being made.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// A store's root folder on the local disk.
#[derive(Clone)]
pub(super) struct Local {
    root: Arc<Path>,
    reader: Arc<LocalFileSystem>,
    shared: bool,
}

impl Local {
    /// Opens a folder, making it if absent.
    pub(super) fn open(root: &Path, shared: bool) -> Result<Self, Error> {
        create_dirs(root)?;
        let reader = LocalFileSystem::new_with_prefix(root).map_err(|e| Error::io(root, io::Error::other(e)))?;
        Ok(Self { root: root.into(), reader: Arc::new(reader), shared })
    }

    pub(super) fn reader(&self) -> Arc<LocalFileSystem> {
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
        tokio::task::spawn_blocking(move || work(&local, &object)).await.map_err(Error::internal)?
    }

    pub(super) fn create(&self, object: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(object);
        let temporary = written(&path, bytes)?;
        fs::hard_link(temporary.path(), &path).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { path: path.clone() },
            _ => Error::io(&path, e),
        })?;
        synced(&path, sync_dir(parent(&path)))
    }

    pub(super) fn put(&self, object: &str, bytes: &[u8]) -> Result<(), Error> {
        Self::write(&self.path(object), bytes)
    }

    /// Writes a file durably and as a whole.
    pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
        written(path, bytes)?.rename(path)
    }

    pub(super) fn read(&self, object: &str) -> Result<Option<Bytes>, Error> {
        let path = self.path(object);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, e)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| Error::io(&path, e))?;
        // An earlier attempt may have left the file or its name unsynced.
        synced(&path, file.sync_all())?;
        synced(&path, sync_dir(parent(&path)))?;
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
        let mut file = File::open(&path).map_err(failed)?;
        file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes.into())
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<Listed>, Error> {
        let mut listed = Vec::new();
        let mut dirs = vec![self.path(folder)];
        while let Some(dir) = dirs.pop() {
            let Some(listing) = unless_absent(&dir, fs::read_dir(&dir))? else { continue };
            for found in listing {
                let found = found.map_err(|e| Error::io(&dir, e))?;
                let path = found.path();
                // A file may go while we look.
                let Some(about) = unless_absent(&path, found.metadata())? else { continue };
                if about.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let Some(object) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) else { continue };
                let modified = about.modified().map_err(|e| Error::io(&path, e))?;
                let modified = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
                listed.push(Listed {
                    object: object.to_owned(),
                    bytes: about.len(),
                    modified_ns: i64::try_from(modified.as_nanos()).unwrap_or(i64::MAX),
                });
            }
        }
        Ok(listed)
    }

    pub(super) fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let dir = self.path(folder);
        let mut folders = Vec::new();
        let Some(listing) = unless_absent(&dir, fs::read_dir(&dir))? else { return Ok(folders) };
        for found in listing {
            let found = found.map_err(|e| Error::io(&dir, e))?;
            if found.file_type().map_err(|e| Error::io(&dir, e))?.is_dir() {
                folders.extend(found.file_name().into_string().ok());
            }
        }
        Ok(folders)
    }

    pub(super) fn delete(&self, object: &str) -> Result<(), Error> {
        let path = self.path(object);
        unless_absent(&path, fs::remove_file(&path)).map(|_| ())
    }

    pub(super) fn new_file(&self, object: &str) -> Result<NewFile, Error> {
        let path = self.path(object);
        create_dirs(parent(&path))?;
        let (temporary, file) = Temporary::new(&path)?;
        Ok(NewFile::local(file, temporary, path))
    }
}

/// A file in the making; removed when dropped, unless it got its name.
pub(super) struct Temporary {
    path: Option<PathBuf>,
}

impl Temporary {
    /// Makes an empty file beside `path`, under a name that nobody else uses.
    pub(super) fn new(path: &Path) -> Result<(Self, File), Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}{TEMPORARY_SUFFIX}", Ulid::new()));
        let path = PathBuf::from(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(|e| Error::io(&path, e))?;
        Ok((Self { path: Some(path) }, file))
    }

    fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives the synced file its name, and syncs that.
    pub(super) fn rename(mut self, path: &Path) -> Result<(), Error> {
        fs::rename(self.path(), path).map_err(|e| Error::io(path, e))?;
        self.path = None;
        synced(path, sync_dir(parent(path)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Best effort: the sweep removes what is left.
            let _ = fs::remove_file(path);
        }
    }
}

/// A temporary file with these bytes, synced.
fn written(path: &Path, bytes: &[u8]) -> Result<Temporary, Error> {
    create_dirs(parent(path))?;
    let (temporary, mut file) = Temporary::new(path)?;
    file.write_all(bytes).map_err(|e| Error::io(path, e))?;
    synced(path, file.sync_all())?;
    Ok(temporary)
}

fn unless_absent<T>(path: &Path, outcome: io::Result<T>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}

/// Syncs a folder: names made, changed or removed in it become durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A failed sync cannot be repaired by another: the kernel forgets the error
/// and may have dropped the data.
pub(super) fn synced(path: &Path, outcome: io::Result<()>) -> Result<(), Error> {
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
