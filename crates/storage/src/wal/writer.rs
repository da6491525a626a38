//! The thread that writes the WAL: it takes what is queued, writes it as one
//! group, syncs once, hands the rows over in sequence order and acknowledges.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::frame::SegmentHeader;
use super::queue::Requests;
use super::{Segment, WalFile, segment};
use crate::budget::Reservation;
use crate::engine::{Core, Failure};
use crate::recent::{Figures, Key, Outcome};
use crate::runtime::{Safeguard, without};
use crate::{Error, runtime};
use tokio::sync::{oneshot, watch};
use tracehound_schema::{Decoded, Payload};

const GROUP_BYTES_MAX: usize = 32 << 20;
const GROUP_REQUESTS_MAX: usize = 4096;

/// An append on its way through the WAL.
pub(crate) struct Request {
    pub(crate) payload: Payload,
    pub(crate) decoded: Decoded,
    pub(crate) key: Key,
    /// Room in the memtable bound, given back when the request is done.
    pub(crate) reservation: Reservation,
    pub(crate) reply: oneshot::Sender<Result<Figures, Failure>>,
    pub(crate) waiting: watch::Sender<Outcome>,
}

impl Request {
    /// Ends the request: retries that wait, then the client.
    pub(crate) fn finish(self, core: &Core, outcome: Result<Figures, Failure>) {
        core.recent.finish(self.key, self.payload.received_at_ns, outcome.clone(), &self.waiting);
        drop(self.reservation);
        // A client that went away is not told.
        let _ = self.reply.send(outcome);
    }
}

/// The end of the WAL.
pub(crate) struct Writer {
    core: Arc<Core>,
    dir: PathBuf,
    requests: Requests,
    file: WalFile,
    header: SegmentHeader,
    bytes: u64,
    sequence: u64,
    buffer: Vec<u8>,
    #[cfg(test)]
    faults: Arc<super::file::Faults>,
}

impl Writer {
    /// Begins the segment of that number. `sequence` is that of the first frame.
    pub(crate) fn new(core: Arc<Core>, requests: Requests, number: u64, sequence: u64) -> Result<Self, Error> {
        let dir = core.wal_dir.clone();
        let header = new_header(&core, number, sequence);
        let (file, bytes) = segment::create(&core.options.disk, &dir, &header)?;
        #[cfg(test)]
        let faults = Arc::clone(&core.faults);
        let file = WalFile::new(
            file,
            #[cfg(test)]
            Arc::clone(&faults),
        );
        let writer = Self {
            core,
            dir,
            requests,
            file,
            header,
            bytes,
            sequence,
            buffer: Vec::new(),
            #[cfg(test)]
            faults,
        };
        writer.enter();
        Ok(writer)
    }

    /// Serves requests until no more can come, on a thread of its own.
    pub(crate) fn start(mut self) -> Result<Running, Error> {
        #[cfg(test)]
        if crate::sim::is_running() {
            let serve = async move {
                while let Some(first) = self.requests.next_simulated().await {
                    self.step(first);
                }
            };
            return Ok(Running::Task(runtime::spawn(serve)));
        }
        let dir = self.dir.clone();
        let serve = move || {
            while let Some(first) = self.requests.next() {
                self.step(first);
            }
        };
        let thread = std::thread::Builder::new().name("tracehound-wal".to_owned()).spawn(serve);
        thread.map(Running::Thread).map_err(|e| Error::io(&dir, e))
    }

    /// Makes one group durable and acknowledges it. `first` begins it.
    fn step(&mut self, first: Request) {
        let group = self.gather(first);
        self.commit(group);
    }

