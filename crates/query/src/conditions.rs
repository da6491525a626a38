//! `WHERE attributes['flag']` and `NOT attributes['flag']`: an attribute as a condition is compared with true,
//! since SQL planning refuses conditions that are not boolean before it asks what an attribute is.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Select, Statement, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// Rewrites the conditions of a statement.
pub(crate) fn compare_with_true(statement: &mut Statement) {
    let _ = statement.visit(&mut Conditions);
}

struct Conditions;

impl VisitorMut for Conditions {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if let Some(condition) = &mut select.selection {
            compare(condition);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::UnaryOp { op: UnaryOperator::Not, expr } = expr {
            compare(expr);
        }
        ControlFlow::Continue(())
    }
}

fn compare(expr: &mut Expr) {
    if !matches!(expr, Expr::CompoundFieldAccess { .. }) {
        return;
    }
    let truth = Expr::Value(ValueWithSpan { value: Value::Boolean(true), span: Span::empty() });
    let access = std::mem::replace(expr, truth.clone());
    let compared = Expr::BinaryOp { left: Box::new(access), op: BinaryOperator::Eq, right: Box::new(truth) };
    *expr = Expr::Nested(Box::new(compared));
}
