//! Resource and scope: checked and built once, then spread over their records.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder, UInt32Array, UInt32Builder};
use arrow::compute::take;
use opentelemetry_proto::tonic::common::v1::{EntityRef, InstrumentationScope};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tracehound_schema::{Dataset, DecodeLimits};

use crate::attributes::{AttributeMaps, check_attributes, map_bytes};
use crate::lists::Lists;
use crate::rejects::Rejection;
use crate::text::{append_text, scalar_text, value_of};

/// What a resource and a scope give to each of their records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) resource_schema_url: &'a str,
    pub(crate) scope: &'a InstrumentationScope,
    pub(crate) scope_schema_url: &'a str,
}

impl Origin<'_> {
    /// `resource['service.name']` as text.
    pub(crate) fn service_name(&self) -> Option<String> {
        let mut attributes = self.resource.attributes.iter();
        let attribute = attributes.find(|attribute| attribute.key == "service.name")?;
        let name = scalar_text(value_of(attribute)?)?.into_owned();
        (!name.is_empty()).then_some(name)
    }

    /// What is wrong with it for all its records.
    pub(crate) fn check(&self, limits: &DecodeLimits) -> Result<(), Rejection> {
        check_attributes("the resource", &self.resource.attributes, limits)?;
        check_attributes("the scope", &self.scope.attributes, limits)?;
        let refs = &self.resource.entity_refs;
        let keys = |entity: &EntityRef| entity.id_keys.len() + entity.description_keys.len();
        let children = refs.iter().map(keys).sum::<usize>() + refs.len();
        if children > limits.children_max {
            return Err(Rejection::new(
                "children_count",
                format!(
                    "the resource has {children} entity references and keys, at most {} are accepted",
                    limits.children_max
                ),
            ));
        }
        let texts = [self.resource_schema_url, self.scope_schema_url, &self.scope.name, &self.scope.version];
        if let Some(text) = texts.iter().find(|text| text.len() > limits.attribute_bytes_max) {
            return Err(Rejection::new(
                "attribute_bytes",
                format!(
                    "a name, version or schema url of resource or scope has {} bytes, at most {} are accepted",
                    text.len(),
                    limits.attribute_bytes_max
                ),
            ));
        }
        Ok(())
    }

    /// What it takes in each row, about.
    pub(crate) fn bytes(&self) -> usize {
        let text = |text: &String| 24 + text.len();
        let entity = |entity: &EntityRef| {
            let keys = entity.id_keys.iter().chain(&entity.description_keys).map(text);
            keys.sum::<usize>() + entity.schema_url.len() + entity.r#type.len() + 24
        };
        200 + map_bytes(&self.resource.attributes)
            + map_bytes(&self.scope.attributes)
            + self.resource.entity_refs.iter().map(entity).sum::<usize>()
            + self.resource_schema_url.len()
            + self.scope.name.len()
            + self.scope.version.len()
            + self.scope_schema_url.len()
    }
}

/// Builds the columns of resource and scope.
#[derive(Debug)]
pub(crate) struct Origins {
    service_name: StringBuilder,
    resource: AttributeMaps,
    resource_dropped: UInt32Builder,
    entity_refs: EntityRefs,
    resource_schema_url: StringBuilder,
    scope_name: StringBuilder,
    scope_version: StringBuilder,
    scope: AttributeMaps,
    scope_dropped: UInt32Builder,
    scope_schema_url: StringBuilder,
    /// The origin of each row.
    rows: Vec<u32>,
    count: u32,
}

impl Default for Origins {
    fn default() -> Self {
        Self {
            service_name: StringBuilder::new(),
            resource: AttributeMaps::default(),
            resource_dropped: UInt32Builder::new(),
            entity_refs: EntityRefs::default(),
            resource_schema_url: StringBuilder::new(),
            scope_name: StringBuilder::new(),
            scope_version: StringBuilder::new(),
            scope: AttributeMaps::default(),
            scope_dropped: UInt32Builder::new(),
            scope_schema_url: StringBuilder::new(),
            rows: Vec::new(),
            count: 0,
        }
    }
}

impl Origins {
    /// The rows that follow come from `origin`.
    pub(crate) fn begin(&mut self, origin: &Origin<'_>) {
        self.service_name.append_option(origin.service_name());
        self.resource.append(&origin.resource.attributes);
        self.resource_dropped.append_value(origin.resource.dropped_attributes_count);
        self.entity_refs.append(&origin.resource.entity_refs);
        append_text(&mut self.resource_schema_url, origin.resource_schema_url);
        append_text(&mut self.scope_name, &origin.scope.name);
        append_text(&mut self.scope_version, &origin.scope.version);
        self.scope.append(&origin.scope.attributes);
        self.scope_dropped.append_value(origin.scope.dropped_attributes_count);
        append_text(&mut self.scope_schema_url, origin.scope_schema_url);
        self.count += 1;
    }

    /// Appends a row of the current origin.
    pub(crate) fn append(&mut self) {
        self.rows.push(self.count - 1);
    }

    /// The columns, in schema order.
    pub(crate) fn finish(mut self) -> Vec<ArrayRef> {
        let origins: [ArrayRef; 10] = [
            Arc::new(self.service_name.finish()),
            self.resource.finish(),
            Arc::new(self.resource_dropped.finish()),
            self.entity_refs.finish(),
            Arc::new(self.resource_schema_url.finish()),
            Arc::new(self.scope_name.finish()),
            Arc::new(self.scope_version.finish()),
            self.scope.finish(),
            Arc::new(self.scope_dropped.finish()),
            Arc::new(self.scope_schema_url.finish()),
        ];
        let rows = UInt32Array::from(self.rows);
        let spread = |column: &ArrayRef| {
            take(column, &rows, None).expect("each row's origin exists, within the decoding budget")
        };
        origins.iter().map(spread).collect()
    }
}

#[derive(Debug)]
struct EntityRefs {
    lists: Lists,
    schema_url: StringBuilder,
    kind: StringBuilder,
    id_keys: ListBuilder<StringBuilder>,
    description_keys: ListBuilder<StringBuilder>,
}

impl Default for EntityRefs {
    fn default() -> Self {
        Self {
            lists: Lists::default(),
            schema_url: StringBuilder::new(),
            kind: StringBuilder::new(),
            id_keys: ListBuilder::new(StringBuilder::new()),
            description_keys: ListBuilder::new(StringBuilder::new()),
        }
    }
}

impl EntityRefs {
    fn append(&mut self, refs: &[EntityRef]) {
        self.lists.append_some(refs.len());
        for entity in refs {
            self.schema_url.append_value(&entity.schema_url);
            self.kind.append_value(&entity.r#type);
            for (column, keys) in
                [(&mut self.id_keys, &entity.id_keys), (&mut self.description_keys, &entity.description_keys)]
            {
                keys.iter().for_each(|key| column.values().append_value(key));
                column.append(true);
            }
        }
    }

    fn finish(mut self) -> ArrayRef {
        let schema = Dataset::Spans.schema();
        let field = schema.field_with_name("resource_entity_refs").expect("a column of all signals");
        self.lists.finish(
            field.data_type(),
            vec![
                Arc::new(self.schema_url.finish()),
                Arc::new(self.kind.finish()),
                Arc::new(self.id_keys.finish()),
                Arc::new(self.description_keys.finish()),
            ],
        )
    }
}
