//! What may be asked at all: one statement that only reads, of a size that planning survives.
//!
//! Planners recurse over what they are given, so that small texts can exhaust a stack or take minutes.
//! The bounds here are counted on tokens and on the syntax tree, before anything recurses deeply.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement as DFStatement};
use datafusion::sql::sqlparser::ast::{ObjectName, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::error::SqlError;
use crate::{Error, QueryLimits, as_of};

/// The deepest nesting of brackets and CASE.
const DEPTH_MAX: usize = 64;
/// The most operators in a statement, all expressions together.
const OPERATORS_MAX: usize = 2000;
/// The most members of UNION, INTERSECT and EXCEPT.
const SET_MEMBERS_MAX: usize = 64;
/// The most joins as written.
const JOINS_MAX: usize = 64;
/// The most table references when every WITH is put in where it is used.
const TABLES_EXPANDED_MAX: u64 = 1500;
/// The parser's own bound of nesting.
const PARSER_DEPTH_MAX: usize = 128;

/// Parses one statement, if it is small enough and only reads.
///
/// # Errors
/// [`Error::Limit`], [`Error::Sql`] with the place of a syntax error, [`Error::Forbidden`].
pub(crate) fn parse(sql: &str, limits: &QueryLimits) -> Result<DFStatement, Error> {
    if sql.len() > limits.sql_bytes_max {
        let message = format!("the SQL has {} bytes, the limit is {}", sql.len(), limits.sql_bytes_max);
        return Err(Error::limit("limit-text", message));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    let tokens = tokens.map_err(|e| {
        let (line, column) = (Some(e.location.line), Some(e.location.column));
        Error::Sql(SqlError { code: "sql-syntax", message: e.message, line, column, ..SqlError::default() })
    })?;
    count_tokens(&tokens, limits)?;

    let (tokens, clauses) = as_of::take(tokens);
    let parser = DFParserBuilder::new(tokens).with_dialect(&GenericDialect {}).with_recursion_limit(PARSER_DEPTH_MAX);
    let statements = parser.build().and_then(|mut parser| parser.parse_statements());
    let mut statements = statements.map_err(|e| crate::explain::error(e, sql, &[]))?;
    let mut statement = match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => statement,
        (None, _) => return Err(Error::sql("sql-syntax", "the SQL is empty: write a SELECT")),
        (_, more) => {
            let message = format!("one statement at a time: there are {}", more + 1);
            return Err(Error::sql("sql-syntax", message));
        }
    };
    put_clauses(clauses, &mut statement)?;
    check_reads(&statement)?;
    check_settings(&statement)?;
    check_tables(&statement)?;
    Ok(statement)
}

fn count_tokens(tokens: &[TokenWithSpan], limits: &QueryLimits) -> Result<(), Error> {
    let words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let (mut count, mut depth, mut operators, mut members, mut joins) = (0, 0_usize, 0, 1, 0);
    let mut signs = 0;
    for token in words {
        count += 1;
        // A run of prefix operators nests as brackets do.
        let is_sign = match &token.token {
            Token::Plus | Token::Minus | Token::Tilde => true,
            Token::Word(word) => word.keyword == Keyword::NOT,
            _ => false,
        };
        signs = if is_sign { signs + 1 } else { 0 };
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Word(word) => match word.keyword {
                Keyword::CASE => depth += 1,
                Keyword::END => depth = depth.saturating_sub(1),
                Keyword::AND | Keyword::OR | Keyword::NOT | Keyword::IS | Keyword::LIKE | Keyword::IN => operators += 1,
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => members += 1,
                Keyword::JOIN => joins += 1,
                _ => {}
            },
            Token::Comma | Token::Number(..) | Token::SingleQuotedString(_) | Token::Period | Token::SemiColon => {}
            Token::Placeholder(_) | Token::EOF => {}
            _ => operators += 1,
        }
        let over = |what: &'static str, code, max: usize| {
            let at = token.span.start;
            let message = format!("the SQL has more than {max} {what} (at line {}, column {})", at.line, at.column);
            Err(Error::limit(code, message))
        };
        if count > limits.tokens_max {
            return over("tokens", "limit-tokens", limits.tokens_max);
        }
        if depth.max(signs) > DEPTH_MAX {
            return over("levels of nesting", "limit-depth", DEPTH_MAX);
        }
        if operators > OPERATORS_MAX {
            return over("operators", "limit-terms", OPERATORS_MAX);
        }
        if members > SET_MEMBERS_MAX {
            return over("members of UNION", "limit-terms", SET_MEMBERS_MAX);
        }
        if joins > JOINS_MAX {
            return over("joins", "limit-terms", JOINS_MAX);
        }
    }
    Ok(())
}

