//! The commit protocol: how an intent becomes an entry, exactly once, over a
//! store whose answers may be lost.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tracehound_schema::{Dataset, TenantId};
use ulid::Ulid;

use super::entry::{Entry, Erasure, File, Operation, Payload, Removed, WalRange, Writer, hash};
use super::segment::{Segment, SegmentRef};
use super::time::Time;
use super::{FORMAT, SegmentCache, State};
use crate::partition::Part;
use crate::store::Store;
use crate::{Error, partition};

const ATTEMPTS_PER_ENTRY: u32 = 3;
const CHANGES_KEPT: usize = 64;

/// Where entries are kept.
pub(crate) trait EntryStore: Sync {
    /// Creates an entry unless it exists. An error says nothing of whether it exists now.
    fn create(&self, entry: u64, bytes: Bytes) -> impl Future<Output = Result<(), Error>> + Send;
    /// Reads an entry; what is returned is durable. `None` if there is none.
    fn read(&self, entry: u64) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;
    /// A segment of a checkpoint.
    fn segment(
        &self,
        key: (Dataset, Part),
        segment: &SegmentRef,
    ) -> impl Future<Output = Result<Arc<Segment>, Error>> + Send;
    /// How messages name an entry.
    fn path(&self, entry: u64) -> std::path::PathBuf;
}

/// The end of a log as its committer knows it, with what the log says up to there.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) hash: Option<String>,
    pub(crate) state: State,
    /// Entries that the head went over and that snapshots do not see yet.
    pub(crate) unseen: Vec<Seen>,
    /// The latest intents that were no flushes, with the entry of each: the answer to one whose outcome was open.
    pub(super) changes: VecDeque<(Ulid, u64)>,
}

/// What is to be committed. Committing the same intent again never commits it twice.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) tenant: TenantId,
    pub(crate) operation: Operation,
    pub(crate) writer: Writer,
    pub(crate) add: Vec<File>,
    pub(crate) remove: Vec<Removed>,
    pub(crate) wal: Option<WalRange>,
    pub(crate) payloads: Vec<Payload>,
    pub(crate) reason: Option<String>,
    pub(crate) erasure: Option<Erasure>,
}

/// What became of an attempt to commit.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Attempt {
    /// The intent is this entry, where `head` is now.
    Committed(Entry),
    /// Another writer was first: `head` is at its entry, and the intent is nowhere. Check
    /// that it still holds before trying again.
    Overtaken,
}

/// Tries to commit an intent behind `head`, and moves `head` to the entry that is there.
///
/// # Errors
/// [`Error::Unavailable`] and [`Error::Io`]: the outcome is open; call again
/// with the same intent. [`Error::Poisoned`]: a sync failed; only a restart
/// helps. [`Error::Corrupt`]: the log is damaged.
pub(crate) async fn attempt(
    store: &impl EntryStore,
    head: &mut Head,
    intent: &Intent,
    now_ns: i64,
) -> Result<Attempt, Error> {
    let number = head.state.entry() + 1;
    let entry = Entry {
        format: FORMAT,
        entry: number,
        tenant: intent.tenant.clone(),
        previous: head.hash.clone(),
        operation: intent.operation,
        writer: intent.writer,
        time: Time(head.state.time_ns().max(now_ns)),
        add: intent.add.clone(),
        remove: intent.remove.clone(),
        wal: intent.wal,
        payloads: intent.payloads.clone(),
        reason: intent.reason.clone(),
        erasure: intent.erasure.clone(),
    };
    let bytes = Bytes::from(entry.encode());
    let mut attempts = 0;
    loop {
        let Err(failure) = store.create(number, bytes.clone()).await else {
            head.advance(store, &entry, &bytes).await?;
            return Ok(Attempt::Committed(entry));
        };
        if let Error::Poisoned { .. } = failure {
            return Err(failure);
        }
        let Some(found) = store.read(number).await? else {
            attempts += 1;
            if attempts == ATTEMPTS_PER_ENTRY {
                return Err(failure);
            }
            continue;
        };
        let entry = Entry::decode(&store.path(number), &found)?;
        head.advance(store, &entry, &found).await?;
        if entry.writer.commit == intent.writer.commit {
            return Ok(Attempt::Committed(entry));
        }
        tracing::debug!(tenant = %intent.tenant, entry = number, "another writer committed first");
        return Ok(Attempt::Overtaken);
    }
}

impl Head {
    /// The end of an empty log.
    pub(crate) fn new(state: State) -> Self {
        Self { hash: None, state, unseen: Vec::new(), changes: VecDeque::new() }
    }

    /// Applies the entry behind the head, after checking that it belongs there.
    pub(crate) async fn advance(&mut self, store: &impl EntryStore, entry: &Entry, bytes: &[u8]) -> Result<(), Error> {
        let path = store.path(self.state.entry() + 1);
        if entry.previous != self.hash {
            return Err(Error::corrupt(&path, "the hash of the entry before does not match"));
        }
        let found = self.state.find(store, &entry.remove).await?;
        let mut removed = Vec::with_capacity(found.len());
        for (file, wanted) in found.into_iter().zip(&entry.remove) {
            let not_live = || Error::corrupt(&path, format!("entry removes {:?}, which is not live", wanted.path));
            removed.push(file.ok_or_else(not_live)?);
        }
        self.state.apply(entry, &removed).map_err(|detail| Error::corrupt(&path, detail))?;
        self.hash = Some(hash(bytes));
        self.unseen.push(Seen::of(entry));
        if entry.operation != Operation::Flush {
            self.changes.truncate(CHANGES_KEPT - 1);
            self.changes.push_front((entry.writer.commit, entry.entry));
        }
        Ok(())
    }
}

impl Head {
    /// The entry of a change that this head went over lately.
    pub(crate) fn entry_of(&self, commit: Ulid) -> Option<u64> {
        self.changes.iter().find(|(found, _)| *found == commit).map(|(_, entry)| *entry)
    }
}

/// What those who hold unflushed rows have to know of an entry.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) writer: Writer,
    pub(crate) wal: Option<WalRange>,
    pub(crate) payloads: Vec<Payload>,
}

impl Seen {
    fn of(entry: &Entry) -> Self {
        Self { writer: entry.writer, wal: entry.wal, payloads: entry.payloads.clone() }
    }
}

/// The entries and checkpoints of a tenant in a store.
#[derive(Clone)]
pub(crate) struct Entries {
    pub(crate) store: Store,
    pub(crate) tenant: TenantId,
    pub(crate) segments: SegmentCache,
}

impl Entries {
    fn object(&self, entry: u64) -> String {
        partition::manifest_entry(&self.tenant, entry)
    }
}

impl EntryStore for Entries {
    async fn create(&self, entry: u64, bytes: Bytes) -> Result<(), Error> {
        self.store.create(&self.object(entry), bytes).await
    }

    async fn read(&self, entry: u64) -> Result<Option<Bytes>, Error> {
        self.store.read(&self.object(entry)).await
    }

    async fn segment(&self, key: (Dataset, Part), segment: &SegmentRef) -> Result<Arc<Segment>, Error> {
        self.segments.get(&self.store, &self.tenant, key, segment).await
    }

    fn path(&self, entry: u64) -> std::path::PathBuf {
        self.store.name(&self.object(entry))
    }
}
