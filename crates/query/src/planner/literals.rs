//! Text literals and parameters without a type take that of the number or boolean they meet.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::ids::text_literal;
use crate::Error;

/// Types a text literal on either side of a comparison or of arithmetic.
pub(super) fn binary(op: &BinaryOperator, left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
    use BinaryOperator as Op;
    let typed = matches!(
        op,
        Op::Eq
            | Op::NotEq
            | Op::Lt
            | Op::LtEq
            | Op::Gt
            | Op::GtEq
            | Op::Plus
            | Op::Minus
            | Op::Multiply
            | Op::Divide
            | Op::Modulo
    );
    if !typed {
        return Ok((left, right));
    }
    if let Some(text) = text_literal(&right) {
        if let Some(right) = like(text, &left, schema)? {
            return Ok((left, right));
        }
    } else if let Some(text) = text_literal(&left)
        && let Some(left) = like(text, &right, schema)?
    {
        return Ok((left, right));
    }
    Ok((left, right))
}

/// The text as a literal of the other side's type, where that is a number or a boolean.
pub(super) fn like(text: &str, other: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let Ok(found) = other.get_type(schema) else { return Ok(None) };
    let text = text.trim();
    let value = if found.is_integer() {
        match text.parse::<i64>() {
            Ok(whole) => Some(ScalarValue::from(whole)),
            Err(_) => text.parse::<f64>().map(ScalarValue::from).ok(),
        }
    } else if found.is_floating() {
        text.parse::<f64>().map(ScalarValue::from).ok()
    } else if found == DataType::Boolean {
        text.to_ascii_lowercase().parse::<bool>().map(ScalarValue::from).ok()
    } else {
        return Ok(None);
    };
    match value {
        Some(value) => Ok(Some(Expr::Literal(value, None))),
        None => {
            let kind = if found == DataType::Boolean { "a boolean" } else { "a number" };
            let shown: String = text.chars().take(80).collect();
            let message = format!("{other} is {kind}, and \"{shown}\" is not");
            Err(DataFusionError::External(Box::new(Error::sql("sql-type", message))))
        }
    }
}
