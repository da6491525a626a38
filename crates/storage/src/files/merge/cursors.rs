//! Many sorted inputs as one.

use std::cmp::Ordering;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::row::Rows;
use tracehound_schema::Dataset;

use crate::files::read::Input;
use crate::files::sort::Sorter;
use crate::files::write::ROWS_AT_ONCE;
use crate::{Error, runtime};

/// Gives the rows of sorted inputs in order; equal ones in the order of inputs.
pub(super) struct Cursors {
    sorter: Sorter,
    cursors: Vec<Cursor>,
    /// Indices of cursors that have rows, a binary heap with the least row on top.
    heap: Vec<usize>,
    /// The batches that the cursors are in, and those they left since the last [`next`](Self::next).
    batches: Vec<RecordBatch>,
}

struct Cursor {
    input: Input,
    keys: Option<Rows>,
    row: usize,
    /// Its batch's place in [`Cursors::batches`].
    batch: usize,
}

impl Cursors {
    pub(super) fn new(dataset: Dataset, inputs: Vec<Input>) -> Result<Self, Error> {
        let cursors = inputs.into_iter().map(|input| Cursor { input, keys: None, row: 0, batch: 0 }).collect();
        let mut new = Self { sorter: Sorter::new(dataset)?, cursors, heap: Vec::new(), batches: Vec::new() };
        for cursor in 0..new.cursors.len() {
            if new.load(cursor)? {
                new.heap.push(cursor);
            }
        }
        for place in (0..new.heap.len()).rev() {
            new.sink(place);
        }
        Ok(new)
    }

    /// The next rows, sorted; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let mut places = Vec::with_capacity(ROWS_AT_ONCE);
        while places.len() < ROWS_AT_ONCE
            && let Some(&top) = self.heap.first()
        {
            let cursor = &mut self.cursors[top];
            places.push((cursor.batch, cursor.row));
            cursor.row += 1;
            let ended = cursor.keys.as_ref().is_none_or(|keys| cursor.row == keys.num_rows());
            if ended && !self.load(top)? {
                self.heap.swap_remove(0);
            }
            self.sink(0);
        }
        if places.is_empty() {
            return Ok(None);
        }
        let batches: Vec<_> = self.batches.iter().collect();
        let rows = interleave_record_batch(&batches, &places).map_err(Error::internal)?;
        self.forget();
        Ok(Some(rows))
    }

    /// Loads a cursor's next batch; `false` if there is none.
    fn load(&mut self, cursor: usize) -> Result<bool, Error> {
        let cursor = &mut self.cursors[cursor];
        let rows = loop {
            match runtime::block_on(cursor.input.next())? {
                None => return Ok(false),
                Some(rows) if rows.num_rows() == 0 => {}
                Some(rows) => break rows,
            }
        };
        let keys = self.sorter.keys(&rows)?;
        let before = cursor.keys.as_ref().map(|keys| keys.row(keys.num_rows() - 1));
        let from_before = before.is_none_or(|before| before <= keys.row(0));
        if !from_before || !(1..keys.num_rows()).all(|row| keys.row(row - 1) <= keys.row(row)) {
            return Err(Error::corrupt(cursor.input.name(), "its rows are not sorted as the manifest says"));
        }
        cursor.keys = Some(keys);
        cursor.row = 0;
        cursor.batch = self.batches.len();
        self.batches.push(rows);
        Ok(true)
    }

    /// Lets go of batches that no cursor is in.
    fn forget(&mut self) {
        let mut batches = Vec::with_capacity(self.heap.len());
        for &cursor in &self.heap {
            let cursor = &mut self.cursors[cursor];
            batches.push(self.batches[cursor.batch].clone());
            cursor.batch = batches.len() - 1;
        }
        self.batches = batches;
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let key = |cursor: usize| {
            let cursor = &self.cursors[cursor];
            cursor.keys.as_ref().map(|keys| keys.row(cursor.row))
        };
        key(a).cmp(&key(b)).then(a.cmp(&b))
    }

    /// Moves the cursor at a place of the heap down to where it belongs.
    fn sink(&mut self, mut place: usize) {
        loop {
            let children = (2 * place + 1)..(2 * place + 3).min(self.heap.len());
            let Some(least) = children.min_by(|a, b| self.compare(self.heap[*a], self.heap[*b])) else { return };
            if self.compare(self.heap[place], self.heap[least]).is_le() {
                return;
            }
            self.heap.swap(place, least);
            place = least;
        }
    }
}
