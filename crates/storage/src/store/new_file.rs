//! A file of unknown length on its way into the store, hashed while it is written.

use std::io::{self, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::local::{Temporary, synced};
use super::remote::{Body, Remote};
use crate::disk::DiskFile;
use crate::{Error, runtime};

/// A file that is durable, and stands under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    /// Of the whole file, lowercase hex.
    pub(crate) sha256: String,
}

/// A file in the making; see [`Store::new_file`](super::Store::new_file).
pub(crate) struct NewFile {
    sink: Sink,
    target: Target,
    sha256: Sha256,
    bytes: u64,
}

enum Sink {
    File(DiskFile, Temporary),
    Buffer(Vec<u8>),
}

enum Target {
    Local(PathBuf),
    Remote(Remote, String),
}

impl NewFile {
    pub(super) fn local(file: DiskFile, temporary: Temporary, path: PathBuf) -> Self {
        Self::new(Sink::File(file, temporary), Target::Local(path))
    }

    /// Collected in a file, or without one in memory, and then uploaded.
    pub(super) fn remote(staged: Option<(Temporary, DiskFile)>, remote: Remote, object: &str) -> Self {
        let sink = match staged {
            Some((temporary, file)) => Sink::File(file, temporary),
            None => Sink::Buffer(Vec::new()),
        };
        Self::new(sink, Target::Remote(remote, object.to_owned()))
    }

    fn new(sink: Sink, target: Target) -> Self {
        Self { sink, target, sha256: Sha256::new(), bytes: 0 }
    }

    /// Makes the file durable under its name.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if a sync failed, [`Error::Io`] and
    /// [`Error::Unavailable`] if it could not be written or uploaded. A part of
    /// it may be in the store; nothing names it.
    pub(crate) async fn finish(self) -> Result<Written, Error> {
        if let Target::Local(_) = self.target {
            return runtime::blocking(|| self.finish_blocking()).await?;
        }
        let (written, sink, target) = self.into_parts();
        if let Target::Remote(remote, object) = target {
            match sink {
                // The staged file goes when the upload is over.
                Sink::File(file, _temporary) => remote.upload(&object, Body::file(file, written.bytes)).await?,
                Sink::Buffer(bytes) => remote.upload(&object, Body::Bytes(bytes.into())).await?,
            }
        }
        Ok(written)
    }

    /// [`finish`](Self::finish), for a thread that may block. Where the store is remote it needs a runtime.
    pub(crate) fn finish_blocking(self) -> Result<Written, Error> {
        if let Target::Remote(..) = self.target {
            return runtime::block_on(self.finish());
        }
        let (written, sink, target) = self.into_parts();
        if let (Sink::File(file, temporary), Target::Local(path)) = (sink, target) {
            synced(&path, file.sync_all())?;
            temporary.rename(&path)?;
        }
        Ok(written)
    }

    fn into_parts(self) -> (Written, Sink, Target) {
        let written = Written { bytes: self.bytes, sha256: hex::encode(self.sha256.finalize()) };
        (written, self.sink, self.target)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.sink {
            Sink::File(file, _) => file.write(bytes)?,
            Sink::Buffer(buffer) => buffer.write(bytes)?,
        };
        self.sha256.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::File(file, _) => file.flush(),
            Sink::Buffer(_) => Ok(()),
        }
    }
}
