//! Columns of lists of structs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

use crate::attributes::offset;

/// The lengths of lists whose elements' fields are built elsewhere.
#[derive(Debug)]
pub(crate) struct Lists {
    offsets: Vec<i32>,
    valid: Vec<bool>,
    elements: usize,
}

impl Default for Lists {
    fn default() -> Self {
        Self { offsets: vec![0], valid: Vec::new(), elements: 0 }
    }
}

impl Lists {
    /// Appends a list of `elements` elements, or null.
    pub(crate) fn append(&mut self, elements: Option<usize>) {
        self.elements += elements.unwrap_or(0);
        self.offsets.push(offset(self.elements));
        self.valid.push(elements.is_some());
    }

    /// Appends a list; an empty one is null.
    pub(crate) fn append_some(&mut self, elements: usize) {
        self.append((elements > 0).then_some(elements));
    }

    /// The column, of type `data_type`, from the columns of its elements' fields.
    pub(crate) fn finish(self, data_type: &DataType, fields: Vec<ArrayRef>) -> ArrayRef {
        let DataType::List(element) = data_type else { unreachable!("{data_type} is a list") };
        let DataType::Struct(names) = element.data_type() else { unreachable!("elements of {data_type} are structs") };
        debug_assert!(fields.iter().all(|field| field.len() == self.elements));
        let elements = StructArray::new(names.clone(), fields, None);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let nulls = Some(NullBuffer::from(self.valid)).filter(|nulls| nulls.null_count() > 0);
        Arc::new(ListArray::new(Arc::clone(element), offsets, Arc::new(elements), nulls))
    }
}
