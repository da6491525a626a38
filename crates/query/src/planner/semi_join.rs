//! Pushes a semi join below an aggregate that is grouped by the join's keys.
//!
//! `SELECT * FROM actors WHERE trace_id IN (…)` aggregates only the traces that are asked for: the view groups
//! spans by trace, and a group stays or goes as a whole, so it may be filtered before it is built. DataFusion
//! does this for filters, not for semi joins.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{JoinType, Result};
use datafusion::logical_expr::{Aggregate, Expr, Filter, Join, LogicalPlan, Projection, SubqueryAlias, Unnest};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// See the module.
#[derive(Debug)]
pub(crate) struct PushSemiJoinBelowAggregate;

impl OptimizerRule for PushSemiJoinBelowAggregate {
    fn name(&self) -> &str {
        "push_semi_join_below_aggregate"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(join) = &plan else { return Ok(Transformed::no(plan)) };
        if join.join_type != JoinType::LeftSemi || join.filter.is_some() || join.on.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let keys: Vec<_> = join.on.iter().map(|(left, _)| left.clone()).collect();
        match push(&join.left, &keys, join)? {
            Some(pushed) => Ok(Transformed::yes(pushed)),
            None => Ok(Transformed::no(plan)),
        }
    }
}

/// The plan with the join below its first aggregate; `None` where it cannot go there.
fn push(plan: &LogicalPlan, keys: &[Expr], join: &Join) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(Projection { input, schema, .. }) => {
            let exprs = plan.expressions();
            let below = |key: &Expr| {
                let Expr::Column(column) = key else { return None };
                let index = schema.maybe_index_of_column(column)?;
                Some(exprs.get(index)?.clone().unalias())
            };
            descend(plan, input, keys.iter().map(below).collect(), join)
        }
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, schema, .. }) => {
            let below = |key: &Expr| {
                let Expr::Column(column) = key else { return None };
                let index = schema.maybe_index_of_column(column)?;
                Some(Expr::Column(input.schema().qualified_field(index).into()))
            };
            descend(plan, input, keys.iter().map(below).collect(), join)
        }
        LogicalPlan::Filter(Filter { input, .. }) => descend(plan, input, Some(keys.to_vec()), join),
        LogicalPlan::Unnest(Unnest { input, schema, dependency_indices, list_type_columns, .. }) => {
            let below = |key: &Expr| {
                let Expr::Column(column) = key else { return None };
                let index = *dependency_indices.get(schema.maybe_index_of_column(column)?)?;
                let unnested = list_type_columns.iter().any(|(list, _)| *list == index);
                let same = input.schema().qualified_field(index);
                (!unnested).then(|| Expr::Column(same.into()))
            };
            descend(plan, input, keys.iter().map(below).collect(), join)
        }
        LogicalPlan::Aggregate(Aggregate { input, group_expr, schema, .. }) => {
            let grouping_sets = group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
            let below = |key: &Expr| {
                let Expr::Column(column) = key else { return None };
                let index = schema.maybe_index_of_column(column)?;
                Some(group_expr.get(index)?.clone().unalias())
            };
            let keys = keys.iter().map(below).collect::<Option<Vec<_>>>();
            let Some(keys) = keys.filter(|_| !grouping_sets) else { return Ok(None) };
            let on = keys.into_iter().zip(&join.on).map(|(left, (_, right))| (left, right.clone())).collect();
            let below = Join::try_new(
                Arc::clone(input),
                Arc::clone(&join.right),
                on,
                None,
                JoinType::LeftSemi,
                join.join_constraint,
                join.null_equality,
                join.null_aware,
            )?;
            let exprs = plan.expressions();
            Ok(Some(plan.with_new_exprs(exprs, vec![LogicalPlan::Join(below)])?))
        }
        _ => Ok(None),
    }
}

fn descend(
    plan: &LogicalPlan,
    input: &LogicalPlan,
    keys: Option<Vec<Expr>>,
    join: &Join,
) -> Result<Option<LogicalPlan>> {
    let Some(keys) = keys else { return Ok(None) };
    match push(input, &keys, join)? {
        Some(below) => Ok(Some(plan.with_new_exprs(plan.expressions(), vec![below])?)),
        None => Ok(None),
    }
}
