//! What Tracehound adds to SQL: `attributes['k']`, ids as hex text, semi joins below aggregates, attributes below unions and windows.

mod analyzer;
mod attributes;
mod below_union;
mod below_window;
mod ids;
mod literals;
mod semi_join;

use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess};
use tracehound_functions::{attribute, is_attribute_map};

pub(crate) use analyzer::TracehoundAnalyzer;
pub(crate) use below_union::PushAttributesBelowUnion;
pub(crate) use below_window::ReadAttributesBelowWindow;
pub(crate) use semi_join::PushSemiJoinBelowAggregate;

/// Plans the expressions that DataFusion would refuse before any analyzer rule sees them.
#[derive(Debug)]
pub(crate) struct TracehoundPlanner;

impl ExprPlanner for TracehoundPlanner {
    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        if !expr.expr.get_type(schema).is_ok_and(|found| is_attribute_map(&found)) {
            return Ok(PlannerResult::Original(expr));
        }
        let key = match &expr.field_access {
            GetFieldAccess::NamedStructField { name } => name.try_as_str().flatten(),
            GetFieldAccess::ListIndex { key } => match key.as_ref() {
                Expr::Literal(key, _) => key.try_as_str().flatten(),
                _ => None,
            },
            GetFieldAccess::ListRange { .. } => None,
        };
        match key {
            Some(key) => Ok(PlannerResult::Planned(attribute(expr.expr.clone(), key, None))),
            None => {
                plan_err!("the key of an attribute must be a text literal or a parameter: attributes['http.route']")
            }
        }
    }

    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        let (left, right) = ids::binary(&op, left, right, schema)?;
        let (left, right) = attributes::binary(&op, left, right, schema);
        let (left, right) = literals::binary(&op, left, right, schema)?;
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}
