//! An answer as bytes, a piece at a time.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use arrow::ipc::writer::StreamWriter;
use tracehound_query::{Answer, Error, render};

use super::format::Format;
use super::reply::Form;

/// Pieces are about this large. One of a few rows with long values may be larger.
const PIECE_BYTES: usize = 256 << 10;
/// The rows that are rendered before the size of a piece is looked at again.
const ROWS_AT_ONCE: usize = 64;
/// Where the rows stand in the JSON document of an answer without rows. Quotes inside of names and texts
/// have a backslash before them, so this stands there once.
const NO_ROWS: &[u8] = b"\"rows\":[],\"truncated\":";

/// Renders an answer; see [`Pieces::next`].
pub(super) struct Pieces {
    batches: std::vec::IntoIter<RecordBatch>,
    /// The batch in work, and its first row that is not rendered yet.
    current: Option<(RecordBatch, usize)>,
    form: Form,
    writer: Option<StreamWriter<Vec<u8>>>,
    /// What stands before the rows, then nothing.
    head: Vec<u8>,
    /// What stands after them.
    tail: Option<Vec<u8>>,
    any_row: bool,
    rows_at_once: usize,
}

impl Pieces {
    /// # Errors
    /// [`Error::Internal`] for a column of a type that has no form here.
    pub(super) fn new(answer: Answer, form: Form) -> Result<Self, Error> {
        let batches = answer.batches;
        let answer = Answer { batches: Vec::new(), ..answer };
        let (mut head, mut tail, mut writer) = (Vec::new(), Vec::new(), None);
        match form.format {
            Format::Json => {
                head = render::json(&answer, form.rows)?;
                let rows = head.windows(NO_ROWS.len()).position(|text| text == NO_ROWS);
                let rows = rows.ok_or_else(|| internal("the answer's document has no place for rows"))?;
                tail = head.split_off(rows + "\"rows\":[".len());
            }
            Format::Ndjson => {}
            Format::Csv => render::csv_header(&answer.schema, &mut head),
            Format::Arrow => writer = Some(StreamWriter::try_new(Vec::new(), &answer.schema).map_err(internal)?),
        }
        let rows_at_once = if shares_values(&answer.schema) { 1 } else { ROWS_AT_ONCE };
        let batches = batches.into_iter();
        Ok(Self { batches, current: None, form, writer, head, tail: Some(tail), any_row: false, rows_at_once })
    }

    /// The next piece; `None` when the answer is complete.
    ///
    /// # Errors
    /// [`Error::Internal`] for a value of a type that has no form here.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut piece = std::mem::take(&mut self.head);
        while piece.len() < PIECE_BYTES {
            let Some(rows) = self.rows() else {
                let Some(tail) = self.tail.take() else { break };
                if let Some(mut writer) = self.writer.take() {
                    writer.finish().map_err(internal)?;
                    piece.append(writer.get_mut());
                }
                piece.extend_from_slice(&tail);
                break;
            };
            self.write(&rows, &mut piece)?;
            self.any_row = true;
        }
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// The next few rows. Arrow's batches stay whole: each piece of one would carry all its dictionaries.
    fn rows(&mut self) -> Option<RecordBatch> {
        let (batch, from) = match self.current.take() {
            Some(current) => current,
            None => (self.batches.find(|batch| batch.num_rows() > 0)?, 0),
        };
        if self.writer.is_some() {
            return Some(batch);
        }
        let count = self.rows_at_once.min(batch.num_rows() - from);
        let rows = batch.slice(from, count);
        if from + count < batch.num_rows() {
            self.current = Some((batch, from + count));
        }
        Some(rows)
    }

    fn write(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(writer) = &mut self.writer {
            writer.write(rows).map_err(internal)?;
            out.append(writer.get_mut());
            return Ok(());
        }
        match (self.form.format, self.form.rows) {
            (Format::Csv, _) => render::csv(rows, out),
            (Format::Json, render::Rows::Arrays) => {
                for row in render::json_rows(rows)? {
                    if std::mem::replace(&mut self.any_row, true) {
                        out.push(b',');
                    }
                    serde_json::to_writer(&mut *out, &row).map_err(internal)?;
                }
                Ok(())
            }
            (Format::Json, render::Rows::Objects) => {
                if self.any_row {
                    out.push(b',');
                }
                // A line end is never inside of a JSON text, so each stands between two rows.
                let from = out.len();
                render::ndjson(rows, out)?;
                out.pop();
                for byte in &mut out[from..] {
                    if *byte == b'\n' {
                        *byte = b',';
                    }
                }
                Ok(())
            }
            (Format::Ndjson | Format::Arrow, _) => render::ndjson(rows, out),
        }
    }
}