fn put_clauses(clauses: as_of::Clauses, statement: &mut DFStatement) -> Result<(), Error> {
    match statement {
        DFStatement::Statement(statement) => as_of::put(clauses, statement),
        DFStatement::Explain(explain) => put_clauses(clauses, &mut explain.statement),
        _ => Ok(()),
    }
}

fn check_reads(statement: &DFStatement) -> Result<(), Error> {
    let allowed = match statement {
        DFStatement::Statement(statement) => reads(statement),
        DFStatement::Explain(explain) => return check_reads(&explain.statement),
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    let text = statement.to_string();
    let verb: String = text.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let message = format!("{verb} is not allowed: only SELECT, EXPLAIN, SHOW TABLES and DESCRIBE run here");
    Err(Error::Forbidden { message })
}

fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Query(query) => query_reads(query),
        Statement::Explain { statement, .. } => reads(statement),
        Statement::ShowTables { .. } | Statement::ShowColumns { .. } | Statement::ExplainTable { .. } => true,
        Statement::ShowFunctions { .. } => true,
        _ => false,
    }
}

fn query_reads(query: &Query) -> bool {
    let mut reader = Reads { only: query.locks.is_empty() };
    let _ = query.visit(&mut reader);
    reader.only
}

/// Finds what a query does besides reading: SELECT INTO, and statements in the place of a query.
struct Reads {
    only: bool,
}

impl Visitor for Reads {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let writes = matches!(
            query.body.as_ref(),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
        );
        self.only &= !writes;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.only &= select.into.is_none();
        ControlFlow::Continue(())
    }
}

/// Refuses the one table of `information_schema` that tells about the server instead of the data.
fn check_settings(statement: &DFStatement) -> Result<(), Error> {
    let statement = match statement {
        DFStatement::Statement(statement) => statement,
        DFStatement::Explain(explain) => return check_settings(&explain.statement),
        _ => return Ok(()),
    };
    struct Settings;
    impl Visitor for Settings {
        type Break = ();
        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            match relation.0.last() {
                Some(last) if last.to_string().trim_matches('"').eq_ignore_ascii_case("df_settings") => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match statement.visit(&mut Settings) {
        ControlFlow::Break(()) => Err(Error::Forbidden { message: "settings cannot be read by SQL".to_owned() }),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Bounds what a statement grows to when every WITH is put in where it is used.
fn check_tables(statement: &DFStatement) -> Result<(), Error> {
    let statement = match statement {
        DFStatement::Statement(statement) => statement,
        DFStatement::Explain(explain) => return check_tables(&explain.statement),
        _ => return Ok(()),
    };
    let mut counted = Tables { scopes: Vec::new(), sizes: vec![0] };
    let _ = statement.visit(&mut counted);
    let total = counted.sizes.first().copied().unwrap_or(0);
    if total > TABLES_EXPANDED_MAX {
        let message = format!(
            "the SQL reads {total} tables once every WITH is put in where it is used, the limit is {TABLES_EXPANDED_MAX}"
        );
        return Err(Error::limit("limit-terms", message));
    }
    Ok(())
}

/// Counts table references. WITHs are visited before the body that uses them.
struct Tables {
    /// The WITHs of the queries around, with their size.
    scopes: Vec<(HashMap<String, u64>, Vec<String>)>,
    /// The size so far of each query around.
    sizes: Vec<u64>,
}

impl Visitor for Tables {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let names = query.with.iter().flat_map(|with| &with.cte_tables);
        let mut names: Vec<_> = names.map(|cte| cte.alias.name.value.to_lowercase()).collect();
        names.reverse();
        self.scopes.push((HashMap::new(), names));
        self.sizes.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        let size = self.sizes.pop().unwrap_or(0).saturating_add(1);
        // The queries right below one with WITHs are these, in order, then its body's.
        let named = self.scopes.last_mut().and_then(|(sizes, names)| Some((sizes, names.pop()?)));
        match named {
            Some((sizes, name)) => {
                sizes.insert(name, size);
            }
            None => self.add(size),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = factor {
            let size = self.size_of(name);
            self.add(size);
        }
        ControlFlow::Continue(())
    }
}

impl Tables {
    fn add(&mut self, size: u64) {
        if let Some(total) = self.sizes.last_mut() {
            *total = total.saturating_add(size);
        }
    }

    fn size_of(&self, name: &ObjectName) -> u64 {
        let name = name.to_string().to_lowercase();
        let found = self.scopes.iter().rev().find_map(|(sizes, _)| sizes.get(&name));
        found.copied().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests;
