//! What a log says up to one entry: a checkpoint's segments, which are loaded
//! when needed, and what entries changed since.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use tracehound_schema::{Dataset, Hour, TenantId};
use ulid::Ulid;

use super::entry::{Entry, Removed};
use super::log::EntryStore;
use super::root::{Root, Segments};
use super::segment::SegmentRef;
use super::versions::Versions;
use crate::partition::{Part, below, tenant_dir};
use crate::{DataFile, Error, Totals};

const SEGMENTS_AT_ONCE: usize = 8;

/// What a tenant's entries, applied in order, say. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct State {
    tenant: TenantId,
    directory: Ulid,
    entry: u64,
    time_ns: i64,
    /// The last sequence of each WAL directory that is in files.
    wal: Arc<BTreeMap<Ulid, u64>>,
    totals: [Totals; 4],
    base: Arc<Base>,
    overlay: Overlay,
}

/// The checkpoint that a state stands on.
#[derive(Debug, Default)]
pub(crate) struct Base {
    /// The entry that it is as of; 0 if there is no checkpoint.
    pub(crate) entry: u64,
    pub(crate) segments: Segments,
}

/// What entries changed since the checkpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overlay {
    /// Live files, in the order of the entries that added them.
    pub(crate) added: [Arc<Vec<Arc<DataFile>>>; 4],
    /// Files that are no longer live, with the entry that removed each.
    pub(crate) removed: Arc<HashMap<String, u64>>,
    pub(crate) versions: [Arc<Versions>; 4],
}

/// Which files a reader is after.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) event_time: RangeInclusive<i64>,
    /// The greatest `_commit` that counts.
    pub(crate) commit_max: Option<u64>,
}

impl State {
    /// The state before entry 1. `directory` is the WAL whose coverage counts.
    pub(crate) fn new(tenant: TenantId, directory: Ulid) -> Self {
        Self {
            tenant,
            directory,
            entry: 0,
            time_ns: i64::MIN,
            wal: Arc::default(),
            totals: Default::default(),
            base: Arc::default(),
            overlay: Overlay::default(),
        }
    }

    /// The state that a checkpoint's root says.
    ///
    /// # Errors
    /// A text that says what is wrong with the root.
    pub(crate) fn of_root(root: &Root, directory: Ulid) -> Result<Self, String> {
        let mut state = Self::new(root.tenant.clone(), directory);
        (state.entry, state.time_ns) = (root.entry, root.time.0);
        state.wal = Arc::new(root.wal());
        let segments = root.segments()?;
        for ((dataset, _), segment) in &segments {
            let totals = &mut state.totals[*dataset as usize];
            totals.files += segment.files;
            totals.rows += segment.rows;
            totals.bytes += segment.file_bytes;
        }
        state.base = Arc::new(Base { entry: root.entry, segments });
        Ok(state)
    }

    /// Whose log it is.
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The WAL whose coverage counts.
    pub(crate) fn directory(&self) -> Ulid {
        self.directory
    }

    /// The latest entry.
    pub(crate) fn entry(&self) -> u64 {
        self.entry
    }

    /// When the latest entry was written.
    pub(crate) fn time_ns(&self) -> i64 {
        self.time_ns
    }

    /// The checkpoint that it stands on.
    pub(crate) fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// What changed since the checkpoint.
    pub(crate) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The last sequence of each WAL directory that is in files.
    pub(crate) fn wal(&self) -> &BTreeMap<Ulid, u64> {
        &self.wal
    }

    /// Counts over all live files.
    pub(crate) fn totals(&self, dataset: Dataset) -> Totals {
        self.totals[dataset as usize]
    }

    /// The last WAL sequence that is in files; all the tenant's frames up to it are.
    pub(crate) fn committed_through(&self) -> Option<u64> {
        self.wal.get(&self.directory).copied()
    }

