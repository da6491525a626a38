//! An object store for tests that counts, fails, and lies as it is told.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// A store in memory, with faults. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Faulty {
    inner: Arc<InMemory>,
    pub(crate) state: Arc<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// Creates an object though it exists.
    pub(crate) ignores_create: AtomicBool,
    /// Listings are empty.
    pub(crate) lists_nothing: AtomicBool,
    /// Reads give other bytes.
    pub(crate) garbles: AtomicBool,
    /// Nothing answers.
    pub(crate) is_down: AtomicBool,
    /// Percent of the requests that fail, half of the writes among them after they were done.
    pub(crate) fails_percent: AtomicU32,
    /// Requests that read.
    pub(crate) gets: AtomicU64,
    seed: AtomicU64,
}

enum Fate {
    Well,
    FailsBefore,
    FailsAfter,
}

impl Faulty {
    pub(crate) fn set(flag: &AtomicBool) {
        flag.store(true, Ordering::SeqCst);
    }

    fn fate(&self) -> Fate {
        if self.state.is_down.load(Ordering::SeqCst) {
            return Fate::FailsBefore;
        }
        // SplitMix64: the same requests in the same order fail again.
        let mut x = self.state.seed.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        if x % 100 >= u64::from(self.state.fails_percent.load(Ordering::SeqCst)) {
            Fate::Well
        } else if x & (1 << 40) == 0 {
            Fate::FailsBefore
        } else {
            Fate::FailsAfter
        }
    }

    async fn faced<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.fate() {
            Fate::Well => work.await,
            Fate::FailsBefore => Err(failure()),
            Fate::FailsAfter => {
                let _ = work.await;
                Err(failure())
            }
        }
    }
}

fn failure() -> Error {
    Error::Generic { store: "faulty", source: "told to fail".into() }
}

impl ObjectStore for Faulty {
    fn get_opts<'a, 'b, 'c>(&'a self, location: &'b Path, options: GetOptions) -> BoxFuture<'c, Result<GetResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.state.gets.fetch_add(1, Ordering::SeqCst);
        let get = async move {
            let mut found = self.inner.get_opts(location, options).await?;
            if self.state.garbles.load(Ordering::SeqCst) {
                let length = usize::try_from(found.range.end - found.range.start).unwrap();
                let garbled = stream::once(async move { Ok(Bytes::from(vec![b'#'; length])) }).boxed();
                found.payload = object_store::GetResultPayload::Stream(garbled);
            }
            Ok(found)
        };
        self.faced(get).boxed()
    }

    fn get_ranges<'a, 'b, 'c, 'd>(
        &'a self,
        location: &'b Path,
        ranges: &'c [Range<u64>],
    ) -> BoxFuture<'d, Result<Vec<Bytes>>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        self.state.gets.fetch_add(1, Ordering::SeqCst);
        self.faced(self.inner.get_ranges(location, ranges)).boxed()
    }

    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> BoxFuture<'c, Result<PutResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        if self.state.ignores_create.load(Ordering::SeqCst) {
            options.mode = object_store::PutMode::Overwrite;
        }
        self.faced(self.inner.put_opts(location, payload, options)).boxed()
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        options: PutMultipartOptions,
    ) -> BoxFuture<'c, Result<Box<dyn MultipartUpload>>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.faced(self.inner.put_multipart_opts(location, options)).boxed()
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.fate() {
            Fate::Well => self.inner.delete_stream(locations),
            _ => stream::once(async { Err(failure()) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.state.lists_nothing.load(Ordering::SeqCst) {
            return stream::empty().boxed();
        }
        match self.fate() {
            Fate::Well => self.inner.list(prefix),
            _ => stream::once(async { Err(failure()) }).boxed(),
        }
    }

    fn list_with_delimiter<'a, 'b, 'c>(&'a self, prefix: Option<&'b Path>) -> BoxFuture<'c, Result<ListResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.faced(self.inner.list_with_delimiter(prefix)).boxed()
    }

    fn copy_opts<'a, 'b, 'c, 'd>(
        &'a self,
        from: &'b Path,
        to: &'c Path,
        options: CopyOptions,
    ) -> BoxFuture<'d, Result<()>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        self.faced(self.inner.copy_opts(from, to, options)).boxed()
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}
