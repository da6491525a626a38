use arrow::array::RecordBatch;

/// What a payload decodes to.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The accepted records, in message order, with the schema of the signal's dataset.
    pub rows: RecordBatch,
    /// The rejected records, with the schema of `Dataset::IngestRejects`.
    pub rejects: RecordBatch,
    /// Why records were rejected, for people: empty when none were.
    pub message: String,
}

impl Decoded {
    /// The number of accepted records: spans, log records or data points.
    pub fn accepted(&self) -> usize {
        self.rows.num_rows()
    }

    /// The number of rejected records.
    pub fn rejected(&self) -> usize {
        self.rejects.num_rows()
    }
}
