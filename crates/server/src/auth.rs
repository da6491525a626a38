//! Who calls: a key names its tenants; without keys the local operator chooses.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use tracehound_schema::{InvalidTenant, TenantId};

use crate::config::KeyConfig;

/// Whose data a request may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The tenant.
    pub(crate) tenant: TenantId,
    /// The key it came with; `None` on a server without keys.
    pub(crate) key_id: Option<String>,
    /// Whether it may change and remove what is stored.
    pub(crate) admin: bool,
}

impl Caller {
    /// Who it is, for logs and the manifest.
    pub(crate) fn name(&self) -> String {
        self.key_id.as_ref().map_or_else(|| "local operator".to_owned(), |id| format!("key {id}"))
    }

    /// Lets only those pass who may change and remove what is stored.
    pub(crate) fn must_be_admin(self) -> Result<Self, AuthError> {
        match &self.key_id {
            Some(key_id) if !self.admin => Err(AuthError::NotAdmin { key_id: key_id.clone() }),
            _ => Ok(self),
        }
    }
}

/// Why a caller is refused. Its text may be sent to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    /// There is no credential.
    #[error("this server needs a key: send it as \"Authorization: Bearer KEY\" or \"x-api-key: KEY\"")]
    Missing,
    /// The credential is not one of ours.
    #[error("the key is not known here")]
    Unknown,
    /// The key is not for that tenant.
    #[error("the key is not for tenant \"{tenant}\"")]
    Forbidden {
        /// The tenant that was asked for.
        tenant: TenantId,
    },
    /// The key may read and send, but not change what is stored.
    #[error("key \"{key_id}\" may not change what is stored: its configuration needs `admin = true`")]
    NotAdmin {
        /// The key.
        key_id: String,
    },
    /// What was asked for is no tenant's name.
    #[error(transparent)]
    BadTenant(#[from] InvalidTenant),
    /// The key is for several tenants, and the request does not say which.
    #[error("the key is for several tenants: choose one of {} with the header x-tracehound-tenant", list(.tenants))]
    ChooseTenant {
        /// The key's tenants.
        tenants: Vec<TenantId>,
    },
}

fn list(tenants: &[TenantId]) -> String {
    tenants.iter().map(TenantId::as_str).collect::<Vec<_>>().join(", ")
}

/// The keys of a server, by the hash of their secrets.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_hash: HashMap<[u8; 32], Key>,
}

#[derive(Debug)]
struct Key {
    id: String,
    tenants: Vec<TenantId>,
    admin: bool,
}

impl Keys {
    /// The configured keys; those whose hash is malformed were refused by `Config::check`.
    pub(crate) fn new(configured: &[KeyConfig]) -> Self {
        let key = |key: &KeyConfig| {
            let hash = hex::decode(&key.sha256).ok()?.try_into().ok()?;
            Some((hash, Key { id: key.id.clone(), tenants: key.tenants.clone(), admin: key.admin }))
        };
        Self { by_hash: configured.iter().filter_map(key).collect() }
    }

    /// Names the caller of a request by its headers (or gRPC metadata), which
    /// `header` looks up by lowercase name.
    ///
    /// Secrets are looked up by SHA-256, so that a comparison's time tells nothing about them.
    pub(crate) fn authenticate<'h>(&self, header: impl Fn(&str) -> Option<&'h str>) -> Result<Caller, AuthError> {
        let asked = header("x-tracehound-tenant").map(str::parse::<TenantId>).transpose()?;
        let Some(key) = self.key(header)? else {
            let tenant = asked.unwrap_or_else(TenantId::default_tenant);
            return Ok(Caller { tenant, key_id: None, admin: true });
        };
        let tenant = match (asked, key.tenants.as_slice()) {
            (Some(tenant), tenants) if tenants.contains(&tenant) => tenant,
            (Some(tenant), _) => return Err(AuthError::Forbidden { tenant }),
            (None, [only]) => only.clone(),
            (None, tenants) => return Err(AuthError::ChooseTenant { tenants: tenants.to_vec() }),
        };
        Ok(Caller { tenant, key_id: Some(key.id.clone()), admin: key.admin })
    }

    /// The tenants that a request's key is for, whether or not it says which; `None` for all, on a server without keys.
    pub(crate) fn tenants<'h>(
        &self,
        header: impl Fn(&str) -> Option<&'h str>,
    ) -> Result<Option<&[TenantId]>, AuthError> {
        Ok(self.key(header)?.map(|key| key.tenants.as_slice()))
    }

    /// A request's key; `None` on a server without keys.
    fn key<'h>(&self, header: impl Fn(&str) -> Option<&'h str>) -> Result<Option<&Key>, AuthError> {
        if self.by_hash.is_empty() {
            return Ok(None);
        }
        let bearer = header("authorization").and_then(|value| {
            let (scheme, secret) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
        });
        let secret = bearer.or_else(|| header("x-api-key")).ok_or(AuthError::Missing)?;
        let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        self.by_hash.get(&hash).map(Some).ok_or(AuthError::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let key = |id: &str, secret: &str, tenants: &[&str]| KeyConfig {
            id: id.to_owned(),
            sha256: hex::encode(Sha256::digest(secret)),
            tenants: tenants.iter().map(|t| t.parse().expect("a tenant")).collect(),
            admin: false,
        };
        Keys::new(&[key("one", "s1", &["acme"]), key("two", "s2", &["acme", "globex"])])
    }

    fn check(keys: &Keys, headers: &[(&str, &str)], expected: Result<(&str, Option<&str>), &str>) {
        let found = keys.authenticate(|name| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v));
        let found = match &found {
            Ok(caller) => Ok((caller.tenant.as_str(), caller.key_id.as_deref())),
            Err(error) => Err(format!("{error:?}")),
        };
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{headers:?}"),
            (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{headers:?}: {found}"),
            (found, expected) => panic!("{headers:?}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn without_keys_the_local_operator_chooses() {
        let none = Keys::default();
        check(&none, &[], Ok(("default", None)));
        check(&none, &[("x-tracehound-tenant", "acme")], Ok(("acme", None)));
        check(&none, &[("x-tracehound-tenant", "../acme")], Err("BadTenant"));
        check(&none, &[("authorization", "Bearer whatever")], Ok(("default", None)));
    }

    /// Invariant 5: a session sees one tenant, chosen by authentication.
    #[test]
    fn invariant_5_a_key_names_its_tenants() {
        let keys = keys();
        check(&keys, &[], Err("Missing"));
        check(&keys, &[("x-tracehound-tenant", "acme")], Err("Missing"));
        check(&keys, &[("authorization", "Basic s1")], Err("Missing"));
        check(&keys, &[("authorization", "Bearer wrong")], Err("Unknown"));
        check(&keys, &[("authorization", "Bearer s1")], Ok(("acme", Some("one"))));
        check(&keys, &[("authorization", "bearer s1")], Ok(("acme", Some("one"))));
        check(&keys, &[("x-api-key", "s1")], Ok(("acme", Some("one"))));
        check(&keys, &[("x-api-key", "s1"), ("x-tracehound-tenant", "globex")], Err("Forbidden"));
        check(&keys, &[("x-api-key", "s2")], Err("ChooseTenant"));
        check(&keys, &[("x-api-key", "s2"), ("x-tracehound-tenant", "globex")], Ok(("globex", Some("two"))));
        check(&keys, &[("x-api-key", "s2"), ("x-tracehound-tenant", "initech")], Err("Forbidden"));
    }
}
