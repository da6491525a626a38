//! The disk under the WAL and the local store: the operating system's, or in
//! tests a simulated one, which fails and loses power as real ones do.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[cfg(test)]
use crate::sim;

/// A file system. Cloning it is cheap.
#[derive(Clone, Default)]
pub(crate) enum Disk {
    /// The operating system's.
    #[default]
    Real,
    #[cfg(test)]
    Simulated(sim::SimDisk),
}

/// An open file.
pub(crate) enum DiskFile {
    Real(File),
    #[cfg(test)]
    Simulated(sim::SimFile),
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) is_dir: bool,
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) bytes: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) modified_ns: i64,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// To be read; it has to exist.
    Read,
    /// To be changed; it has to exist.
    Write,
    /// To be read and changed; made if absent.
    ReadWrite,
    /// To be read and changed; made if absent, emptied otherwise.
    Empty,
    /// To be read and changed; it must not exist.
    New,
}

/// One arm for the real disk, one for the simulated.
macro_rules! on {
    ($this:expr, $real:expr, $disk:pat => $simulated:expr) => {
        match $this {
            Self::Real => $real,
            #[cfg(test)]
            Self::Simulated($disk) => $simulated,
        }
    };
    ($this:expr, $file:pat => $real:expr, $sim:pat => $simulated:expr) => {
        match $this {
            Self::Real($file) => $real,
            #[cfg(test)]
            Self::Simulated($sim) => $simulated,
        }
    };
}

impl Disk {
    /// Opens a file.
    pub(crate) fn open(&self, path: &Path, access: Access) -> io::Result<DiskFile> {
        on!(self, real_options(access).open(path).map(DiskFile::Real),
            disk => disk.open(path, access).map(DiskFile::Simulated))
    }

    /// Reads a whole file.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        on!(self, fs::read(path), disk => disk.read(path))
    }

    /// Gives a file another name, in place of what has that name.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        on!(self, fs::rename(from, to), disk => disk.rename(from, to))
    }

    /// Gives a file a second name, which must be free.
    pub(crate) fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        on!(self, fs::hard_link(from, to), disk => disk.hard_link(from, to))
    }

    /// Removes a file's name.
    pub(crate) fn remove_file(&self, path: &Path) -> io::Result<()> {
        on!(self, fs::remove_file(path), disk => disk.remove_file(path))
    }

    /// Makes a folder.
    pub(crate) fn create_dir(&self, path: &Path) -> io::Result<()> {
        on!(self, fs::create_dir(path), disk => disk.create_dir(path))
    }

    /// Syncs a folder: names made, changed or removed in it become durable.
    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        on!(self, File::open(path)?.sync_all(), disk => disk.sync_dir(path))
    }

    /// What is in a folder, in no order.
    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<Found>> {
        on!(
            self,
            fs::read_dir(path)?
                .map(|found| found.and_then(|found| Ok(Found { path: found.path(), is_dir: found.file_type()?.is_dir() })))
                .collect(),
            disk => disk.list(path)
        )
    }

    /// Whether there is a folder of that name.
    pub(crate) fn is_dir(&self, path: &Path) -> bool {
        on!(self, path.is_dir(), disk => disk.is_dir(path))
    }

    /// Whether there is a file or folder of that name.
    pub(crate) fn exists(&self, path: &Path) -> bool {
        on!(self, path.exists(), disk => disk.exists(path))
    }

    /// What is known of a file.
    pub(crate) fn facts(&self, path: &Path) -> io::Result<Facts> {
        on!(self, facts(&fs::metadata(path)?), disk => disk.facts(path))
    }
}

impl DiskFile {
    /// Syncs the file's bytes, and of its metadata what is needed to read them.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        on!(self, file => file.sync_data(), file => file.sync())
    }

    /// Syncs the file's bytes and metadata; not its name.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        on!(self, file => file.sync_all(), file => file.sync())
    }

    /// Cuts or extends the file.
    pub(crate) fn set_len(&self, bytes: u64) -> io::Result<()> {
        on!(self, file => file.set_len(bytes), file => file.set_len(bytes))
    }

    /// The file's size.
    pub(crate) fn size(&self) -> io::Result<u64> {
        on!(self, file => Ok(file.metadata()?.len()), file => file.size())
    }

    /// Reads bytes at an offset, all of them.
    pub(crate) fn read_exact_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        on!(self, file => file.read_exact_at(out, at), file => file.read_exact_at(out, at))
    }

    /// Takes the file's lock; the operating system gives it up with the file or the process.
    pub(crate) fn try_lock(&self) -> Result<(), TryLockError> {
        on!(self, file => file.try_lock(), file => file.try_lock())
    }
}

impl Read for DiskFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        on!(self, file => file.read(out), file => file.read(out))
    }
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        on!(self, file => file.write(bytes), file => file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        on!(self, file => file.flush(), _ => Ok(()))
    }
}

impl Seek for DiskFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        on!(self, file => file.seek(to), file => file.seek(to))
    }
}

fn real_options(access: Access) -> fs::OpenOptions {
    let mut options = File::options();
    match access {
        Access::Read => options.read(true),
        Access::Write => options.write(true),
        Access::ReadWrite => options.read(true).write(true).create(true).truncate(false),
        Access::Empty => options.read(true).write(true).create(true).truncate(true),
        Access::New => options.read(true).write(true).create_new(true),
    };
    options
}

fn facts(metadata: &fs::Metadata) -> io::Result<Facts> {
    let since_epoch = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let modified_ns = i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX);
    Ok(Facts { bytes: metadata.len(), modified_ns })
}