    /// The live files of a dataset that are wanted, in the order of the entries that added them, then by path.
    ///
    /// # Errors
    /// What reading a segment says.
    pub(crate) async fn files(
        &self,
        store: &impl EntryStore,
        dataset: Dataset,
        wanted: &Wanted,
    ) -> Result<Vec<Arc<DataFile>>, Error> {
        let segments = self.segments_of(dataset).filter(|(_, segment)| {
            segment.event_time.is_some_and(|times| wanted.times(times))
                && segment.commits.is_some_and(|commits| wanted.commits(commits))
        });
        let segments: Vec<_> = segments.map(|(key, segment)| (key, segment.clone())).collect();
        let loaded = stream::iter(segments).map(async |(key, segment)| store.segment(key, &segment).await);
        let mut loaded = std::pin::pin!(loaded.buffered(SEGMENTS_AT_ONCE));
        let is_wanted = |file: &&Arc<DataFile>| wanted.times(file.event_time) && wanted.commits(file.commits);
        let removed = &self.overlay.removed;
        let mut files = Vec::new();
        while let Some(segment) = loaded.try_next().await? {
            let live = segment.files.iter().filter(is_wanted);
            files.extend(live.filter(|file| !removed.contains_key(file.path.as_ref())).cloned());
        }
        files.extend(self.overlay.added[dataset as usize].iter().filter(is_wanted).cloned());
        files.sort_by(|a, b| a.commit.cmp(&b.commit).then_with(|| a.path.cmp(&b.path)));
        Ok(files)
    }

    /// The last entry that touched each hour of a range.
    ///
    /// # Errors
    /// What reading a segment says.
    pub(crate) async fn versions(
        &self,
        store: &impl EntryStore,
        dataset: Dataset,
        hours: &RangeInclusive<Hour>,
    ) -> Result<BTreeMap<Hour, u64>, Error> {
        let mut found = BTreeMap::new();
        if hours.is_empty() {
            return Ok(found);
        }
        let days = Part::of_hour(*hours.start())..=Part::of_hour(*hours.end());
        let segments = self.segments_of(dataset).filter(|((_, part), _)| *part == Part::Wide || days.contains(part));
        let segments: Vec<_> = segments.map(|(key, segment)| (key, segment.clone())).collect();
        let loaded = stream::iter(segments).map(async |(key, segment)| store.segment(key, &segment).await);
        let mut loaded = std::pin::pin!(loaded.buffered(SEGMENTS_AT_ONCE));
        while let Some(segment) = loaded.try_next().await? {
            segment.versions.collect(hours, &mut found);
        }
        self.overlay.versions[dataset as usize].collect(hours, &mut found);
        Ok(found)
    }

    /// The live files behind what an entry wants to remove; `None` for one that is not live.
    ///
    /// # Errors
    /// What reading a segment says.
    pub(crate) async fn find(
        &self,
        store: &impl EntryStore,
        removed: &[Removed],
    ) -> Result<Vec<Option<Arc<DataFile>>>, Error> {
        if removed.is_empty() {
            return Ok(Vec::new());
        }
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut parts: BTreeMap<(Dataset, Part), &SegmentRef> = BTreeMap::new();
        for (place, Removed { dataset, path }) in removed.iter().enumerate() {
            places.insert(self.object(path), place);
            if let Some(part) = Part::of_path(path)
                && let Some(segment) = self.base.segments.get(&(*dataset, part))
            {
                parts.insert((*dataset, part), segment);
            }
        }
        let mut found = vec![None; removed.len()];
        let mut note = |file: &Arc<DataFile>| {
            if let Some(place) = places.get(file.path.as_ref())
                && removed[*place].dataset == file.dataset
            {
                found[*place] = Some(Arc::clone(file));
            }
        };
        self.overlay.added.iter().flat_map(|files| files.iter()).for_each(&mut note);
        for (key, segment) in parts {
            let segment = store.segment(key, segment).await?;
            let live = segment.files.iter().filter(|file| !self.overlay.removed.contains_key(file.path.as_ref()));
            live.for_each(&mut note);
        }
        Ok(found)
    }

