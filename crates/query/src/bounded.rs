//! `repeat`, `lpad` and the like, within a bound: a memory pool does not see what a function makes.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use std::sync::Arc;

use crate::Error;

/// The functions whose second argument says how large the result is.
pub(crate) const NAMES: [&str; 5] = ["repeat", "lpad", "rpad", "array_repeat", "list_repeat"];
/// The largest count or length.
const COUNT_MAX: i64 = 1 << 20;
/// The most bytes that one call may make for one batch of rows.
const BYTES_MAX: i64 = 64 << 20;

/// A function that refuses to make too much.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounded {
    inner: Arc<ScalarUDF>,
}

impl Bounded {
    pub(crate) fn new(inner: Arc<ScalarUDF>) -> Self {
        Self { inner }
    }

    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let over = |what: String| {
            let message =
                format!("{}: {what}; the limits are {COUNT_MAX} and {BYTES_MAX} bytes a batch", self.inner.name());
            Err(DataFusionError::External(Box::new(Error::limit("limit-argument", message))))
        };
        let [first, count, ..] = args.args.as_slice() else { return Ok(()) };
        let rows =
            if args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) { 1 } else { args.number_rows };
        let (first, count) = (first.to_array(rows)?, cast(&count.to_array(rows)?, &DataType::Int64)?);
        let multiplies = !self.inner.name().ends_with("pad");
        let mut total: i64 = 0;
        for (row, count) in count.as_primitive::<Int64Type>().iter().enumerate() {
            let count = count.unwrap_or(0).max(0);
            if count > COUNT_MAX {
                return over(format!("{count} is too much"));
            }
            let each = if multiplies { bytes_of(&first, row) } else { 4 };
            total = total.saturating_add(count.saturating_mul(each));
            if total > BYTES_MAX {
                return over("the result is too large".to_owned());
            }
        }
        Ok(())
    }
}

fn bytes_of(values: &ArrayRef, row: usize) -> i64 {
    let length = match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value_length(row).try_into().unwrap_or(0),
        DataType::LargeUtf8 => usize::try_from(values.as_string::<i64>().value_length(row)).unwrap_or(usize::MAX),
        DataType::Utf8View => values.as_string_view().value(row).len(),
        _ => values.slice(row, 1).to_data().get_slice_memory_size().unwrap_or(64),
    };
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(arg_types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
