//! Resource and scope of rows, and when they change.

use arrow::datatypes::UInt32Type;
use opentelemetry_proto::tonic::common::v1::{EntityRef, InstrumentationScope};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::rows::{Attributes, Columns, Lists, Numbers, TextLists, Texts};
use crate::Error;

/// Resource and scope of one row.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) resource: Resource,
    pub(super) resource_schema_url: String,
    pub(super) scope: InstrumentationScope,
    pub(super) scope_schema_url: String,
    /// Whether the row before had another resource.
    pub(super) new_resource: bool,
    /// Whether the row before had another resource or scope.
    pub(super) new_scope: bool,
}

/// Reads the origins of rows, in row order.
#[derive(Debug)]
pub(super) struct Origins {
    resource: Attributes,
    resource_dropped: Numbers<UInt32Type>,
    entity_refs: Lists,
    entity_schema_url: Texts,
    entity_type: Texts,
    entity_id_keys: TextLists,
    entity_description_keys: TextLists,
    resource_schema_url: Texts,
    scope_name: Texts,
    scope_version: Texts,
    scope: Attributes,
    scope_dropped: Numbers<UInt32Type>,
    scope_schema_url: Texts,
    last: Option<[(Vec<u8>, String); 2]>,
}

impl Origins {
    pub(super) fn new(columns: &Columns) -> Result<Self, Error> {
        let (entity_refs, entity) = columns.structs("resource_entity_refs")?;
        Ok(Self {
            resource: columns.attributes("resource")?,
            resource_dropped: columns.numbers("resource_dropped_attributes_count")?,
            entity_refs,
            entity_schema_url: entity.texts("schema_url")?,
            entity_type: entity.texts("type")?,
            entity_id_keys: entity.text_lists("id_keys")?,
            entity_description_keys: entity.text_lists("description_keys")?,
            resource_schema_url: columns.texts("resource_schema_url")?,
            scope_name: columns.texts("scope_name")?,
            scope_version: columns.texts("scope_version")?,
            scope: columns.attributes("scope")?,
            scope_dropped: columns.numbers("scope_dropped_attributes_count")?,
            scope_schema_url: columns.texts("scope_schema_url")?,
            last: None,
        })
    }

    /// The origin of the next row.
    pub(super) fn next(&mut self, row: usize) -> Result<Origin, Error> {
        let entity = |index| EntityRef {
            schema_url: self.entity_schema_url.get(index),
            r#type: self.entity_type.get(index),
            id_keys: self.entity_id_keys.get(index),
            description_keys: self.entity_description_keys.get(index),
        };
        let resource = Resource {
            attributes: self.resource.get(row)?,
            dropped_attributes_count: self.resource_dropped.get(row),
            entity_refs: self.entity_refs.get(row).map(entity).collect(),
        };
        let scope = InstrumentationScope {
            name: self.scope_name.get(row),
            version: self.scope_version.get(row),
            attributes: self.scope.get(row)?,
            dropped_attributes_count: self.scope_dropped.get(row),
        };
        let resource_schema_url = self.resource_schema_url.get(row);
        let scope_schema_url = self.scope_schema_url.get(row);
        // Compared as bytes, since a NaN among the attributes differs from itself.
        let keys = [
            (resource.encode_to_vec(), resource_schema_url.clone()),
            (scope.encode_to_vec(), scope_schema_url.clone()),
        ];
        let new_resource = self.last.as_ref().is_none_or(|last| last[0] != keys[0]);
        let new_scope = new_resource || self.last.as_ref().is_none_or(|last| last[1] != keys[1]);
        self.last = Some(keys);
        Ok(Origin { resource, resource_schema_url, scope, scope_schema_url, new_resource, new_scope })
    }
}
