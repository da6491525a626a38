//! What went wrong in DataFusion, in the words of [`Error`].

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use parquet::errors::ParquetError;

use crate::Error;
use crate::did_you_mean::nearest;
use crate::error::SqlError;
use crate::named_reader::FileError;

/// Translates an error over a SQL text; `names` are the tables and functions that exist.
pub(crate) fn error(error: DataFusionError, sql: &str, names: &[String]) -> Error {
    if let Some(error) = carried(&error) {
        return error;
    }
    match root(error) {
        DataFusionError::SQL(error, _) => syntax(&error),
        DataFusionError::SchemaError(error, _) => schema(*error, sql),
        DataFusionError::Plan(message) => plan(&message, sql, names),
        DataFusionError::NotImplemented(message) => {
            Error::sql("sql-invalid", format!("not supported: {}", first_line(&message)))
        }
        DataFusionError::ResourcesExhausted(_) => {
            let message = "the query needs more memory than it may use: narrow the time range or the columns";
            Error::limit("limit-memory", message)
        }
        DataFusionError::Execution(message) if message.starts_with("Cannot access field") => {
            Error::sql("sql-type", first_line(&message))
        }
        DataFusionError::Execution(message) => Error::sql("sql-execution", first_line(&message)),
        // How Parquet's decoder fails in the middle of a page.
        DataFusionError::ArrowError(error, _) if matches!(*error, arrow::error::ArrowError::ParquetError(_)) => {
            Error::Corrupt { file: FileError::UNKNOWN.to_owned(), detail: first_line(&error.to_string()) }
        }
        DataFusionError::ArrowError(error, _) => Error::sql("sql-execution", first_line(&error.to_string())),
        DataFusionError::ObjectStore(error) => match *error {
            object_store::Error::NotFound { path, .. } => {
                Error::Corrupt { file: path, detail: "it does not exist".to_owned() }
            }
            other => Error::Unavailable { detail: first_line(&other.to_string()) },
        },
        DataFusionError::ParquetError(error) => {
            Error::Corrupt { file: FileError::UNKNOWN.to_owned(), detail: first_line(&error.to_string()) }
        }
        other => Error::Internal { detail: other.to_string() },
    }
}

/// An error of this crate, or of a named file, that travelled through DataFusion.
fn carried(error: &DataFusionError) -> Option<Error> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = source {
        if let Some(error) = at.downcast_ref::<Error>() {
            return Some(error.clone());
        }
        if let Some(found) = at.downcast_ref::<FileError>() {
            let (file, detail) = (found.file.clone(), found.detail.clone());
            return Some(if found.is_unavailable {
                Error::Unavailable { detail: format!("{file}: {detail}") }
            } else {
                Error::Corrupt { file, detail }
            });
        }
        source = match at.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Collection(errors)) => errors.first().map(|e| e as _),
            Some(DataFusionError::ParquetError(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            _ => match (at.downcast_ref::<ParquetError>(), at.downcast_ref::<arrow::error::ArrowError>()) {
                (Some(ParquetError::External(inner)), _) => Some(inner.as_ref()),
                (_, Some(arrow::error::ArrowError::ExternalError(inner))) => Some(inner.as_ref()),
                _ => at.source(),
            },
        };
    }
    None
}

fn root(error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(*inner),
        DataFusionError::Collection(mut errors) if !errors.is_empty() => root(errors.swap_remove(0)),
        DataFusionError::Shared(inner) => match std::sync::Arc::try_unwrap(inner) {
            Ok(inner) => root(inner),
            Err(shared) => DataFusionError::Execution(shared.strip_backtrace()),
        },
        other => other,
    }
}

fn syntax(error: &ParserError) -> Error {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
        ParserError::RecursionLimitExceeded => {
            return Error::limit("limit-depth", "the SQL is nested too deeply");
        }
    };
    // sqlparser puts the place at the end: "…, found: x at Line: 1, Column: 8".
    let (message, place) = match text.rsplit_once(" at Line: ") {
        Some((message, place)) => (message.to_owned(), Some(place)),
        None => (text.clone(), None),
    };
    let place = place.and_then(|place| place.split_once(", Column: "));
    let line = place.and_then(|(line, _)| line.trim().parse().ok());
    let column = place.and_then(|(_, column)| column.trim().parse().ok());
    Error::Sql(SqlError { code: "sql-syntax", message, line, column, ..SqlError::default() })
}

fn schema(error: SchemaError, sql: &str) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let near = nearest(&field.name, valid_fields.iter().map(|field| field.name.as_str()));
            let message = format!("there is no column {:?}", field.name);
            named("sql-unknown-column", message, &field.name, near, sql)
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!("column {:?} is ambiguous: say which table", field.name);
            named("sql-invalid", message, &field.name, Vec::new(), sql)
        }
        other => Error::sql("sql-invalid", first_line(&other.to_string())),
    }
}

fn plan(message: &str, sql: &str, names: &[String]) -> Error {
    let message = first_line(message);
    if let Some(table) = between(&message, "table '", "' not found") {
        let name = table.rsplit('.').next().unwrap_or(table);
        let near = nearest(name, names.iter().map(String::as_str));
        return named("sql-unknown-table", format!("there is no table {name:?}"), name, near, sql);
    }
    let function = between(&message, "Invalid function '", "'").or_else(|| between(&message, "table function '", "'"));
    if let Some(name) = function {
        let near = nearest(name, names.iter().map(String::as_str));
        return named("sql-unknown-function", format!("there is no function {name:?}"), name, near, sql);
    }
    let about_types = ["coerce", "type", "Cast", "cast", "signature", "argument"];
    let code = if about_types.iter().any(|word| message.contains(word)) { "sql-type" } else { "sql-invalid" };
    Error::sql(code, message)
}

fn named(code: &'static str, message: String, name: &str, did_you_mean: Vec<String>, sql: &str) -> Error {
    let place = place(sql, name);
    let length = place.map(|_| name.chars().count() as u64);
    let (line, column) = place.unzip();
    Error::Sql(SqlError { code, message, line, column, length, did_you_mean })
}

/// Where a name first stands in a SQL text.
fn place(sql: &str, name: &str) -> Option<(u64, u64)> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let found = tokens.iter().find(|token| match &token.token {
        Token::Word(word) => word.value.eq_ignore_ascii_case(name),
        Token::SingleQuotedString(text) => text == name,
        _ => false,
    })?;
    Some((found.span.start.line, found.span.start.column))
}

/// Adds the place of a quoted text to an error that has none.
pub(crate) fn locate(mut error: Error, sql: &str) -> Error {
    if let Error::Sql(found) = &mut error
        && found.line.is_none()
        && found.code == "sql-bad-id"
    {
        let text = between(&found.message, "\"", "\"").unwrap_or_default().to_owned();
        if let Some((line, column)) = place(sql, &text) {
            (found.line, found.column) = (Some(line), Some(column));
            found.length = Some(text.chars().count() as u64 + 2);
        }
    }
    error
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(&rest[..rest.find(after)?])
}

/// What a user should read: no backtrace, no paths of the server.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("Error during planning: ").unwrap_or(line);
    line.chars().take(500).collect()
}
