//! Reads of a remote store, through a cache on the local disk.
//!
//! Only data files and their sidecars are cached: they never change. An object
//! is cut into chunks; a chunk is fetched once, however many readers want it
//! at the same time, and checked whenever it is read.

mod disk;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{
    Attributes, CopyOptions, Error as StoreError, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

use self::disk::{CHUNK_BYTES, Chunk, Disk, Found, Key, object_hash};

/// The most chunks that one request fetches.
const RUN_CHUNKS_MAX: u64 = 8;
/// Longer ranges are read past the cache, which they would only empty.
const RANGE_BYTES_MAX: u64 = 16 << 20;
/// The most chunks that one reader holds at a time.
const CHUNKS_AT_ONCE: u64 = 32;

/// What the cache did since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Chunks that were read from the disk.
    pub hits: u64,
    /// Chunks that had to be fetched.
    pub misses: u64,
    /// Chunks that did not check and were fetched again.
    pub damaged: u64,
    /// Bytes that were fetched from the store.
    pub fetched_bytes: u64,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
    /// The most that it may take.
    pub bytes_max: u64,
}

/// An object store whose data files are read through a cache.
#[derive(Clone)]
pub(super) struct Cached {
    shared: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn ObjectStore>,
    /// Tells the objects of this store from those of another that used the folder before.
    url: String,
    disk: Disk,
    bytes_max: u64,
    in_flight: Mutex<HashMap<Key, Fetch>>,
    hits: AtomicU64,
    misses: AtomicU64,
    damaged: AtomicU64,
    fetched_bytes: AtomicU64,
}

/// Consecutive chunks on their way.
type Fetch = Shared<BoxFuture<'static, Result<Arc<Run>, Arc<StoreError>>>>;

/// Consecutive chunks.
struct Run {
    first: u64,
    bytes: Bytes,
    object_bytes: u64,
    modified_ns: i64,
}

impl Run {
    /// A chunk of it; `None` beyond the object's end.
    fn chunk(&self, chunk: u64) -> Option<Chunk> {
        let start = usize::try_from(chunk.checked_sub(self.first)? * CHUNK_BYTES).ok()?;
        let end = self.bytes.len().min(start + usize::try_from(CHUNK_BYTES).ok()?);
        (start < end).then(|| Chunk {
            data: self.bytes.slice(start..end),
            object_bytes: self.object_bytes,
            modified_ns: self.modified_ns,
        })
    }
}

impl Cached {
    /// Puts a cache below `folder` in front of a store.
    pub(super) fn new(store: Arc<dyn ObjectStore>, url: &str, folder: &Path, bytes_max: u64) -> Self {
        let shared = Arc::new(Inner {
            store,
            url: url.to_owned(),
            disk: Disk::new(folder, bytes_max),
            bytes_max,
            in_flight: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            fetched_bytes: AtomicU64::new(0),
        });
        Self { shared }
    }

    /// Counts what an earlier process left. Blocking.
    pub(super) fn rediscover(&self) {
        // Without a folder there is nothing to count; other failures only make the cache smaller.
        let _ = self.shared.disk.rediscover();
    }

    /// Forgets an object, which was deleted. Blocking.
    pub(super) fn forget(&self, object: &str) {
        self.shared.disk.forget(object_hash(&self.shared.url, object));
    }

    pub(super) fn status(&self) -> CacheStatus {
        let inner = &self.shared;
        CacheStatus {
            hits: inner.hits.load(Ordering::Relaxed),
            misses: inner.misses.load(Ordering::Relaxed),
            damaged: inner.damaged.load(Ordering::Relaxed),
            fetched_bytes: inner.fetched_bytes.load(Ordering::Relaxed),
            bytes: inner.disk.bytes(),
            bytes_max: inner.bytes_max,
        }
    }

