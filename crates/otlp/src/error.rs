/// Why a message could not be decoded, or rows not be turned into one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not the message they should be; sending them again is useless.
    #[error("malformed {what}: {detail}")]
    Malformed {
        /// What was being read, such as `ExportTraceServiceRequest`.
        what: &'static str,
        /// What is wrong, and where.
        detail: String,
    },
    /// Values nest deeper than the limit; the sender has to flatten them.
    #[error(
        "values nested too deeply at {place}: at most {levels_max} levels of arrays and maps (maps count one and a half, at most 45 in all) are accepted"
    )]
    TooDeep {
        /// The limit.
        levels_max: usize,
        /// Where the level beyond the limit begins: a byte, or line and column.
        place: String,
    },
    /// The message would take too much memory; the sender has to split it.
    #[error("message too large: {what} would take more than {bytes_max} bytes in memory; send smaller batches")]
    TooLarge {
        /// What would take it.
        what: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// The rows do not have the columns of their dataset.
    #[error("rows are not of the expected dataset: {detail}")]
    Rows {
        /// Which column, and what is wrong with it.
        detail: String,
    },
}
