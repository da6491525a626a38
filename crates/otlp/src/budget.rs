use crate::Error;

/// What decoding one message may still take in memory.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_left: usize,
    bytes_max: usize,
}

impl Budget {
    /// Arrow's offsets are `i32`, so a budget beyond that would not help.
    const BYTES_MAX: usize = i32::MAX as usize;

    pub(crate) fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(Self::BYTES_MAX);
        Self { bytes_left: bytes_max, bytes_max }
    }

    /// Takes `bytes` for `what`.
    pub(crate) fn take(&mut self, what: &'static str, bytes: usize) -> Result<(), Error> {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                Ok(())
            }
            None => Err(Error::TooLarge { what, bytes_max: self.bytes_max }),
        }
    }
}
