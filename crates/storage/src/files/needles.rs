use std::fmt;
use std::sync::Arc;

use moka::sync::Cache;
use object_store::path::Path;
use parquet::bloom_filter::Sbbf;
use tokio::sync::Semaphore;

use super::sidecar;
use crate::DataFile;
use crate::store::Store;

/// Sidecars that are read at a time.
const LOADS_MAX: usize = 16;
/// What an entry of the cache takes beside its bloom.
const ENTRY_BYTES: usize = 256;

/// Tells whether a file may hold a value, from blooms of sidecars kept in memory.
pub struct Needles {
    store: Store,
    /// By file and column; `None` where the sidecar has no such bloom, or is damaged.
    blooms: Cache<(Path, String), Option<Arc<Sbbf>>>,
    loads: Semaphore,
}

impl Needles {
    /// Keeps blooms of at most so many bytes.
    pub(crate) fn new(store: Store, bytes_max: u64) -> Self {
        let weigh = |key: &(Path, String), bloom: &Option<Arc<Sbbf>>| {
            let bloom = bloom.as_ref().map_or(0, |bloom| bloom.num_blocks() * 32);
            u32::try_from(ENTRY_BYTES + key.0.as_ref().len() + bloom).unwrap_or(u32::MAX)
        };
        let blooms = Cache::builder().max_capacity(bytes_max).weigher(weigh).build();
        Self { store, blooms, loads: Semaphore::new(LOADS_MAX) }
    }

    /// Whether `file` may hold one of `values` in `column`: ids as their bytes,
    /// text as UTF-8. `false` is certain; `true` may be wrong, and is the answer
    /// where nothing is known.
    pub async fn may_hold(&self, file: &DataFile, column: &str, values: &[&[u8]]) -> bool {
        match self.bloom(file, column).await {
            Some(bloom) => values.iter().any(|value| bloom.check(*value)),
            None => true,
        }
    }

    /// The bytes of blooms in memory, about.
    pub fn memory_bytes(&self) -> u64 {
        self.blooms.run_pending_tasks();
        self.blooms.weighted_size()
    }

    async fn bloom(&self, file: &DataFile, column: &str) -> Option<Arc<Sbbf>> {
        file.sidecar.as_ref()?;
        let key = (file.path.clone(), column.to_owned());
        if let Some(known) = self.blooms.get(&key) {
            return known;
        }
        // Never closed, so always given.
        let _permit = self.loads.acquire().await.ok()?;
        if let Some(known) = self.blooms.get(&key) {
            return known;
        }
        let loaded = sidecar::load(&self.store, file).await;
        let Ok(sidecar) = loaded else { return None };
        let bloom = sidecar.and_then(|sidecar| sidecar.bloom(column)).map(Arc::new);
        self.blooms.insert(key, bloom.clone());
        bloom
    }
}

impl fmt::Debug for Needles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Needles").finish_non_exhaustive()
    }
}
