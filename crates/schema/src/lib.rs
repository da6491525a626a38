//! The words every other crate shares: ids, hours, datasets, columns, the
//! entity mapping, and the payload that travels from a receiver to the WAL.
//!
//! Nothing here does I/O. `docs/format.md` is the prose of this crate; a
//! change here is a change of the on-disk format and needs a new version.

mod any_value;
mod attributes;
mod column;
mod dataset;
mod decoded;
mod entity;
mod hour;
mod ids;
mod limits;
mod payload;
mod promoted;
mod whole_map;

pub use any_value::{any_value_to_json, any_value_to_text};
pub use attributes::{attribute_map_type, attribute_value_fields};
pub use column::{Column, ENTITY_COLUMNS};
pub use dataset::{Dataset, SCHEMA_VERSION};
pub use decoded::Decoded;
pub use entity::{AttributeScope, ENTITY_MAPPING_VERSION, EntityRule, EntitySource, SpanDirection, entity_rules};
pub use hour::Hour;
pub use ids::{InvalidTenant, TenantId};
pub use limits::DecodeLimits;
pub use payload::{Encoding, Payload, Signal};
pub use promoted::{PROMOTED_METADATA, Promoted, PromotedKind, attribute_order_column, promoted_columns};
pub use whole_map::whole_map;
