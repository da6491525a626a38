//! Pushes a projection that reads attributes below a union, so that it reaches the scans of files.
//!
//! A table is a union of scans. DataFusion pushes a projection below a union only where it has fewer columns than
//! its input, and `attributes['k']` over `attributes` has as many.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, make_with_child};
use datafusion::physical_plan::union::UnionExec;
use tracehound_functions::Attribute;

/// See the module. Runs before projections are pushed into scans.
#[derive(Debug)]
pub(crate) struct PushAttributesBelowUnion;

impl PhysicalOptimizerRule for PushAttributesBelowUnion {
    fn name(&self) -> &str {
        "push_attributes_below_union"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|plan| {
            let Some(projection) = plan.downcast_ref::<ProjectionExec>() else { return Ok(Transformed::no(plan)) };
            let Some(union) = projection.input().downcast_ref::<UnionExec>() else { return Ok(Transformed::no(plan)) };
            if !projection.expr().iter().any(|expr| reads_attribute(&expr.expr)) {
                return Ok(Transformed::no(plan));
            }
            let inputs = union.inputs().iter().map(|input| make_with_child(projection, input));
            Ok(Transformed::yes(UnionExec::try_new(inputs.collect::<Result<_>>()?)?))
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn reads_attribute(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.exists(|expr| Ok(ScalarFunctionExpr::try_downcast_func::<Attribute>(expr.as_ref()).is_some())).unwrap_or(false)
}