    /// The bytes of a range, or as many as the object has of it, and what is known of the object.
    async fn read(&self, location: &ObjectPath, ranges: &[Range<u64>]) -> Result<(Vec<Bytes>, ObjectMeta)> {
        let wanted: BTreeSet<u64> = ranges.iter().flat_map(chunks_of).collect();
        let chunks = self.chunks(location, wanted).await?;
        let about = chunks.values().next().map_or((0, 0), |chunk| (chunk.object_bytes, chunk.modified_ns));
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: DateTime::from_timestamp_nanos(about.1),
            size: about.0,
            e_tag: None,
            version: None,
        };
        Ok((ranges.iter().map(|range| cut(&chunks, range)).collect(), meta))
    }

    /// Chunks of an object, from the disk or the store; those beyond its end are left out.
    async fn chunks(&self, location: &ObjectPath, wanted: BTreeSet<u64>) -> Result<HashMap<u64, Chunk>> {
        let object = object_hash(&self.shared.url, location.as_ref());
        let shared = Arc::clone(&self.shared);
        let looked_up = tokio::task::spawn_blocking(move || shared.look_up(object, wanted));
        let (mut chunks, missing) = looked_up.await?;
        for (chunk, fetch) in self.fetch(location, object, &missing) {
            let run = fetch.await.map_err(|error| shared_error(location, error))?;
            chunks.extend(run.chunk(chunk).map(|found| (chunk, found)));
        }
        Ok(chunks)
    }

    /// Begins to fetch chunks, or joins those who have begun.
    fn fetch(&self, location: &ObjectPath, object: [u8; 16], missing: &[u64]) -> Vec<(u64, Fetch)> {
        let mut in_flight = self.shared.in_flight();
        let mut fetches: Vec<(u64, Fetch)> = Vec::new();
        let mut begun: Vec<u64> = Vec::new();
        for chunk in missing {
            match key(object, *chunk).and_then(|key| in_flight.get(&key)) {
                Some(fetch) => fetches.push((*chunk, fetch.clone())),
                None => begun.push(*chunk),
            }
        }
        for run in runs(&begun) {
            let fetch = Arc::clone(&self.shared).run(location.clone(), run.clone());
            let keys: Vec<Key> = run.clone().filter_map(|chunk| key(object, chunk)).collect();
            in_flight.extend(keys.iter().map(|key| (*key, fetch.clone())));
            fetches.extend(run.map(|chunk| (chunk, fetch.clone())));
            // A task of its own: the reader who asked may go away, others wait for the same chunks.
            tokio::spawn(Arc::clone(&self.shared).keep(keys, fetch));
        }
        fetches
    }
}

