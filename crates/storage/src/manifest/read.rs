//! Looking into a log, without following it.

use super::Entry;
use super::log::EntryStore;
use crate::Error;

/// Reads an entry that is known to exist.
///
/// # Errors
/// [`Error::Corrupt`] if it is missing or damaged.
pub(crate) async fn entry(entries: &impl EntryStore, number: u64) -> Result<Entry, Error> {
    let path = entries.path(number);
    let bytes = entries.read(number).await?;
    let bytes = bytes.ok_or_else(|| Error::corrupt(&path, "the entry is missing, though later ones exist"))?;
    Entry::decode(&path, &bytes)
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
