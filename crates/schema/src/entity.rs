use AttributeScope::{Record, Resource};

/// The version of the mapping from attribute names to entity columns, recorded
/// with every file. It rises when a rule changes.
pub const ENTITY_MAPPING_VERSION: u32 = 1;

/// Where an attribute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeScope {
    /// On the span, log record or data point.
    Record,
    /// On its resource.
    Resource,
}

/// Which spans a rule applies to, by their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanDirection {
    /// Every record.
    Any,
    /// All but SERVER and CONSUMER spans, on which `server.address` names the service itself.
    Outgoing,
}

/// One attribute that may fill an entity column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntitySource {
    /// Where it stands.
    pub scope: AttributeScope,
    /// Its key.
    pub key: &'static str,
    /// Whether its value is a URL of which the host is taken.
    pub host_of_url: bool,
}

/// How an entity column is filled: by the first source that has a value.
#[derive(Debug, Clone, Copy)]
pub struct EntityRule {
    /// The column.
    pub column: &'static str,
    /// Which spans it is filled on.
    pub direction: SpanDirection,
    /// The attributes, in order of preference.
    pub sources: &'static [EntitySource],
}

const fn record(key: &'static str) -> EntitySource {
    EntitySource { scope: Record, key, host_of_url: false }
}

const fn url(key: &'static str) -> EntitySource {
    EntitySource { scope: Record, key, host_of_url: true }
}

const fn resource(key: &'static str) -> EntitySource {
    EntitySource { scope: Resource, key, host_of_url: false }
}

/// The rules, one per entity column except `role`, which is the first of `roles`.
///
/// A scalar value is taken as text. `roles` takes an array's elements, or
/// splits text at commas. An empty text is no value.
pub fn entity_rules() -> &'static [EntityRule] {
    use SpanDirection::{Any, Outgoing};
    const RULES: &[EntityRule] = &[
        EntityRule {
            column: "user_id",
            direction: Any,
            sources: &[
                record("security.user_id"),
                record("security.user.id"),
                record("user.id"),
                record("enduser.id"),
                record("enduser.pseudo.id"),
                record("usr.id"),
                record("user_id"),
                resource("security.user_id"),
                resource("user.id"),
            ],
        },
        EntityRule {
            column: "roles",
            direction: Any,
            sources: &[
                record("security.roles"),
                record("security.role"),
                record("security.user_roles"),
                record("security.user.roles"),
                record("user.roles"),
                record("user.role"),
                record("enduser.roles"),
                record("enduser.role"),
                record("roles"),
                record("role"),
            ],
        },
        EntityRule {
            column: "auth_method",
            direction: Any,
            sources: &[
                record("security.auth_method"),
                record("security.auth.method"),
                record("user.auth_method"),
                record("enduser.auth_method"),
                record("auth.method"),
                record("auth_method"),
            ],
        },
        EntityRule {
            column: "trust_level",
            direction: Any,
            sources: &[
                record("security.trust_level"),
                record("security.trust.level"),
                record("trust.level"),
                record("trust_level"),
                resource("security.trust_level"),
            ],
        },
        EntityRule {
            column: "data_classification",
            direction: Any,
            sources: &[
                record("security.data_classification"),
                record("security.data.classification"),
                record("data.classification"),
                record("data_classification"),
            ],
        },
        EntityRule {
            column: "data_subject_id",
            direction: Any,
            sources: &[
                record("security.data_subject_id"),
                record("security.data_subject.id"),
                record("data.subject.id"),
                record("data.subject_id"),
                record("data_subject_id"),
            ],
        },
        EntityRule {
            column: "session_id",
            direction: Any,
            sources: &[
                record("security.session_id"),
                record("session.id"),
                record("enduser.session_id"),
                record("session_id"),
            ],
        },
        EntityRule {
            column: "client_address",
            direction: Any,
            sources: &[
                record("security.client_address"),
                record("client.address"),
                record("http.client_ip"),
                record("source.address"),
                record("client_address"),
            ],
        },
        EntityRule {
            column: "peer_address",
            direction: Outgoing,
            sources: &[
                record("security.peer_address"),
                record("server.address"),
                record("net.peer.name"),
                record("http.host"),
                url("url.full"),
                url("http.url"),
                record("network.peer.address"),
                record("net.peer.ip"),
                record("net.sock.peer.addr"),
                record("peer.address"),
                record("peer_address"),
            ],
        },
        EntityRule {
            column: "region",
            direction: Any,
            sources: &[
                record("security.region"),
                record("security.source_region"),
                record("source_region"),
                record("source.region"),
                record("user.region"),
                record("client.geo.region"),
                record("geo.region.iso_code"),
                record("geo.country.iso_code"),
                record("region"),
            ],
        },
        EntityRule {
            column: "app_tenant_id",
            direction: Any,
            sources: &[
                record("security.tenant_id"),
                record("security.tenant.id"),
                record("app.tenant.id"),
                record("app.tenant_id"),
                record("app_tenant_id"),
                record("tenant.id"),
                record("tenant_id"),
                record("enduser.tenant_id"),
                resource("security.tenant_id"),
                resource("app.tenant.id"),
                resource("tenant.id"),
            ],
        },
        EntityRule {
            column: "resource_tenant_id",
            direction: Any,
            sources: &[
                record("security.resource_tenant_id"),
                record("security.resource.tenant_id"),
                record("security.data_tenant_id"),
                record("resource.tenant.id"),
                record("resource.tenant_id"),
                record("resource_tenant_id"),
                record("data.tenant.id"),
                record("data.tenant_id"),
            ],
        },
    ];
    RULES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ENTITY_COLUMNS;

    #[test]
    fn every_entity_column_but_role_has_one_rule() {
        let ruled: Vec<_> = entity_rules().iter().map(|rule| rule.column).collect();
        let columns: Vec<_> = ENTITY_COLUMNS.iter().map(|(name, _)| *name).filter(|name| *name != "role").collect();
        assert_eq!(ruled, columns);
    }

    /// `docs/format.md` shows the mapping to people who instrument.
    #[test]
    fn the_format_page_shows_the_mapping() {
        let page = include_str!("../../../docs/format.md");
        for rule in entity_rules() {
            let shown = |source: &EntitySource| match (source.scope, source.host_of_url) {
                (Record, false) => format!("`{}`", source.key),
                (Record, true) => format!("host of `{}`", source.key),
                (Resource, _) => format!("`{}` (resource)", source.key),
            };
            let note = match rule.direction {
                SpanDirection::Any => "",
                SpanDirection::Outgoing => " (not on SERVER and CONSUMER spans)",
            };
            let sources: Vec<_> = rule.sources.iter().map(shown).collect();
            let row = format!("| `{}`{note} | {} |", rule.column, sources.join(", "));
            assert!(page.contains(&row), "docs/format.md should have:\n{row}");
        }
    }
}