impl Inner {
    fn in_flight(&self) -> MutexGuard<'_, HashMap<Key, Fetch>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chunks that are on the disk, and those that are not. Blocking.
    fn look_up(&self, object: [u8; 16], wanted: BTreeSet<u64>) -> (HashMap<u64, Chunk>, Vec<u64>) {
        let (mut chunks, mut missing) = (HashMap::new(), Vec::new());
        for chunk in wanted {
            match key(object, chunk).map_or(Found::Absent, |key| self.disk.read(&key)) {
                Found::Chunk(found) => {
                    self.hits.fetch_add(1, Ordering::Relaxed);
                    chunks.insert(chunk, found);
                    continue;
                }
                Found::Absent => {}
                Found::Damaged => {
                    tracing::warn!("a damaged chunk of the read cache is fetched again");
                    self.damaged.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.misses.fetch_add(1, Ordering::Relaxed);
            missing.push(chunk);
        }
        (chunks, missing)
    }

    /// Fetches consecutive chunks.
    fn run(self: Arc<Self>, location: ObjectPath, run: Range<u64>) -> Fetch {
        let fetch = async move {
            let range = GetRange::Bounded(run.start * CHUNK_BYTES..run.end * CHUNK_BYTES);
            let options = GetOptions { range: Some(range), ..GetOptions::default() };
            let found = self.store.get_opts(&location, options).await.map_err(Arc::new)?;
            let object_bytes = found.meta.size;
            let modified_ns = found.meta.last_modified.timestamp_nanos_opt().unwrap_or_default();
            let bytes = found.bytes().await.map_err(Arc::new)?;
            self.fetched_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(Arc::new(Run { first: run.start, bytes, object_bytes, modified_ns }))
        };
        fetch.boxed().shared()
    }

    /// Keeps what a fetch brings, and ends it.
    async fn keep(self: Arc<Self>, keys: Vec<Key>, fetch: Fetch) {
        if let Ok(run) = fetch.await {
            let (inner, keys) = (Arc::clone(&self), keys.clone());
            let write = move || {
                for key in keys {
                    let Some(chunk) = run.chunk(key.chunk.into()) else { continue };
                    if let Err(error) = inner.disk.write(key, &chunk) {
                        tracing::debug!(%error, "cannot write to the read cache");
                    }
                }
            };
            // A panic in it would only leave chunks out.
            let _ = tokio::task::spawn_blocking(write).await;
        }
        let mut in_flight = self.in_flight();
        for key in keys {
            in_flight.remove(&key);
        }
    }
}

fn key(object: [u8; 16], chunk: u64) -> Option<Key> {
    u32::try_from(chunk).ok().map(|chunk| Key { object, chunk })
}

/// The chunks that a range lies in.
fn chunks_of(range: &Range<u64>) -> Range<u64> {
    range.start / CHUNK_BYTES..range.end.div_ceil(CHUNK_BYTES)
}

/// Cuts sorted chunks into runs of consecutive ones, none of them too long.
fn runs(chunks: &[u64]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for chunk in chunks {
        match runs.last_mut() {
            Some(run) if run.end == *chunk && run.end - run.start < RUN_CHUNKS_MAX => run.end += 1,
            _ => runs.push(*chunk..chunk + 1),
        }
    }
    runs
}

/// A range out of the chunks that hold it.
fn cut(chunks: &HashMap<u64, Chunk>, range: &Range<u64>) -> Bytes {
    let part = |chunk: u64| {
        let data = &chunks.get(&chunk)?.data;
        let offset = |at: u64| usize::try_from(at.saturating_sub(chunk * CHUNK_BYTES)).unwrap_or(usize::MAX);
        let (start, end) = (offset(range.start).min(data.len()), offset(range.end).min(data.len()));
        Some(data.slice(start..end))
    };
    let mut parts: Vec<Bytes> = chunks_of(range).filter_map(part).collect();
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let mut bytes = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.freeze()
}

/// An error that several readers got.
fn shared_error(location: &ObjectPath, error: Arc<StoreError>) -> StoreError {
    let path = location.to_string();
    match &*error {
        StoreError::NotFound { .. } => StoreError::NotFound { path, source: error.to_string().into() },
        _ => StoreError::Generic { store: "cached", source: error.to_string().into() },
    }
}

/// Whether an object never changes once it exists.
fn is_immutable(location: &ObjectPath) -> bool {
    matches!(location.extension(), Some("parquet" | "index"))
}

impl Cached {
    async fn get(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        let range = match &options.range {
            Some(GetRange::Bounded(range)) if asks_for_bytes_only(&options) && is_immutable(location) => range.clone(),
            _ => return self.shared.store.get_opts(location, options).await,
        };
        if range.is_empty() || range.end - range.start > RANGE_BYTES_MAX {
            return self.shared.store.get_opts(location, options).await;
        }
        let (bytes, meta) = self.read(location, std::slice::from_ref(&range)).await?;
        let bytes = bytes.into_iter().next().unwrap_or_default();
        if bytes.is_empty() {
            // Beyond the end; the store says so in its own way.
            return self.shared.store.get_opts(location, options).await;
        }
        let range = range.start..range.start + bytes.len() as u64;
        let payload = GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
    }

    async fn get_many(&self, location: &ObjectPath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if !is_immutable(location) {
            return self.shared.store.get_ranges(location, ranges).await;
        }
        let mut found = Vec::with_capacity(ranges.len());
        let mut rest = ranges;
        while let Some((first, others)) = rest.split_first() {
            if first.end.saturating_sub(first.start) > RANGE_BYTES_MAX {
                found.push(self.shared.store.get_range(location, first.clone()).await?);
                rest = others;
                continue;
            }
            let (group, others) = rest.split_at(group_of(rest));
            let (bytes, meta) = self.read(location, group).await?;
            for (range, bytes) in group.iter().zip(bytes) {
                if bytes.len() as u64 != range.end - range.start {
                    let source = format!("wanted bytes {range:?} of an object of {}", meta.size).into();
                    // Not the store's failure: the object is not what the manifest says.
                    return Err(StoreError::Precondition { path: location.to_string(), source });
                }
                found.push(bytes);
            }
            rest = others;
        }
        Ok(found)
    }
}

/// How many of the first ranges are read together: at least one, and none that goes past the cache.
fn group_of(ranges: &[Range<u64>]) -> usize {
    let mut chunks = 0;
    let fits = |range: &&Range<u64>| {
        let of_range = chunks_of(range);
        chunks += of_range.end.saturating_sub(of_range.start);
        chunks <= CHUNKS_AT_ONCE && range.end.saturating_sub(range.start) <= RANGE_BYTES_MAX
    };
    ranges.iter().take_while(fits).count().max(1)
}

fn asks_for_bytes_only(options: &GetOptions) -> bool {
    let GetOptions { if_match, if_none_match, if_modified_since, if_unmodified_since, range: _, version, head, .. } =
        options;
    !head
        && version.is_none()
        && [if_match, if_none_match].iter().all(|tag| tag.is_none())
        && [if_modified_since, if_unmodified_since].iter().all(|time| time.is_none())
}

// What `async_trait`, which the trait is declared with, makes of asynchronous methods.
impl ObjectStore for Cached {
    fn get_opts<'a, 'b, 'c>(&'a self, location: &'b ObjectPath, options: GetOptions) -> BoxFuture<'c, Result<GetResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.get(location, options).boxed()
    }

    fn get_ranges<'a, 'b, 'c, 'd>(
        &'a self,
        location: &'b ObjectPath,
        ranges: &'c [Range<u64>],
    ) -> BoxFuture<'d, Result<Vec<Bytes>>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        self.get_many(location, ranges).boxed()
    }

    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b ObjectPath,
        payload: PutPayload,
        options: PutOptions,
    ) -> BoxFuture<'c, Result<PutResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.shared.store.put_opts(location, payload, options)
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b ObjectPath,
        options: PutMultipartOptions,
    ) -> BoxFuture<'c, Result<Box<dyn MultipartUpload>>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.shared.store.put_multipart_opts(location, options)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        self.shared.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shared.store.list(prefix)
    }

    fn list_with_delimiter<'a, 'b, 'c>(&'a self, prefix: Option<&'b ObjectPath>) -> BoxFuture<'c, Result<ListResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.shared.store.list_with_delimiter(prefix)
    }

    fn copy_opts<'a, 'b, 'c, 'd>(
        &'a self,
        from: &'b ObjectPath,
        to: &'c ObjectPath,
        options: CopyOptions,
    ) -> BoxFuture<'d, Result<()>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        self.shared.store.copy_opts(from, to, options)
    }
}

impl fmt::Display for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cached({})", self.shared.store)
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
