//! The bytes of a simulated file: on the platter, in the page cache, and what a crash leaves.

use super::Rng;

const SECTOR_BYTES: usize = 512;

/// A file's bytes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Inode {
    /// As the running system sees them.
    cached: Vec<u8>,
    /// As they are on the platter.
    durable: Vec<u8>,
    /// Writes since the last sync.
    unsynced: Vec<Write>,
    pub(crate) modified_ns: i64,
}

#[derive(Debug, Clone)]
enum Write {
    At(usize, Vec<u8>),
    Length(usize),
}

/// How much of what was not synced a crash takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    Nothing,
    Everything,
    /// Each change on its own, whole or in part.
    Some,
}

impl Loss {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        match rng.below(6) {
            0 => Self::Nothing,
            1 => Self::Everything,
            _ => Self::Some,
        }
    }

    /// Whether a change of a name survives.
    pub(crate) fn keeps_name(self, rng: &mut Rng) -> bool {
        match self {
            Self::Nothing => true,
            Self::Everything => false,
            Self::Some => rng.one_in(2),
        }
    }
}

impl Inode {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.cached
    }

    /// Changes the bytes in the cache and on the platter alike.
    pub(crate) fn damage(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.cached);
        self.durable = self.cached.clone();
        self.unsynced.clear();
    }

    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        let write = Write::At(usize::try_from(at).unwrap(), bytes.to_vec());
        write.apply(&mut self.cached);
        self.unsynced.push(write);
    }

    pub(crate) fn set_len(&mut self, bytes: usize) {
        let write = Write::Length(bytes);
        write.apply(&mut self.cached);
        self.unsynced.push(write);
    }

    pub(crate) fn sync(&mut self) {
        // What an earlier failed sync lost stays lost, as in a kernel that marked the pages clean.
        for write in self.unsynced.drain(..) {
            write.apply(&mut self.durable);
        }
    }

    /// A sync that failed: some of it is on the platter, none of it will be tried again.
    pub(crate) fn sync_badly(&mut self, loss: Loss, rng: &mut Rng) {
        for write in std::mem::take(&mut self.unsynced) {
            write.lose(loss, rng, &mut self.durable);
        }
    }

    /// The page cache is gone.
    pub(crate) fn lose_power(&mut self, loss: Loss, rng: &mut Rng) {
        self.sync_badly(loss, rng);
        self.cached = self.durable.clone();
    }
}

impl Write {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::At(at, written) => {
                let end = at + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(written);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }

    /// Applies what a crash leaves of it.
    fn lose(self, loss: Loss, rng: &mut Rng, bytes: &mut Vec<u8>) {
        let (at, mut written) = match (loss, self) {
            (Loss::Everything, _) => return,
            (Loss::Nothing, write) => return write.apply(bytes),
            (Loss::Some, Self::Length(length)) => {
                if rng.one_in(2) {
                    Self::Length(length).apply(bytes);
                }
                return;
            }
            (Loss::Some, Self::At(at, written)) => (at, written),
        };
        match rng.below(6) {
            0 => return,
            1 => {}
            // Torn at any byte.
            2 | 3 => written.truncate(rng.index(written.len() + 1)),
            // Sectors reach the platter in any order; the file has its new length.
            4 => {
                let garbage = rng.one_in(2);
                let mut from = 0;
                while from < written.len() {
                    let end = ((at + from) / SECTOR_BYTES + 1) * SECTOR_BYTES - at;
                    let sector = from..end.min(written.len());
                    from = end;
                    if rng.one_in(2) {
                        for byte in &mut written[sector] {
                            *byte = if garbage { rng.next().to_le_bytes()[0] } else { 0 };
                        }
                    }
                }
            }
            // The length was written and the data was not.
            _ => written.fill(0),
        }
        Self::At(at, written).apply(bytes);
    }
}
