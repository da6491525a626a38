//! Reading the WAL back at start, segment by segment, with bounded memory.

use std::path::{Path, PathBuf};
use std::vec;

use bytes::Bytes;
use tracehound_schema::DecodeLimits;

use super::segment::{Item, OpenError, SegmentReader, list};
use crate::Error;
use crate::disk::{Access, Disk};

/// How many bytes of frames are read at once, or one frame if it is longer.
const READ_BYTES: usize = 1 << 20;

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
    /// All was read; nothing comes after this.
    End(End),
}

/// Where the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// The greatest segment number that was ever used.
    pub(crate) number_max: u64,
    /// The sequence that the next frame gets, as far as the WAL tells.
    pub(crate) sequence_next: u64,
}

/// Reads all segments of a folder, in pieces. Blocking.
pub(crate) struct Replay {
    disk: Disk,
    dir: PathBuf,
    segments: vec::IntoIter<(u64, PathBuf)>,
    current: Option<(PathBuf, SegmentReader)>,
    tails: Vec<Tail>,
    end: End,
    ended: bool,
}

/// A segment's tail that is torn, unless frames follow in a later segment.
struct Tail {
    path: PathBuf,
    from: u64,
    bytes: u64,
}

impl Replay {
    /// Looks which segments there are.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn open(disk: Disk, dir: PathBuf) -> Result<Self, Error> {
        let listing = list(&disk, &dir)?;
        Ok(Self {
            disk,
            dir,
            segments: listing.segments.into_iter(),
            current: None,
            tails: Vec::new(),
            end: End { number_max: listing.number_max, sequence_next: 1 },
            ended: false,
        })
    }

    /// What comes next; nothing after the end, at which the last tail that does
    /// not check has been cut off, durably.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::NewerFormat`]. Damage is not an error but an event.
    pub(crate) fn read(&mut self) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        let mut bytes = 0;
        while bytes < READ_BYTES && !self.ended {
            let Some((path, reader)) = &mut self.current else {
                match self.segments.next() {
                    Some((number, path)) => events.push(self.begin(number, path)?),
                    None => {
                        for tail in self.tails.drain(..) {
                            cut(&self.disk, &tail.path, tail.from)?;
                            events.push(Event::Cut { bytes: tail.bytes - tail.from });
                        }
                        events.push(Event::End(self.end));
                        self.ended = true;
                    }
                }
                continue;
            };
            match reader.next()? {
                Item::Frame { sequence, body } => {
                    events.extend(self.tails.drain(..).map(Tail::damage));
                    self.end.sequence_next = self.end.sequence_next.max(sequence + 1);
                    bytes += body.len();
                    events.push(Event::Frame { sequence, body });
                }
                Item::Damage { from, to } => {
                    let detail = format!("bytes {from} to {to} are not frames");
                    events.push(Event::Damage { path: path.clone(), detail });
                }
                Item::Torn { from } => self.tails.push(Tail { path: path.clone(), from, bytes: reader.bytes() }),
                Item::End => self.current = None,
            }
        }
        Ok(events)
    }

    fn begin(&mut self, number: u64, path: PathBuf) -> Result<Event, Error> {
        let reader = match SegmentReader::open(&self.disk, &path, number) {
            Ok(reader) => reader,
            Err(OpenError::Fatal(error)) => return Err(error),
            Err(OpenError::Damaged(detail)) => {
                quarantine(&self.disk, &self.dir, &path)?;
                return Ok(Event::Damage { path: path.with_extension("wal.corrupt"), detail });
            }
        };
        let header = reader.header();
        let event = Event::Segment { path: path.clone(), bytes: reader.bytes(), limits: header.limits };
        self.end.sequence_next = self.end.sequence_next.max(header.first_sequence);
        self.current = Some((path, reader));
        Ok(event)
    }
}

impl Tail {
    fn damage(self) -> Event {
        let detail = format!("bytes {} to {} are not frames", self.from, self.bytes);
        Event::Damage { path: self.path, detail }
    }
}

fn cut(disk: &Disk, path: &Path, bytes: u64) -> Result<(), Error> {
    let cut = || {
        let file = disk.open(path, Access::Write)?;
        file.set_len(bytes)?;
        file.sync_all()
    };
    cut().map_err(|e| Error::io(path, e))
}

fn quarantine(disk: &Disk, dir: &Path, path: &Path) -> Result<(), Error> {
    disk.rename(path, &path.with_extension("wal.corrupt")).map_err(|e| Error::io(path, e))?;
    disk.sync_dir(dir).map_err(|e| Error::io(dir, e))
}