    /// Takes what is queued, and waits a moment for appends that are on their
    /// way here; a lone one never waits.
    fn gather(&mut self, first: Request) -> Vec<Request> {
        let deadline = Instant::now() + self.core.options.group_commit_delay;
        let mut bytes = first.payload.body.len();
        let mut group = vec![first];
        while bytes < GROUP_BYTES_MAX && group.len() < GROUP_REQUESTS_MAX {
            let next = match self.requests.try_next() {
                Ok(next) => next,
                Err(_) if self.core.arriving.load(Ordering::Acquire) == 0 => break,
                Err(_) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    match self.requests.next_within(left) {
                        Ok(next) => next,
                        Err(_) => break,
                    }
                }
            };
            bytes += next.payload.body.len();
            group.push(next);
        }
        group
    }

    fn commit(&mut self, group: Vec<Request>) {
        let first = self.sequence;
        match self.write(&group) {
            Ok(()) => {
                for (sequence, request) in (first..).zip(group) {
                    self.core.insert(sequence, request);
                }
            }
            Err(failure) => {
                for request in group {
                    request.finish(&self.core, Err(failure.clone()));
                }
            }
        }
    }

    /// Makes a group durable, or none of it.
    fn write(&mut self, group: &[Request]) -> Result<(), Failure> {
        if let Some(detail) = self.core.poison() {
            return Err(Failure::Poisoned(detail));
        }
        if self.bytes >= self.core.segment_bytes {
            self.roll()?;
        }
        self.buffer.clear();
        let mut sequence = self.sequence;
        for request in group {
            self.header.encode_frame(&mut self.buffer, sequence, &request.payload);
            sequence += 1;
        }
        if !without(Safeguard::WriteBeforeReply)
            && let Err(error) = self.file.write_all(&self.buffer)
        {
            let detail = format!("cannot write to the WAL: {error}");
            tracing::error!(%error, "cannot write to the WAL");
            if let Err(error) = self.file.cut(self.bytes) {
                let detail = format!("{detail}; cannot cut it back either: {error}");
                self.core.set_poison(detail.clone());
                return Err(Failure::Poisoned(detail));
            }
            return Err(Failure::Unavailable(detail));
        }
        if !without(Safeguard::SyncBeforeReply)
            && let Err(error) = self.file.sync()
        {
            // The page cache has frames that may never reach the disk, and no later sync would tell. A start must
            // not read them, remember them, and answer a retry by them. Best effort: nothing was promised.
            if !without(Safeguard::CutAfterFailedSync) {
                let _ = self.file.cut(self.bytes);
            }
            let detail = format!("cannot sync the WAL: {error}");
            self.core.set_poison(detail.clone());
            return Err(Failure::Poisoned(detail));
        }
        self.bytes += self.buffer.len() as u64;
        let frames = group.iter().map(|request| request.payload.tenant.clone());
        self.core.ledger.grow(self.bytes, frames.zip(self.sequence..));
        self.sequence = sequence;
        self.buffer.shrink_to(GROUP_BYTES_MAX);
        Ok(())
    }

    /// Begins the next segment.
    fn roll(&mut self) -> Result<(), Failure> {
        let header = new_header(&self.core, self.header.number + 1, self.sequence);
        let (file, bytes) = segment::create(&self.core.options.disk, &self.dir, &header).map_err(|error| {
            let detail = format!("cannot begin a WAL segment: {}", error.chain());
            tracing::error!("{detail}");
            if self.core.options.disk.exists(&segment::path_of(&self.dir, header.number)) {
                // Its name may or may not be durable, so it can be neither used nor made again.
                self.core.set_poison(detail.clone());
                return Failure::Poisoned(detail);
            }
            Failure::Unavailable(detail)
        })?;
        self.file = WalFile::new(
            file,
            #[cfg(test)]
            Arc::clone(&self.faults),
        );
        (self.header, self.bytes) = (header, bytes);
        self.enter();
        self.core.ledger.reclaim(|tenant| self.core.committed_through(tenant));
        Ok(())
    }

    fn enter(&self) {
        self.core.ledger.add(Segment {
            path: segment::path_of(&self.dir, self.header.number),
            bytes: self.bytes,
            last: Default::default(),
            damaged: false,
        });
    }
}

/// The writer at work.
pub(crate) enum Running {
    Thread(JoinHandle<()>),
    #[cfg(test)]
    Task(runtime::Task<()>),
}

impl Running {
    /// Waits until it has served its last request.
    ///
    /// # Errors
    /// [`Error::Internal`] if it panicked.
    pub(crate) async fn stopped(self) -> Result<(), Error> {
        match self {
            Self::Thread(thread) => {
                let stopped = runtime::blocking(|| thread.join()).await?;
                stopped.map_err(|_| Error::internal("the WAL's writer panicked"))
            }
            #[cfg(test)]
            Self::Task(task) => task.await,
        }
    }
}

fn new_header(core: &Core, number: u64, first_sequence: u64) -> SegmentHeader {
    // A ULID's low 64 bits are random.
    let salt = u64::try_from(runtime::new_id().0 & u128::from(u64::MAX)).unwrap_or_default();
    SegmentHeader { salt, number, first_sequence, limits: core.options.decode_limits }
}

/// How long a client should wait after a failure that may pass.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
