//! Checkpoints: what a log says up to one entry, so that a start need not read
//! all of it. A root names segments; both never change, and a segment that did
//! not change is shared by roots.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use tracehound_schema::{Dataset, Hour};
use ulid::Ulid;

use super::log::{Entries, EntryStore, Head};
use super::root::Root;
use super::segment::{Segment, object};
use super::state::Base;
use super::time::Time;
use super::{State, Versions};
use crate::partition::{Part, below, checkpoint_dir, checkpoint_root, tenant_dir};
use crate::{DataFile, Error};

const SEGMENTS_AT_ONCE: usize = 4;
/// The newest roots are kept, and one of each of the last days.
const ROOTS_KEPT: usize = 3;
const ROOT_DAYS_KEPT: i64 = 7;
const DAY_NS: i64 = 24 * Hour::LENGTH_NS;

/// The entries that a tenant's roots are as of, rising.
pub(crate) async fn roots(entries: &Entries) -> Result<Vec<u64>, Error> {
    let listed = entries.store.list(&checkpoint_dir(&entries.tenant)).await?;
    let mut roots: Vec<_> = listed.iter().filter_map(|found| root_number(entries, &found.object)).collect();
    roots.sort_unstable();
    Ok(roots)
}

fn root_number(entries: &Entries, object: &str) -> Option<u64> {
    let name = below(&checkpoint_dir(&entries.tenant), object).strip_suffix(".json")?;
    if name.len() == 20 { name.parse().ok() } else { None }
}

async fn read_root(entries: &Entries, number: u64) -> Result<Root, Error> {
    let object = checkpoint_root(&entries.tenant, number);
    let path = entries.store.name(&object);
    let bytes = entries.store.read(&object).await?.ok_or_else(|| Error::corrupt(&path, "the root is missing"))?;
    let root = Root::decode(&path, &bytes)?;
    if root.tenant != entries.tenant || root.entry != number {
        return Err(Error::corrupt(&path, format!("it is the root of tenant {} at entry {}", root.tenant, root.entry)));
    }
    Ok(root)
}

/// The end of a log as a root says it.
///
/// # Errors
/// [`Error::Corrupt`] if the root is missing or damaged.
pub(crate) async fn open(entries: &Entries, directory: Ulid, number: u64) -> Result<Head, Error> {
    let root = read_root(entries, number).await?;
    let path = || entries.store.name(&checkpoint_root(&entries.tenant, number));
    let state = State::of_root(&root, directory).map_err(|detail| Error::corrupt(&path(), detail))?;
    Ok(Head { hash: Some(root.hash), ..Head::new(state) })
}

/// A newer checkpoint than the one that `state` stands on, which another process made.
///
/// # Errors
/// As [`open`].
pub(crate) async fn newer(entries: &Entries, state: &State) -> Result<Option<Arc<Base>>, Error> {
    let newest = roots(entries).await?.into_iter().rfind(|root| *root <= state.entry());
    match newest {
        Some(number) if number > state.base().entry => {
            let head = open(entries, state.directory(), number).await?;
            Ok(Some(Arc::clone(head.state.base())))
        }
        _ => Ok(None),
    }
}

