use super::*;

#[track_caller]
fn check(sql: &str, expected: &str) {
    let result = parse(sql, &QueryLimits::default());
    let code = result.as_ref().map_or_else(Error::code, |_| "ok");
    assert_eq!(code, expected, "{}: {result:?}", &sql[..sql.len().min(100)]);
}

#[test]
fn only_reading_passes() {
    for sql in [
        "SELECT 1",
        "select 1;",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "SHOW TABLES",
        "DESCRIBE spans",
        "VALUES (1)",
    ] {
        check(sql, "ok");
    }
    for sql in [
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "EXPLAIN COPY (SELECT 1) TO '/tmp/x'",
        "EXPLAIN ANALYZE INSERT INTO spans SELECT 1",
        "INSERT INTO spans VALUES (1)",
        "DELETE FROM spans",
        "UPDATE spans SET name = 'x'",
        "DROP TABLE spans",
        "SET datafusion.execution.batch_size = 1",
        "SHOW ALL",
        "SELECT * FROM information_schema.df_settings",
        "EXPLAIN ANALYZE SELECT * FROM information_schema.\"df_settings\"",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "SELECT 1 INTO x",
        "SELECT * FROM spans FOR UPDATE",
        "WITH a AS (INSERT INTO spans VALUES (1) RETURNING 1) SELECT * FROM a",
    ] {
        check(sql, "sql-not-allowed");
    }
    check("SELECT 1; SELECT 2", "sql-syntax");
    check("", "sql-syntax");
    check("SELEC 1", "sql-syntax");
    check("SELECT 'open", "sql-syntax");
}

#[test]
fn bombs_are_refused_before_planning() {
    check(&format!("SELECT {}1", "1+".repeat(10_000)), "limit-terms");
    check(&format!("SELECT 1 WHERE {} true", "true OR ".repeat(20_000)), "limit-terms");
    check(&format!("SELECT 1{}", ", 1".repeat(10_000)), "limit-tokens");
    check(&format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(5000)), "limit-terms");
    check(&format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000)), "limit-depth");
    check(&format!("SELECT {}1", "- ".repeat(1500)), "limit-depth");
    check(&format!("SELECT {}true", "NOT ".repeat(1500)), "limit-depth");
    check(&format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(500), " END".repeat(500)), "limit-depth");
    check(&format!("SELECT '{}'", "x".repeat(300_000)), "limit-text");
    let doubled: Vec<_> =
        (1..40).map(|n| format!("t{n} AS (SELECT a.x FROM t{} AS a, t{} AS b)", n - 1, n - 1)).collect();
    check(&format!("WITH t0 AS (SELECT 1 AS x), {} SELECT * FROM t39", doubled.join(", ")), "limit-terms");
}

#[test]
fn hunts_are_far_below_the_bounds() {
    for hunt in crate::hunts::list() {
        check(&hunt.sql, "ok");
    }
}
