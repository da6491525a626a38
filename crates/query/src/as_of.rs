//! `FROM spans VERSION AS OF 42`, `FROM spans FOR SYSTEM_TIME AS OF '2026-11-22T15:00:00Z'`: one table as it was.
//!
//! The parser's dialect does not know the clause. It is taken out of the tokens, which keep their places, and
//! put into the syntax tree as the parser would have, so that parameters are bound in it like anywhere else.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Statement, TableAlias, TableFactor, TableVersion, Value, ValueWithSpan,
    VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::{Error, time};

/// A state of the data: an entry of the manifest, or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AsOf {
    /// The entry of this number.
    Entry(u64),
    /// The last entry written at or before this time, nanoseconds.
    Time(i64),
}

impl AsOf {
    /// Reads an entry's number, or a time in any form of [`time::parse`] but a Unix number.
    ///
    /// # Errors
    /// [`Error::Parameter`] for anything else.
    pub fn parse(text: &str, now_ns: i64) -> Result<Self, Error> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Entry).map_err(|_| wrong(text));
        }
        time::parse(text, now_ns).map(Self::Time).map_err(|_| wrong(text))
    }
}

fn wrong(text: &str) -> Error {
    let shown: String = text.chars().take(80).collect();
    let message = format!(
        "{shown:?} is no state of the data: use an entry's number, or a time like now-1h or 2026-11-22T15:00:00Z"
    );
    Error::parameter("parameter-invalid", "as_of", message)
}

/// The clauses that stood in a text: where the name before each ends begins, and what follows AS OF.
#[derive(Debug, Default)]
pub(crate) struct Clauses(BTreeMap<(u64, u64), Expr>);

fn place(location: Location) -> (u64, u64) {
    (location.line, location.column)
}

/// Takes the clauses out of the tokens.
pub(crate) fn take(tokens: Vec<TokenWithSpan>) -> (Vec<TokenWithSpan>, Clauses) {
    let mut clauses = Clauses::default();
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.as_slice();
    while let Some((token, after)) = rest.split_first() {
        let name =
            kept.iter().rev().find(|token| !is_space(token)).filter(|token| matches!(token.token, Token::Word(_)));
        if let (Some(name), Some((value, after))) = (name, clause(rest)) {
            clauses.0.insert(place(name.span.start), value);
            rest = after;
            continue;
        }
        kept.push(token.clone());
        rest = after;
    }
    (kept, clauses)
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// Reads a clause at the start of the tokens: its value, and the tokens after it.
fn clause(tokens: &[TokenWithSpan]) -> Option<(Expr, &[TokenWithSpan])> {
    let tokens = match keyword(tokens, Keyword::FOR) {
        Some(tokens) => keyword(tokens, Keyword::SYSTEM_TIME).or_else(|| keyword(tokens, Keyword::VERSION))?,
        None => keyword(tokens, Keyword::VERSION).or_else(|| keyword(tokens, Keyword::TIMESTAMP))?,
    };
    let tokens = keyword(keyword(tokens, Keyword::AS)?, Keyword::OF)?;
    // TIMESTAMP '…' is the same as '…' here.
    let tokens = keyword(tokens, Keyword::TIMESTAMP).unwrap_or(tokens);
    let (value, after) = next(tokens)?;
    let literal = match &value.token {
        Token::Number(number, _) => Value::Number(number.clone(), false),
        Token::SingleQuotedString(text) => Value::SingleQuotedString(text.clone()),
        Token::Placeholder(name) => Value::Placeholder(name.clone()),
        _ => return None,
    };
    Some((Expr::Value(ValueWithSpan { value: literal, span: value.span }), after))
}

fn next(tokens: &[TokenWithSpan]) -> Option<(&TokenWithSpan, &[TokenWithSpan])> {
    let from = tokens.iter().position(|token| !is_space(token))?;
    tokens[from..].split_first()
}

fn keyword(tokens: &[TokenWithSpan], wanted: Keyword) -> Option<&[TokenWithSpan]> {
    let (token, after) = next(tokens)?;
    matches!(&token.token, Token::Word(word) if word.keyword == wanted && word.quote_style.is_none()).then_some(after)
}

/// Puts the clauses into the tables they stood behind.
///
/// # Errors
/// [`Error::Sql`] if one stood behind something else.
pub(crate) fn put(mut clauses: Clauses, statement: &mut Statement) -> Result<(), Error> {
    struct Put<'a>(&'a mut Clauses);
    impl VisitorMut for Put<'_> {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, version, args: None, .. } = factor
                && let Some(ObjectNamePart::Identifier(last)) = name.0.last()
                && let Some(value) = self.0.0.remove(&place(last.span.start))
            {
                *version = Some(TableVersion::ForSystemTimeAsOf(value));
            }
            ControlFlow::Continue(())
        }
    }
    let _ = statement.visit(&mut Put(&mut clauses));
    match clauses.0.keys().next() {
        None => Ok(()),
        Some((line, column)) => {
            let message =
                format!("AS OF stands behind the name of a table, before its alias (line {line}, column {column})");
            Err(Error::sql("sql-syntax", message))
        }
    }
}

