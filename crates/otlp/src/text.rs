//! Values as text, and columns of text.

use std::borrow::Cow;

use arrow::array::StringBuilder;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

/// Appends `text`; empty text is null, since protobuf cannot tell them apart.
pub(crate) fn append_text(column: &mut StringBuilder, text: &str) {
    if text.is_empty() { column.append_null() } else { column.append_value(text) }
}

/// A scalar as text; `None` for bytes, arrays and maps.
pub(crate) fn scalar_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::StringValue(text) => Some(Cow::Borrowed(text)),
        Value::BoolValue(true) => Some(Cow::Borrowed("true")),
        Value::BoolValue(false) => Some(Cow::Borrowed("false")),
        Value::IntValue(value) => Some(Cow::Owned(value.to_string())),
        Value::DoubleValue(value) => Some(Cow::Owned(value.to_string())),
        _ => None,
    }
}

/// The value of an attribute, if it has one that can be kept.
pub(crate) fn value_of(attribute: &KeyValue) -> Option<&Value> {
    any_value(attribute.value.as_ref())
}

/// What is inside a value. References to a string table, which only profiles have, are no values.
pub(crate) fn any_value(value: Option<&AnyValue>) -> Option<&Value> {
    match value?.value.as_ref()? {
        Value::StringValueStrindex(_) => None,
        value => Some(value),
    }
}

/// At most 40 characters of text that a sender chose, quoted, for messages.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}