/// Writes a checkpoint of `state`, whose latest entry has that hash: segments for what changed, then the root.
///
/// # Errors
/// What the store says. What was written by then is found by [`prune`].
pub(crate) async fn write(entries: &Entries, state: &State, hash: &str) -> Result<Arc<Base>, Error> {
    let changes = changes(state);
    let mut segments = state.base().segments.clone();
    let writes = stream::iter(changes).map(async |(key, change)| {
        let old = match state.base().segments.get(&key) {
            Some(found) => entries.segment(key, found).await?,
            None => Arc::default(),
        };
        let removed = Arc::clone(&state.overlay().removed);
        let tenant = entries.tenant.clone();
        let (dataset, part) = key;
        let make = move || {
            let live = old.files.iter().filter(|file| !removed.contains_key(file.path.as_ref())).cloned();
            let mut segment = Segment { files: live.chain(change.added).collect(), versions: old.versions.clone() };
            segment.files.sort_by(|a, b| a.commit.cmp(&b.commit).then_with(|| a.path.cmp(&b.path)));
            segment.versions.extend(&change.versions);
            let (bytes, described) = segment.encode(&tenant, dataset, part);
            (segment, bytes, described)
        };
        let (segment, bytes, described) = crate::runtime::blocking(make).await?;
        if segment.is_empty() {
            return Ok((key, None));
        }
        let object = object(&entries.tenant, &described.sha256);
        entries.store.put(&object, Bytes::from(bytes)).await?;
        entries.segments.put(object, &Arc::new(segment));
        Ok::<_, Error>((key, Some(described)))
    });
    let mut writes = std::pin::pin!(writes.buffer_unordered(SEGMENTS_AT_ONCE));
    while let Some((key, described)) = writes.try_next().await? {
        match described {
            Some(described) => drop(segments.insert(key, described)),
            None => drop(segments.remove(&key)),
        }
    }
    let root = Root::new(entries.tenant.clone(), state.entry(), hash.to_owned(), Time(state.time_ns()))
        .with_wal(state.wal())
        .with_segments(&segments);
    let (object, bytes) = (checkpoint_root(&entries.tenant, state.entry()), Bytes::from(root.encode()));
    if let Err(failure) = entries.store.create(&object, bytes.clone()).await {
        // An earlier attempt, or another process that knew the same.
        if entries.store.read(&object).await?.as_ref() != Some(&bytes) {
            return Err(failure);
        }
    }
    Ok(Arc::new(Base { entry: state.entry(), segments }))
}

/// What entries since the checkpoint changed in one segment.
#[derive(Default)]
struct SegmentChange {
    added: Vec<Arc<DataFile>>,
    versions: Versions,
}

fn changes(state: &State) -> BTreeMap<(Dataset, Part), SegmentChange> {
    let mut changes: BTreeMap<(Dataset, Part), SegmentChange> = BTreeMap::new();
    let folder = tenant_dir(state.tenant());
    let part = |object: &str| Part::of_path(below(&folder, object)).unwrap_or(Part::Wide);
    let overlay = state.overlay();
    for file in overlay.added.iter().flat_map(|files| files.iter()) {
        changes.entry((file.dataset, part(file.path.as_ref()))).or_default().added.push(Arc::clone(file));
    }
    for dataset in Dataset::ALL {
        // Every removal touched the hours of its file, so that these name all segments that lost one.
        let versions = &overlay.versions[dataset as usize];
        for (hour, entry) in &versions.hours {
            changes.entry((dataset, Part::of_hour(*hour))).or_default().versions.hours.insert(*hour, *entry);
        }
        if !versions.ranges.is_empty() {
            changes.entry((dataset, Part::Wide)).or_default().versions.ranges.clone_from(&versions.ranges);
        }
    }
    changes
}

/// Deletes roots that are not kept, then segments that no kept root names and that are older than the grace period.
///
/// # Errors
/// What the store says; what is left is found the next time.
pub(crate) async fn prune(entries: &Entries, now_ns: i64, grace_ns: i64) -> Result<(), Error> {
    let listed = entries.store.list(&checkpoint_dir(&entries.tenant)).await?;
    let mut roots: Vec<_> =
        listed.iter().filter_map(|found| Some((root_number(entries, &found.object)?, found))).collect();
    roots.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    let mut days = BTreeSet::new();
    let mut kept = HashSet::new();
    for (place, (number, found)) in roots.into_iter().enumerate() {
        let age_ns = now_ns.saturating_sub(found.modified_ns);
        let of_a_day = age_ns < ROOT_DAYS_KEPT * DAY_NS && days.insert(found.modified_ns.div_euclid(DAY_NS));
        if place < ROOTS_KEPT || of_a_day {
            kept.extend(read_root(entries, number).await?.segment_hashes().map(str::to_owned));
        } else {
            entries.store.delete(&found.object).await?;
        }
    }
    for found in listed {
        let name = found.object.rsplit('/').next().and_then(|name| name.strip_suffix(".json")).unwrap_or_default();
        let is_segment = name.len() == 64;
        if is_segment && !kept.contains(name) && now_ns.saturating_sub(found.modified_ns) > grace_ns {
            entries.store.delete(&found.object).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
