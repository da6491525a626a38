//! The one writer of a store that does not keep writers apart.
//!
//! Such a store cannot decide a race, so the lease only refuses a second
//! writer that starts while the first is alive, and stops a writer that could
//! not renew its lease in time: it is no substitute for create-if-absent.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use object_store::path::Path as ObjectPath;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{Clock, Error};

/// The name of the lease, at the store's root.
pub(super) const OBJECT: &str = "writer.json";
/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// How long a lease holds that is not renewed.
    valid: Duration,
    renew: Duration,
    /// After taking a lease: the time in which another that raced would have overwritten it.
    settle: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { valid: Duration::from_secs(60), renew: Duration::from_secs(15), settle: Duration::from_secs(1) }
    }
}

/// What the lease says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Writer {
    format: u32,
    /// Who it is, for people.
    pub(super) holder: String,
    /// The WAL folder's id: who holds that folder's lock is the same writer.
    directory: String,
    /// Of this process start.
    epoch: String,
    /// When it was renewed, nanoseconds.
    renewed_ns: i64,
}

/// Who asks for the lease.
#[derive(Clone)]
pub(crate) struct Claim {
    /// Who it is, for people.
    pub(crate) holder: String,
    /// The id of the WAL folder.
    pub(crate) directory: Ulid,
    /// The clock.
    pub(crate) clock: Clock,
}

/// The lease of this process, renewed until it is released or dropped.
pub(super) struct Lease {
    store: Arc<dyn ObjectStore>,
    claim: Claim,
    times: Times,
    epoch: String,
    held: Mutex<Held>,
    /// Whether the lease was given up; held while it is renewed or given up.
    is_released: tokio::sync::Mutex<bool>,
}

struct Held {
    until: Instant,
    /// Who took the lease away.
    lost_to: Option<String>,
}

/// Why a lease was not taken.
pub(super) enum Failure {
    /// Somebody else has it; the time after which it ends unless it is renewed.
    Held { holder: String, wait: Duration },
    /// The store did not answer.
    Unavailable(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

impl Lease {
    /// Takes the lease: it is free, or ours from before a crash, or was not renewed in time.
    pub(super) async fn take(store: Arc<dyn ObjectStore>, claim: Claim, times: Times) -> Result<Arc<Self>, Failure> {
        let found = read(&*store).await?;
        if let Some(found) = found
            && found.directory != claim.directory.to_string()
        {
            // The other's clock may differ from ours, in either direction.
            let age = Duration::from_nanos(found.renewed_ns.abs_diff((claim.clock)()));
            if let Some(wait) = times.valid.checked_sub(age) {
                return Err(Failure::Held { holder: found.holder, wait });
            }
        }
        let lease = Self {
            store,
            claim,
            times,
            epoch: Ulid::new().to_string(),
            held: Mutex::new(Held { until: Instant::now(), lost_to: None }),
            is_released: tokio::sync::Mutex::new(false),
        };
        lease.write().await?;
        tokio::time::sleep(times.settle).await;
        if let Some(found) = read(&*lease.store).await?
            && found.epoch != lease.epoch
        {
            return Err(Failure::Held { holder: found.holder, wait: times.valid });
        }
        let lease = Arc::new(lease);
        tokio::spawn(renew(Arc::downgrade(&lease), times.renew));
        Ok(lease)
    }

    /// Whether something may be written now.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if another writer has the lease,
    /// [`Error::Unavailable`] if it could not be renewed in time.
    pub(super) fn check(&self) -> Result<(), Error> {
        let held = self.held();
        if let Some(holder) = &held.lost_to {
            let detail = format!("{holder} took over as the store's only writer");
            return Err(Error::Poisoned { detail });
        }
        if held.until < Instant::now() {
            let detail = "the lease of the store's only writer could not be renewed in time".to_owned();
            return Err(Error::Unavailable { detail, retry_after: self.times.renew });
        }
        Ok(())
    }

    /// Gives the lease up, so that the next writer need not wait.
    pub(super) async fn release(&self) {
        let mut is_released = self.is_released.lock().await;
        *is_released = true;
        let ours = matches!(read(&*self.store).await, Ok(Some(found)) if found.epoch == self.epoch);
        self.held().until = Instant::now();
        if ours && let Err(error) = self.store.delete(&ObjectPath::from(OBJECT)).await {
            tracing::warn!(%error, "cannot remove the writer's lease; it ends by itself");
        }
    }

    /// Renews the lease, unless it is another's by now.
    async fn renew(&self) -> Result<(), StoreError> {
        let is_released = self.is_released.lock().await;
        if *is_released {
            return Ok(());
        }
        if let Some(found) = read(&*self.store).await?
            && found.epoch != self.epoch
        {
            tracing::error!(holder = found.holder, "another writer took the store over");
            self.held().lost_to = Some(found.holder);
            return Ok(());
        }
        self.write().await
    }

    async fn write(&self) -> Result<(), StoreError> {
        let writer = Writer {
            format: 1,
            holder: self.claim.holder.clone(),
            directory: self.claim.directory.to_string(),
            epoch: self.epoch.clone(),
            renewed_ns: (self.claim.clock)(),
        };
        let until = Instant::now() + self.times.valid;
        let bytes = serde_json::to_vec(&writer).map_err(|error| unreadable(error.into()))?;
        self.store.put(&ObjectPath::from(OBJECT), PutPayload::from(bytes)).await?;
        self.held().until = until;
        Ok(())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews a lease as long as somebody has it.
async fn renew(lease: Weak<Lease>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(lease) = lease.upgrade() else { return };
        if lease.held().lost_to.is_some() {
            return;
        }
        if let Err(error) = lease.renew().await {
            tracing::warn!(%error, "cannot renew the writer's lease");
        }
    }
}

async fn read(store: &dyn ObjectStore) -> Result<Option<Writer>, StoreError> {
    let found = match store.get(&ObjectPath::from(OBJECT)).await {
        Ok(found) => found.bytes().await?,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&found).map(Some).map_err(|error| unreadable(error.into()))
}

fn unreadable(source: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Generic { store: OBJECT, source }
}

#[cfg(test)]
mod tests;
