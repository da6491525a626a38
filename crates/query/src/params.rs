//! `$name` in SQL: values are put into the syntax tree as literals, so they can never become SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, CastKind, DataType, Expr, TimezoneInfo, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::{Error, TimeRange, time};

/// The value of a parameter, as text, with its type where the caller gives one.
///
/// Without a type the text takes that of what it meets: a number, a time, an id, a boolean, else text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamValue {
    /// `Int64`, `UInt64`, `Float64`, `Boolean`, `Utf8`, `Timestamp` or `Null`, or the SQL-like names
    /// `bigint`, `double`, `boolean`, `text`, `timestamp`; any case.
    pub data_type: Option<String>,
    /// The value.
    pub value: String,
}

impl ParamValue {
    /// Text that takes the type of what it meets.
    pub fn text(value: impl Into<String>) -> Self {
        Self { data_type: None, value: value.into() }
    }

    /// A value of a type.
    pub fn typed(data_type: impl Into<String>, value: impl Into<String>) -> Self {
        Self { data_type: Some(data_type.into()), value: value.into() }
    }
}

impl From<&str> for ParamValue {
    fn from(value: &str) -> Self {
        Self::text(value)
    }
}

impl From<String> for ParamValue {
    fn from(value: String) -> Self {
        Self::text(value)
    }
}

/// Checks that a value is of its type.
pub(crate) fn check(name: &str, value: &ParamValue) -> Result<(), Error> {
    literal(name, value, Span::empty()).map(drop)
}

/// Puts the values into a statement.
///
/// # Errors
/// [`Error::Parameter`] for a missing, unknown, reserved or malformed parameter.
pub(crate) fn bind(
    statement: &mut ast::Statement,
    given: &BTreeMap<String, ParamValue>,
    range: Option<TimeRange>,
) -> Result<(), Error> {
    if let Some(name) = given.keys().find(|name| is_reserved(name)) {
        let message = format!("${name} is bound from the time range: give --from and --to, or time_range");
        return Err(Error::parameter("parameter-invalid", name, message));
    }
    let mut binder = Binder { given, range, used: BTreeSet::new(), error: None };
    let _ = statement.visit(&mut binder);
    if let Some(error) = binder.error {
        return Err(error);
    }
    if let Some(name) = given.keys().find(|name| !binder.used.contains(*name)) {
        let message = format!("parameter ${name} does not stand in the SQL");
        return Err(Error::parameter("parameter-unknown", name, message));
    }
    Ok(())
}

fn is_reserved(name: &str) -> bool {
    name == "from" || name == "to"
}

struct Binder<'a> {
    given: &'a BTreeMap<String, ParamValue>,
    range: Option<TimeRange>,
    used: BTreeSet<String>,
    error: Option<Error>,
}

impl Binder<'_> {
    fn value(&mut self, placeholder: &str, span: Span) -> Result<Expr, Error> {
        let name = placeholder.trim_start_matches(['$', ':', '@']);
        if is_reserved(name) {
            let range = self.range.ok_or_else(|| {
                let message =
                    format!("the SQL uses ${name}, so it needs a time range: give --from (and --to), or time_range");
                Error::parameter("parameter-missing", name, message)
            })?;
            let time_ns = if name == "from" { range.from_ns } else { range.to_ns };
            return Ok(timestamp(time_ns, span));
        }
        let value = self.given.get(name).ok_or_else(|| {
            let message = format!("parameter {placeholder} has no value: give -p {name}=…, or params.{name}");
            Error::parameter("parameter-missing", name, message)
        })?;
        self.used.insert(name.to_owned());
        literal(name, value, span)
    }
}

impl VisitorMut for Binder<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Value(ValueWithSpan { value: Value::Placeholder(placeholder), span }) = expr else {
            return ControlFlow::Continue(());
        };
        match self.value(&placeholder.clone(), *span) {
            Ok(value) => *expr = value,
            Err(error) => {
                self.error = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

fn literal(name: &str, given: &ParamValue, span: Span) -> Result<Expr, Error> {
    let text = given.value.trim();
    let data_type = given.data_type.as_deref().unwrap_or("utf8").to_ascii_lowercase();
    let wrong = || {
        let shown: String = given.value.chars().take(80).collect();
        let data_type = given.data_type.as_deref().unwrap_or("text");
        Error::parameter("parameter-invalid", name, format!("parameter ${name}: {shown:?} is not of type {data_type}"))
    };
    let value = |value| Expr::Value(ValueWithSpan { value, span });
    let number = |text: String| match text.strip_prefix('-') {
        Some(positive) => Expr::Nested(Box::new(Expr::UnaryOp {
            op: ast::UnaryOperator::Minus,
            expr: Box::new(value(Value::Number(positive.to_owned(), false))),
        })),
        None => value(Value::Number(text, false)),
    };
    Ok(match data_type.as_str() {
        "utf8" | "text" | "string" | "varchar" => value(Value::SingleQuotedString(given.value.clone())),
        "int64" | "int32" | "bigint" | "int" | "integer" => match text.parse::<i64>() {
            Ok(i64::MIN) => cast(given.value.clone(), DataType::BigInt(None), span),
            Ok(number_) => number(number_.to_string()),
            Err(_) => return Err(wrong()),
        },
        "uint64" => number(text.parse::<u64>().map_err(|_| wrong())?.to_string()),
        "float64" | "float32" | "double" | "float" | "real" => {
            text.parse::<f64>().map_err(|_| wrong())?;
            cast(text.to_owned(), DataType::Double(ast::ExactNumberInfo::None), span)
        }
        "boolean" | "bool" => value(Value::Boolean(text.to_ascii_lowercase().parse().map_err(|_| wrong())?)),
        "timestamp" => timestamp(time::parse(text, 0).map_err(|_| wrong())?, span),
        "null" => value(Value::Null),
        other => {
            let message = format!(
                "parameter ${name}: unknown type {other:?}: use Int64, UInt64, Float64, Boolean, Utf8, Timestamp or Null"
            );
            return Err(Error::parameter("parameter-invalid", name, message));
        }
    })
}

/// A constant time. The session's time zone is UTC, so its type is that of the tables' times.
fn timestamp(time_ns: i64, span: Span) -> Expr {
    cast(time::rfc3339(time_ns), DataType::Timestamp(None, TimezoneInfo::WithTimeZone), span)
}

fn cast(text: String, data_type: DataType, span: Span) -> Expr {
    let text = Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span });
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(text), data_type, array: false, format: None }
}
