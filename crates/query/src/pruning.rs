//! Which times a filter lets through: what rules out files before they are opened.

use std::ops::RangeInclusive;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// An inclusive range of times, nanoseconds; empty if the first is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) least: i64,
    pub(crate) greatest: i64,
}

impl Times {
    const ALL: Self = Self { least: i64::MIN, greatest: i64::MAX };
    const NONE: Self = Self { least: i64::MAX, greatest: i64::MIN };

    /// Both ends included; empty where the first is greater.
    pub(crate) fn range(self) -> RangeInclusive<i64> {
        self.least..=self.greatest
    }

    fn and(self, other: Self) -> Self {
        Self { least: self.least.max(other.least), greatest: self.greatest.min(other.greatest) }
    }

    /// The smallest range that holds both.
    fn or(self, other: Self) -> Self {
        if self.least > self.greatest {
            return other;
        }
        if other.least > other.greatest {
            return self;
        }
        Self { least: self.least.min(other.least), greatest: self.greatest.max(other.greatest) }
    }

    fn compared(op: Operator, time_ns: i64) -> Self {
        let (least, greatest) = match op {
            Operator::Eq | Operator::IsNotDistinctFrom => (time_ns, time_ns),
            Operator::Lt => match time_ns.checked_sub(1) {
                Some(before) => (i64::MIN, before),
                None => return Self::NONE,
            },
            Operator::LtEq => (i64::MIN, time_ns),
            Operator::Gt => match time_ns.checked_add(1) {
                Some(after) => (after, i64::MAX),
                None => return Self::NONE,
            },
            Operator::GtEq => (time_ns, i64::MAX),
            _ => return Self::ALL,
        };
        Self { least, greatest }
    }
}

/// The times that pass all filters; wider than true where a filter is not understood.
pub(crate) fn times(filters: &[Expr], column: &str) -> Times {
    filters.iter().fold(Times::ALL, |all, filter| all.and(of(filter, column)))
}

fn of(filter: &Expr, column: &str) -> Times {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => of(left, column).and(of(right, column)),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => of(left, column).or(of(right, column)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if let (true, Some(time)) = (is(left, column), literal(right)) {
                return Times::compared(*op, time);
            }
            if let (Some(time), true, Some(swapped)) = (literal(left), is(right, column), op.swap()) {
                return Times::compared(swapped, time);
            }
            Times::ALL
        }
        Expr::Between(between) if !between.negated && is(&between.expr, column) => {
            match (literal(&between.low), literal(&between.high)) {
                (Some(least), Some(greatest)) => Times { least, greatest },
                _ => Times::ALL,
            }
        }
        Expr::InList(list) if !list.negated && is(&list.expr, column) => {
            let times: Option<Vec<_>> = list.list.iter().map(literal).collect();
            let equal = |time| Times::compared(Operator::Eq, time);
            times.map_or(Times::ALL, |times| times.into_iter().map(equal).fold(Times::NONE, Times::or))
        }
        Expr::Literal(ScalarValue::Boolean(Some(false) | None), _) => Times::NONE,
        _ => Times::ALL,
    }
}

fn is(expr: &Expr, column: &str) -> bool {
    matches!(expr, Expr::Column(found) if found.name == column)
}

/// A constant time in nanoseconds, if it has an exact one.
fn literal(expr: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = expr else { return None };
    match value {
        ScalarValue::TimestampNanosecond(time, _) => *time,
        ScalarValue::TimestampMicrosecond(time, _) => time.as_ref()?.checked_mul(1000),
        ScalarValue::TimestampMillisecond(time, _) => time.as_ref()?.checked_mul(1_000_000),
        ScalarValue::TimestampSecond(time, _) => time.as_ref()?.checked_mul(1_000_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn at(time_ns: i64) -> Expr {
        lit(ScalarValue::TimestampNanosecond(Some(time_ns), Some("UTC".into())))
    }

    #[track_caller]
    fn check(filter: Expr, least: i64, greatest: i64) {
        assert_eq!(times(&[filter], "time"), Times { least, greatest });
    }

    #[test]
    fn filters_bound_the_times() {
        let time = || col("time");
        check(time().gt_eq(at(10)).and(time().lt(at(20))), 10, 19);
        check(at(10).lt(time()), 11, i64::MAX);
        check(time().eq(at(5)).or(time().eq(at(9))), 5, 9);
        check(time().between(at(1), at(3)), 1, 3);
        check(time().not_between(at(1), at(3)), i64::MIN, i64::MAX);
        check(time().in_list(vec![at(4), at(2)], false), 2, 4);
        check(time().gt(at(i64::MAX)), i64::MAX, i64::MIN);
        check(time().gt(at(1)).or(col("name").eq(lit("x"))), i64::MIN, i64::MAX);
        check(col("other").gt(at(1)), i64::MIN, i64::MAX);
        check(time().not_eq(at(1)), i64::MIN, i64::MAX);
        check(lit(false), i64::MAX, i64::MIN);
        let second = lit(ScalarValue::TimestampSecond(Some(2), None));
        check(time().lt_eq(second), i64::MIN, 2_000_000_000);
    }
}
