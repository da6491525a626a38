//! Looking into a log, without following it.

use std::ops::RangeInclusive;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::Entry;
use super::entry::hash;
use super::log::EntryStore;
use crate::{Error, ManifestEntry};

const READS_AT_ONCE: usize = 16;

/// Reads an entry that is known to exist.
///
/// # Errors
/// [`Error::Corrupt`] if it is missing or damaged.
pub(crate) async fn entry(entries: &impl EntryStore, number: u64) -> Result<Entry, Error> {
    Entry::decode(&entries.path(number), &bytes(entries, number).await?)
}

/// Entries that are known to exist, in order.
///
/// # Errors
/// As [`entry`].
pub(crate) async fn entries(
    entries: &impl EntryStore,
    range: RangeInclusive<u64>,
) -> Result<Vec<ManifestEntry>, Error> {
    let reads = stream::iter(range).map(async |number| {
        let bytes = bytes(entries, number).await?;
        let entry = Entry::decode(&entries.path(number), &bytes)?;
        Ok(ManifestEntry::new(&entry, hash(&bytes)))
    });
    reads.buffered(READS_AT_ONCE).try_collect().await
}

async fn bytes(entries: &impl EntryStore, number: u64) -> Result<Bytes, Error> {
    let missing = || Error::corrupt(&entries.path(number), "the entry is missing, though later ones exist");
    entries.read(number).await?.ok_or_else(missing)
}

/// The last of the entries 1 to `latest` that was written at or before a time; 0 if none was.
///
/// # Errors
/// As [`entry`].
pub(crate) async fn entry_at(entries: &impl EntryStore, latest: u64, time_ns: i64) -> Result<u64, Error> {
    // Times never fall along a log, so halving finds the place.
    let (mut before, mut after) = (0, latest + 1);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if entry(entries, middle).await?.time.0 <= time_ns {
            before = middle;
        } else {
            after = middle;
        }
    }
    Ok(before)
}
