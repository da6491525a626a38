//! Which files may hold a trace, a user, an address or a session that a filter asks for, before any is opened.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use futures::StreamExt;
use futures::future::BoxFuture;
use tracehound_storage::{DataFile, Needles};

/// The columns whose values are looked up in sidecars.
const COLUMNS: [&str; 5] = ["trace_id", "user_id", "client_address", "peer_address", "session_id"];
/// The most values that are looked up; longer lists ask for about every file anyway.
const VALUES_MAX: usize = 1024;
/// The files that are asked for at once: sidecars that are not in memory yet are read from the store.
const AT_ONCE: usize = 16;

/// What a row must hold so that a filter may let it through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing that can be looked up.
    Anything,
    /// One of these values in the column: ids as their bytes, text as UTF-8. None at all: no row passes.
    OneOf(&'static str, Vec<Vec<u8>>),
    /// All of these.
    All(Vec<Wanted>),
    /// At least one of these.
    Any(Vec<Wanted>),
}

/// What rows must hold to pass all filters.
pub(crate) fn wanted(filters: &[Expr]) -> Wanted {
    all(filters.iter().map(of).collect())
}

fn of(filter: &Expr) -> Wanted {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => all(vec![of(left), of(right)]),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => any(vec![of(left), of(right)]),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let found = one_of(left, [right.as_ref()]).or_else(|| one_of(right, [left.as_ref()]));
            found.unwrap_or(Wanted::Anything)
        }
        Expr::InList(list) if !list.negated => one_of(&list.expr, &list.list).unwrap_or(Wanted::Anything),
        _ => Wanted::Anything,
    }
}

fn all(parts: Vec<Wanted>) -> Wanted {
    let mut parts: Vec<_> = parts.into_iter().filter(|part| *part != Wanted::Anything).collect();
    match parts.len() {
        0 => Wanted::Anything,
        1 => parts.remove(0),
        _ => Wanted::All(parts),
    }
}

fn any(parts: Vec<Wanted>) -> Wanted {
    if parts.contains(&Wanted::Anything) { Wanted::Anything } else { Wanted::Any(parts) }
}

fn one_of<'a>(column: &Expr, values: impl IntoIterator<Item = &'a Expr>) -> Option<Wanted> {
    let Expr::Column(column) = column else { return None };
    let column = COLUMNS.into_iter().find(|known| *known == column.name)?;
    let mut wanted = Vec::new();
    for value in values {
        let Expr::Literal(value, _) = value else { return None };
        // NULL equals nothing.
        if value.is_null() {
            continue;
        }
        wanted.push(bytes(value)?);
        if wanted.len() > VALUES_MAX {
            return None;
        }
    }
    Some(Wanted::OneOf(column, wanted))
}

fn bytes(value: &ScalarValue) -> Option<Vec<u8>> {
    match value {
        ScalarValue::FixedSizeBinary(_, Some(bytes)) => Some(bytes.clone()),
        other => other.try_as_str().flatten().map(|text| text.as_bytes().to_vec()),
    }
}

/// The files that may hold what is wanted, in their order.
pub(crate) async fn holding(files: Vec<Arc<DataFile>>, wanted: &Wanted, needles: &Needles) -> Vec<Arc<DataFile>> {
    if *wanted == Wanted::Anything {
        return files;
    }
    let asked = futures::stream::iter(files).map(|file| async move {
        let held = may_hold(wanted, &file, needles).await;
        held.then_some(file)
    });
    asked.buffered(AT_ONCE).filter_map(std::future::ready).collect().await
}

fn may_hold<'a>(wanted: &'a Wanted, file: &'a DataFile, needles: &'a Needles) -> BoxFuture<'a, bool> {
    Box::pin(async move {
        match wanted {
            Wanted::Anything => true,
            Wanted::OneOf(column, values) => {
                let values: Vec<_> = values.iter().map(Vec::as_slice).collect();
                !values.is_empty() && needles.may_hold(file, column, &values).await
            }
            Wanted::All(parts) => {
                for part in parts {
                    if !may_hold(part, file, needles).await {
                        return false;
                    }
                }
                true
            }
            Wanted::Any(parts) => {
                for part in parts {
                    if may_hold(part, file, needles).await {
                        return true;
                    }
                }
                false
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[track_caller]
    fn check(filter: Expr, expected: Wanted) {
        assert_eq!(wanted(&[filter]), expected);
    }

    fn users(names: &[&str]) -> Wanted {
        Wanted::OneOf("user_id", names.iter().map(|name| name.as_bytes().to_vec()).collect())
    }

    #[test]
    fn filters_say_what_rows_must_hold() {
        let user = || col("user_id");
        let trace = lit(ScalarValue::FixedSizeBinary(2, Some(vec![7, 8])));
        check(user().eq(lit("ann")), users(&["ann"]));
        check(lit("ann").eq(user()), users(&["ann"]));
        check(user().in_list(vec![lit("ann"), lit("bob")], false), users(&["ann", "bob"]));
        check(user().in_list(vec![lit("ann")], true), Wanted::Anything);
        check(user().not_eq(lit("ann")), Wanted::Anything);
        check(user().eq(lit(ScalarValue::Utf8(None))), users(&[]));
        check(user().eq(col("name")), Wanted::Anything);
        check(col("name").eq(lit("ann")), Wanted::Anything);
        check(user().eq(lit("ann")).and(col("name").eq(lit("x"))), users(&["ann"]));
        check(user().eq(lit("ann")).or(col("name").eq(lit("x"))), Wanted::Anything);
        check(user().eq(lit("ann")).or(user().eq(lit("bob"))), Wanted::Any(vec![users(&["ann"]), users(&["bob"])]));
        let both = Wanted::All(vec![users(&["ann"]), Wanted::OneOf("trace_id", vec![vec![7, 8]])]);
        check(user().eq(lit("ann")).and(col("trace_id").eq(trace)), both);
        let many = (0..=VALUES_MAX).map(|n| lit(n.to_string())).collect();
        check(user().in_list(many, false), Wanted::Anything);
    }
}
