//! Reading a tenant's log from its store: the newest checkpoint that checks,
//! then the entries behind it, in order, with their chain checked.

use std::path::PathBuf;

use futures::stream::{self, StreamExt, TryStreamExt};
use ulid::Ulid;

use super::State;
use super::checkpoint;
use super::entry::{Entry, Payload, hash};
use super::log::{Entries, EntryStore, Head};
use crate::Error;

/// How many entries are asked for at once.
const READS_AT_ONCE: u64 = 16;
/// The same where each costs a request, until the log turns out to go on.
const READS_AT_ONCE_FIRST: u64 = 4;

/// A tenant's log as found at start.
pub(crate) struct Loaded {
    pub(crate) head: Head,
    /// Payloads received since the time that was asked for.
    pub(crate) payloads: Vec<Payload>,
    /// Checkpoints that could not be used, and why.
    pub(crate) damage: Vec<(PathBuf, String)>,
}

/// Reads a tenant's log up to its end.
///
/// # Errors
/// [`Error::Corrupt`] names the entry that is missing, damaged or not chained to the one before.
pub(crate) async fn load(entries: &Entries, directory: Ulid, payloads_since_ns: i64) -> Result<Loaded, Error> {
    let mut damage = Vec::new();
    let mut roots = checkpoint::roots(entries).await?;
    loop {
        let root = roots.pop();
        match load_from(entries, directory, root, payloads_since_ns).await {
            Ok((head, payloads)) => return Ok(Loaded { head, payloads, damage }),
            Err(Error::Corrupt { path, detail }) if root.is_some() => {
                tracing::error!(path = %path.display(), detail, "a checkpoint cannot be used; trying an older one");
                damage.push((path, detail));
            }
            Err(error) => return Err(error),
        }
    }
}

/// The state that a log says at the entry of `state`, without the checkpoint that `state` stands on.
///
/// # Errors
/// As [`load`].
pub(crate) async fn load_again(entries: &Entries, state: &State) -> Result<Head, Error> {
    let mut roots = checkpoint::roots(entries).await?;
    roots.retain(|root| *root < state.base().entry);
    loop {
        let root = roots.pop();
        let head = async {
            let mut head = open(entries, state.directory(), root).await?;
            follow(entries, &mut head, state.entry(), |_| {}).await?;
            head.unseen.clear();
            Ok::<_, Error>(head)
        };
        match head.await {
            Err(Error::Corrupt { .. }) if root.is_some() => {}
            outcome => return outcome,
        }
    }
}

async fn load_from(
    entries: &Entries,
    directory: Ulid,
    root: Option<u64>,
    payloads_since_ns: i64,
) -> Result<(Head, Vec<Payload>), Error> {
    let mut payloads = Vec::new();
    let mut note = |entry: &Entry| {
        if entry.time.0 >= payloads_since_ns {
            payloads.extend(entry.payloads.iter().filter(|payload| payload.t.0 >= payloads_since_ns).cloned());
        }
    };
    let mut head = open(entries, directory, root).await?;
    if root.is_some() {
        before(entries, &head, payloads_since_ns, &mut note).await?;
    }
    follow(entries, &mut head, u64::MAX, note).await?;
    head.unseen.clear();
    Ok((head, payloads))
}

async fn open(entries: &Entries, directory: Ulid, root: Option<u64>) -> Result<Head, Error> {
    match root {
        Some(number) => checkpoint::open(entries, directory, number).await,
        None => Ok(Head::new(State::new(entries.tenant.clone(), directory))),
    }
}

/// Visits the entries up to a checkpoint's that were written since a time, newest first, after checking that the newest is
/// the one that the checkpoint stands on.
async fn before(entries: &Entries, head: &Head, since_ns: i64, note: &mut impl FnMut(&Entry)) -> Result<(), Error> {
    let last = head.state.entry();
    let reads =
        stream::iter((1..=last).rev()).map(async |number| Ok::<_, Error>((number, entries.read(number).await?)));
    let mut reads = std::pin::pin!(reads.buffered(4));
    while let Some((number, found)) = reads.try_next().await? {
        let bytes = found.ok_or_else(|| missing(entries, number))?;
        let path = entries.path(number);
        if number == last && head.hash.as_deref() != Some(&hash(&bytes)) {
            return Err(Error::corrupt(&path, "it is not the entry that the checkpoint stands on"));
        }
        let entry = Entry::decode(&path, &bytes)?;
        if entry.time.0 < since_ns {
            break;
        }
        note(&entry);
    }
    Ok(())
}

/// Moves a head over the entries behind it, up to `last` or the log's end.
///
/// # Errors
/// [`Error::Corrupt`] names the entry that is missing, damaged or not chained to the one before;
/// the head then stands before it.
pub(crate) async fn follow(
    entries: &Entries,
    head: &mut Head,
    last: u64,
    mut each: impl FnMut(&Entry),
) -> Result<(), Error> {
    let mut window = if entries.store.is_shared() { READS_AT_ONCE_FIRST } else { READS_AT_ONCE };
    loop {
        let next = head.state.entry() + 1;
        let numbers = next..=last.min(next.saturating_add(window - 1));
        let reads = stream::iter(numbers).map(async |number| Ok::<_, Error>((number, entries.read(number).await?)));
        let found: Vec<_> = reads.buffered(16).try_collect().await?;
        let mut rest = found.into_iter();
        let mut is_end = rest.len() == 0;
        while let Some((number, found)) = rest.next() {
            match found {
                Some(bytes) => {
                    let entry = Entry::decode(&entries.path(number), &bytes)?;
                    head.advance(entries, &entry, &bytes).await?;
                    each(&entry);
                }
                None if !rest.any(|(_, later)| later.is_some()) => is_end = true,
                // Another writer may have made it since it was asked for.
                None if entries.read(number).await?.is_some() => break,
                None => return Err(missing(entries, number)),
            }
        }
        if is_end {
            return Ok(());
        }
        window = (window * 2).min(READS_AT_ONCE);
    }
}

fn missing(entries: &Entries, number: u64) -> Error {
    Error::corrupt(&entries.path(number), "the entry is missing, though later ones exist")
}
