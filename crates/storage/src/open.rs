//! What a start does before the first append: manifests, then replay.

use std::path::Path;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use tracehound_schema::{DecodeLimits, Decoded, Payload, TenantId};

use crate::engine::Core;
use crate::manifest;
use crate::recent::{self, Figures, PayloadHash};
use crate::store::Store;
use crate::tenant::Tenant;
use crate::wal::replay::{End, Event, Replay};
use crate::wal::{Segment, frame};
use crate::{Damage, Decode, Error, flush, maintenance, partition, runtime};

/// How many frames are decoded at once.
const DECODES_AT_ONCE: usize = 2;
const TENANTS_AT_ONCE: usize = 16;

/// Where appends go on: the number of their segment and their first sequence.
pub(crate) struct Next {
    pub(crate) number: u64,
    pub(crate) sequence: u64,
}

/// Brings the core to where the last process left it.
pub(crate) async fn recover(core: &Arc<Core>, decode: Decode) -> Result<Next, Error> {
    let covered_max = manifests(core).await?;
    let end = replay(core, decode).await?;
    core.ledger.reclaim(|tenant| core.committed_through(tenant));
    let sequence = end.sequence_next.max(covered_max.map_or(1, |covered| covered + 1));
    Ok(Next { number: end.number_max + 1, sequence })
}

/// Loads all tenants; returns the greatest sequence that any entry covers.
async fn manifests(core: &Arc<Core>) -> Result<Option<u64>, Error> {
    let tenants = stream::iter(tenants(&core.store).await?).map(async |id| tenant(core, id).await);
    let mut tenants = std::pin::pin!(tenants.buffer_unordered(TENANTS_AT_ONCE));
    let mut covered_max = None;
    while let Some(tenant) = tenants.try_next().await? {
        covered_max = covered_max.max(tenant.committed_through());
    }
    Ok(covered_max)
}

/// Loads a tenant, unless it is known.
pub(crate) async fn tenant(core: &Arc<Core>, id: TenantId) -> Result<Arc<Tenant>, Error> {
    let since_ns = core.now_ns().saturating_sub(core.retry_window_ns);
    let loaded = manifest::load(&core.entries(&id), core.directory, since_ns).await?;
    for (path, detail) in loaded.damage {
        core.status_at_start(|_, damage| damage.push(Damage { path, detail }));
    }
    let quarantine = maintenance::load_quarantine(&core.store, &id).await?;
    let tenant = core.add_tenant(id, loaded.head);
    tenant.set_quarantine(quarantine);
    for payload in loaded.payloads {
        let figures = Figures { accepted: payload.a, rejected: payload.r, message: payload.m.into() };
        core.recent.remember((tenant.number, payload.h), payload.t.0, figures);
    }
    Ok(tenant)
}

/// The tenants that have a folder in the store.
pub(crate) async fn tenants(store: &Store) -> Result<Vec<TenantId>, Error> {
    let mut tenants = Vec::new();
    for name in store.folders("").await? {
        match partition::tenant_of_dir(&name) {
            Some(tenant) => tenants.push(tenant),
            None => tracing::warn!(name, "not a tenant's folder; left alone"),
        }
    }
    Ok(tenants)
}

/// What decoding makes of a frame.
struct Replayed {
    sequence: u64,
    hash: PayloadHash,
    payload: Payload,
    decoded: Decoded,
}

enum Step {
    Event(Event),
    Frame(Box<Replayed>),
    /// Rows are in files already.
    Covered,
    /// The frame checks, but its payload does not decode.
    Bad {
        sequence: u64,
        detail: String,
    },
}

/// Puts the rows of uncovered frames into memtables, flushing when they grow large.
async fn replay(core: &Arc<Core>, decode: Decode) -> Result<End, Error> {
    let (disk, dir) = (core.options.disk.clone(), core.wal_dir.clone());
    let reader = runtime::blocking(move || Replay::open(disk, dir)).await??;
    let events = stream::try_unfold(reader, async |mut reader| {
        let (events, reader) = runtime::blocking(move || (reader.read(), reader)).await?;
        let events = events?;
        Ok::<_, Error>((!events.is_empty()).then(|| (stream::iter(events.into_iter().map(Ok::<_, Error>)), reader)))
    });
    let mut limits = DecodeLimits::default();
    let steps = events.try_flatten().map(|event| {
        if let Ok(Event::Segment { limits: found, .. }) = &event {
            limits = *found;
        }
        let step = event.map(|event| step(core, Arc::clone(&decode), limits, event));
        async { step?.await }
    });
    let mut steps = std::pin::pin!(steps.buffered(DECODES_AT_ONCE));
    let mut segment = None;
    let mut end = None;
    while let Some(step) = steps.next().await {
        match step? {
            Step::Event(Event::Segment { path, bytes, .. }) => {
                segment = Some(path.clone());
                core.ledger.add(Segment { path, bytes, last: Default::default(), damaged: false });
            }
            Step::Event(Event::Damage { path, detail }) => core.damaged(&path, detail),
            Step::Event(Event::Cut { bytes }) => {
                tracing::warn!(bytes, "cut a torn tail off the WAL");
                core.status_at_start(|replay, _| replay.bytes_cut += bytes);
            }
            Step::Event(Event::End(found)) => end = Some(found),
            Step::Event(Event::Frame { .. }) => {}
            Step::Covered => core.status_at_start(|replay, _| {
                replay.frames += 1;
                replay.frames_covered += 1;
            }),
            Step::Bad { sequence, detail } => {
                core.status_at_start(|replay, _| replay.frames += 1);
                if let Some(path) = &segment {
                    core.damaged(path, format!("frame {sequence} does not decode: {detail}"));
                }
            }
            Step::Frame(frame) => {
                core.status_at_start(|replay, _| replay.frames += 1);
                core.ledger.note(&frame.payload.tenant, frame.sequence);
                core.insert_replayed(frame.sequence, frame.hash, &frame.payload, frame.decoded);
                if core.budget.is_pressed() {
                    for tenant in core.tenants() {
                        tenant.seal();
                        flush::tenant_rows(core, &tenant).await?;
                    }
                }
            }
        }
    }
    end.ok_or_else(|| Error::internal("the WAL was not read to its end"))
}

async fn step(core: &Arc<Core>, decode: Decode, limits: DecodeLimits, event: Event) -> Result<Step, Error> {
    let Event::Frame { sequence, body } = event else { return Ok(Step::Event(event)) };
    let payload = match frame::decode_body(&body) {
        Ok(payload) => payload,
        Err(detail) => return Ok(Step::Bad { sequence, detail }),
    };
    if core.committed_through(&payload.tenant) >= Some(sequence) {
        return Ok(Step::Covered);
    }
    let work = move || {
        let hash = recent::hash(&payload);
        match decode(&payload, &limits) {
            Ok(decoded) => Step::Frame(Box::new(Replayed { sequence, hash, payload, decoded })),
            Err(detail) => Step::Bad { sequence, detail },
        }
    };
    runtime::blocking(work).await
}

impl Core {
    /// Reports damage, and keeps the segment it is in when its time comes.
    fn damaged(&self, path: &Path, detail: String) {
        tracing::error!(path = %path.display(), detail, "damaged WAL segment; it will be kept");
        self.ledger.mark_damaged(path);
        let kept = if path.extension().is_some_and(|extension| extension == "wal") {
            path.with_extension("wal.corrupt")
        } else {
            path.to_owned()
        };
        self.status_at_start(|_, damage| damage.push(Damage { path: kept, detail }));
    }
}
