//! Attributes as columns: which a file has, and the whole map from them.

use std::collections::HashMap;
use std::fmt;

use arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Serialize};

/// The key of Parquet's key-value metadata, and so of an Arrow schema read from
/// a file, that lists a file's promoted attributes.
pub const PROMOTED_METADATA: &str = "tracehound.promoted";

/// In an order of places: the next entry that stayed in the map.
pub(crate) const NEXT_OVERFLOW: u16 = 0xFFFF;

/// The type of a promoted attribute's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromotedKind {
    /// Text.
    String,
    /// A 64-bit integer.
    Int,
    /// A double.
    Double,
    /// A boolean.
    Bool,
}

/// An attribute that a file keeps as a column of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promoted {
    /// The map column it was taken out of: `attributes`, `resource` or `scope`.
    pub scope: String,
    /// Its key.
    pub key: String,
    /// The type of its values; a value of another type stays in the map.
    #[serde(rename = "type")]
    pub kind: PromotedKind,
    /// Whether the map of any row still holds the key.
    pub residual: bool,
}

impl PromotedKind {
    /// All kinds, in the order of an attribute value's fields.
    pub const ALL: [Self; 4] = [Self::String, Self::Int, Self::Double, Self::Bool];

    /// The field of an attribute's value that holds this kind: 0 to 3, as in
    /// [`attribute_value_fields`](crate::attribute_value_fields).
    pub fn field_index(self) -> usize {
        self as usize
    }

    /// The type of the column.
    pub fn data_type(self) -> DataType {
        match self {
            Self::String => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Bool => DataType::Boolean,
        }
    }
}

impl fmt::Display for PromotedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["string", "int", "double", "bool"][self.field_index()])
    }
}

impl Promoted {
    /// The name of its column: `attr.<scope>.<key>`.
    pub fn column(&self) -> String {
        format!("attr.{}.{}", self.scope, self.key)
    }

    /// Its column as an Arrow field.
    pub fn field(&self) -> Field {
        Field::new(self.column(), self.kind.data_type(), true)
    }
}

/// The name of the column that keeps the order of a map's entries where it is
/// not promoted values first: `attr_order.<scope>`, binary and nullable.
pub fn attribute_order_column(scope: &str) -> String {
    format!("attr_order.{scope}")
}

/// The promoted attributes of a file, in column order; none where the metadata lists none.
///
/// `metadata` is that of an Arrow schema read from the file.
///
/// # Errors
/// Text that says what is wrong with the list.
pub fn promoted_columns(metadata: &HashMap<String, String>) -> Result<Vec<Promoted>, String> {
    let Some(text) = metadata.get(PROMOTED_METADATA) else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|e| format!("{PROMOTED_METADATA}: {e}"))
}
