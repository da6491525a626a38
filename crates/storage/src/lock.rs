use std::fs::TryLockError;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::disk::{Access, Disk, DiskFile};

const HOLDER_BYTES_MAX: u64 = 4096;

/// The lock of a data directory, held until dropped. The operating system
/// gives it up when the process dies, however it dies.
pub(crate) struct Lock {
    path: PathBuf,
    file: DiskFile,
}

impl Lock {
    /// Takes the lock and writes who holds it.
    ///
    /// # Errors
    /// [`Error::Locked`] with the holder's text if another process has it.
    pub(crate) fn take(disk: &Disk, data_dir: &Path, holder: &str) -> Result<Self, Error> {
        let path = data_dir.join("LOCK");
        let io = |e| Error::io(&path, e);
        let mut file = disk.open(&path, Access::ReadWrite).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = Vec::new();
                (&mut file).take(HOLDER_BYTES_MAX).read_to_end(&mut text).map_err(io)?;
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                let holder = if text.is_empty() { "another process".to_owned() } else { text };
                return Err(Error::Locked { path, holder });
            }
            Err(TryLockError::Error(e)) => return Err(Error::io(&path, e)),
        }
        let mut lock = Self { path, file };
        lock.set_holder(holder)?;
        Ok(lock)
    }

    /// Replaces the text that tells others who holds the lock.
    pub(crate) fn set_holder(&mut self, holder: &str) -> Result<(), Error> {
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(holder.as_bytes())
        };
        write().map_err(|e| Error::io(&self.path, e))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Best effort: closing the file gives the lock up anyway.
        let _ = self.file.set_len(0);
    }
}
