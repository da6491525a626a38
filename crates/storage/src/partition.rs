//! Where a tenant's files are, below the store's root.

use tracehound_schema::{Dataset, Hour, TenantId};
use ulid::Ulid;

const TENANT_PREFIX: &str = "tenant=";

/// The folder of a tenant.
pub(crate) fn tenant_dir(tenant: &TenantId) -> String {
    format!("{TENANT_PREFIX}{tenant}")
}

/// The tenant whose folder has this name.
pub(crate) fn tenant_of_dir(name: &str) -> Option<TenantId> {
    name.strip_prefix(TENANT_PREFIX)?.parse().ok()
}

/// The folder of a tenant's manifest.
pub(crate) fn manifest_dir(tenant: &TenantId) -> String {
    format!("{TENANT_PREFIX}{tenant}/manifest")
}

/// A manifest entry.
pub(crate) fn manifest_entry(tenant: &TenantId, entry: u64) -> String {
    format!("{TENANT_PREFIX}{tenant}/manifest/{entry:020}.json")
}

/// A new file for rows of one hour, or with `None` for late rows; below the tenant's folder.
pub(crate) fn data_file(dataset: Dataset, hour: Option<Hour>, id: Ulid) -> String {
    match hour {
        Some(hour) => format!("{dataset}/hour={hour}/{id}.parquet"),
        None => format!("{dataset}/late/{id}.parquet"),
    }
}
