//! Entity columns: filled from attributes by `tracehound_schema::entity_rules`.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tracehound_schema::{AttributeScope, ENTITY_COLUMNS, EntityRule, SpanDirection, entity_rules};

use crate::text::{any_value, scalar_text, value_of};

/// Rules; there is one for each entity column but `role`.
const RULES: usize = ENTITY_COLUMNS.len() - 1;

/// What an attribute's key may fill.
#[derive(Debug, Clone, Copy)]
struct Slot {
    rule: usize,
    /// Its place in the rule's order of preference.
    rank: usize,
    host_of_url: bool,
}

/// The sources of one attribute scope, by key.
#[derive(Debug, Default)]
struct Sources {
    by_key: HashMap<&'static str, Vec<Slot>>,
    key_bytes_max: usize,
}

impl Sources {
    fn of(scope: AttributeScope) -> Self {
        let mut sources = Self::default();
        for (rule, EntityRule { sources: of_rule, .. }) in entity_rules().iter().enumerate() {
            for (rank, source) in of_rule.iter().enumerate() {
                if source.scope == scope {
                    let slot = Slot { rule, rank, host_of_url: source.host_of_url };
                    sources.by_key.entry(source.key).or_default().push(slot);
                    sources.key_bytes_max = sources.key_bytes_max.max(source.key.len());
                }
            }
        }
        sources
    }

    fn slots(&self, key: &str) -> &[Slot] {
        if key.len() > self.key_bytes_max {
            return &[];
        }
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }
}

static RECORD: LazyLock<Sources> = LazyLock::new(|| Sources::of(AttributeScope::Record));
static RESOURCE: LazyLock<Sources> = LazyLock::new(|| Sources::of(AttributeScope::Resource));
static OUTGOING: LazyLock<[bool; RULES]> =
    LazyLock::new(|| std::array::from_fn(|rule| entity_rules()[rule].direction == SpanDirection::Outgoing));
static ROLES: LazyLock<usize> = LazyLock::new(|| {
    let roles = entity_rules().iter().position(|rule| rule.column == "roles");
    roles.expect("the mapping has a rule for roles")
});

/// The best source of each rule so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found<'a>([Option<(Slot, &'a Value)>; RULES]);

impl<'a> Found<'a> {
    /// What a resource's attributes give to all its records.
    pub(crate) fn on_resource(attributes: &'a [KeyValue]) -> Self {
        let mut found = Self::default();
        found.look(&RESOURCE, attributes);
        found
    }

    /// What a record's own attributes give, over its resource's.
    pub(crate) fn on_record(mut self, attributes: &'a [KeyValue]) -> Self {
        self.look(&RECORD, attributes);
        self
    }

    fn look(&mut self, sources: &Sources, attributes: &'a [KeyValue]) {
        for attribute in attributes {
            for slot in sources.slots(&attribute.key) {
                let Some(value) = value_of(attribute) else { continue };
                let better = self.0[slot.rule].is_none_or(|(best, _)| slot.rank < best.rank);
                if better && has_value(*slot, value) {
                    self.0[slot.rule] = Some((*slot, value));
                }
            }
        }
    }
}

fn has_value(slot: Slot, value: &Value) -> bool {
    if slot.rule == *ROLES { roles(value).next().is_some() } else { text(slot, value).is_some() }
}

fn text(slot: Slot, value: &Value) -> Option<Cow<'_, str>> {
    let text = scalar_text(value)?;
    let text = if slot.host_of_url { Cow::Owned(host(&text)?) } else { text };
    (!text.is_empty()).then_some(text)
}

/// An array's elements, or the parts of text between commas.
fn roles(value: &Value) -> impl Iterator<Item = Cow<'_, str>> {
    let (array, text) = match value {
        Value::ArrayValue(array) => (array.values.as_slice(), None),
        value => (&[][..], scalar_text(value)),
    };
    let elements = array.iter().filter_map(|element| scalar_text(any_value(Some(element))?));
    let parts = text.into_iter().flat_map(|text| match text {
        Cow::Borrowed(text) => text.split(',').map(|part| Cow::Borrowed(part.trim())).collect(),
        owned => vec![owned],
    });
    elements.chain(parts).filter(|role| !role.is_empty())
}

/// The host of a URL, in lower case, without user, port and brackets.
fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host_port.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?.0,
        None => host_port.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// Builds the entity columns.
#[derive(Debug)]
pub(crate) struct Entities {
    texts: [StringBuilder; RULES],
    roles: ListBuilder<StringBuilder>,
    role: StringBuilder,
}

impl Default for Entities {
    fn default() -> Self {
        Self {
            texts: std::array::from_fn(|_| StringBuilder::new()),
            roles: ListBuilder::new(StringBuilder::new()),
            role: StringBuilder::new(),
        }
    }
}

impl Entities {
    /// Appends a record's entities; `span_kind` is 0 for what is not a span.
    pub(crate) fn append(&mut self, found: &Found<'_>, span_kind: i32) {
        let incoming = span_kind == SpanKind::Server as i32 || span_kind == SpanKind::Consumer as i32;
        for (rule, column) in self.texts.iter_mut().enumerate() {
            let source = found.0[rule].filter(|_| !(incoming && OUTGOING[rule]));
            if rule == *ROLES {
                self.role.append_option(source.and_then(|(_, value)| roles(value).next()));
                if let Some((_, value)) = source {
                    roles(value).for_each(|role| self.roles.values().append_value(role));
                }
                self.roles.append(source.is_some());
            } else {
                column.append_option(source.and_then(|(slot, value)| text(slot, value)));
            }
        }
    }

    /// What a record's entities take, about.
    pub(crate) fn bytes(found: &Found<'_>) -> usize {
        let value = |(_, value): &(Slot, &Value)| match value {
            Value::StringValue(text) => 2 * text.len(),
            Value::ArrayValue(array) => {
                array.values.iter().map(|value| 32 + crate::attributes::value_bytes(Some(value))).sum()
            }
            _ => 32,
        };
        found.0.iter().flatten().map(value).sum()
    }

    /// The columns, in schema order.
    pub(crate) fn finish(self) -> Vec<ArrayRef> {
        let Self { texts, mut roles, mut role } = self;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(ENTITY_COLUMNS.len());
        for (rule, mut text) in texts.into_iter().enumerate() {
            if rule == *ROLES {
                columns.push(Arc::new(roles.finish()));
                columns.push(Arc::new(role.finish()));
            } else {
                columns.push(Arc::new(text.finish()));
            }
        }
        columns
    }
}
