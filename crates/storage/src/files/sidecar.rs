//! What a data file cannot hold: blooms of ids, ranges of columns, counts of attribute keys.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use bytes::Bytes;
use object_store::ObjectStoreExt;
use parquet::bloom_filter::Sbbf;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracehound_schema::Dataset;

use super::counts::{Counter, KeyCount, KeyCounts};
use super::read::store_failed;
use crate::data_file::SidecarRef;
use crate::store::Store;
use crate::{DataFile, Error};

/// The version of sidecars.
const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"THOUNDI1";
/// Magic and header length.
const PREAMBLE_BYTES: usize = 12;
/// How often a bloom may hold a value that the file does not.
const FALSE_POSITIVES: f64 = 0.001;
const BLOCK_BYTES: usize = 32;

/// The columns that have blooms, where a dataset has them.
pub(crate) const NEEDLE_COLUMNS: [&str; 5] = ["trace_id", "user_id", "client_address", "peer_address", "session_id"];

/// The header of a sidecar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) format: u32,
    pub(crate) dataset: Dataset,
    pub(crate) rows: u64,
    pub(crate) blooms: Vec<BloomPlace>,
    pub(crate) columns: Vec<ColumnRange>,
    pub(crate) attributes: Vec<KeyCount>,
    pub(crate) attributes_complete: bool,
}

/// Where a column's bloom is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BloomPlace {
    pub(crate) column: String,
    /// Counted from the end of the header.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// Distinct values, estimated.
    pub(crate) distinct: u64,
}

/// The range of a column's values, as text: decimal, nanoseconds, lowercase hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnRange {
    pub(crate) name: String,
    pub(crate) nulls: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) min: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<String>,
}

impl Header {
    pub(crate) fn counts(&self) -> KeyCounts {
        KeyCounts { keys: self.attributes.clone(), complete: self.attributes_complete }
    }
}

/// A sidecar, read and taken apart.
pub(crate) struct Sidecar {
    pub(crate) header: Header,
    bitsets: Bytes,
}

impl Sidecar {
    /// Takes a sidecar's bytes apart and checks what they say of themselves.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::NewerFormat`], which name `path`.
    pub(crate) fn decode(path: &Path, bytes: &Bytes) -> Result<Self, Error> {
        let corrupt = |detail: String| Error::corrupt(path, detail);
        let preamble = bytes.get(..PREAMBLE_BYTES).filter(|preamble| preamble.starts_with(MAGIC));
        let Some([.., a, b, c, d]) = preamble else { return Err(corrupt("not a sidecar".to_owned())) };
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let end = PREAMBLE_BYTES.checked_add(length).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(|| corrupt("its header is longer than the file".to_owned()))?;
        let header: Header =
            serde_json::from_slice(&bytes[PREAMBLE_BYTES..end]).map_err(|e| corrupt(format!("header: {e}")))?;
        if header.format > FORMAT {
            let (path, found) = (path.to_owned(), header.format.to_string());
            return Err(Error::NewerFormat { path, found, supported: FORMAT });
        }
        let sidecar = Self { header, bitsets: bytes.slice(end..) };
        for bloom in &sidecar.header.blooms {
            let bitset = sidecar.bitset(bloom);
            if bitset.is_none_or(|bitset| bitset.is_empty() || bitset.len() % BLOCK_BYTES != 0) {
                return Err(corrupt(format!("the bloom of {} is not whole", bloom.column)));
            }
        }
        Ok(sidecar)
    }

    /// The bloom of a column, if it has one.
    pub(crate) fn bloom(&self, column: &str) -> Option<Sbbf> {
        let place = self.header.blooms.iter().find(|bloom| bloom.column == column)?;
        Some(Sbbf::new(self.bitset(place)?))
    }

    fn bitset(&self, bloom: &BloomPlace) -> Option<&[u8]> {
        let start = usize::try_from(bloom.offset).ok()?;
        self.bitsets.get(start..start.checked_add(usize::try_from(bloom.bytes).ok()?)?)
    }
}

