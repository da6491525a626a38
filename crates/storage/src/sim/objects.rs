//! Object stores: one whose answers get lost, and a simulated disk read as one.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Rng, SimDisk, executor};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What is in an object store, and how badly it behaves.
pub(crate) struct Bucket {
    inner: Mutex<Inner>,
}

struct Inner {
    objects: BTreeMap<String, (Bytes, i64)>,
    rng: Rng,
    /// One in so many requests fails; 0: none does.
    failing: u64,
    /// One in so many requests takes seconds; 0: none does.
    slow: u64,
    /// Nothing answers until then, by the wall clock.
    gone_until_ns: i64,
}

/// What becomes of a request that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// It fails, and nothing was done.
    Refused,
    /// It fails, and all was done.
    AnswerLost,
    /// As when a client repeats a create whose answer was lost: it loses to itself.
    LostToItself,
}

impl Bucket {
    pub(crate) fn new(rng: Rng) -> Arc<Self> {
        let inner = Inner { objects: BTreeMap::new(), rng, failing: 0, slow: 0, gone_until_ns: i64::MIN };
        Arc::new(Self { inner: Mutex::new(inner) })
    }

    /// How one start of a process sees it; with the process's disk the access dies.
    pub(crate) fn client(self: &Arc<Self>, process: &SimDisk) -> Arc<dyn ObjectStore> {
        Arc::new(SimObjects::Bucket(Arc::clone(self), process.clone()))
    }

    /// Makes one in so many requests fail, and one in so many slow; 0 is none.
    pub(crate) fn misbehave(&self, failing: u64, slow: u64) {
        let mut inner = self.lock();
        (inner.failing, inner.slow) = (failing, slow);
    }

    /// Makes it behave.
    pub(crate) fn heal(&self) {
        let mut inner = self.lock();
        (inner.failing, inner.slow, inner.gone_until_ns) = (0, 0, i64::MIN);
    }

    /// Makes it unreachable for a while.
    pub(crate) fn go_away(&self, time: Duration) {
        self.lock().gone_until_ns = executor::now_ns() + i64::try_from(time.as_nanos()).unwrap();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way of a request to the store.
    async fn arrive(&self, process: &SimDisk, what: &str, location: &str) -> Result<Outcome> {
        executor::pause().await;
        let slow = {
            let mut inner = self.lock();
            let times = inner.slow;
            times > 0 && inner.rng.one_in(times)
        };
        if slow {
            executor::sleep(Duration::from_millis(200 + executor::random() % 3000)).await;
        }
        process.pass(what, location).map_err(|_| failure("the process is dead"))?;
        let mut inner = self.lock();
        if inner.gone_until_ns > executor::now_ns() {
            return Err(failure("the store is gone"));
        }
        let failing = inner.failing;
        if failing == 0 || !inner.rng.one_in(failing) {
            return Ok(Outcome::Done);
        }
        let outcome = [Outcome::Refused, Outcome::AnswerLost, Outcome::LostToItself][inner.rng.index(3)];
        executor::note(|| format!("{outcome:?}"));
        Ok(outcome)
    }
}

/// An access to objects.
pub(crate) enum SimObjects {
    /// A bucket, as the process sees it that uses this disk.
    Bucket(Arc<Bucket>, SimDisk),
    /// A folder of a simulated disk, to be read.
    Folder(SimDisk, PathBuf),
}

impl fmt::Debug for SimObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimObjects")
    }
}

impl fmt::Display for SimObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulation")
    }
}

fn failure(text: &'static str) -> Error {
    Error::Generic { store: "simulation", source: text.into() }
}

fn not_found(location: &Path) -> Error {
    Error::NotFound { path: location.to_string(), source: io::Error::from(io::ErrorKind::NotFound).into() }
}

fn exists(location: &Path) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: io::Error::from(io::ErrorKind::AlreadyExists).into() }
}

fn meta(location: &Path, bytes: &Bytes, modified_ns: i64) -> ObjectMeta {
    ObjectMeta {
        location: location.clone(),
        last_modified: chrono::DateTime::from_timestamp_nanos(modified_ns),
        size: bytes.len() as u64,
        e_tag: None,
        version: None,
    }
}

