use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;
use tokio::sync::mpsc::Sender;
use tracehound_otlp::file::{Error, MessageReader};
use tracehound_schema::{Encoding, Signal};

use crate::failure::Failure;

/// A zstd window beyond this needs more memory than a file may claim.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const BUFFER_BYTES: usize = 256 << 10;

/// One message of a file.
#[derive(Debug)]
pub(super) struct Message {
    /// Its place in the file, from 1.
    pub(super) number: u64,
    pub(super) signal: Signal,
    pub(super) encoding: Encoding,
    pub(super) body: Bytes,
}

/// Reads a file's messages into the channel, until its end or until nobody listens.
pub(super) fn read(
    path: &Path,
    message_bytes_max: usize,
    bar: &ProgressBar,
    messages: &Sender<Message>,
) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::failed("io", format!("cannot read: {error}"));
    let source: Box<dyn Read> =
        if super::is_stdin(path) { Box::new(io::stdin().lock()) } else { Box::new(File::open(path).map_err(cannot)?) };
    let plain = decompress(BufReader::with_capacity(BUFFER_BYTES, bar.wrap_read(source))).map_err(cannot)?;
    let reader = MessageReader::new(plain, message_bytes_max);
    for (number, message) in (1..).zip(reader) {
        let (signal, encoding, body) = message.map_err(|error| failure(&error))?;
        if messages.blocking_send(Message { number, signal, encoding, body }).is_err() {
            break;
        }
    }
    Ok(())
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::Io(source) => Failure::failed("io", format!("cannot read: {source}")),
        Error::Malformed { .. } => Failure::failed("malformed", error.to_string())
            .hint("a file holds OTLP as JSON lines, one protobuf message, or the Collector's file exporter's format"),
        Error::TooLarge { .. } => Failure::failed("too-large", error.to_string()),
    }
}

/// Tells gzip and zstd by their first bytes.
fn decompress<'a>(mut source: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let magic = source.fill_buf()?;
    Ok(if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(source)))
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
    } else {
        Box::new(source)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn plain(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompress(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn compression_is_told_by_the_first_bytes() {
        let text: &[u8] = b"{\"resourceSpans\":[]}\n";
        let gzip = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(plain(text).unwrap(), text);
        assert_eq!(plain(&gzip(text)).unwrap(), text);
        assert_eq!(plain(&[gzip(text), gzip(text)].concat()).unwrap(), [text, text].concat());
        assert_eq!(plain(&zstd::encode_all(text, 3).unwrap()).unwrap(), text);
        assert_eq!(plain(b"").unwrap(), b"");
        assert!(plain(&gzip(text)[..20]).is_err(), "a cut file");
    }
}
