//! Frequent attributes become columns; what is left stays in the map.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryBuilder, MapArray, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef};
use tracehound_schema::{Dataset, Promoted, attribute_order_column};

use super::attributes::{Entries, KeyTable, Kind, Seen, scopes};
use super::counts::{KEY_BYTES_MAX, KeyCounts};
use crate::Error;

/// A key has to be in one row of this many.
const ROWS_PER_KEY_MAX: u64 = 100;
/// In an order of places: the next entry of the map.
const NEXT_OVERFLOW: u16 = 0xFFFF;
/// The index of a row without a value.
const NO_ENTRY: u32 = u32::MAX;

/// Chooses the keys that become columns of files with `rows` rows: those in at least
/// a hundredth of them with values of one type, the largest first if there are too many.
///
/// They stand in the order in which maps usually have them.
pub(crate) fn choose(dataset: Dataset, counts: &KeyCounts, rows: u64, keys_max: usize, rows_min: u64) -> Vec<Promoted> {
    let pays = |held: u64| held > 0 && held.saturating_mul(ROWS_PER_KEY_MAX) >= rows && held >= rows_min.min(rows);
    let mut chosen = Vec::new();
    for (scope, _) in scopes(dataset) {
        for count in counts.keys.iter().filter(|count| count.scope == scope && count.key.len() <= KEY_BYTES_MAX) {
            let (kind, held) = count.dominant();
            if pays(held) {
                let residual = count.rows() > held;
                let promoted = Promoted { scope: count.scope.clone(), key: count.key.clone(), kind, residual };
                // A column saves its key, and more, in each row that holds it.
                chosen.push((held * (8 + count.key.len() as u64), promoted));
            }
        }
    }
    if chosen.len() > keys_max {
        let mut saved: Vec<u64> = chosen.iter().map(|(saved, _)| *saved).collect();
        saved.sort_unstable_by_key(|saved| Reverse(*saved));
        let least = saved.get(keys_max.saturating_sub(1)).copied().unwrap_or(u64::MAX);
        // Ties are cut from the end.
        chosen.retain(|(saved, _)| *saved >= least);
        chosen.truncate(keys_max);
    }
    chosen.into_iter().map(|(_, promoted)| promoted).collect()
}

/// Splits maps into columns and what is left of them, batch by batch.
pub(crate) struct Splitter {
    scopes: Vec<Scope>,
}

struct Scope {
    name: &'static str,
    column: usize,
    promoted: Vec<Promoted>,
    keys: KeyTable,
    seen: Seen,
    /// By entry of a row: its promoted key, and whether it goes there.
    places: Vec<Option<(usize, bool)>>,
}

/// A map column, split.
struct Split {
    overflow: MapArray,
    columns: Vec<ArrayRef>,
    order: ArrayRef,
}

impl Splitter {
    /// For keys grouped by scope, as [`choose`] gives them.
    pub(crate) fn new(dataset: Dataset, promoted: &[Promoted]) -> Self {
        let scope = |(name, column): (&'static str, usize)| {
            let mut promoted: Vec<_> = promoted.iter().filter(|promoted| promoted.scope == name).cloned().collect();
            promoted.iter_mut().for_each(|promoted| promoted.residual = false);
            let keys = KeyTable::new(promoted.iter().map(|promoted| promoted.key.as_str().into()));
            Scope { name, column, promoted, keys, seen: Seen::default(), places: Vec::new() }
        };
        let scopes = scopes(dataset).into_iter().map(scope).filter(|scope| !scope.promoted.is_empty()).collect();
        Self { scopes }
    }

    /// The columns that follow the dataset's own: promoted ones, then orders.
    pub(crate) fn fields(&self) -> Vec<FieldRef> {
        let promoted = self.scopes.iter().flat_map(|scope| scope.promoted.iter().map(Promoted::field));
        let order = |scope: &Scope| Field::new(attribute_order_column(scope.name), DataType::Binary, true);
        promoted.chain(self.scopes.iter().map(order)).map(Arc::new).collect()
    }

    /// The promoted keys, in column order; `residual` tells of the rows split so far.
    pub(crate) fn promoted(&self) -> Vec<Promoted> {
        self.scopes.iter().flat_map(|scope| scope.promoted.iter().cloned()).collect()
    }

