use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int64Builder, MapArray, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_OTHER;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, lit,
};
use tracehound_schema::{any_value_to_text, attribute_map_type};

use crate::semconv;

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
        let kind = text(2).and_then(Kind::named).or_else(|| semconv::kind(key)).unwrap_or(Kind::Text);
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

/// The parts of a map's values.
struct Values<'a> {
    keys: &'a arrow::array::StringArray,
    structs: &'a arrow::array::StructArray,
    string: &'a arrow::array::StringArray,
    int: &'a arrow::array::Int64Array,
    double: &'a arrow::array::Float64Array,
    bool: &'a arrow::array::BooleanArray,
    other: &'a arrow::array::BinaryArray,
}

impl<'a> Values<'a> {
    fn of(map: &'a MapArray) -> Result<Self> {
        let values = map.values().as_struct_opt();
        let parts = values.and_then(|structs| {
            Some(Self {
                keys: map.keys().as_string_opt::<i32>()?,
                structs,
                string: structs.columns().first()?.as_string_opt::<i32>()?,
                int: structs.columns().get(1)?.as_primitive_opt::<Int64Type>()?,
                double: structs.columns().get(2)?.as_primitive_opt::<Float64Type>()?,
                bool: structs.columns().get(3)?.as_boolean_opt()?,
                other: structs.columns().get(4)?.as_binary_opt::<i32>()?,
            })
        });
        parts.map_or_else(|| exec_err!("not an attribute map: {}", map.data_type()), Ok)
    }

    fn read(&self, map: &MapArray, key: &str, kind: Kind) -> ArrayRef {
        let entries = (0..map.len()).map(|row| self.last(map, row, key));
        match kind {
            Kind::Text => {
                let mut built = StringBuilder::with_capacity(map.len(), 0);
                entries.for_each(|entry| self.text(entry, &mut built));
                Arc::new(built.finish())
            }
            Kind::Int | Kind::CastInt => {
                let mut built = Int64Builder::with_capacity(map.len());
                entries.for_each(|entry| built.append_option(entry.and_then(|entry| self.int(entry, kind))));
                Arc::new(built.finish())
            }
            Kind::Double | Kind::CastDouble => {
                let mut built = Float64Builder::with_capacity(map.len());
                entries.for_each(|entry| built.append_option(entry.and_then(|entry| self.double(entry, kind))));
                Arc::new(built.finish())
            }
            Kind::Bool | Kind::CastBool => {
                let mut built = BooleanBuilder::with_capacity(map.len());
                entries.for_each(|entry| built.append_option(entry.and_then(|entry| self.bool(entry, kind))));
                Arc::new(built.finish())
            }
        }
    }

    /// The last entry of a key in a row that has a value.
    fn last(&self, map: &MapArray, row: usize, key: &str) -> Option<usize> {
        if map.is_null(row) {
            return None;
        }
        let offsets = map.value_offsets();
        let (from, to) = (usize::try_from(offsets[row]).ok()?, usize::try_from(offsets[row + 1]).ok()?);
        let found = (from..to).rev().find(|entry| self.keys.value(*entry) == key)?;
        self.structs.is_valid(found).then_some(found)
    }

    fn text(&self, entry: Option<usize>, built: &mut StringBuilder) {
        match entry {
            Some(entry) if self.string.is_valid(entry) => built.append_value(self.string.value(entry)),
            Some(entry) if self.int.is_valid(entry) => built.append_value(self.int.value(entry).to_string()),
            Some(entry) if self.double.is_valid(entry) => built.append_value(double_text(self.double.value(entry))),
            Some(entry) if self.bool.is_valid(entry) => built.append_value(self.bool.value(entry).to_string()),
            Some(entry) if self.other.is_valid(entry) => {
                built.append_option(any_value_to_text(self.other.value(entry)))
            }
            _ => built.append_null(),
        }
    }

    fn int(&self, entry: usize, kind: Kind) -> Option<i64> {
        if self.int.is_valid(entry) {
            return Some(self.int.value(entry));
        }
        if self.double.is_valid(entry) {
            return whole(self.double.value(entry));
        }
        let text = self.lenient_text(entry, kind == Kind::CastInt)?;
        text.parse().ok().or_else(|| whole(text.parse().ok()?))
    }

    fn double(&self, entry: usize, kind: Kind) -> Option<f64> {
        if self.double.is_valid(entry) {
            return Some(self.double.value(entry));
        }
        if self.int.is_valid(entry) {
            #[expect(clippy::cast_precision_loss, reason = "a double is what was asked for")]
            return Some(self.int.value(entry) as f64);
        }
        self.lenient_text(entry, kind == Kind::CastDouble)?.parse().ok()
    }

    fn bool(&self, entry: usize, kind: Kind) -> Option<bool> {
        if self.bool.is_valid(entry) {
            return Some(self.bool.value(entry));
        }
        match self.lenient_text(entry, kind == Kind::CastBool)?.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "1" => Some(true),
            "false" | "f" | "no" | "0" => Some(false),
            _ => None,
        }
    }

    fn lenient_text(&self, entry: usize, lenient: bool) -> Option<&'a str> {
        (lenient && self.string.is_valid(entry)).then(|| self.string.value(entry).trim())
    }
}

/// A double without fraction as a whole number, if it is one.
fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
    (value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

fn double_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests;