/// The states that a statement asks for, and the name of the schema that has the tables of each.
#[derive(Debug, Default)]
pub(crate) struct Versions(pub(crate) BTreeMap<AsOf, String>);

/// Sends each table with a clause to the schema of its state.
///
/// # Errors
/// [`Error::Parameter`] if a clause names no state, [`Error::Sql`] if its table has none.
pub(crate) fn resolve(statement: &mut Statement, now_ns: i64) -> Result<Versions, Error> {
    struct Resolve {
        versions: Versions,
        now_ns: i64,
        error: Option<Error>,
    }
    impl VisitorMut for Resolve {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            match self.table(factor) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    self.error = Some(error);
                    ControlFlow::Break(())
                }
            }
        }
    }
    impl Resolve {
        fn table(&mut self, factor: &mut TableFactor) -> Result<(), Error> {
            let TableFactor::Table { name, alias, version, .. } = factor else { return Ok(()) };
            let Some(TableVersion::ForSystemTimeAsOf(value)) = version.take() else { return Ok(()) };
            let text = literal(&value).ok_or_else(|| wrong(&value.to_string()))?;
            let as_of = AsOf::parse(&text, self.now_ns)?;
            let Some(ObjectNamePart::Identifier(table)) = name.0.last().cloned() else { return Ok(()) };
            let system = name.0.len() > 1 && name.0[name.0.len() - 2].to_string().eq_ignore_ascii_case("system");
            if system && !table.value.eq_ignore_ascii_case("ingest_rejects") {
                let message = format!("{name} has no AS OF: it tells how things are now");
                return Err(Error::sql("sql-invalid", message));
            }
            let count = self.versions.0.len();
            let schema = self.versions.0.entry(as_of).or_insert_with(|| format!("as of {count}")).clone();
            if alias.is_none() {
                let (name, columns) = (table.clone(), Vec::new());
                *alias = Some(TableAlias { explicit: true, name, columns, at: None });
            }
            *name = ObjectName(vec![
                ObjectNamePart::Identifier(Ident::with_quote('"', schema)),
                ObjectNamePart::Identifier(table),
            ]);
            Ok(())
        }
    }
    let mut resolving = Resolve { versions: Versions::default(), now_ns, error: None };
    let _ = statement.visit(&mut resolving);
    resolving.error.map_or(Ok(resolving.versions), Err)
}

/// The text of a literal, also of one that was bound as a time.
fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _) | Value::SingleQuotedString(text), .. }) => {
            Some(text.clone())
        }
        Expr::Cast { expr, .. } => literal(expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    const NOW: i64 = 1_795_370_400_000_000_000;

    fn rewritten(sql: &str) -> Result<(String, Vec<AsOf>), Error> {
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().unwrap();
        let (tokens, clauses) = take(tokens);
        let parser = Parser::new(&GenericDialect {}).with_tokens_with_locations(tokens).parse_statements();
        let mut statement = parser.unwrap().remove(0);
        put(clauses, &mut statement)?;
        let versions = resolve(&mut statement, NOW)?;
        Ok((statement.to_string(), versions.0.into_keys().collect()))
    }

    #[track_caller]
    fn check(sql: &str, expected: &str, versions: &[AsOf]) {
        assert_eq!(rewritten(sql).unwrap(), (expected.to_owned(), versions.to_vec()));
    }

    #[test]
    fn tables_go_to_the_schema_of_their_state() {
        let one = "SELECT s.name FROM \"as of 0\".spans AS s";
        check("SELECT s.name FROM spans VERSION AS OF 42 AS s", one, &[AsOf::Entry(42)]);
        check(
            "SELECT s.name FROM spans FOR SYSTEM_TIME AS OF 'now-1h' s",
            &one.replace(" AS s", " s"),
            &[AsOf::Time(NOW - 3_600_000_000_000)],
        );
        check(
            "SELECT s.name FROM spans timestamp as of TIMESTAMP '2026-11-22T18:00:00Z' AS s",
            one,
            &[AsOf::Time(NOW)],
        );
        check("SELECT name FROM logs", "SELECT name FROM logs", &[]);
        check("SELECT version AS of FROM logs", "SELECT version AS of FROM logs", &[]);
        check(
            "SELECT * FROM spans FOR VERSION AS OF 1 JOIN spans AS now ON true WHERE x IN (SELECT 1 FROM actors VERSION AS OF 1)",
            "SELECT * FROM \"as of 0\".spans AS spans JOIN spans AS now ON true WHERE x IN (SELECT 1 FROM \"as of 0\".actors AS actors)",
            &[AsOf::Entry(1)],
        );
    }

    #[test]
    fn what_is_no_state_or_no_table_is_refused() {
        let error = |sql: &str| rewritten(sql).unwrap_err().to_string();
        assert!(error("SELECT 1 FROM spans FOR SYSTEM_TIME AS OF 'yesterday'").contains("no state of the data"));
        assert!(error("SELECT 1 FROM spans s VERSION AS OF 3").contains("before its alias"));
        assert!(error("SELECT 1 FROM system.files VERSION AS OF 3").contains("how things are now"));
    }
}