    /// The columns of rows that have the dataset's: those with maps cut down, then [`fields`](Self::fields).
    pub(crate) fn split(&mut self, rows: &RecordBatch) -> Result<Vec<ArrayRef>, Error> {
        let mut columns = rows.columns().to_vec();
        let (mut promoted, mut orders) = (Vec::new(), Vec::new());
        for scope in &mut self.scopes {
            let split = scope.split(&columns[scope.column])?;
            columns[scope.column] = Arc::new(split.overflow);
            promoted.extend(split.columns);
            orders.push(split.order);
        }
        columns.extend(promoted);
        columns.extend(orders);
        Ok(columns)
    }
}

impl Scope {
    fn split(&mut self, column: &ArrayRef) -> Result<Split, Error> {
        let entries = Entries::new(column)?;
        let rows = column.len();
        self.seen.clear();
        let mut taken = vec![vec![NO_ENTRY; rows]; self.promoted.len()];
        let mut left = Vec::new();
        let mut offsets = vec![0_i32];
        let mut order = BinaryBuilder::new();
        let mut places = Vec::new();
        #[expect(clippy::needless_range_loop, reason = "a row of several columns")]
        for row in 0..rows {
            self.place(&entries, row);
            let (mut next, mut in_order, mut overflowed) = (0, true, false);
            for (entry, place) in entries.of_row(row).zip(&self.places) {
                let index = u32::try_from(entry).map_err(Error::internal)?;
                match *place {
                    Some((key, true)) => {
                        taken[key][row] = index;
                        in_order &= !overflowed && key >= next;
                        next = key + 1;
                    }
                    residual => {
                        overflowed = true;
                        left.push(index);
                        if let Some((key, _)) = residual {
                            self.promoted[key].residual = true;
                        }
                    }
                }
            }
            offsets.push(i32::try_from(left.len()).map_err(Error::internal)?);
            if in_order {
                order.append_null();
                continue;
            }
            places.clear();
            for place in &self.places {
                let place = match place {
                    Some((key, true)) => u16::try_from(*key).map_err(Error::internal)?,
                    _ => NEXT_OVERFLOW,
                };
                places.extend(place.to_le_bytes());
            }
            order.append_value(&places);
        }
        let columns = self.promoted.iter().zip(taken).map(|(promoted, taken)| {
            let values = entries.values(promoted.kind);
            take_rows(values, taken)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        Ok(Split { overflow: overflow(entries.map(), left, offsets)?, columns, order: Arc::new(order.finish()) })
    }

    /// Says for each entry of a row whether it is promoted, and where to.
    fn place(&mut self, entries: &Entries<'_>, row: usize) {
        self.places.clear();
        for (place, entry) in entries.of_row(row).enumerate() {
            let number = self.keys.find(place, entries.keys.value(entry));
            if let Some(number) = number {
                self.seen.note(number, row);
            }
            self.places.push(number.map(|number| (number, false)));
        }
        for (entry, place) in entries.of_row(row).zip(&mut self.places) {
            if let Some((key, goes)) = place {
                let fits = entries.kind(entry) == Kind::One(self.promoted[*key].kind);
                *goes = fits && !self.seen.is_repeated(*key, row);
            }
        }
    }
}

/// The values at these entries, null where there is none.
fn take_rows(values: &ArrayRef, mut taken: Vec<u32>) -> Result<ArrayRef, Error> {
    let present = BooleanBuffer::collect_bool(taken.len(), |row| taken[row] != NO_ENTRY);
    if present.count_set_bits() == 0 {
        return Ok(new_null_array(values.data_type(), taken.len()));
    }
    taken.iter_mut().filter(|entry| **entry == NO_ENTRY).for_each(|entry| *entry = 0);
    let taken = UInt32Array::new(ScalarBuffer::from(taken), Some(NullBuffer::new(present)));
    take(values, &taken, None).map_err(Error::internal)
}

/// The map with these entries only.
fn overflow(map: &MapArray, left: Vec<u32>, offsets: Vec<i32>) -> Result<MapArray, Error> {
    let DataType::Map(field, ordered) = map.data_type() else {
        return Err(Error::internal("a column is not a map of attributes"));
    };
    let left = UInt32Array::from(left);
    let entries = map.entries();
    let columns = entries.columns().iter().map(|column| take(column, &left, None));
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(Error::internal)?;
    let entries =
        arrow::array::StructArray::try_new(entries.fields().clone(), columns, None).map_err(Error::internal)?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    MapArray::try_new(Arc::clone(field), offsets, entries, map.nulls().cloned(), *ordered).map_err(Error::internal)
}

#[cfg(test)]
mod tests;