impl SimObjects {
    async fn put(&self, location: &Path, payload: PutPayload, mode: PutMode) -> Result<PutResult> {
        let Self::Bucket(bucket, process) = self else { return Err(failure("read-only")) };
        let outcome = bucket.arrive(process, "put", location.as_ref()).await?;
        let bytes = Bytes::from(payload);
        let mut inner = bucket.lock();
        if outcome == Outcome::Refused {
            return Err(failure("refused"));
        }
        if mode == PutMode::Create && inner.objects.contains_key(location.as_ref()) {
            return Err(exists(location));
        }
        inner.objects.insert(location.to_string(), (bytes, executor::now_ns()));
        drop(inner);
        process.pass("put", location.as_ref()).map_err(|_| failure("the process is dead"))?;
        match outcome {
            Outcome::LostToItself if mode == PutMode::Create => Err(exists(location)),
            Outcome::AnswerLost => Err(failure("the answer is lost")),
            _ => Ok(PutResult { e_tag: None, version: None }),
        }
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (bytes, modified_ns) = match self {
            Self::Bucket(bucket, process) => {
                if bucket.arrive(process, "get", location.as_ref()).await? != Outcome::Done {
                    return Err(failure("no answer"));
                }
                let inner = bucket.lock();
                inner.objects.get(location.as_ref()).cloned().ok_or_else(|| not_found(location))?
            }
            Self::Folder(disk, root) => match disk.read(&root.join(location.as_ref())) {
                Ok(bytes) => (bytes.into(), executor::now_ns()),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(not_found(location)),
                Err(e) => return Err(Error::Generic { store: "simulation", source: e.into() }),
            },
        };
        let meta = meta(location, &bytes, modified_ns);
        let range: Range<u64> = match &options.range {
            Some(range) => {
                let range = range.as_range(meta.size);
                range.map_err(|e| Error::Generic { store: "simulation", source: Box::new(e) })?
            }
            None => 0..meta.size,
        };
        let index = |at: u64| usize::try_from(at).unwrap();
        let part = bytes.slice(index(range.start)..index(range.end));
        let payload = GetResultPayload::Stream(stream::once(async { Ok(part) }).boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::new() })
    }

    async fn delete(&self, location: &Path) -> Result<()> {
        let Self::Bucket(bucket, process) = self else { return Err(failure("read-only")) };
        let outcome = bucket.arrive(process, "delete", location.as_ref()).await?;
        if outcome == Outcome::Refused {
            return Err(failure("refused"));
        }
        let found = bucket.lock().objects.remove(location.as_ref());
        match (outcome, found) {
            (Outcome::AnswerLost, _) => Err(failure("the answer is lost")),
            (_, None) => Err(not_found(location)),
            _ => Ok(()),
        }
    }

    async fn listed(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let Self::Bucket(bucket, process) = self else { return Err(failure("not listed")) };
        if bucket.arrive(process, "list", prefix).await? != Outcome::Done {
            return Err(failure("no answer"));
        }
        let inner = bucket.lock();
        let below = inner.objects.iter().filter(|(name, _)| {
            prefix.is_empty() || name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
        });
        Ok(below.map(|(name, (bytes, modified_ns))| meta(&Path::from(name.as_str()), bytes, *modified_ns)).collect())
    }

    fn another(&self) -> Self {
        match self {
            Self::Bucket(bucket, process) => Self::Bucket(Arc::clone(bucket), process.clone()),
            Self::Folder(disk, root) => Self::Folder(disk.clone(), root.clone()),
        }
    }
}

impl ObjectStore for SimObjects {
    fn put_opts<'a, 'b, 'c>(&'a self, location: &'b Path, payload: PutPayload, opts: PutOptions) -> Boxed<'c, PutResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.put(location, payload, opts.mode))
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        _: &'b Path,
        _: PutMultipartOptions,
    ) -> Boxed<'c, Box<dyn MultipartUpload>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async { Err(failure("files are small here")) })
    }

    fn get_opts<'a, 'b, 'c>(&'a self, location: &'b Path, options: GetOptions) -> Boxed<'c, GetResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.get(location, options))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.another();
        let delete = move |location: Result<Path>| {
            let store = store.another();
            async move {
                let location = location?;
                store.delete(&location).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.another(), prefix.map(ToString::to_string).unwrap_or_default());
        let listed = async move {
            let listed = store.listed(&prefix).await;
            stream::iter(match listed {
                Ok(listed) => listed.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            })
        };
        stream::once(listed).flatten().boxed()
    }

    fn list_with_delimiter<'a, 'b, 'c>(&'a self, prefix: Option<&'b Path>) -> Boxed<'c, ListResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let above = prefix.map(ToString::to_string).unwrap_or_default();
        Box::pin(async move {
            let (mut folders, mut objects) = (Vec::<Path>::new(), Vec::new());
            for found in self.listed(&above).await? {
                let below = found.location.as_ref().strip_prefix(&above).unwrap_or_default().trim_start_matches('/');
                match below.split_once('/') {
                    Some((folder, _)) => {
                        let folder =
                            Path::from(if above.is_empty() { folder.to_owned() } else { format!("{above}/{folder}") });
                        if folders.last() != Some(&folder) {
                            folders.push(folder);
                        }
                    }
                    None => objects.push(found),
                }
            }
            Ok(ListResult { common_prefixes: folders, objects })
        })
    }

    fn copy_opts<'a, 'b, 'd, 'c>(&'a self, _: &'b Path, _: &'d Path, _: CopyOptions) -> Boxed<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        'd: 'c,
        Self: 'c,
    {
        Box::pin(async { Err(failure("nothing is copied here")) })
    }
}
