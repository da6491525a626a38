//! Reads attributes below a window function, so that they reach the scans of files.
//!
//! DataFusion moves cheap expressions such as `attributes['k']` below filters, sorts, joins and aggregates, and then
//! down to the scan, but leaves those inside of window functions where they are, above the whole map.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, ExpressionPlacement, LogicalPlan, Projection, Window};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use tracehound_functions::Attribute;

/// The names by which DataFusion knows what it may push further down.
const EXTRACTED: &str = "__datafusion_extracted";

/// See the module.
#[derive(Debug)]
pub(crate) struct ReadAttributesBelowWindow;

impl OptimizerRule for ReadAttributesBelowWindow {
    fn name(&self) -> &str {
        "read_attributes_below_window"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Window(window) = &plan else { return Ok(Transformed::no(plan)) };
        let mut read: Vec<(Expr, String)> = Vec::new();
        let mut replaced = Vec::with_capacity(window.window_expr.len());
        for expr in &window.window_expr {
            let below = expr.clone().transform_down(|expr| {
                let movable = expr.placement() == ExpressionPlacement::MoveTowardsLeafNodes;
                if !movable || Attribute::call(&expr).is_none() {
                    return Ok(Transformed::no(expr));
                }
                let known = read.iter().find(|(known, _)| *known == expr).map(|(_, name)| name.clone());
                let name = known.unwrap_or_else(|| {
                    let name = config.alias_generator().next(EXTRACTED);
                    read.push((expr, name.clone()));
                    name
                });
                Ok(Transformed::new(Expr::Column(Column::new_unqualified(name)), true, TreeNodeRecursion::Jump))
            })?;
            replaced.push(below.data);
        }
        if read.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let inputs = window.input.schema().fields().len();
        let passed = window.input.schema().iter().map(Expr::from);
        let exprs = read.into_iter().map(|(expr, name)| expr.alias(name)).chain(passed).collect::<Vec<_>>();
        let added = exprs.len() - inputs;
        let below = Projection::try_new(exprs, Arc::clone(&window.input))?;
        let above = Window::try_new(replaced, Arc::new(LogicalPlan::Projection(below)))?;
        // The columns that there were, by their names.
        let names = window.schema.iter().zip(above.schema.iter().skip(added));
        let exprs = names.enumerate().map(|(index, (was, is))| {
            let is = Expr::from(is);
            if index < inputs { is } else { is.alias_qualified(was.0.cloned(), was.1.name()) }
        });
        let exprs = exprs.collect::<Vec<_>>();
        Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(LogicalPlan::Window(above)))?)))
    }
}
