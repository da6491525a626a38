//! Decompression with bounds: on the output, on each layer, on the ratio and on memory.
//!
//! One path serves HTTP and gRPC. tonic's own bounds the output only: not the
//! ratio, not zstd's window, and not what all requests together hold.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use super::body::{Held, too_large};
use super::compression::Compression;
use super::refusal::Refusal;
use crate::in_flight::Share;

/// The largest window of zstd, as a power of two: 32 MiB is what the highest
/// level of the encoder in the OpenTelemetry Collector asks for.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// The output up to which the ratio does not matter.
const RATIO_FREE_BYTES: usize = 1 << 20;

/// What decompression may yield.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The most bytes of the output and of each layer.
    pub(crate) bytes_max: usize,
    /// The most bytes of output for each byte of input, beyond 1 MiB of output.
    pub(crate) ratio_max: usize,
}

/// Undoes the compressions that were `applied`, last one first.
///
/// # Errors
/// Malformed when the bytes are not what they should be or break off; too
/// large beyond the bounds; retry later when the server's memory is used up.
pub(crate) fn decompress(raw: &[u8], applied: &[Compression], bounds: Bounds, share: Share) -> Result<Held, Refusal> {
    let mut output = Held::new(bounds.bytes_max, share);
    if raw.is_empty() {
        // Some clients name a compression and send nothing.
        return Ok(output);
    }
    let mut reader: Box<dyn Read + '_> = Box::new(raw);
    for compression in applied.iter().rev() {
        let layer = layer(reader, *compression).map_err(|error| refusal(&error, bounds))?;
        reader = Box::new(Capped { inner: layer, left: bounds.bytes_max });
    }
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => return Ok(output),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(refusal(&error, bounds)),
        };
        output.push(&chunk[..read])?;
        if output.len() > RATIO_FREE_BYTES && output.len() / raw.len() > bounds.ratio_max {
            return Err(Refusal::too_large(format!(
                "the body decompresses to more than {} times its size: send it less compressed, or raise limits.compression_ratio",
                bounds.ratio_max
            )));
        }
    }
}

fn layer<'a>(reader: Box<dyn Read + 'a>, compression: Compression) -> io::Result<Box<dyn Read + 'a>> {
    let decoder: Box<dyn Read + 'a> = match compression {
        Compression::Gzip => Box::new(MultiGzDecoder::new(reader)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    };
    Ok(Box::new(Named { inner: decoder, compression }))
}

/// One layer's output beyond its bound.
#[derive(Debug, thiserror::Error)]
#[error("output beyond the limit")]
struct Beyond;

/// A decoder's failure, with the decoder's name.
#[derive(Debug, thiserror::Error)]
#[error("the {} body does not decompress: {source}", compression.name())]
struct Undecodable {
    compression: Compression,
    source: io::Error,
}

/// Ends with [`Beyond`] after `left` bytes.
struct Capped<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read).ok_or_else(|| io::Error::other(Beyond))?;
        Ok(read)
    }
}

/// Names the decoder in its errors; those of the layers below pass.
struct Named<R> {
    inner: R,
    compression: Compression,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let ours = error.get_ref().is_some_and(|inner| inner.is::<Beyond>() || inner.is::<Undecodable>());
            if ours || error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            io::Error::other(Undecodable { compression: self.compression, source: error })
        })
    }
}

fn refusal(error: &io::Error, bounds: Bounds) -> Refusal {
    if error.get_ref().is_some_and(|inner| inner.is::<Beyond>()) {
        return too_large(bounds.bytes_max);
    }
    let text = error.to_string();
    // zstd has no error type: this is the text of ZSTD_error_frameParameter_windowTooLarge.
    if text.contains("requires too much memory") {
        return Refusal::too_large(format!(
            "the zstd body asks for a window of more than {} bytes: compress with a smaller window",
            1_u64 << ZSTD_WINDOW_LOG_MAX
        ));
    }
    Refusal::malformed(text)
}

#[cfg(test)]
mod tests;
