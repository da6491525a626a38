//! Reading a tenant's log, in order, with its chain checked.

use std::collections::HashSet;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use ulid::Ulid;

use super::entry::{Entry, Payload};
use super::log::{Entries, EntryStore, Head};
use super::{State, WalRange};
use crate::{Error, partition};

const READS_AT_ONCE: usize = 16;

/// A tenant's log as found at start.
pub(crate) struct Loaded {
    pub(crate) head: Head,
    /// The paths below the tenant's folder of all files that any entry named.
    pub(crate) named: HashSet<String>,
    /// Payloads received since the time that was asked for.
    pub(crate) payloads: Vec<Payload>,
    /// The greatest sequence that an entry covers for this WAL.
    pub(crate) sequence_max: Option<u64>,
}

/// Reads all entries of a tenant.
///
/// # Errors
/// [`Error::Corrupt`] names the entry that is missing, damaged or not chained to the one before.
pub(crate) async fn load(entries: &Entries, directory: Ulid, payloads_since_ns: i64) -> Result<Loaded, Error> {
    let last = last_entry(entries).await?;
    let mut named = HashSet::new();
    let mut payloads = Vec::new();
    let mut sequence_max = None;
    let head = read(entries, directory, last, |entry| {
        named.extend(entry.add.iter().map(|file| file.path.clone()));
        if entry.time.0 >= payloads_since_ns {
            let recent = |payload: &Payload| payload.t.0 >= payloads_since_ns;
            payloads.extend(entry.payloads.into_iter().filter(recent));
        }
        if let Some(WalRange { to, directory: of, .. }) = entry.wal
            && of == directory
        {
            sequence_max = sequence_max.max(Some(to));
        }
    })
    .await?;
    Ok(Loaded { head, named, payloads, sequence_max })
}

async fn read(entries: &Entries, directory: Ulid, last: u64, mut each: impl FnMut(Entry)) -> Result<Head, Error> {
    let mut head = Head::new(State::new(entries.tenant.clone(), directory));
    let reads = stream::iter(1..=last).map(async |number| {
        let bytes: Bytes = entries
            .read(number)
            .await?
            .ok_or_else(|| Error::corrupt(&entries.path(number), "the entry is missing, though later ones exist"))?;
        Ok::<_, Error>((number, bytes))
    });
    let mut reads = std::pin::pin!(reads.buffered(READS_AT_ONCE));
    while let Some(found) = reads.next().await {
        let (number, bytes) = found?;
        let entry = Entry::decode(&entries.path(number), &bytes)?;
        head.advance(entries, &entry, &bytes)?;
        each(entry);
    }
    head.unseen.clear();
    Ok(head)
}

/// The greatest number among a tenant's entries; 0 without any.
async fn last_entry(entries: &Entries) -> Result<u64, Error> {
    let listed = entries.store.list(&partition::manifest_dir(&entries.tenant)).await?;
    let numbers = listed.iter().filter_map(|found| {
        let name = found.object.rsplit('/').next()?.strip_suffix(".json")?;
        name.parse().ok()
    });
    Ok(numbers.max().unwrap_or(0))
}
