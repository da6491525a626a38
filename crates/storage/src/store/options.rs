use std::sync::Arc;

use object_store::ObjectStore;

/// Which store an engine keeps its files in. The default is the folder `store` of its data directory.
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// An open store, for tests and simulations.
    pub object_store: Option<Arc<dyn ObjectStore>>,
}
