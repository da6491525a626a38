use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_OTHER;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// `id_hex(id)`: a trace, span or series id as lowercase hex text.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct IdHex {
    signature: Signature,
}

static UDF: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::from(IdHex { signature: Signature::user_defined(Volatility::Immutable) })));

pub(crate) fn udf() -> Arc<ScalarUDF> {
    Arc::clone(&UDF)
}

/// Calls the function.
pub fn id_hex(id: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(udf(), vec![id]))
}

impl ScalarUDFImpl for IdHex {
    fn name(&self) -> &str {
        "id_hex"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [id @ DataType::FixedSizeBinary(_)] => Ok(vec![id.clone()]),
            _ => plan_err!("id_hex takes one id, such as trace_id"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ids = args.args[0].to_array(args.number_rows)?;
        let Some(ids) = ids.as_fixed_size_binary_opt() else {
            return exec_err!("id_hex takes one id, not {}", ids.data_type());
        };
        let mut built = StringBuilder::with_capacity(ids.len(), ids.len() * 32);
        let mut text = String::with_capacity(32);
        for id in ids.iter() {
            let Some(id) = id else {
                built.append_null();
                continue;
            };
            text.clear();
            for byte in id {
                for digit in [byte >> 4, byte & 15] {
                    text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
                }
            }
            built.append_value(&text);
        }
        Ok(ColumnarValue::Array(Arc::new(built.finish())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOC: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(DOC_SECTION_OTHER, "An id as lowercase hex text.", "id_hex(id)")
                .with_argument("id", "A trace, span or series id")
                .with_sql_example("SELECT id_hex(trace_id) FROM spans")
                .build()
        });
        Some(&DOC)
    }
}
