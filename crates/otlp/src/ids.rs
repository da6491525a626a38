//! Trace and span ids.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryBuilder};

use crate::rejects::Rejection;

/// Checks an id that must be there: of `N` bytes, not all zero.
pub(crate) fn check_required<const N: usize>(
    reasons: [&'static str; 2],
    name: &str,
    id: &[u8],
) -> Result<(), Rejection> {
    let [length, zero] = reasons;
    if id.len() != N {
        return Err(Rejection::new(length, format!("{name} has {} bytes, must be {N}", id.len())));
    }
    if is_zero(id) {
        return Err(Rejection::new(zero, format!("{name} is all zeros")));
    }
    Ok(())
}

/// Checks an id that may be empty or all zeros.
pub(crate) fn check_optional<const N: usize>(reason: &'static str, name: &str, id: &[u8]) -> Result<(), Rejection> {
    if id.len() == N || is_zero(id) {
        return Ok(());
    }
    Err(Rejection::new(reason, format!("{name} has {} bytes, must be {N} or none", id.len())))
}

/// Whether an id says that there is none.
pub(crate) fn is_zero(id: &[u8]) -> bool {
    id.iter().all(|byte| *byte == 0)
}

/// Builds a column of ids of `N` bytes.
#[derive(Debug)]
pub(crate) struct Ids<const N: usize>(FixedSizeBinaryBuilder);

impl<const N: usize> Default for Ids<N> {
    fn default() -> Self {
        Self(FixedSizeBinaryBuilder::new(i32::try_from(N).expect("ids are short")))
    }
}

impl<const N: usize> Ids<N> {
    /// Appends a checked id; empty and all zeros are null.
    pub(crate) fn append(&mut self, id: &[u8]) {
        if is_zero(id) {
            self.0.append_null();
        } else {
            self.0.append_value(id).expect("ids are checked before they are appended");
        }
    }

    pub(crate) fn finish(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}
