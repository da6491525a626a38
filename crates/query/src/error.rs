use std::time::Duration;

/// Why a query gave no answer, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The SQL is wrong: change it.
    #[error("{}", .0.message)]
    Sql(SqlError),
    /// A parameter is missing, unknown or malformed: send it right.
    #[error("{message}")]
    Parameter {
        /// `parameter-missing`, `parameter-unknown` or `parameter-invalid`.
        code: &'static str,
        /// The parameter, without `$`.
        name: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// The statement does more than read: only SELECT, EXPLAIN, SHOW TABLES and DESCRIBE run here.
    #[error("{message}")]
    Forbidden {
        /// What was asked for.
        message: String,
    },
    /// The query is over a bound: make it smaller.
    #[error("{message}")]
    Limit {
        /// `limit-text`, `limit-tokens`, `limit-depth`, `limit-terms`, `limit-argument` or `limit-memory`.
        code: &'static str,
        /// The bound and how to stay within it.
        message: String,
    },
    /// The deadline passed: narrow the time range, or allow more time.
    #[error("query was stopped after {} ms: narrow the time range or raise the timeout", .after.as_millis())]
    Timeout {
        /// The time it was given.
        after: Duration,
    },
    /// Something asked for by name or number does not exist.
    #[error("{message}")]
    NotFound {
        /// What does not exist.
        message: String,
    },
    /// The store or the query engine is busy or down: retry.
    #[error("storage unavailable: {detail}")]
    Unavailable {
        /// What failed.
        detail: String,
    },
    /// A live file is missing or damaged, so the answer would not be whole: repair the store, or set the file aside.
    #[error(
        "file \"{file}\" could not be read: {detail}; `tracehound data verify --quarantine` finds damaged files and sets them aside"
    )]
    Corrupt {
        /// The file, by its place in the store.
        file: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A bug of ours.
    #[error("internal error: {detail}")]
    Internal {
        /// What was found, for the server's log rather than for replies.
        detail: String,
    },
}

/// What is wrong in a SQL text, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqlError {
    /// `sql-syntax`, `sql-unknown-column`, `sql-unknown-table`, `sql-unknown-function`,
    /// `sql-type`, `sql-bad-id`, `sql-invalid` or `sql-execution`.
    pub code: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
    /// The line, from 1, where known.
    pub line: Option<u64>,
    /// The column, from 1, in characters, where known.
    pub column: Option<u64>,
    /// The length of the wrong part in characters, where known.
    pub length: Option<u64>,
    /// Names that may have been meant, the likeliest first.
    pub did_you_mean: Vec<String>,
}

impl Error {
    /// The stable code, such as `sql-unknown-column`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Sql(error) => error.code,
            Self::Parameter { code, .. } | Self::Limit { code, .. } => code,
            Self::Forbidden { .. } => "sql-not-allowed",
            Self::Timeout { .. } => "timeout",
            Self::NotFound { .. } => "not-found",
            Self::Unavailable { .. } => "storage-unavailable",
            Self::Corrupt { .. } => "storage-corrupt",
            Self::Internal { .. } => "internal",
        }
    }

    /// Whether the same query may succeed later.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout { .. })
    }

    /// Names that may have been meant; empty where that does not apply.
    pub fn did_you_mean(&self) -> &[String] {
        match self {
            Self::Sql(error) => &error.did_you_mean,
            _ => &[],
        }
    }

    pub(crate) fn sql(code: &'static str, message: impl Into<String>) -> Self {
        Self::Sql(SqlError { code, message: message.into(), ..SqlError::default() })
    }

    pub(crate) fn limit(code: &'static str, message: impl Into<String>) -> Self {
        Self::Limit { code, message: message.into() }
    }

    pub(crate) fn internal(detail: impl ToString) -> Self {
        Self::Internal { detail: detail.to_string() }
    }

    pub(crate) fn parameter(code: &'static str, name: &str, message: impl Into<String>) -> Self {
        Self::Parameter { code, name: name.to_owned(), message: message.into() }
    }
}

impl From<tracehound_storage::Error> for Error {
    fn from(error: tracehound_storage::Error) -> Self {
        use tracehound_storage::Error as Storage;
        match error {
            Storage::NoSuchEntry { .. } => Self::NotFound { message: error.to_string() },
            Storage::Corrupt { path, detail } => Self::Corrupt { file: file_name(&path), detail },
            Storage::Internal { detail } => Self::Internal { detail },
            Storage::Io { path, source } => Self::Unavailable { detail: format!("{}: {source}", file_name(&path)) },
            other => Self::Unavailable { detail: other.to_string() },
        }
    }
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
