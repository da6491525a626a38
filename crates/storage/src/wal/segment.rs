//! One segment file: making it, finding it, reading it back.

use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::frame::{BODY_BYTES_MAX, FRAME_HEAD_BYTES, FrameHead, HEADER_BYTES_MAX, HeaderError, SegmentHeader};
use crate::Error;
use crate::disk::{Access, Disk, DiskFile};
use crate::runtime::{Safeguard, without};

const SCAN_WINDOW_BYTES: usize = 256 << 10;
/// How many times the size of a segment a search for frames may checksum.
const SCAN_WORK_FACTOR: u64 = 8;

/// The path of a segment.
pub(crate) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.wal"))
}

/// The segments of a WAL folder by number, and the greatest number that was
/// ever used there, as far as its files tell.
pub(crate) struct Listing {
    pub(crate) segments: Vec<(u64, PathBuf)>,
    pub(crate) number_max: u64,
}

/// Lists the segments of a folder, and removes what a crash left of making one.
pub(crate) fn list(disk: &Disk, dir: &Path) -> Result<Listing, Error> {
    let mut segments = Vec::new();
    let mut number_max = 0;
    for found in disk.list(dir).map_err(|e| Error::io(dir, e))? {
        let path = found.path;
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let (number, suffix) = name.split_once('.').unwrap_or((name, ""));
        let (20, Ok(number)) = (number.len(), number.parse::<u64>()) else { continue };
        match suffix {
            "wal" => segments.push((number, path)),
            "wal.tmp" => {
                disk.remove_file(&path).map_err(|e| Error::io(&path, e))?;
                continue;
            }
            "wal.corrupt" => {}
            _ => continue,
        }
        number_max = number_max.max(number);
    }
    segments.sort_unstable();
    Ok(Listing { segments, number_max })
}

/// Makes a segment: it appears under its name complete and durable, or not at all.
///
/// Returns the file, positioned behind the header, and the header's length.
pub(crate) fn create(disk: &Disk, dir: &Path, header: &SegmentHeader) -> Result<(DiskFile, u64), Error> {
    let path = path_of(dir, header.number);
    let temporary = path.with_extension("wal.tmp");
    let bytes = header.encode();
    let make = || {
        let mut file = disk.open(&temporary, Access::Empty)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        disk.hard_link(&temporary, &path)?;
        disk.sync_dir(dir)?;
        Ok(file)
    };
    let made = make().map_err(|e| Error::io(&path, e));
    // Best effort: the next start removes what is left.
    let _ = disk.remove_file(&temporary);
    Ok((made?, bytes.len() as u64))
}

/// What a reader finds next in a segment.
#[derive(Debug)]
pub(crate) enum Item {
    /// A frame that checks.
    Frame {
        /// Its sequence number.
        sequence: u64,
        /// Its body.
        body: Bytes,
    },
    /// Bytes that should have been frames, with frames behind them.
    Damage {
        /// The first offset.
        from: u64,
        /// The offset behind the last.
        to: u64,
    },
    /// Nothing that checks from this offset on, and the file goes on.
    Torn {
        /// Where the last good frame ends.
        from: u64,
    },
    /// The end of the file, right behind the last good frame.
    End,
}

/// Why a segment cannot be read at all.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The start has to stop.
    Fatal(Error),
    /// The header is damaged, so nothing in it can be trusted.
    Damaged(String),
}

/// Reads the frames of a segment, one at a time.
pub(crate) struct SegmentReader {
    path: PathBuf,
    file: BufReader<DiskFile>,
    bytes: u64,
    header: SegmentHeader,
    at: u64,
    sequence: u64,
    ended: bool,
}

