//! Segments in memory: loaded when needed, kept within a bound.

use std::sync::Arc;

use moka::sync::Cache;
use tracehound_schema::{Dataset, TenantId};

use super::entry::hash;
use super::segment::{Segment, SegmentRef, object};
use crate::Error;
use crate::partition::Part;
use crate::store::Store;

/// The segments that were used lately, over all tenants.
#[derive(Clone)]
pub(crate) struct SegmentCache {
    segments: Cache<String, Arc<Segment>>,
}

impl SegmentCache {
    /// A cache that holds about so many bytes at most.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let weight = |_: &String, segment: &Arc<Segment>| u32::try_from(segment.memory_bytes()).unwrap_or(u32::MAX);
        Self { segments: Cache::builder().max_capacity(bytes_max).weigher(weight).build() }
    }

    /// A segment, read and checked unless it is here.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is missing or damaged, [`Error::Io`] and [`Error::Unavailable`] if it cannot be read.
    pub(crate) async fn get(
        &self,
        store: &Store,
        tenant: &TenantId,
        (dataset, part): (Dataset, Part),
        wanted: &SegmentRef,
    ) -> Result<Arc<Segment>, Error> {
        let object = object(tenant, &wanted.sha256);
        if let Some(segment) = self.segments.get(&object) {
            return Ok(segment);
        }
        let path = store.name(&object);
        let bytes = store.read(&object).await?.ok_or_else(|| Error::corrupt(&path, "the segment is missing"))?;
        let (tenant, sha256) = (tenant.clone(), wanted.sha256.clone());
        let decode = move || {
            if hash(&bytes) != sha256 {
                return Err(Error::corrupt(&path, "its bytes do not have the hash that it is named by"));
            }
            Segment::decode(&path, &bytes, &tenant, dataset, part)
        };
        let segment = Arc::new(crate::runtime::blocking(decode).await??);
        self.put(object, &segment);
        Ok(segment)
    }

    /// Keeps a segment.
    pub(crate) fn put(&self, object: String, segment: &Arc<Segment>) {
        self.segments.insert(object, Arc::clone(segment));
    }

    /// The bytes that the segments here take, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.weighted_size()
    }
}
