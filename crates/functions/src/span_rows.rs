//! Spans of a trace as bytes: the state of the aggregates over whole traces.
//!
//! Bytes keep what a trace costs in memory small and known, pass between
//! partial and final aggregation as they are, and are merged by appending.

use datafusion::common::{Result, exec_datafusion_err};

/// Writes the fields of a row.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn id(&mut self, id: Option<&[u8]>) {
        self.bytes.push(u8::from(id.is_some()));
        let mut padded = [0; 8];
        if let Some(id) = id {
            let length = id.len().min(8);
            padded[..length].copy_from_slice(&id[..length]);
        }
        self.bytes.extend_from_slice(&padded);
    }

    pub(crate) fn time(&mut self, time_ns: i64) {
        self.bytes.extend_from_slice(&time_ns.to_le_bytes());
    }

    pub(crate) fn count(&mut self, count: Option<usize>) {
        let count = count.map_or(u32::MAX, |count| u32::try_from(count).unwrap_or(u32::MAX - 1));
        self.bytes.extend_from_slice(&count.to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: Option<&str>) {
        self.count(text.map(str::len));
        self.bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
    }
}

/// Reads the fields of a row, in the order they were written.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(cut)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn id(&mut self) -> Result<Option<[u8; 8]>> {
        let set = self.take(1)?[0] == 1;
        let id = self.take(8)?.try_into().map_err(|_| cut())?;
        Ok(set.then_some(id))
    }

    pub(crate) fn time(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.take(8)?.try_into().map_err(|_| cut())?))
    }

    pub(crate) fn count(&mut self) -> Result<Option<usize>> {
        let count = u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| cut())?);
        Ok((count != u32::MAX).then_some(count as usize))
    }

    pub(crate) fn text(&mut self) -> Result<Option<&'a str>> {
        let Some(length) = self.count()? else { return Ok(None) };
        let text = std::str::from_utf8(self.take(length)?);
        text.map(Some).map_err(|_| cut())
    }
}

fn cut() -> datafusion::common::DataFusionError {
    exec_datafusion_err!("the state of a trace aggregate is damaged")
}