/// Reads a file's sidecar and checks it against the manifest. `None` if it has
/// none, or a damaged one, which is reported: then the file itself is read.
///
/// # Errors
/// [`Error::Unavailable`] if the store fails, so that another try may find it.
pub(crate) async fn load(store: &Store, file: &DataFile) -> Result<Option<Sidecar>, Error> {
    let Some(expected) = &file.sidecar else { return Ok(None) };
    let name = store.name(expected.path.as_ref());
    let checked = match fetch(store, expected, &name).await {
        Ok(bytes) => Sidecar::decode(&name, &bytes),
        Err(error) => Err(error),
    };
    match checked {
        Ok(sidecar) if sidecar.header.rows == file.rows && sidecar.header.dataset == file.dataset => Ok(Some(sidecar)),
        Ok(_) => {
            tracing::warn!(sidecar = %name.display(), "a sidecar is of another file; the file is read instead");
            Ok(None)
        }
        Err(error @ Error::Unavailable { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(error = %error.chain(), "a sidecar cannot be used; the file is read instead");
            Ok(None)
        }
    }
}

async fn fetch(store: &Store, expected: &SidecarRef, name: &Path) -> Result<Bytes, Error> {
    let got = store.reader().get(&expected.path).await.map_err(|e| store_failed(name, &e))?;
    if got.meta.size != expected.bytes {
        let detail = format!("it has {} bytes, the manifest says {}", got.meta.size, expected.bytes);
        return Err(Error::corrupt(name, detail));
    }
    let bytes = got.bytes().await.map_err(|e| store_failed(name, &e))?;
    if hex::encode(Sha256::digest(&bytes)) != expected.sha256 {
        return Err(Error::corrupt(name, "its SHA-256 is not what the manifest says"));
    }
    Ok(bytes)
}

/// Collects a sidecar while its file is written.
pub(crate) struct SidecarBuilder {
    dataset: Dataset,
    rows: u64,
    blooms: Vec<(&'static str, usize, Sbbf)>,
    counter: Counter,
}

impl SidecarBuilder {
    /// For a file of about so many rows. `distinct` tells how many values a column may have, where that is known.
    pub(crate) fn new(dataset: Dataset, rows: u64, distinct: impl Fn(&str) -> Option<u64>) -> Result<Self, Error> {
        let schema = dataset.schema();
        let mut blooms = Vec::new();
        for column in NEEDLE_COLUMNS {
            if let Ok(index) = schema.index_of(column) {
                let most = distinct(column).unwrap_or(rows).min(rows).max(1);
                // Made for the most there can be, folded to what there is.
                let bloom = Sbbf::new_with_ndv_fpp(most, FALSE_POSITIVES).map_err(Error::internal)?;
                blooms.push((column, index, bloom));
            }
        }
        Ok(Self { dataset, rows: 0, blooms, counter: Counter::new(dataset) })
    }

    /// Adds rows with the dataset's columns, whole maps included.
    pub(crate) fn add(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        self.rows += rows.num_rows() as u64;
        for (_, index, bloom) in &mut self.blooms {
            insert(bloom, rows.column(*index))?;
        }
        self.counter.count(rows)
    }

    /// The sidecar's bytes.
    pub(crate) fn finish(self, columns: Vec<ColumnRange>) -> Result<Vec<u8>, Error> {
        let mut bitsets = Vec::new();
        let mut blooms = Vec::new();
        for (column, _, mut bloom) in self.blooms {
            let distinct = distinct(&bloom)?;
            bloom.fold_to_target_fpp(FALSE_POSITIVES);
            let offset = bitsets.len() as u64;
            bloom.write_bitset(&mut bitsets).map_err(Error::internal)?;
            let bytes = bitsets.len() as u64 - offset;
            blooms.push(BloomPlace { column: column.to_owned(), offset, bytes, distinct });
        }
        let counts = self.counter.finish();
        let header = Header {
            format: FORMAT,
            dataset: self.dataset,
            rows: self.rows,
            blooms,
            columns,
            attributes: counts.keys,
            attributes_complete: counts.complete,
        };
        let header = serde_json::to_vec(&header).map_err(Error::internal)?;
        let length = u32::try_from(header.len()).map_err(Error::internal)?;
        let mut bytes = Vec::with_capacity(PREAMBLE_BYTES + header.len() + bitsets.len());
        bytes.extend(MAGIC);
        bytes.extend(length.to_le_bytes());
        bytes.extend(header);
        bytes.extend(bitsets);
        Ok(bytes)
    }
}

fn insert(bloom: &mut Sbbf, column: &ArrayRef) -> Result<(), Error> {
    // Rows are sorted, so equal values often follow each other.
    match column.data_type() {
        DataType::FixedSizeBinary(_) => {
            let ids = column.as_fixed_size_binary();
            (0..ids.len()).filter(|row| ids.is_valid(*row)).for_each(|row| bloom.insert(ids.value(row)));
        }
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            let mut last = None;
            for text in texts.iter().flatten() {
                if last != Some(text) {
                    bloom.insert(text.as_bytes());
                    last = Some(text);
                }
            }
        }
        other => return Err(Error::internal(format!("a needle of type {other}"))),
    }
    Ok(())
}

/// How many values a bloom holds, told from its bits: each sets one bit of the 32 in each word of a block.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate, not negative")]
fn distinct(bloom: &Sbbf) -> Result<u64, Error> {
    let mut bitset = Vec::new();
    bloom.write_bitset(&mut bitset).map_err(Error::internal)?;
    let set: u64 = bitset.iter().map(|byte| u64::from(byte.count_ones())).sum();
    let free = 1.0 - set as f64 / (bitset.len() as f64 * 8.0);
    let words_hit = bloom.num_blocks() as f64;
    // A full bloom says only that it is full.
    let estimate = if free > 0.0 { words_hit * free.ln() / (1.0_f64 - 1.0 / 32.0).ln() } else { words_hit * 256.0 };
    Ok(estimate.round() as u64)
}
