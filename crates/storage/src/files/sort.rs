//! The order of rows in a file, as bytes that compare.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, TimestampNanosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use tracehound_schema::Dataset;

use crate::Error;

const SLICE_NS: i64 = 600_000_000_000;

/// How a dataset's files are sorted, in the manifest's words.
pub(crate) fn sort_text(dataset: Dataset) -> String {
    let slice = dataset.sorts_by_slice().then_some("slice10m");
    let columns: Vec<_> = slice.into_iter().chain(dataset.sort_columns().iter().copied()).collect();
    columns.join(",")
}

/// Makes the sort keys of a dataset's rows. Keys of one sorter compare.
pub(super) struct Sorter {
    dataset: Dataset,
    converter: RowConverter,
}

impl Sorter {
    pub(super) fn new(dataset: Dataset) -> Result<Self, Error> {
        let schema = dataset.schema();
        let mut types = Vec::new();
        if dataset.sorts_by_slice() {
            types.push(DataType::Int64);
        }
        for name in dataset.sort_columns() {
            types.push(schema.field_with_name(name).map_err(Error::internal)?.data_type().clone());
        }
        let options = SortOptions { descending: false, nulls_first: true };
        let fields = types.into_iter().map(|key| SortField::new_with_options(key, options)).collect();
        Ok(Self { dataset, converter: RowConverter::new(fields).map_err(Error::internal)? })
    }

    /// The keys of rows, one each.
    pub(super) fn keys(&self, rows: &RecordBatch) -> Result<Rows, Error> {
        let column = |name: &str| {
            let found = rows.column_by_name(name);
            found.cloned().ok_or_else(|| Error::internal(format!("{} rows lack {name}", self.dataset)))
        };
        let mut keys: Vec<ArrayRef> = Vec::new();
        if self.dataset.sorts_by_slice() {
            let times = column(self.dataset.time_column())?;
            let times = times.as_primitive_opt::<TimestampNanosecondType>();
            let times = times.ok_or_else(|| Error::internal("the time column is not one of times"))?;
            let slice = |time: &i64| time.div_euclid(SLICE_NS);
            keys.push(Arc::new(Int64Array::from_iter_values(times.values().iter().map(slice))));
        }
        for name in self.dataset.sort_columns() {
            keys.push(column(name)?);
        }
        self.converter.convert_columns(&keys).map_err(Error::internal)
    }
}