/// Whether many rows may point at one value: then a little memory can be a lot of text.
fn shares_values(schema: &Schema) -> bool {
    use DataType as T;
    let shares = |data_type: &T| match data_type {
        T::Utf8View | T::BinaryView | T::Dictionary(..) | T::RunEndEncoded(..) => true,
        other => matches!(other, T::ListView(_) | T::LargeListView(_)),
    };
    schema.flattened_fields().iter().any(|field| shares(field.data_type()))
}

fn internal(detail: impl ToString) -> Error {
    Error::Internal { detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use arrow::ipc::reader::StreamReader;
    use tracehound_query::{Receipt, Truncation};

    use super::*;

    /// Three batches, one of them empty; a name that looks like the place of the rows.
    fn answer() -> Answer {
        let fields = vec![
            Field::new("n", DataType::Int64, false),
            Field::new("\"rows\":[],\"truncated\":", DataType::Utf8, true),
        ];
        let schema = Arc::new(Schema::new(fields));
        let batch = |numbers: std::ops::Range<i64>| {
            let texts = numbers.clone().map(|n| (n % 3 > 0).then(|| format!("line\n{}", "x".repeat(3000))));
            let columns: Vec<arrow::array::ArrayRef> =
                vec![Arc::new(Int64Array::from_iter_values(numbers.clone())), Arc::new(StringArray::from_iter(texts))];
            RecordBatch::try_new(Arc::clone(&schema), columns).expect("a batch")
        };
        Answer {
            batches: vec![batch(0..300), batch(0..0), batch(300..1000)],
            schema,
            truncated: Some(Truncation::Rows(1000)),
            receipt: Receipt { rows: 1000, ..Receipt::default() },
            query_id: "q".to_owned(),
        }
    }

    fn whole(answer: Answer, format: Format, rows: render::Rows) -> (Vec<u8>, usize) {
        let mut pieces = Pieces::new(answer, Form { format, rows }).expect("renders");
        let (mut bytes, mut count) = (Vec::new(), 0);
        while let Some(piece) = pieces.next().expect("renders") {
            assert!(!piece.is_empty());
            bytes.extend(piece);
            count += 1;
        }
        (bytes, count)
    }

    #[test]
    fn pieces_make_the_whole_document() {
        for rows in [render::Rows::Arrays, render::Rows::Objects] {
            let (bytes, count) = whole(answer(), Format::Json, rows);
            assert!(count > 5, "{count} pieces");
            assert!(bytes == render::json(&answer(), rows).expect("renders"), "{rows:?}");
            let nothing = Answer { batches: Vec::new(), ..answer() };
            assert_eq!(whole(nothing.clone(), Format::Json, rows).0, render::json(&nothing, rows).expect("renders"));
        }
    }

    #[test]
    fn pieces_make_whole_lines() {
        let (lines, count) = whole(answer(), Format::Ndjson, render::Rows::Arrays);
        assert!(count > 5, "{count} pieces");
        let lines = String::from_utf8(lines).expect("text");
        let numbers: Vec<_> =
            lines.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON")["n"].clone()).collect();
        assert_eq!(numbers, (0..1000).map(serde_json::Value::from).collect::<Vec<_>>());

        let mut expected = Vec::new();
        render::csv_header(&answer().schema, &mut expected);
        for batch in answer().batches {
            render::csv(&batch, &mut expected).expect("renders");
        }
        assert!(whole(answer(), Format::Csv, render::Rows::Arrays).0 == expected);
        let nothing = Answer { batches: Vec::new(), ..answer() };
        assert_eq!(whole(nothing, Format::Ndjson, render::Rows::Arrays), (Vec::new(), 0));
    }

    #[test]
    fn pieces_make_an_arrow_stream() {
        let (bytes, _) = whole(answer(), Format::Arrow, render::Rows::Arrays);
        let read: Vec<_> = StreamReader::try_new(bytes.as_slice(), None)
            .expect("a stream")
            .collect::<Result<_, _>>()
            .expect("batches");
        let expected: Vec<_> = answer().batches.into_iter().filter(|batch| batch.num_rows() > 0).collect();
        assert_eq!(read, expected);
    }
}
