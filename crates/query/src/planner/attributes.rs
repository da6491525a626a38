//! The type of `attributes['k']`: that of the semantic conventions, else that of what it meets, else text.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable, TryCast};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tracehound_functions::{Attribute, Kind, attribute, semconv};

/// How an attribute is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meets {
    /// `=`, `<>`, IN: whole numbers stay whole.
    Equality,
    /// `<`, BETWEEN, arithmetic: numbers are doubles.
    Order,
}

/// Types the attributes on both sides of an operator.
pub(super) fn binary(op: &BinaryOperator, left: Expr, right: Expr, schema: &DFSchema) -> (Expr, Expr) {
    use BinaryOperator as Op;
    let meets = match op {
        Op::Eq | Op::NotEq | Op::Spaceship => Meets::Equality,
        Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => Meets::Order,
        Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => {
            let number = |side: Expr| if is_open(&side) { with_kind(side, Kind::Double) } else { side };
            return (number(left), number(right));
        }
        Op::And | Op::Or => return (as_condition(left), as_condition(right)),
        _ => return (left, right),
    };
    let (left_kind, right_kind) = (kind_beside(&right, meets, schema), kind_beside(&left, meets, schema));
    match (is_open(&left), is_open(&right)) {
        (true, false) => (with_kind_if(left, left_kind), right),
        (false, true) => (left, with_kind_if(right, right_kind)),
        _ => (left, right),
    }
}

/// Whether it is an attribute whose type nothing has decided yet.
pub(super) fn is_open(expr: &Expr) -> bool {
    matches!(Attribute::call(expr), Some((_, key, None)) if semconv::kind(key).is_none())
}

/// The kind that an attribute takes beside another expression; `None` leaves it text.
pub(super) fn kind_beside(other: &Expr, meets: Meets, schema: &DFSchema) -> Option<Kind> {
    match other.get_type(schema).ok()? {
        DataType::Boolean => Some(Kind::Bool),
        found if found.is_integer() && meets == Meets::Equality => Some(Kind::Int),
        found if found.is_numeric() => Some(Kind::Double),
        _ => None,
    }
}

/// An attribute as a condition of its own.
pub(super) fn as_condition(expr: Expr) -> Expr {
    if is_open(&expr) { with_kind(expr, Kind::Bool) } else { expr }
}

pub(super) fn with_kind_if(expr: Expr, kind: Option<Kind>) -> Expr {
    match kind {
        Some(kind) => with_kind(expr, kind),
        None => expr,
    }
}

pub(super) fn with_kind(expr: Expr, kind: Kind) -> Expr {
    match Attribute::call(&expr) {
        Some((map, key, _)) => attribute(map.clone(), key, Some(kind)),
        None => expr,
    }
}

/// CAST of an attribute: text that reads as the type counts, anything else is NULL.
pub(super) fn cast(expr: &Expr, to: &DataType) -> Option<Expr> {
    let (map, key, kind) = Attribute::call(expr)?;
    if kind.is_some() {
        return None;
    }
    let kind = match to {
        DataType::Boolean => Kind::CastBool,
        found if found.is_integer() => Kind::CastInt,
        found if found.is_numeric() => Kind::CastDouble,
        _ => return None,
    };
    let read = attribute(map.clone(), key, Some(kind));
    if kind.data_type() == *to {
        return Some(read);
    }
    Some(Expr::TryCast(TryCast::new(Box::new(read), to.clone())))
}
