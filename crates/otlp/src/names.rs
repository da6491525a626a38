//! Enum numbers and their names: the specification's, without prefix. A number it does not know is its decimal text.

use std::borrow::Cow;

pub(crate) const SPAN_KINDS: &[&str] = &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
pub(crate) const STATUS_CODES: &[&str] = &["UNSET", "OK", "ERROR"];
pub(crate) const TEMPORALITIES: &[&str] = &["UNSPECIFIED", "DELTA", "CUMULATIVE"];

/// The name of a number.
pub(crate) fn name_of(names: &'static [&'static str], number: i32) -> Cow<'static, str> {
    match usize::try_from(number).ok().and_then(|index| names.get(index)) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(number.to_string()),
    }
}

/// The number of a name; `None` for what [`name_of`] does not return.
pub(crate) fn number_of(names: &[&str], name: &str) -> Option<i32> {
    match names.iter().position(|known| *known == name) {
        Some(index) => i32::try_from(index).ok(),
        None => name.parse().ok(),
    }
}
