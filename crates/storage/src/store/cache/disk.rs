//! Chunks as files, and what to keep of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::{BufMut, Bytes, BytesMut};
use moka::notification::RemovalCause;
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use ulid::Ulid;

/// The bytes of an object that one file of the cache holds; the last chunk of an object may be shorter.
pub(super) const CHUNK_BYTES: u64 = 1 << 20;
const MAGIC: &[u8; 8] = b"THOUNDC1";
/// Magic, checksum, size of the object, time of its last change.
const HEADER_BYTES: usize = 8 + 4 + 8 + 8;

/// Names a chunk: the object by hash, then its place within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) object: [u8; 16],
    pub(super) chunk: u32,
}

/// A chunk, with what is known of its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) data: Bytes,
    pub(super) object_bytes: u64,
    pub(super) modified_ns: i64,
}

/// What reading a chunk found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Chunk(Chunk),
    Absent,
    /// It did not check, and is gone now.
    Damaged,
}

/// The hash that names an object of a store.
pub(super) fn object_hash(store: &str, object: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::new().chain_update(store).chain_update([0]).chain_update(object).finalize().into();
    *digest.first_chunk().expect("SHA-256 has 32 bytes")
}

/// The folder of the cache. Nothing in it is synced: a chunk that a crash tore does not check.
pub(super) struct Disk {
    root: PathBuf,
    /// The size of each chunk's file; decides which go.
    files: Cache<Key, u32>,
}

impl Disk {
    /// Opens a folder; what is in it counts after [`rediscover`](Self::rediscover).
    pub(super) fn new(root: &Path, bytes_max: u64) -> Self {
        let folder = root.to_owned();
        let files = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_, bytes: &u32| *bytes)
            .eviction_listener(move |key, _, cause| {
                if cause == RemovalCause::Size {
                    remove(&file(&folder, &key));
                }
            })
            .build();
        Self { root: root.to_owned(), files }
    }

    /// Counts the chunks that an earlier process left, and removes what is none.
    pub(super) fn rediscover(&self) -> io::Result<()> {
        let mut dirs = vec![self.root.clone()];
        while let Some(dir) = dirs.pop() {
            for found in fs::read_dir(dir)? {
                let found = found?;
                let path = found.path();
                if found.file_type()?.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let bytes = found.metadata().map_or(0, |about| about.len());
                match (key_of(&path), u32::try_from(bytes)) {
                    (Some(key), Ok(bytes)) if file(&self.root, &key) == path => self.files.insert(key, bytes),
                    _ => remove(&path),
                }
            }
        }
        self.files.run_pending_tasks();
        Ok(())
    }

    /// Reads a chunk. Blocking.
    pub(super) fn read(&self, key: &Key) -> Found {
        if self.files.get(key).is_none() {
            return Found::Absent;
        }
        let path = file(&self.root, key);
        match fs::read(&path).map(Bytes::from) {
            Ok(bytes) => match decode(key, &bytes) {
                Some(chunk) => Found::Chunk(chunk),
                None => {
                    self.files.invalidate(key);
                    remove(&path);
                    Found::Damaged
                }
            },
            // It went while we looked.
            Err(_) => {
                self.files.invalidate(key);
                Found::Absent
            }
        }
    }

    /// Keeps a chunk, which may push out others. Blocking.
    pub(super) fn write(&self, key: Key, chunk: &Chunk) -> io::Result<()> {
        let path = file(&self.root, &key);
        let bytes = encode(&key, chunk);
        let temporary = path.with_extension(format!("{}.tmp", Ulid::new()));
        let written = fs::create_dir_all(path.parent().unwrap_or(&self.root))
            .and_then(|()| fs::write(&temporary, &bytes))
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            remove(&temporary);
        } else if let Ok(bytes) = u32::try_from(bytes.len()) {
            self.files.insert(key, bytes);
            self.files.run_pending_tasks();
        }
        written
    }

    /// Forgets all chunks of an object. Blocking.
    pub(super) fn forget(&self, object: [u8; 16]) {
        let dir = folder(&self.root, object);
        for found in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if let Some(key) = key_of(&found.path()) {
                self.files.invalidate(&key);
            }
        }
        // Best effort: without the key of its chunks nobody finds them.
        let _ = fs::remove_dir_all(dir);
    }

    /// The bytes that the cache takes on the disk.
    pub(super) fn bytes(&self) -> u64 {
        self.files.weighted_size()
    }
}

fn folder(root: &Path, object: [u8; 16]) -> PathBuf {
    let object = hex::encode(object);
    root.join(&object[..2]).join(object)
}

fn file(root: &Path, key: &Key) -> PathBuf {
    folder(root, key.object).join(format!("{:08}", key.chunk))
}

fn key_of(path: &Path) -> Option<Key> {
    let chunk = path.file_name()?.to_str()?.parse().ok()?;
    let object = hex::decode(path.parent()?.file_name()?.to_str()?).ok()?;
    Some(Key { object: object.try_into().ok()?, chunk })
}

/// Removes a file, and its folder if that was the last one in it.
fn remove(path: &Path) {
    // Best effort: what stays is found by the next start.
    let _ = fs::remove_file(path);
    if let Some(dir) = path.parent() {
        let _ = fs::remove_dir(dir);
    }
}

fn encode(key: &Key, chunk: &Chunk) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + chunk.data.len());
    bytes.put_slice(MAGIC);
    bytes.put_u32_le(checksum(key, chunk));
    bytes.put_u64_le(chunk.object_bytes);
    bytes.put_i64_le(chunk.modified_ns);
    bytes.put_slice(&chunk.data);
    bytes
}

fn decode(key: &Key, bytes: &Bytes) -> Option<Chunk> {
    let (header, _) = bytes.split_at_checked(HEADER_BYTES)?;
    let (magic, rest) = header.split_first_chunk::<8>()?;
    let (found, rest) = rest.split_first_chunk::<4>()?;
    let (object_bytes, modified_ns) = rest.split_first_chunk::<8>()?;
    let chunk = Chunk {
        data: bytes.slice(HEADER_BYTES..),
        object_bytes: u64::from_le_bytes(*object_bytes),
        modified_ns: i64::from_le_bytes(modified_ns.try_into().ok()?),
    };
    (magic == MAGIC && u32::from_le_bytes(*found) == checksum(key, &chunk)).then_some(chunk)
}

/// Covers the name too, so that a chunk under another's name does not check.
fn checksum(key: &Key, chunk: &Chunk) -> u32 {
    let mut crc = crc32c::crc32c(&key.object);
    crc = crc32c::crc32c_append(crc, &key.chunk.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &chunk.object_bytes.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &chunk.modified_ns.to_le_bytes());
    crc32c::crc32c_append(crc, &chunk.data)
}
