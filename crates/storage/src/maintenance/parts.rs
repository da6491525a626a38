//! The live files of a tenant, a day at a time, so that looking after many days takes the memory of one.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tracehound_schema::Dataset;

use super::compact::below;
use crate::manifest::EntryStore;
use crate::partition::Part;
use crate::{DataFile, Error, Snapshot};

/// The parts of a dataset that have files, each with a fingerprint that changes when its files do.
pub(super) fn parts(snapshot: &Snapshot, dataset: Dataset) -> BTreeMap<Part, u64> {
    let state = &snapshot.state;
    let mut found: BTreeMap<Part, u64> = BTreeMap::new();
    for ((of, part), segment) in &state.base().segments {
        if *of == dataset && segment.files > 0 {
            *found.entry(*part).or_default() = hash(&segment.sha256);
        }
    }
    let overlay = state.overlay();
    let mut note = |path: &str, salt: u64| {
        if let Some(part) = Part::of_path(&below(snapshot.tenant(), path)) {
            // Added up, so that their order does not matter.
            let fingerprint = found.entry(part).or_default();
            *fingerprint = fingerprint.wrapping_add(hash(&(path, salt)));
        }
    };
    for file in overlay.added[dataset as usize].iter() {
        note(file.path.as_ref(), 1);
    }
    let folder = format!("{dataset}/");
    for path in overlay.removed.keys().filter(|path| below(snapshot.tenant(), path).starts_with(&folder)) {
        note(path, 2);
    }
    for path in snapshot.quarantine.keys().filter(|path| below(snapshot.tenant(), path.as_ref()).starts_with(&folder)) {
        note(path.as_ref(), 3);
    }
    found
}

/// The live files of a part.
///
/// # Errors
/// What reading a checkpoint's segment says.
pub(super) async fn files(snapshot: &Snapshot, dataset: Dataset, part: Part) -> Result<Vec<Arc<DataFile>>, Error> {
    let state = &snapshot.state;
    let is_part = |file: &Arc<DataFile>| Part::of_path(&below(snapshot.tenant(), file.path.as_ref())) == Some(part);
    let segment = match state.base().segments.get(&(dataset, part)) {
        None => Arc::default(),
        Some(segment) => match snapshot.entries.segment((dataset, part), segment).await {
            Ok(segment) => segment,
            Err(Error::Corrupt { .. }) => {
                // The log knows what a damaged checkpoint does not.
                let all = snapshot.files(dataset, i64::MIN..=i64::MAX).await?;
                return Ok(all.into_iter().filter(is_part).collect());
            }
            Err(error) => return Err(error),
        },
    };
    let removed = &state.overlay().removed;
    let mut files: Vec<_> =
        segment.files.iter().filter(|file| !removed.contains_key(file.path.as_ref())).cloned().collect();
    files.extend(state.overlay().added[dataset as usize].iter().filter(|file| is_part(file)).cloned());
    Ok(files)
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
