//! What HTTP and gRPC do alike: name the caller, decompress, hand over, count.

use std::sync::Arc;

use axum::http::HeaderMap;
use tokio::sync::Semaphore;
use tracehound_schema::{Encoding, Payload, Signal};

use super::body::{Held, Incoming};
use super::compression::Compression;
use super::decompress::{Bounds, decompress};
use super::refusal::Refusal;
use crate::app::App;
use crate::auth::Caller;
use crate::ingest::Accepted;

/// One transport's way to the ingester. Clones share everything.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) app: Arc<App>,
    transport: &'static str,
    /// How many bodies are decompressed at once: each may hold a window of zstd.
    decompressing: Arc<Semaphore>,
}

impl Receiver {
    pub(crate) fn new(app: Arc<App>, transport: &'static str) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self { app, transport, decompressing: Arc::new(Semaphore::new(threads)) }
    }

    /// Names the caller of a request.
    ///
    /// # Errors
    /// Without or with a wrong credential, and when a header that decides
    /// whose data this is stands twice or is not text.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        for name in ["authorization", "x-api-key", "x-tracehound-tenant"] {
            let mut values = headers.get_all(name).iter();
            let text = values.next().is_none_or(|value| value.to_str().is_ok());
            if !text || values.next().is_some() {
                return Err(Refusal::bad_header(name));
            }
        }
        Ok(self.app.keys.authenticate(|name| headers.get(name)?.to_str().ok())?)
    }

    /// The body of a request, not begun to read.
    pub(crate) fn incoming(&self, body: axum::body::Body) -> Incoming {
        Incoming::new(body, self.app.config.limits.body_timeout)
    }

    /// An empty buffer for a body.
    pub(crate) fn buffer(&self) -> Held {
        Held::new(self.app.config.limits.body_bytes, self.app.in_flight.reserve())
    }

    /// Decompresses, stores durably, and answers with what became of the records.
    pub(crate) async fn accept(
        &self,
        caller: Caller,
        signal: Signal,
        encoding: Encoding,
        raw: Held,
        applied: Vec<Compression>,
    ) -> Result<Accepted, Refusal> {
        let held = if applied.is_empty() { raw } else { self.decompressed(raw, applied).await? };
        let (body, share) = held.into_parts();
        let payload = Payload {
            tenant: caller.tenant,
            signal,
            encoding,
            received_at_ns: (self.app.clock)(),
            ingest_key_id: caller.key_id,
            body,
        };
        let accepted = self.app.ingester.accept(payload).await;
        drop(share);
        Ok(accepted?)
    }

    /// Decompression takes a processor for up to a second: it runs beside the runtime.
    async fn decompressed(&self, raw: Held, applied: Vec<Compression>) -> Result<Held, Refusal> {
        let limits = &self.app.config.limits;
        let bounds = Bounds { bytes_max: limits.body_bytes, ratio_max: limits.compression_ratio };
        let share = self.app.in_flight.reserve();
        let closed = |_| Refusal::internal("decompression has stopped");
        let permit = Arc::clone(&self.decompressing).acquire_owned().await.map_err(closed)?;
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            decompress(raw.as_slice(), &applied, bounds, share)
        });
        work.await.map_err(|error| {
            tracing::error!(%error, "decompression died");
            Refusal::internal("decompression failed")
        })?
    }

    /// Counts a request by what became of it.
    pub(crate) fn count(&self, signal: Signal, outcome: Result<&Accepted, &Refusal>) {
        let counters = &self.app.counters;
        match outcome {
            Ok(accepted) => counters.received(signal, self.transport, "OK", accepted.accepted, accepted.rejected),
            Err(refusal) => {
                tracing::debug!(%signal, transport = self.transport, code = refusal.code_name(), message = refusal.message(), "refused");
                counters.received(signal, self.transport, refusal.code_name(), 0, 0);
            }
        }
    }
}