    /// Applies the next entry. `removed` are the live files behind its removals.
    ///
    /// # Errors
    /// A text that says what is wrong, if it does not follow.
    pub(crate) fn apply(&mut self, entry: &Entry, removed: &[Arc<DataFile>]) -> Result<(), String> {
        if entry.entry != self.entry + 1 {
            return Err(format!("entry {} follows entry {}", entry.entry, self.entry));
        }
        if entry.tenant != self.tenant {
            return Err(format!("entry belongs to tenant {}", entry.tenant));
        }
        self.remove(entry, removed);
        for file in &entry.add {
            let live = Arc::new(file.live(&self.tenant, entry.entry));
            self.touch(&live, entry.entry);
            let totals = &mut self.totals[file.dataset as usize];
            totals.files += 1;
            totals.rows += file.rows;
            totals.bytes += file.bytes;
            Arc::make_mut(&mut self.overlay.added[file.dataset as usize]).push(live);
        }
        if let Some(wal) = entry.wal {
            let through = Arc::make_mut(&mut self.wal).entry(wal.directory).or_default();
            *through = wal.to.max(*through);
        }
        self.entry = entry.entry;
        self.time_ns = self.time_ns.max(entry.time.0);
        Ok(())
    }

    fn remove(&mut self, entry: &Entry, removed: &[Arc<DataFile>]) {
        if removed.is_empty() {
            return;
        }
        let since = Arc::make_mut(&mut self.overlay.removed);
        for file in removed {
            since.insert(file.path.as_ref().to_owned(), entry.entry);
            let totals = &mut self.totals[file.dataset as usize];
            totals.files = totals.files.saturating_sub(1);
            totals.rows = totals.rows.saturating_sub(file.rows);
            totals.bytes = totals.bytes.saturating_sub(file.bytes);
        }
        let since = Arc::clone(&self.overlay.removed);
        for files in &mut self.overlay.added {
            if files.iter().any(|file| since.contains_key(file.path.as_ref())) {
                Arc::make_mut(files).retain(|file| !since.contains_key(file.path.as_ref()));
            }
        }
        for file in removed {
            self.touch(file, entry.entry);
        }
    }

    /// Stands on a newer checkpoint of the same log: what it holds leaves the overlay.
    pub(crate) fn rebase(&mut self, base: Arc<Base>) {
        let through = base.entry;
        for files in &mut self.overlay.added {
            Arc::make_mut(files).retain(|file| file.commit > through);
        }
        Arc::make_mut(&mut self.overlay.removed).retain(|_, entry| *entry > through);
        for versions in &mut self.overlay.versions {
            Arc::make_mut(versions).forget_through(through);
        }
        self.base = base;
    }

    fn touch(&mut self, file: &DataFile, entry: u64) {
        let versions = Arc::make_mut(&mut self.overlay.versions[file.dataset as usize]);
        match Part::of_path(below(&tenant_dir(&self.tenant), file.path.as_ref())) {
            Some(Part::Day(_)) => versions.touch_hours(file.hours, entry),
            _ => versions.touch_range(file.hours, entry),
        }
    }

    fn segments_of(&self, dataset: Dataset) -> impl Iterator<Item = ((Dataset, Part), &SegmentRef)> {
        let segments = self.base.segments.iter().filter(move |((of, _), _)| *of == dataset);
        segments.map(|(key, segment)| (*key, segment))
    }

    fn object(&self, path: &str) -> String {
        format!("{}/{path}", tenant_dir(&self.tenant))
    }
}

impl Wanted {
    /// All live files.
    #[cfg(test)]
    pub(crate) const ALL: Self = Self { event_time: i64::MIN..=i64::MAX, commit_max: None };

    fn times(&self, (least, greatest): (i64, i64)) -> bool {
        let range = &self.event_time;
        !range.is_empty() && least <= *range.end() && *range.start() <= greatest
    }

    fn commits(&self, (least, _): (u64, u64)) -> bool {
        self.commit_max.is_none_or(|max| least <= max)
    }
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn ranges_meet_at_their_ends() {
        let wanted = Wanted { event_time: 10..=20, commit_max: None };
        assert!([(20, 30), (0, 10), (12, 13), (0, 30)].into_iter().all(|found| wanted.times(found)));
        assert!([(21, 30), (0, 9)].into_iter().all(|found| !wanted.times(found)));
        #[expect(clippy::reversed_empty_ranges, reason = "the empty range is the case")]
        let none = Wanted { event_time: i64::MAX..=i64::MIN, commit_max: None };
        assert!(!none.times((i64::MIN, i64::MAX)));
    }
}
