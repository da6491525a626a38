//! OTLP messages in a file or stream.
//!
//! Three forms, told apart by their first bytes: JSON objects one after
//! another (JSON lines, the Collector's file exporter, or one message however
//! it is laid out), one protobuf message, or protobuf messages each after its
//! length in four big-endian bytes. Reading holds one message at a time.

mod buffer;
mod detect;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead};

use bytes::Bytes;
use tracehound_schema::{Encoding, Signal};

use buffer::Buffer;

/// Why a file could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read")]
    Io(#[from] io::Error),
    /// The file does not hold OTLP messages, or is cut short.
    #[error("message {message} at byte {offset}: {detail}")]
    Malformed {
        /// Which message, from 1.
        message: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// A message is larger than may be read.
    #[error("message {message} at byte {offset} is larger than {bytes_max} bytes; split it, or raise the limit")]
    TooLarge {
        /// Which message, from 1.
        message: u64,
        /// Where it begins.
        offset: u64,
        /// The limit.
        bytes_max: usize,
    },
}

/// How messages follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Protobuf,
    LengthPrefixed,
}

/// Reads the messages of a file. After an error there are no more.
#[derive(Debug)]
pub struct MessageReader<R> {
    input: Buffer<R>,
    message_bytes_max: usize,
    form: Option<Form>,
    messages: u64,
    done: bool,
}

impl<R: BufRead> MessageReader<R> {
    /// Reads from `input`, which must not be compressed any more; no message
    /// may have more than `message_bytes_max` bytes.
    pub fn new(input: R, message_bytes_max: usize) -> Self {
        Self { input: Buffer::new(input), message_bytes_max, form: None, messages: 0, done: false }
    }

    /// The bytes that the messages so far took, with what stood between them.
    pub fn bytes_read(&self) -> u64 {
        self.input.offset()
    }

    fn malformed(&self, offset: u64, detail: impl Into<String>) -> Error {
        Error::Malformed { message: self.messages, offset, detail: detail.into() }
    }

    fn too_large(&self, offset: u64) -> Error {
        Error::TooLarge { message: self.messages, offset, bytes_max: self.message_bytes_max }
    }

    fn read(&mut self) -> Result<Option<(Signal, Encoding, Bytes)>, Error> {
        self.messages += 1;
        let form = match self.form {
            Some(form) => form,
            None => {
                let Some(form) = self.detect_form()? else { return Ok(None) };
                *self.form.insert(form)
            }
        };
        match form {
            Form::Json => self.read_json(),
            Form::Protobuf => self.read_protobuf(),
            Form::LengthPrefixed => self.read_length_prefixed(),
        }
    }

    fn detect_form(&mut self) -> Result<Option<Form>, Error> {
        /// Enough to look past the blank lines before an object.
        const LOOK_BYTES: usize = 4096;
        let start = self.input.peek(LOOK_BYTES)?;
        match detect::form(start, self.message_bytes_max) {
            Ok(form) => Ok(form),
            Err(detail) => Err(self.malformed(0, detail)),
        }
    }

    fn read_json(&mut self) -> Result<Option<(Signal, Encoding, Bytes)>, Error> {
        if !self.input.skip_whitespace()? {
            return Ok(None);
        }
        let offset = self.input.offset();
        let mut braces = detect::Braces::default();
        let mut length = 0;
        loop {
            let seen = self.input.peek(length + 1)?;
            if seen.len() == length {
                return Err(self.malformed(offset, "the JSON object does not end"));
            }
            match braces.end(&seen[length..]) {
                Err(()) => {
                    return Err(self.malformed(offset, "expected a JSON object, beginning with {"));
                }
                Ok(Some(end)) => {
                    length += end;
                    break;
                }
                Ok(None) => length = seen.len(),
            }
            if length > self.message_bytes_max {
                return Err(self.too_large(offset));
            }
        }
        if length > self.message_bytes_max {
            return Err(self.too_large(offset));
        }
        let body = self.input.take(length);
        match detect::json_signal(&body) {
            Ok(signal) => Ok(Some((signal, Encoding::Json, body))),
            Err(detail) => Err(self.malformed(offset, detail)),
        }
    }

    fn read_protobuf(&mut self) -> Result<Option<(Signal, Encoding, Bytes)>, Error> {
        let length = self.input.peek(self.message_bytes_max.saturating_add(1))?.len();
        if length == 0 {
            return Ok(None);
        }
        if length > self.message_bytes_max {
            return Err(self.too_large(0));
        }
        let body = self.input.take(length);
        self.protobuf(0, body).map(Some)
    }

    fn read_length_prefixed(&mut self) -> Result<Option<(Signal, Encoding, Bytes)>, Error> {
        let offset = self.input.offset();
        let length = match *self.input.peek(4)? {
            [] => return Ok(None),
            [a, b, c, d, ..] => u32::from_be_bytes([a, b, c, d]),
            _ => return Err(self.malformed(offset, "the file ends within a length")),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.message_bytes_max {
            return Err(self.too_large(offset));
        }
        let there = self.input.peek(length + 4)?.len() - 4;
        if there < length {
            let detail = format!("the file ends after {there} of {length} bytes");
            return Err(self.malformed(offset, detail));
        }
        let body = self.input.take(length + 4).slice(4..);
        self.protobuf(offset, body).map(Some)
    }

    fn protobuf(&self, offset: u64, body: Bytes) -> Result<(Signal, Encoding, Bytes), Error> {
        match detect::protobuf_signal(&body) {
            Ok(signal) => Ok((signal, Encoding::Protobuf, body)),
            Err(detail) => Err(self.malformed(offset, detail)),
        }
    }
}

impl<R: BufRead> Iterator for MessageReader<R> {
    type Item = Result<(Signal, Encoding, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let message = self.read().transpose();
        self.done = !matches!(message, Some(Ok(_)));
        message
    }
}
