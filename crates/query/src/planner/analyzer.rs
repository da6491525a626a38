//! What the expression planner does not see: IN, BETWEEN, LIKE, CAST, CASE, NOT, conditions.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{InList, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, Case, Cast, Expr, Like, LogicalPlan, TryCast};
use datafusion::optimizer::AnalyzerRule;

use super::attributes::{self, Meets};
use super::{ids, literals};

/// Runs before type coercion.
#[derive(Debug)]
pub(crate) struct TracehoundAnalyzer;

impl AnalyzerRule for TracehoundAnalyzer {
    fn name(&self) -> &str {
        "tracehound"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let mut schema = merge_schema(&plan.inputs());
            if let LogicalPlan::TableScan(scan) = &plan {
                let columns = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
                schema.merge(&columns);
            }
            let plan = match plan {
                LogicalPlan::Filter(mut filter) => {
                    filter.predicate = attributes::as_condition(filter.predicate);
                    LogicalPlan::Filter(filter)
                }
                plan => plan,
            };
            let names = NamePreserver::new(&plan);
            let plan = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(|expr| rewrite(expr, &schema))?;
                Ok(rewritten.update_data(|expr| name.restore(expr)))
            })?;
            if plan.transformed { plan.map_data(LogicalPlan::recompute_schema) } else { Ok(plan) }
        })
        .map(|plan| plan.data)
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::InList(list) => in_list(list, schema)?,
        Expr::Between(between) => self::between(between, schema)?,
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let found = subquery.subquery.schema().fields().first().map(|field| field.data_type().clone());
            let text = found.is_some_and(|found| found.is_string());
            let changed = text && ids::width(&expr, schema).is_some();
            let expr = if changed { Box::new(ids::as_text(*expr, schema)) } else { expr };
            Transformed::new_transformed(Expr::InSubquery(InSubquery { expr, subquery, negated }), changed)
        }
        Expr::Like(like) => {
            let changed = ids::width(&like.expr, schema).is_some();
            let expr = Box::new(ids::as_text(*like.expr, schema));
            Transformed::new_transformed(Expr::Like(Like { expr, ..like }), changed)
        }
        Expr::SimilarTo(like) => {
            let changed = ids::width(&like.expr, schema).is_some();
            let expr = Box::new(ids::as_text(*like.expr, schema));
            Transformed::new_transformed(Expr::SimilarTo(Like { expr, ..like }), changed)
        }
        Expr::Cast(Cast { expr, field }) => {
            if let Some(read) = attributes::cast(&expr, field.data_type()) {
                return Ok(Transformed::yes(read));
            }
            let changed = field.data_type().is_string() && ids::width(&expr, schema).is_some();
            let expr = if changed { Box::new(ids::as_text(*expr, schema)) } else { expr };
            Transformed::new_transformed(Expr::Cast(Cast { expr, field }), changed)
        }
        Expr::TryCast(TryCast { expr, field }) => match attributes::cast(&expr, field.data_type()) {
            Some(read) => Transformed::yes(read),
            None => Transformed::no(Expr::TryCast(TryCast { expr, field })),
        },
        Expr::Not(expr) => condition(*expr, |expr| Expr::Not(Box::new(expr))),
        Expr::IsTrue(expr) => condition(*expr, |expr| Expr::IsTrue(Box::new(expr))),
        Expr::IsFalse(expr) => condition(*expr, |expr| Expr::IsFalse(Box::new(expr))),
        Expr::IsNotTrue(expr) => condition(*expr, |expr| Expr::IsNotTrue(Box::new(expr))),
        Expr::IsNotFalse(expr) => condition(*expr, |expr| Expr::IsNotFalse(Box::new(expr))),
        Expr::Case(case) => self::case(case, schema)?,
        other => Transformed::no(other),
    })
}

fn condition(expr: Expr, rebuild: impl FnOnce(Expr) -> Expr) -> Transformed<Expr> {
    let open = attributes::is_open(&expr);
    Transformed::new_transformed(rebuild(attributes::as_condition(expr)), open)
}

fn in_list(list: InList, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let InList { expr, list, negated } = list;
    if let Some(width) = ids::width(&expr, schema) {
        if list.iter().any(|item| ids::text_literal(item).is_none() && ids::is_text(item, schema)) {
            let list = list.into_iter().map(|item| lower_literal(ids::as_text(item, schema))).collect();
            let expr = Box::new(ids::as_text(*expr, schema));
            return Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })));
        }
        let item = |item: Expr| match ids::text_literal(&item) {
            Some(text) => ids::literal(text, width),
            None => Ok(item),
        };
        let list = list.into_iter().map(item).collect::<Result<_>>()?;
        return Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })));
    }
    if attributes::is_open(&expr) {
        let kinds: Vec<_> =
            list.iter().filter_map(|item| attributes::kind_beside(item, Meets::Equality, schema)).collect();
        let kind = if kinds.len() < list.len() {
            None
        } else if kinds.contains(&tracehound_functions::Kind::Double) {
            Some(tracehound_functions::Kind::Double)
        } else {
            kinds.first().copied()
        };
        let expr = Box::new(attributes::with_kind_if(*expr, kind));
        return Ok(Transformed::new_transformed(Expr::InList(InList { expr, list, negated }), kind.is_some()));
    }
    let item = |item: Expr| {
        let typed = match ids::text_literal(&item) {
            Some(text) => literals::like(text, &expr, schema)?,
            None => None,
        };
        Ok(typed.unwrap_or(item))
    };
    let list = list.into_iter().map(item).collect::<Result<Vec<_>>>()?;
    Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
}

fn lower_literal(expr: Expr) -> Expr {
    match ids::text_literal(&expr) {
        Some(text) => datafusion::logical_expr::lit(text.to_ascii_lowercase()),
        None => expr,
    }
}

fn between(between: Between, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Between { expr, negated, low, high } = between;
    if attributes::is_open(&expr) {
        let kind = attributes::kind_beside(&low, Meets::Order, schema)
            .or_else(|| attributes::kind_beside(&high, Meets::Order, schema));
        let expr = Box::new(attributes::with_kind_if(*expr, kind));
        let between = Between { expr, negated, low, high };
        return Ok(Transformed::new_transformed(Expr::Between(between), kind.is_some()));
    }
    let bound = |bound: Expr| -> Result<Expr> {
        let Some(text) = ids::text_literal(&bound) else { return Ok(bound) };
        if let Some(width) = ids::width(&expr, schema) {
            return ids::literal(text, width);
        }
        Ok(literals::like(text, &expr, schema)?.unwrap_or(bound))
    };
    let (low, high) = (Box::new(bound(*low)?), Box::new(bound(*high)?));
    Ok(Transformed::yes(Expr::Between(Between { expr, negated, low, high })))
}

fn case(case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Some(width) = case.expr.as_ref().and_then(|expr| ids::width(expr, schema)) else {
        return Ok(Transformed::no(Expr::Case(case)));
    };
    let branch = |(when, then): (Box<Expr>, Box<Expr>)| {
        let when = match ids::text_literal(&when) {
            Some(text) => Box::new(ids::literal(text, width)?),
            None => when,
        };
        Ok((when, then))
    };
    let when_then_expr = case.when_then_expr.into_iter().map(branch).collect::<Result<_>>()?;
    Ok(Transformed::yes(Expr::Case(Case { when_then_expr, ..case })))
}
