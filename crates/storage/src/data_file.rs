use object_store::path::Path;
use serde::{Deserialize, Serialize};
use tracehound_schema::{Dataset, Hour};

/// How the rows of a file came to be here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Received as it happened.
    Live,
    /// Imported history.
    Backfill,
    /// Written anew from other files.
    Replay,
}

/// A live Parquet file, as the manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// The dataset its rows belong to.
    pub dataset: Dataset,
    /// Its place below the store's root.
    pub path: Path,
    /// Its size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 of the whole file, lowercase hex.
    pub sha256: String,
    /// The first and the last hour that it holds rows of.
    pub hours: (Hour, Hour),
    /// The least and the greatest value of the dataset's time column, nanoseconds.
    pub event_time: (i64, i64),
    /// The least and the greatest `ingest_time`, nanoseconds.
    pub ingest_time: (i64, i64),
    /// How its rows are sorted, such as `slice10m,service_name,name,start_time`.
    pub sort: String,
    /// The manifest entry that added it.
    pub commit: u64,
    /// The least and the greatest `_commit` of its rows.
    pub commits: (u64, u64),
    /// Whether each row's `_commit` is in a column of the file; else it is [`commit`](Self::commit) for all of them.
    pub has_commit_column: bool,
    /// Its sidecar, where it has one.
    pub sidecar: Option<SidecarRef>,
    /// The version of the dataset schemas it was written with.
    pub schema_version: u32,
    /// The version of the entity mapping it was written with.
    pub mapping_version: u32,
    /// How its rows came to be here.
    pub origin: Origin,
}

/// The sidecar of a data file: blooms and counts that say what the file cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SidecarRef {
    /// Its place below the store's root.
    pub path: Path,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the whole sidecar, lowercase hex.
    pub sha256: String,
}
