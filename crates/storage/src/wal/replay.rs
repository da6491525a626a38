//! Reading the WAL back at start, segment by segment, with bounded memory.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;
use tracehound_schema::DecodeLimits;

use super::segment::{Item, OpenError, SegmentReader, list};
use crate::Error;

/// What replay meets, in the order of the log.
#[derive(Debug)]
pub(crate) enum Event {
    /// A segment begins.
    Segment { path: PathBuf, bytes: u64, limits: DecodeLimits },
    /// A frame that checks, in the segment that began last.
    Frame { sequence: u64, body: Bytes },
    /// A segment is damaged; frames that check are still used.
    Damage { path: PathBuf, detail: String },
    /// A torn tail was cut.
    Cut { bytes: u64 },
}

/// Where the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// The greatest segment number that was ever used.
    pub(crate) number_max: u64,
    /// The sequence that the next frame gets, as far as the WAL tells.
    pub(crate) sequence_next: u64,
}

/// A segment's tail that is torn, unless frames follow in a later segment.
struct Tail {
    path: PathBuf,
    from: u64,
    bytes: u64,
}

/// Reads all segments of a folder and sends what it meets. Blocking.
///
/// The last tail that does not check is cut off, durably, before this returns.
///
/// # Errors
/// [`Error::Io`] and [`Error::NewerFormat`]. Damage is not an error but an event.
pub(crate) fn read(dir: &Path, events: &mpsc::Sender<Event>) -> Result<End, Error> {
    let send = |event| events.blocking_send(event).map_err(|_| Error::internal("replay was given up"));
    let listing = list(dir)?;
    let mut sequence_next = 1;
    let mut tails: Vec<Tail> = Vec::new();
    for (number, path) in &listing.segments {
        let mut reader = match SegmentReader::open(path, *number) {
            Ok(reader) => reader,
            Err(OpenError::Fatal(error)) => return Err(error),
            Err(OpenError::Damaged(detail)) => {
                quarantine(dir, path)?;
                let path = path.with_extension("wal.corrupt");
                send(Event::Damage { path, detail })?;
                continue;
            }
        };
        let limits = reader.header().limits;
        send(Event::Segment { path: path.clone(), bytes: reader.bytes(), limits })?;
        sequence_next = sequence_next.max(reader.header().first_sequence);
        loop {
            match reader.next()? {
                Item::Frame { sequence, body } => {
                    for tail in tails.drain(..) {
                        send(tail.damage())?;
                    }
                    sequence_next = sequence_next.max(sequence + 1);
                    send(Event::Frame { sequence, body })?;
                }
                Item::Damage { from, to } => {
                    let detail = format!("bytes {from} to {to} are not frames");
                    send(Event::Damage { path: path.clone(), detail })?;
                }
                Item::Torn { from } => {
                    tails.push(Tail { path: path.clone(), from, bytes: reader.bytes() });
                }
                Item::End => break,
            }
        }
    }
    for tail in tails {
        cut(&tail.path, tail.from)?;
        send(Event::Cut { bytes: tail.bytes - tail.from })?;
    }
    Ok(End { number_max: listing.number_max, sequence_next })
}

impl Tail {
    fn damage(self) -> Event {
        let detail = format!("bytes {} to {} are not frames", self.from, self.bytes);
        Event::Damage { path: self.path, detail }
    }
}

fn cut(path: &Path, bytes: u64) -> Result<(), Error> {
    let cut = || {
        let file = File::options().write(true).open(path)?;
        file.set_len(bytes)?;
        file.sync_all()
    };
    cut().map_err(|e| Error::io(path, e))
}

fn quarantine(dir: &Path, path: &Path) -> Result<(), Error> {
    std::fs::rename(path, path.with_extension("wal.corrupt")).map_err(|e| Error::io(path, e))?;
    crate::store::sync_dir(dir).map_err(|e| Error::io(dir, e))
}
