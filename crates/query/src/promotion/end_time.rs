//! A span's end is its start plus its length. Merged files leave it out where that holds: it is null there, in a
//! column that may be null.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Int64Type, Schema, TimestampNanosecondType};
use datafusion::common::{Result, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

const END: &str = "end_time";
const START: &str = "start_time";
const LENGTH: &str = "duration_ns";

/// Whether a file may leave ends out that its table has in every row.
pub(super) fn is_left_out(table: &Schema, file: &Schema) -> bool {
    let nullable = |schema: &Schema| schema.field_with_name(END).is_ok_and(arrow::datatypes::Field::is_nullable);
    let has = |name: &str| file.field_with_name(name).is_ok();
    table.field_with_name(END).is_ok() && !nullable(table) && nullable(file) && has(START) && has(LENGTH)
}

/// Whether an expression is the column of ends.
pub(super) fn is_end(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Column>().is_some_and(|column| column.name() == END)
}

/// The ends, all of them.
pub(super) fn told(file: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    static TOLD: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Arc::new(ScalarUDF::from(ToldEnd { signature: Signature::user_defined(Volatility::Immutable) }))
    });
    let column = |name: &str| -> Result<Arc<dyn PhysicalExpr>> { Ok(Arc::new(Column::new_with_schema(name, file)?)) };
    let args = vec![column(END)?, column(START)?, column(LENGTH)?];
    let field = Arc::new(file.field_with_name(END)?.clone().with_nullable(false));
    let config = Arc::new(ConfigOptions::default());
    Ok(Arc::new(ScalarFunctionExpr::new(TOLD.name(), Arc::clone(&TOLD), args, field, config)))
}

/// `told_end(end, start, length)`. Not for SQL texts: only scans call it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToldEnd {
    signature: Signature,
}

impl ScalarUDFImpl for ToldEnd {
    fn name(&self) -> &str {
        "told_end"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        arg_types.first().cloned().map_or_else(|| exec_err!("told_end takes an end, a start and a length"), Ok)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let [ends, starts, lengths] = arrays.as_slice() else {
            return exec_err!("told_end takes an end, a start and a length");
        };
        if ends.null_count() == 0 {
            return Ok(ColumnarValue::Array(Arc::clone(ends)));
        }
        match fill(ends, starts, lengths) {
            Some(filled) => Ok(ColumnarValue::Array(filled)),
            None => exec_err!("the times of spans are not times"),
        }
    }
}

fn fill(ends: &ArrayRef, starts: &ArrayRef, lengths: &ArrayRef) -> Option<ArrayRef> {
    let ends = ends.as_primitive_opt::<TimestampNanosecondType>()?;
    let starts = starts.as_primitive_opt::<TimestampNanosecondType>()?;
    let lengths = lengths.as_primitive_opt::<Int64Type>()?;
    let told = starts.values().iter().zip(lengths.values()).map(|(start, length)| start.wrapping_add(*length));
    let filled = ends.iter().zip(told).map(|(end, told)| end.unwrap_or(told));
    let filled = PrimitiveArray::<TimestampNanosecondType>::from_iter_values(filled);
    Some(Arc::new(filled.with_data_type(ends.data_type().clone())))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, TimestampNanosecondArray};

    use super::*;

    #[test]
    fn ends_that_were_left_out_are_told() {
        let ends: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![None, Some(7), None]).with_timezone("UTC"));
        let starts: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![10, 20, i64::MAX]).with_timezone("UTC"));
        let lengths: ArrayRef = Arc::new(Int64Array::from(vec![5, i64::MAX, 1]));
        let expected: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![15, 7, i64::MIN]).with_timezone("UTC"));
        assert_eq!(&fill(&ends, &starts, &lengths).expect("filled"), &expected);
    }
}
