//! Attributes that a file keeps as columns: read as a kind, and put together to whole maps again.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use tracehound_schema::{PromotedKind, whole_map};

use super::Kind;
use super::values::{double_text, text_as_bool, text_as_double, text_as_int, whole};

/// How a promoted column gives the values that `attribute` would read from the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadPromoted {
    /// The column is the answer.
    Column,
    /// The column, cast to a double.
    AsDouble,
    /// No value of the column conforms to the kind.
    Never,
    /// The function, called with the column.
    Function(Arc<ScalarUDF>),
}

/// How a column of promoted values is read as a kind.
pub fn read_promoted(column: PromotedKind, kind: Kind) -> ReadPromoted {
    use PromotedKind as Is;
    match (column, kind) {
        (Is::String, Kind::Text)
        | (Is::Int, Kind::Int | Kind::CastInt)
        | (Is::Double, Kind::Double | Kind::CastDouble)
        | (Is::Bool, Kind::Bool | Kind::CastBool) => ReadPromoted::Column,
        (Is::Int, Kind::Double | Kind::CastDouble) => ReadPromoted::AsDouble,
        (Is::Int | Is::Double | Is::Bool, Kind::Text)
        | (Is::Double, Kind::Int | Kind::CastInt)
        | (Is::String, Kind::CastInt | Kind::CastDouble | Kind::CastBool) => {
            ReadPromoted::Function(Arc::new(ScalarUDF::from(ReadAs {
                column,
                kind,
                signature: Signature::user_defined(Volatility::Immutable),
            })))
        }
        (Is::String, Kind::Int | Kind::Double | Kind::Bool)
        | (Is::Int | Is::Double, Kind::Bool | Kind::CastBool)
        | (Is::Bool, Kind::Int | Kind::Double | Kind::CastInt | Kind::CastDouble) => ReadPromoted::Never,
    }
}

/// Reads a promoted column of another type than the kind's. Not for SQL texts: only scans call it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ReadAs {
    column: PromotedKind,
    kind: Kind,
    signature: Signature,
}

impl ReadAs {
    fn read(&self, column: &ArrayRef) -> Option<ArrayRef> {
        use PromotedKind as Is;
        Some(match (self.column, self.kind) {
            (Is::Int, Kind::Text) => {
                let values = column.as_primitive_opt::<Int64Type>()?.iter();
                Arc::new(values.map(|value| Some(value?.to_string())).collect::<StringArray>())
            }
            (Is::Double, Kind::Text) => {
                let values = column.as_primitive_opt::<Float64Type>()?.iter();
                Arc::new(values.map(|value| Some(double_text(value?))).collect::<StringArray>())
            }
            (Is::Bool, Kind::Text) => {
                let values = column.as_boolean_opt()?.iter();
                Arc::new(values.map(|value| Some(value?.to_string())).collect::<StringArray>())
            }
            (Is::Double, _) => {
                let values = column.as_primitive_opt::<Float64Type>()?.iter();
                Arc::new(values.map(|value| whole(value?)).collect::<Int64Array>())
            }
            (Is::String, Kind::CastInt) => {
                let values = column.as_string_opt::<i32>()?.iter();
                Arc::new(values.map(|value| text_as_int(value?)).collect::<Int64Array>())
            }
            (Is::String, Kind::CastDouble) => {
                let values = column.as_string_opt::<i32>()?.iter();
                Arc::new(values.map(|value| text_as_double(value?)).collect::<Float64Array>())
            }
            (Is::String, Kind::CastBool) => {
                let values = column.as_string_opt::<i32>()?.iter();
                Arc::new(values.map(|value| text_as_bool(value?)).collect::<BooleanArray>())
            }
            _ => return None,
        })
    }
}

impl ScalarUDFImpl for ReadAs {
    fn name(&self) -> &str {
        "read_promoted"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind.data_type())
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if arg_types == [self.column.data_type()] {
            return Ok(arg_types.to_vec());
        }
        plan_err!("a promoted column of {} was expected, not {arg_types:?}", self.column)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let column = args.args[0].to_array(args.number_rows)?;
        match self.read(&column) {
            Some(read) => Ok(ColumnarValue::Array(read)),
            None => exec_err!("a promoted column of {} was expected, not {}", self.column, column.data_type()),
        }
    }
}

/// The function that puts the maps of a scope together: called with what stayed in the map, the columns of
/// `keys` in their order, and the order of entries where the file has one. Not for SQL texts: only scans call it.
pub fn whole_map_function(keys: Vec<String>) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(WholeMap { keys, signature: Signature::user_defined(Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WholeMap {
    keys: Vec<String>,
    signature: Signature,
}

impl ScalarUDFImpl for WholeMap {
    fn name(&self) -> &str {
        "whole_map"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types.first() {
            Some(map) => Ok(map.clone()),
            None => plan_err!("whole_map takes a map"),
        }
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let Some((overflow, rest)) = arrays.split_first() else { return exec_err!("whole_map takes a map") };
        let Some(overflow) = overflow.as_map_opt() else {
            return exec_err!("not an attribute map: {}", overflow.data_type());
        };
        if rest.len() < self.keys.len() {
            return exec_err!("whole_map takes a column for each of {} keys", self.keys.len());
        }
        let (columns, order) = rest.split_at(self.keys.len());
        let order = match order.first() {
            None => None,
            Some(order) => match order.as_binary_opt::<i32>() {
                Some(order) => Some::<&BinaryArray>(order),
                None => return exec_err!("not an order of attributes: {}", order.data_type()),
            },
        };
        let promoted: Vec<_> = self.keys.iter().cloned().zip(columns.iter().cloned()).collect();
        let whole =
            whole_map(overflow, order, &promoted).map_err(|e| DataFusionError::ArrowError(Box::new(e), None))?;
        Ok(ColumnarValue::Array(Arc::new(whole)))
    }
}
