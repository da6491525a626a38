use std::io::{self, Seek, SeekFrom, Write};

#[cfg(test)]
use std::sync::{Arc, Mutex};

use crate::disk::DiskFile;

/// The file that frames are written to. In tests its operations can be made to fail.
pub(crate) struct WalFile {
    file: DiskFile,
    #[cfg(test)]
    faults: Arc<Faults>,
}

/// Failures to come, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Faults {
    /// The next write puts down this many bytes and fails.
    pub(crate) write_after: Mutex<Option<usize>>,
    /// The next sync fails.
    pub(crate) sync: Mutex<bool>,
}

impl WalFile {
    #[cfg(not(test))]
    pub(crate) fn new(file: DiskFile) -> Self {
        Self { file }
    }

    #[cfg(test)]
    pub(crate) fn new(file: DiskFile, faults: Arc<Faults>) -> Self {
        Self { file, faults }
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if let Some(count) = self.faults.write_after.lock().unwrap().take() {
            self.file.write_all(&bytes[..count.min(bytes.len())])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_all(bytes)
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if std::mem::take(&mut *self.faults.sync.lock().unwrap()) {
            return Err(io::Error::other("injected"));
        }
        self.file.sync_data()
    }

    /// Cuts the file back to a length and goes on from there.
    pub(crate) fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)?;
        self.file.seek(SeekFrom::Start(bytes)).map(drop)
    }
}
