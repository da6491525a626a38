//! What changes a manifest beside flushes: changes of the live files, and checkpoints.

use std::sync::atomic::Ordering;

use ulid::Ulid;

use super::Tenant;
use crate::Error;
use crate::engine::Core;
use crate::manifest::{self, Attempt, Erasure, Intent, Operation, Removed, Writer, checkpoint};

/// A change of the live files that is not a flush. Trying the same one again never commits it twice.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// A new id for each change.
    pub(crate) commit: Ulid,
    pub(crate) operation: Operation,
    pub(crate) add: Vec<manifest::File>,
    pub(crate) remove: Vec<Removed>,
    /// Why, for people.
    pub(crate) reason: Option<String>,
    pub(crate) erasure: Option<Erasure>,
}

impl Change {
    /// A change that adds and removes files.
    pub(crate) fn new(operation: Operation, add: Vec<manifest::File>, remove: Vec<Removed>) -> Self {
        Self { commit: crate::runtime::new_id(), operation, add, remove, reason: None, erasure: None }
    }
}

/// The entry that a change became.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    pub(crate) entry: u64,
    pub(crate) files: Vec<manifest::File>,
}

impl Tenant {
    /// Commits a change that is not a flush, and makes it visible.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a file to be removed is no longer live: discard what was prepared and look again. Others:
    /// the outcome may be open; the files of [`Change::add`] must stay where they are, and the same change may be tried again.
    pub(crate) async fn commit(&self, core: &Core, change: Change) -> Result<Committed, Error> {
        let intent = Intent {
            tenant: self.id.clone(),
            operation: change.operation,
            writer: Writer { epoch: core.epoch, commit: change.commit },
            add: change.add,
            remove: change.remove,
            wal: None,
            payloads: Vec::new(),
            reason: change.reason,
            erasure: change.erasure,
        };
        let mut head = self.head.lock().await;
        loop {
            if let Some(detail) = core.poison() {
                return Err(Error::Poisoned { detail });
            }
            // An earlier attempt, whose outcome was open, may have come to be.
            if let Some(entry) = head.entry_of(change.commit) {
                return Ok(Committed { entry, files: intent.add });
            }
            let found = head.state.find(&self.entries, &intent.remove).await?;
            if let Some((_, removed)) = found.iter().zip(&intent.remove).find(|(file, _)| file.is_none()) {
                return Err(Error::Conflict { detail: format!("{:?} is no longer live", removed.path) });
            }
            let attempt = manifest::attempt(&self.entries, &mut head, &intent, core.now_ns()).await;
            core.show(self, &mut head).await;
            match attempt {
                Ok(Attempt::Committed(entry)) => return Ok(Committed { entry: entry.entry, files: entry.add }),
                Ok(Attempt::Overtaken) => {}
                Err(error) => {
                    if let Error::Poisoned { detail } = &error {
                        core.set_poison(detail.clone());
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Writes a checkpoint as of the latest entry, unless there is one, and stands on it. On a shared store, one that
    /// another process made serves as well.
    ///
    /// # Errors
    /// As reading and writing the store; everything stays as it was.
    pub(crate) async fn checkpoint(&self, core: &Core) -> Result<(), Error> {
        let _one_at_a_time = self.checkpointing.lock().await;
        if self.base_damaged.swap(false, Ordering::AcqRel) {
            let mut head = self.head.lock().await;
            head.state = manifest::load_again(&self.entries, &head.state).await?.state;
            core.show(self, &mut head).await;
        }
        let (state, hash) = {
            let head = self.head.lock().await;
            (head.state.clone(), head.hash.clone().unwrap_or_default())
        };
        if state.entry() == state.base().entry {
            return Ok(());
        }
        let theirs = if core.store.is_shared() { checkpoint::newer(&self.entries, &state).await? } else { None };
        let base = match theirs {
            Some(base) => base,
            None => checkpoint::write(&self.entries, &state, &hash).await?,
        };
        tracing::debug!(tenant = %self.id, entry = base.entry, "checkpoint");
        let mut head = self.head.lock().await;
        head.state.rebase(base);
        core.show(self, &mut head).await;
        drop(head);
        let grace_ns = i64::try_from(core.options.maintenance.grace.as_nanos()).unwrap_or(i64::MAX);
        checkpoint::prune(&self.entries, core.now_ns(), grace_ns).await
    }

    /// How many entries a start would read behind the checkpoint, and whether the checkpoint turned out to be damaged.
    pub(crate) fn behind(&self) -> (u64, bool) {
        let visible = self.lock();
        let behind = visible.state.entry() - visible.state.base().entry;
        (behind, self.base_damaged.load(Ordering::Acquire))
    }
}
