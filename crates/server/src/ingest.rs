//! From a payload to stored rows: what every receiver and `tracehound ingest` go through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tracehound_otlp::{Error as OtlpError, decode};
use tracehound_schema::{DecodeLimits, Payload, TenantId};
use tracehound_storage::{Engine, Error as StorageError};

/// How many seconds of a tenant's quota may come at once.
const BURST_SECONDS: i64 = 10;
/// Messages up to this size are decoded where they are; larger ones where they stall nobody.
const DECODE_INLINE_BYTES_MAX: usize = 64 << 10;

/// Decodes payloads and stores them. Clones share the engine and the quotas.
#[derive(Clone)]
pub struct Ingester {
    engine: Engine,
    limits: DecodeLimits,
    decoders: Arc<Semaphore>,
    quotas: Option<Arc<Quotas>>,
}

/// What became of a payload that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Records stored.
    pub accepted: u64,
    /// Records rejected; each is in `system.ingest_rejects`.
    pub rejected: u64,
    /// Why records were rejected; empty when none were.
    pub message: String,
    /// Whether it was a byte-identical retry, which was not stored again.
    pub duplicate: bool,
}

/// Why a payload was not taken, by what the sender does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// It can never be understood: fix it.
    #[error("{0}")]
    Malformed(String),
    /// It is too large: split it.
    #[error("{0}")]
    TooLarge(String),
    /// The tenant sent more than its quota: wait.
    #[error("{message}")]
    Quota {
        /// The quota.
        message: String,
        /// How long to wait.
        retry_after: Duration,
    },
    /// The server is busy or its disk is full: retry.
    #[error("{message}")]
    RetryLater {
        /// What is missing.
        message: String,
        /// How long to wait.
        retry_after: Duration,
    },
    /// A bug of ours.
    #[error("{0}")]
    Internal(String),
}

impl Ingester {
    /// An ingester without quotas.
    pub fn new(engine: Engine, limits: DecodeLimits) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { engine, limits, decoders: Arc::new(Semaphore::new(cores)), quotas: None }
    }

    /// The same with a bound on each tenant's bytes a second.
    pub(crate) fn with_quota(self, bytes_per_second: Option<usize>) -> Self {
        let quotas = bytes_per_second.map(|rate| Arc::new(Quotas::new(rate)));
        Self { quotas, ..self }
    }

    /// Decodes and stores a payload. When this returns, it is durable and can be queried.
    ///
    /// # Errors
    /// See [`IngestError`]; nothing of the payload is stored then.
    pub async fn accept(&self, payload: Payload) -> Result<Accepted, IngestError> {
        if let Some(quotas) = &self.quotas {
            quotas.spend(&payload.tenant, payload.body.len(), payload.received_at_ns)?;
        }
        let permit = Arc::clone(&self.decoders)
            .acquire_owned()
            .await
            .map_err(|_| IngestError::Internal("decoders are closed".to_owned()))?;
        let limits = self.limits;
        let (payload, decoded) = if payload.body.len() <= DECODE_INLINE_BYTES_MAX {
            let decoded = decode(&payload, &limits);
            (payload, decoded)
        } else {
            let work = move || {
                let decoded = decode(&payload, &limits);
                (payload, decoded)
            };
            tokio::task::spawn_blocking(work)
                .await
                .map_err(|error| IngestError::Internal(format!("decoding died: {error}")))?
        };
        drop(permit);
        let appended = self.engine.append(payload, decoded?).await?;
        Ok(Accepted {
            accepted: appended.accepted,
            rejected: appended.rejected,
            message: appended.message,
            duplicate: appended.duplicate,
        })
    }
}

impl From<OtlpError> for IngestError {
    fn from(error: OtlpError) -> Self {
        match error {
            OtlpError::Malformed { .. } | OtlpError::TooDeep { .. } => Self::Malformed(error.to_string()),
            OtlpError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            OtlpError::Rows { .. } => Self::Internal(error.to_string()),
        }
    }
}

impl From<StorageError> for IngestError {
    fn from(error: StorageError) -> Self {
        const RESTART: Duration = Duration::from_secs(5);
        let later = |retry_after| Self::RetryLater { message: error.to_string(), retry_after };
        match &error {
            StorageError::Overloaded { retry_after, .. } | StorageError::Unavailable { retry_after, .. } => {
                later(*retry_after)
            }
            // A restart helps, so a client that retries loses nothing.
            StorageError::Poisoned { .. } | StorageError::Closed => later(RESTART),
            StorageError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            _ => {
                tracing::error!(%error, "append failed");
                Self::Internal("the server failed to store the payload; its log says why".to_owned())
            }
        }
    }
}

/// A token bucket for each tenant, in bytes.
struct Quotas {
    rate: i64,
    buckets: Mutex<HashMap<TenantId, Bucket>>,
}

struct Bucket {
    bytes: i64,
    filled_at_ns: i64,
}

impl Quotas {
    fn new(bytes_per_second: usize) -> Self {
        let rate = i64::try_from(bytes_per_second.max(1)).unwrap_or(i64::MAX / BURST_SECONDS);
        Self { rate: rate.min(i64::MAX / BURST_SECONDS), buckets: Mutex::default() }
    }

    /// Takes a payload's bytes. A bucket may go below zero once, so that a payload larger than a burst passes.
    fn spend(&self, tenant: &TenantId, bytes: usize, now_ns: i64) -> Result<(), IngestError> {
        const SECOND_NS: i128 = 1_000_000_000;
        let full = self.rate * BURST_SECONDS;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(tenant.clone()).or_insert(Bucket { bytes: full, filled_at_ns: now_ns });
        let passed_ns = i128::from(now_ns.saturating_sub(bucket.filled_at_ns).max(0));
        let refill = passed_ns * i128::from(self.rate) / SECOND_NS;
        let filled = (i128::from(bucket.bytes) + refill).min(i128::from(full));
        bucket.bytes = i64::try_from(filled).unwrap_or(full);
        bucket.filled_at_ns = now_ns;
        if bucket.bytes <= 0 {
            let seconds = bucket.bytes.unsigned_abs() / self.rate.unsigned_abs() + 1;
            let message = format!("tenant \"{tenant}\" is over its quota of {} bytes a second", self.rate);
            return Err(IngestError::Quota { message, retry_after: Duration::from_secs(seconds) });
        }
        bucket.bytes = bucket.bytes.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_holds_over_time_and_for_its_tenant_only() {
        let quotas = Quotas::new(100);
        let (a, b) = ("a".parse().expect("a name"), "b".parse().expect("a name"));
        assert_eq!(quotas.spend(&a, 1_500, 0), Ok(()), "a full bucket lets one large payload pass");
        let refused = quotas.spend(&a, 1, 1_000_000_000).expect_err("400 bytes are owed");
        assert!(matches!(refused, IngestError::Quota { retry_after, .. } if retry_after.as_secs() == 5), "{refused:?}");
        assert_eq!(quotas.spend(&b, 1, 1_000_000_000), Ok(()));
        assert_eq!(quotas.spend(&a, 1, 6_000_000_000), Ok(()));
    }
}
