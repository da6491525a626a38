//! A span's end is its start plus its length: merged files leave it out where that holds.
//!
//! `end_time` is null there, in a column that may be null. Lengths that did not
//! fit 64 bits are the exception, and keep their end.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{Int64Type, Schema, SchemaRef, TimestampNanosecondType};
use tracehound_schema::Dataset;

use crate::Error;

const END: &str = "end_time";

type Times = PrimitiveArray<TimestampNanosecondType>;

/// A dataset's schema, where ends may be null.
pub(super) fn schema(dataset: Dataset) -> SchemaRef {
    let schema = dataset.schema();
    if dataset != Dataset::Spans {
        return schema;
    }
    let field = |field: &Arc<arrow::datatypes::Field>| match field.name().as_str() {
        END => Arc::new(field.as_ref().clone().with_nullable(true)),
        _ => Arc::clone(field),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// Leaves out the ends that can be told. `columns` begin with the dataset's.
pub(super) fn leave_out(dataset: Dataset, columns: &mut [ArrayRef]) -> Result<(), Error> {
    let schema = dataset.schema();
    let Ok(end) = schema.index_of(END) else { return Ok(()) };
    let (starts, ends, lengths) = columns_of(&schema, columns)?;
    let told = |row: usize| ends.value(row) == starts.value(row).wrapping_add(lengths.value(row));
    let kept: Times = (0..ends.len()).map(|row| (!told(row)).then(|| ends.value(row))).collect();
    columns[end] = Arc::new(kept.with_data_type(ends.data_type().clone()));
    Ok(())
}

/// Tells the ends that were left out.
pub(super) fn fill_in(dataset: Dataset, columns: &mut [ArrayRef]) -> Result<(), Error> {
    let schema = dataset.schema();
    let Ok(end) = schema.index_of(END) else { return Ok(()) };
    if columns[end].null_count() == 0 {
        return Ok(());
    }
    let (starts, ends, lengths) = columns_of(&schema, columns)?;
    let told = |row: usize| starts.value(row).wrapping_add(lengths.value(row));
    let all = (0..ends.len()).map(|row| if ends.is_valid(row) { ends.value(row) } else { told(row) });
    let all = Times::from_iter_values(all).with_data_type(ends.data_type().clone());
    columns[end] = Arc::new(all);
    Ok(())
}

fn columns_of<'a>(
    schema: &Schema,
    columns: &'a [ArrayRef],
) -> Result<(&'a Times, &'a Times, &'a PrimitiveArray<Int64Type>), Error> {
    let column = |name: &str| schema.index_of(name).map(|index| &columns[index]).map_err(Error::internal);
    let wrong = || Error::internal("the times of spans are not times");
    let times = |name: &str| column(name)?.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(wrong);
    let lengths = column("duration_ns")?.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
    Ok((times("start_time")?, times(END)?, lengths))
}