impl SegmentReader {
    /// Opens the segment of that number, and syncs it.
    ///
    /// Frames that were written and not synced when the process died read back all the same.
    /// Whatever is read is relied on, by the answer to a retry for one, so it has to be durable first.
    pub(crate) fn open(disk: &Disk, path: &Path, number: u64) -> Result<Self, OpenError> {
        let fatal = |e| OpenError::Fatal(Error::io(path, e));
        let mut file = disk.open(path, Access::Read).map_err(fatal)?;
        if !without(Safeguard::SyncOnReplay) {
            file.sync_all().map_err(fatal)?;
        }
        let bytes = file.size().map_err(fatal)?;
        let mut start = Vec::new();
        (&mut file).take(HEADER_BYTES_MAX as u64).read_to_end(&mut start).map_err(fatal)?;
        let (header, at) = SegmentHeader::decode(&start).map_err(|error| match error {
            HeaderError::Damaged(detail) => OpenError::Damaged(detail),
            HeaderError::Newer(version) => {
                OpenError::Fatal(Error::NewerFormat { path: path.to_owned(), found: version.to_string(), supported: 1 })
            }
        })?;
        if header.number != number {
            let detail = format!("header is that of segment {}", header.number);
            return Err(OpenError::Damaged(detail));
        }
        Ok(Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(SCAN_WINDOW_BYTES, file),
            bytes,
            at: at as u64,
            sequence: header.first_sequence,
            header,
            ended: false,
        })
    }

    /// Its header.
    pub(crate) fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Its size.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next frame, or what is in its place. After `Torn` and `End` there is only `End`.
    pub(crate) fn next(&mut self) -> Result<Item, Error> {
        if self.ended || self.at == self.bytes {
            return Ok(Item::End);
        }
        if let Some((head, body)) = self.frame_at(self.at)?
            && head.sequence == self.sequence
        {
            self.at += (FRAME_HEAD_BYTES + body.len()) as u64;
            self.sequence += 1;
            return Ok(Item::Frame { sequence: head.sequence, body });
        }
        let from = self.at;
        match self.scan(from)? {
            Scan::Frame { at, sequence } => {
                self.at = at;
                self.sequence = sequence;
                Ok(Item::Damage { from, to: at })
            }
            Scan::Nothing => {
                self.ended = true;
                Ok(Item::Torn { from })
            }
            Scan::TooLong => {
                self.ended = true;
                Ok(Item::Damage { from, to: self.bytes })
            }
        }
    }

    /// The frame that starts at an offset, if one checks there.
    fn frame_at(&mut self, at: u64) -> Result<Option<(FrameHead, Bytes)>, Error> {
        let io = |e| Error::io(&self.path, e);
        if self.bytes - at < FRAME_HEAD_BYTES as u64 {
            return Ok(None);
        }
        seek(&mut self.file, at).map_err(io)?;
        let mut head = [0; FRAME_HEAD_BYTES];
        self.file.read_exact(&mut head).map_err(io)?;
        let head = FrameHead::decode(&head);
        if !self.fits(at, head) {
            return Ok(None);
        }
        let mut body = vec![0; head.length as usize];
        self.file.read_exact(&mut body).map_err(io)?;
        let checks = self.header.frame_crc(head.sequence, &body) == head.crc;
        Ok(checks.then(|| (head, Bytes::from(body))))
    }

    /// Whether a frame of that length can start at an offset.
    fn fits(&self, at: u64, head: FrameHead) -> bool {
        let end = at + FRAME_HEAD_BYTES as u64 + u64::from(head.length);
        head.length > 0 && head.length as usize <= BODY_BYTES_MAX && end <= self.bytes
    }

    /// Looks for a frame behind damage: one that checks, with a sequence not yet seen.
    ///
    /// The bytes may be a sender's, made to look like the heads of very many
    /// frames, so the work is bounded.
    fn scan(&mut self, from: u64) -> Result<Scan, Error> {
        let mut work_left = self.bytes.saturating_mul(SCAN_WORK_FACTOR);
        // Frames take 17 bytes at least, which bounds how far sequences can have risen.
        let sequence_max = self.sequence.saturating_add((self.bytes - from) / 17 + 1);
        let mut window = Vec::new();
        let mut start = from;
        while self.bytes - start >= FRAME_HEAD_BYTES as u64 {
            window.clear();
            seek(&mut self.file, start).map_err(|e| Error::io(&self.path, e))?;
            (&mut self.file)
                .take(SCAN_WINDOW_BYTES as u64)
                .read_to_end(&mut window)
                .map_err(|e| Error::io(&self.path, e))?;
            let heads = window.len().saturating_sub(FRAME_HEAD_BYTES - 1);
            if heads == 0 {
                break;
            }
            for offset in 0..heads {
                let Some(head) = window[offset..].first_chunk::<FRAME_HEAD_BYTES>() else { break };
                let head = FrameHead::decode(head);
                let at = start + offset as u64;
                let possible = (self.sequence..=sequence_max).contains(&head.sequence);
                if !possible || !self.fits(at, head) {
                    continue;
                }
                let Some(left) = work_left.checked_sub(u64::from(head.length)) else {
                    return Ok(Scan::TooLong);
                };
                work_left = left;
                if self.frame_at(at)?.is_some() {
                    return Ok(Scan::Frame { at, sequence: head.sequence });
                }
            }
            start += heads as u64;
        }
        Ok(Scan::Nothing)
    }
}

enum Scan {
    Frame { at: u64, sequence: u64 },
    Nothing,
    TooLong,
}

/// Seeks without dropping the buffer where the target is in it.
fn seek(file: &mut BufReader<DiskFile>, to: u64) -> std::io::Result<()> {
    let at = file.stream_position()?;
    match (i64::try_from(to), i64::try_from(at)) {
        (Ok(to), Ok(at)) => file.seek_relative(to - at),
        _ => file.seek(SeekFrom::Start(to)).map(drop),
    }
}
