use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_OTHER;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, lit,
};
use tracehound_schema::attribute_map_type;

use self::values::Values;
use crate::semconv;

mod promoted;
mod values;

pub use promoted::{ReadPromoted, read_promoted, whole_map_function};

/// What an attribute is read as. A value that does not conform is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text: strings and bytes (hex) bare, everything else as its JSON.
    Text,
    /// A whole number; a double without fraction conforms.
    Int,
    /// A number.
    Double,
    /// A boolean.
    Bool,
    /// [`Self::Int`], or text that reads as one: what CAST asks for.
    CastInt,
    /// [`Self::Double`], or text that reads as one.
    CastDouble,
    /// [`Self::Bool`], or text that reads as one.
    CastBool,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Text, Self::Int, Self::Double, Self::Bool, Self::CastInt, Self::CastDouble, Self::CastBool];

    /// Its name, the third argument of the function.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::CastInt => "cast int",
            Self::CastDouble => "cast double",
            Self::CastBool => "cast bool",
        }
    }

    /// The Arrow type of its values.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int | Self::CastInt => DataType::Int64,
            Self::Double | Self::CastDouble => DataType::Float64,
            Self::Bool | Self::CastBool => DataType::Boolean,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `attribute(map, 'key' [, 'type'])`: the value of a key in an attribute map.
///
/// Without a type it is that of the semantic conventions, else text. The last
/// of duplicate keys wins. NULL where the key is absent or its value does not
/// conform to the type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Attribute {
    signature: Signature,
}

static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Attribute::new())));

pub(crate) fn udf() -> Arc<ScalarUDF> {
    Arc::clone(&UDF)
}

/// Calls the function: of the key's own type without a kind.
pub fn attribute(map: Expr, key: &str, kind: Option<Kind>) -> Expr {
    let mut args = vec![map, lit(key)];
    args.extend(kind.map(|kind| lit(kind.as_str())));
    Expr::ScalarFunction(ScalarFunction::new_udf(udf(), args))
}

/// Whether a type is that of an attribute map.
pub fn is_attribute_map(data_type: &DataType) -> bool {
    static MAP: LazyLock<DataType> = LazyLock::new(attribute_map_type);
    let (DataType::Map(found, _), DataType::Map(expected, _)) = (data_type, &*MAP) else { return false };
    found.data_type().equals_datatype(expected.data_type())
}

impl Attribute {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// The map, the key and the kind of a call; `None` if it is not one, or not with literals.
    pub fn call(expr: &Expr) -> Option<(&Expr, &str, Option<Kind>)> {
        let Expr::ScalarFunction(function) = expr else { return None };
        if function.func.name() != "attribute" {
            return None;
        }
        match function.args.as_slice() {
            [map, key] => Some((map, literal(key)?, None)),
            [map, key, kind] => Some((map, literal(key)?, Some(Kind::named(literal(kind)?)?))),
            _ => None,
        }
    }
}

/// The kind that a call with this key, and this third argument if any, reads.
pub fn kind_of_call(key: &str, kind: Option<&str>) -> Kind {
    kind.and_then(Kind::named).or_else(|| semconv::kind(key)).unwrap_or(Kind::Text)
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

impl ScalarUDFImpl for Attribute {
    fn name(&self) -> &str {
        "attribute"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Shown as it is written: `attributes[key]`.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let key = args.get(1).and_then(literal).unwrap_or("?");
        let map = args.first().map(|map| map.schema_name().to_string()).unwrap_or_default();
        Ok(match args.get(2).and_then(literal) {
            Some(kind) => format!("{map}[{key}]::{kind}"),
            None => format!("{map}[{key}]"),
        })
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("attribute needs its key to know its type")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let text =
            |index: usize| args.scalar_arguments.get(index).copied().flatten().and_then(|v| v.try_as_str().flatten());
        let Some(key) = text(1) else {
            return plan_err!("the key of an attribute must be a text literal or a parameter");
        };
        let kind = match (args.arg_fields.len(), text(2)) {
            (3, Some(name)) => match Kind::named(name) {
                Some(kind) => kind,
                None => return plan_err!("attribute knows the types text, int, double and bool, not {name:?}"),
            },
            (3, None) => return plan_err!("the type of an attribute must be a text literal"),
            _ => semconv::kind(key).unwrap_or(Kind::Text),
        };
        Ok(Arc::new(Field::new(self.name(), kind.data_type(), true)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [map, rest @ ..] if is_attribute_map(map) && (1..=2).contains(&rest.len()) => {
                let rest = rest.iter().map(|_| DataType::Utf8);
                Ok(std::iter::once(map.clone()).chain(rest).collect())
            }
            _ => plan_err!("attribute takes an attribute map, a key, and optionally a type"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let text = |index: usize| match args.args.get(index) {
            Some(ColumnarValue::Scalar(value)) => value.try_as_str().flatten(),
            _ => None,
        };
        let Some(key) = text(1) else { return exec_err!("the key of an attribute must be a literal") };
        let kind = kind_of_call(key, text(2));
        let map = args.args[0].to_array(args.number_rows)?;
        let Some(map) = map.as_map_opt() else { return exec_err!("not an attribute map: {}", map.data_type()) };
        Ok(ColumnarValue::Array(Values::of(map)?.read(map, key, kind)))
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        match args.first() {
            Some(ExpressionPlacement::Column | ExpressionPlacement::MoveTowardsLeafNodes) => {
                ExpressionPlacement::MoveTowardsLeafNodes
            }
            _ => ExpressionPlacement::KeepInPlace,
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOC: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(
                DOC_SECTION_OTHER,
                "The value of a key in an attribute map: what attributes['key'] means. NULL where the key is absent or the value is not of the type.",
                "attribute(map, 'key' [, 'text' | 'int' | 'double' | 'bool'])",
            )
            .with_argument("map", "attributes, resource, scope, or the attributes of an event or link")
            .with_argument("key", "The key, a literal")
            .with_argument("type", "Its type; else that of the semantic conventions, else text")
            .with_sql_example("SELECT attribute(attributes, 'http.route') FROM spans")
            .build()
        });
        Some(&DOC)
    }
}

#[cfg(test)]
mod tests;
