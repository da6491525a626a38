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

/// The folder of a tenant's checkpoints.
pub(crate) fn checkpoint_dir(tenant: &TenantId) -> String {
    format!("{TENANT_PREFIX}{tenant}/checkpoint")
}

/// The root of the checkpoint that is as of an entry.
pub(crate) fn checkpoint_root(tenant: &TenantId, entry: u64) -> String {
    format!("{TENANT_PREFIX}{tenant}/checkpoint/{entry:020}.json")
}

/// The path of an object below a folder; empty if it is not there.
pub(crate) fn below<'a>(folder: &str, object: &'a str) -> &'a str {
    object.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default()
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

/// Which segment of a checkpoint a file belongs to; its path alone says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    /// Files below `hour=` and `day=` folders of one day, counted from the Unix epoch.
    Day(i64),
    /// Files below `late/`, of any hours.
    Wide,
}

impl Part {
    /// The part of a file by its path below the tenant's folder; `None` for a path that is no data file's.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let folder = path.split('/').nth(1)?;
        if folder == "late" {
            return Some(Self::Wide);
        }
        let day = match (folder.strip_prefix("hour="), folder.strip_prefix("day=")) {
            (Some(hour), _) => hour.parse::<Hour>().ok()?,
            (_, Some(day)) => format!("{day}T00").parse().ok()?,
            _ => return None,
        };
        Some(Self::of_hour(day))
    }

    /// The day that an hour lies in.
    pub(crate) fn of_hour(hour: Hour) -> Self {
        // The middle of an hour lies in it even where its ends are cut off by the range of `i64`.
        let middle = hour.start_ns() / 2 + hour.end_ns() / 2;
        Self::Day(middle.div_euclid(24 * Hour::LENGTH_NS))
    }

    /// Its name, as in checkpoints: `2026-11-22` or `wide`.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Day(day) => chrono::DateTime::from_timestamp(day * 86_400, 0)
                .map_or_else(String::new, |start| start.format("%Y-%m-%d").to_string()),
            Self::Wide => "wide".to_owned(),
        }
    }

    /// The part of a name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        match name {
            "wide" => Some(Self::Wide),
            day => Some(Self::of_hour(format!("{day}T00").parse().ok()?)),
        }
    }
}

/// The hour after an hour; `None` behind the last that an `i64` can name.
pub(crate) fn following(hour: Hour) -> Option<Hour> {
    let next = Hour::containing(hour.end_ns());
    (next > hour).then_some(next)
}

/// A new file for rows of the day that begins with this hour; below the tenant's folder.
pub(crate) fn day_file(dataset: Dataset, first: Hour, id: Ulid) -> String {
    let hour = first.to_string();
    let day = hour.split('T').next().unwrap_or_default();
    format!("{dataset}/day={day}/{id}.parquet")
}
