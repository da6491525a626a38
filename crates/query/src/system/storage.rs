//! `system.storage`: figures of one tenant's storage. What is shared by tenants, such as the WAL, is not for one of them
//! to see.

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use tracehound_schema::Dataset;
use tracehound_storage::{Engine, Snapshot};

use super::{count, counts, fields, text, texts};

pub(super) fn schema() -> SchemaRef {
    fields(vec![text("name"), count("value"), text("unit")])
}

pub(super) fn columns(engine: &Engine, snapshot: &Snapshot) -> Vec<ArrayRef> {
    let status = engine.status().tenants.remove(snapshot.tenant()).unwrap_or_default();
    let wide = |bytes: usize| bytes as u64;
    let mut figures = vec![
        ("entry".to_owned(), snapshot.entry(), ""),
        ("unflushed_rows".to_owned(), status.unflushed_rows, "rows"),
        ("unflushed_bytes".to_owned(), wide(status.unflushed_bytes), "bytes"),
        ("flush_failing".to_owned(), u64::from(status.flush_error.is_some()), ""),
    ];
    for dataset in Dataset::ALL {
        let totals = snapshot.totals(dataset);
        let figure = |what: &str| format!("{dataset}.{what}");
        figures.push((figure("files"), totals.files, "files"));
        figures.push((figure("rows"), totals.rows, "rows"));
        figures.push((figure("bytes"), totals.bytes, "bytes"));
    }
    vec![
        texts(&figures, |(name, _, _)| name.clone()),
        counts(&figures, |(_, value, _)| *value),
        texts(&figures, |(_, _, unit)| (*unit).to_owned()),
    ]
}
