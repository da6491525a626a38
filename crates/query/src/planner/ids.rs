//! Ids are binary; in SQL they compare with hex text.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tracehound_functions::id_hex;

use crate::Error;

/// Makes the sides of an operator fit: hex literals become ids, ids beside other text become hex text.
pub(super) fn binary(op: &BinaryOperator, left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
    use BinaryOperator as Op;
    let joins_text = matches!(op, Op::StringConcat);
    let matches_text = matches!(
        op,
        Op::PGRegexMatch
            | Op::PGRegexIMatch
            | Op::PGRegexNotMatch
            | Op::PGRegexNotIMatch
            | Op::PGLikeMatch
            | Op::PGILikeMatch
            | Op::PGNotLikeMatch
            | Op::PGNotILikeMatch
    );
    if joins_text || matches_text {
        return Ok((as_text(left, schema), as_text(right, schema)));
    }
    if !compares(op) {
        return Ok((left, right));
    }
    pair(left, right, schema)
}

/// Makes the two sides of a comparison fit.
pub(super) fn pair(left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
    match (width(&left, schema), width(&right, schema)) {
        (Some(width), None) => {
            let (id, text) = against(left, width, right, schema)?;
            Ok((id, text))
        }
        (None, Some(width)) => {
            let (id, text) = against(right, width, left, schema)?;
            Ok((text, id))
        }
        _ => Ok((left, right)),
    }
}

fn against(id: Expr, width: i32, other: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
    if let Some(text) = text_literal(&other) {
        let other = literal(text, width)?;
        return Ok((id, other));
    }
    if is_text(&other, schema) {
        return Ok((id_hex(id), Expr::ScalarFunction(lower(other))));
    }
    Ok((id, other))
}

fn lower(text: Expr) -> datafusion::logical_expr::expr::ScalarFunction {
    datafusion::logical_expr::expr::ScalarFunction::new_udf(datafusion::functions::string::lower(), vec![text])
}

/// An id as its hex text, anything else as it is.
pub(super) fn as_text(expr: Expr, schema: &DFSchema) -> Expr {
    if width(&expr, schema).is_some() { id_hex(expr) } else { expr }
}

/// The bytes of an id; `None` if it is none.
pub(super) fn width(expr: &Expr, schema: &DFSchema) -> Option<i32> {
    match expr.get_type(schema) {
        Ok(DataType::FixedSizeBinary(width)) => Some(width),
        _ => None,
    }
}

pub(super) fn is_text(expr: &Expr, schema: &DFSchema) -> bool {
    let found = expr.get_type(schema);
    matches!(found, Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View))
}

pub(super) fn text_literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// Reads hex text of any case as an id.
pub(super) fn literal(text: &str, width: i32) -> Result<Expr> {
    let bytes = hex::decode(text.trim()).ok().filter(|bytes| i32::try_from(bytes.len()) == Ok(width));
    match bytes {
        Some(bytes) => Ok(Expr::Literal(ScalarValue::FixedSizeBinary(width, Some(bytes)), None)),
        None => {
            let shown: String = text.chars().take(80).collect();
            let message = format!("\"{shown}\" is not an id: expected {} hex digits", width * 2);
            Err(DataFusionError::External(Box::new(Error::sql("sql-bad-id", message))))
        }
    }
}

fn compares(op: &BinaryOperator) -> bool {
    use BinaryOperator as Op;
    matches!(op, Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::Spaceship)
}
