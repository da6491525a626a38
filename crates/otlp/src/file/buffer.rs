//! Input that can be looked at before it is taken.

use std::io::{self, BufRead};

use bytes::{Buf, Bytes, BytesMut};

#[derive(Debug)]
pub(super) struct Buffer<R> {
    input: R,
    bytes: BytesMut,
    offset: u64,
}

impl<R: BufRead> Buffer<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, bytes: BytesMut::new(), offset: 0 }
    }

    /// How many bytes were taken.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What comes next: at least `wanted` bytes, or all there are.
    pub(super) fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        while self.bytes.len() < wanted {
            let more = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                more => more?,
            };
            if more.is_empty() {
                break;
            }
            let length = more.len();
            self.bytes.extend_from_slice(more);
            self.input.consume(length);
        }
        Ok(&self.bytes)
    }

    /// Takes bytes that were looked at.
    pub(super) fn take(&mut self, length: usize) -> Bytes {
        self.offset += length as u64;
        self.bytes.split_to(length).freeze()
    }

    /// Takes whitespace; whether anything follows.
    pub(super) fn skip_whitespace(&mut self) -> io::Result<bool> {
        loop {
            let next = self.peek(1)?;
            if next.is_empty() {
                return Ok(false);
            }
            let blank = next.len() - next.trim_ascii_start().len();
            let more = blank < next.len();
            self.bytes.advance(blank);
            self.offset += blank as u64;
            if more {
                return Ok(true);
            }
        }
    }
}
