//! Attribute maps as counting and splitting see them: entries with a key, a kind and a place.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StringArray, StructArray};
use tracehound_schema::{Dataset, PromotedKind};

use crate::Error;

/// The map columns whose entries may become columns, in the order of all datasets.
const SCOPES: [&str; 3] = ["attributes", "resource", "scope"];

/// The map columns of a dataset whose entries may become columns, with their places in its schema.
pub(crate) fn scopes(dataset: Dataset) -> Vec<(&'static str, usize)> {
    let schema = dataset.schema();
    SCOPES.into_iter().filter_map(|scope| Some((scope, schema.index_of(scope).ok()?))).collect()
}

/// What an entry's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One scalar.
    One(PromotedKind),
    /// Bytes, an array or a map.
    Other,
    /// Nothing.
    Absent,
}

/// The entries of a map column.
pub(crate) struct Entries<'a> {
    map: &'a MapArray,
    pub(crate) keys: &'a StringArray,
    values: &'a StructArray,
}

impl<'a> Entries<'a> {
    /// # Errors
    /// [`Error::Internal`] if the column is not a map of attributes.
    pub(crate) fn new(column: &'a ArrayRef) -> Result<Self, Error> {
        let wrong = || Error::internal("a column is not a map of attributes");
        let map = column.as_map_opt().ok_or_else(wrong)?;
        let keys = map.keys().as_string_opt().ok_or_else(wrong)?;
        let values = map.values().as_struct_opt().filter(|values| values.num_columns() == 5).ok_or_else(wrong)?;
        Ok(Self { map, keys, values })
    }

    pub(crate) fn map(&self) -> &'a MapArray {
        self.map
    }

    /// The values of one kind, an element an entry.
    pub(crate) fn values(&self, kind: PromotedKind) -> &'a ArrayRef {
        self.values.column(kind.field_index())
    }

    pub(crate) fn of_row(&self, row: usize) -> Range<usize> {
        if self.map.is_null(row) {
            return 0..0;
        }
        let offsets = self.map.value_offsets();
        let at = |row: usize| usize::try_from(offsets[row]).unwrap_or_default();
        at(row)..at(row + 1)
    }

    pub(crate) fn kind(&self, entry: usize) -> Kind {
        let set = |field: usize| self.values.column(field).is_valid(entry);
        if self.values.is_null(entry) {
            return Kind::Absent;
        }
        let mut kinds = PromotedKind::ALL.into_iter().filter(|kind| set(kind.field_index()));
        match (kinds.next(), kinds.next(), set(4)) {
            (Some(kind), None, false) => Kind::One(kind),
            (None, _, false) => Kind::Absent,
            _ => Kind::Other,
        }
    }
}

/// Numbers of keys, found without hashing where maps repeat each other.
pub(crate) struct KeyTable {
    numbers: HashMap<Arc<str>, usize>,
    /// What stood last at each place of a map.
    recent: Vec<Option<(Arc<str>, usize)>>,
}

impl KeyTable {
    /// A table of keys, numbered in their order.
    pub(crate) fn new(keys: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self { numbers: keys.into_iter().zip(0..).collect(), recent: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of the key at a place of its map.
    pub(crate) fn find(&mut self, place: usize, key: &str) -> Option<usize> {
        if let Some(Some((found, number))) = self.recent.get(place)
            && &**found == key
        {
            return Some(*number);
        }
        let (key, number) = self.numbers.get_key_value(key)?;
        let (key, number) = (Arc::clone(key), *number);
        self.remember(place, key, number);
        Some(number)
    }

    /// Adds a key that [`find`](Self::find) did not know.
    pub(crate) fn add(&mut self, key: &str) -> usize {
        let number = self.numbers.len();
        self.numbers.insert(key.into(), number);
        number
    }

    fn remember(&mut self, place: usize, key: Arc<str>, number: usize) {
        /// Longer maps are rare, and their ends differ.
        const PLACES_MAX: usize = 256;
        if place >= PLACES_MAX {
            return;
        }
        if self.recent.len() <= place {
            self.recent.resize(place + 1, None);
        }
        self.recent[place] = Some((key, number));
    }

    /// The keys, by number.
    pub(crate) fn into_keys(self) -> Vec<Arc<str>> {
        let mut keys: Vec<_> = self.numbers.into_iter().collect();
        keys.sort_unstable_by_key(|(_, number)| *number);
        keys.into_iter().map(|(key, _)| key).collect()
    }
}

/// Which keys a row's map holds, and which of them more than once.
#[derive(Default)]
pub(crate) struct Seen {
    /// By key: the last row that had it, and the last that had it again; counted from 1.
    rows: Vec<(usize, usize)>,
}

impl Seen {
    pub(crate) fn note(&mut self, number: usize, row: usize) {
        if self.rows.len() <= number {
            self.rows.resize(number + 1, (0, 0));
        }
        let (seen, again) = &mut self.rows[number];
        if *seen == row + 1 {
            *again = row + 1;
        }
        *seen = row + 1;
    }

    pub(crate) fn is_repeated(&self, number: usize, row: usize) -> bool {
        self.rows[number].1 == row + 1
    }

    /// Forgets all rows, so that their numbers can be used anew.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
    }
}
