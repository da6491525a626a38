use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A tenant's name: 1 to 63 characters of `a-z`, `0-9` and `-`.
///
/// A value of this type is safe as a path segment: it was checked once, after
/// every decoding step, and cannot be built otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

/// A tenant's name broke the rule of [`TenantId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tenant {name:?} is not a valid name: 1 to 63 characters of a-z, 0-9 and '-'")]
pub struct InvalidTenant {
    name: String,
}

impl TenantId {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 63;

    /// The tenant of a server without keys.
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = InvalidTenant;

    fn from_str(name: &str) -> Result<Self, InvalidTenant> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > Self::BYTES_MAX || !name.bytes().all(allowed) {
            let shown = name.chars().take(80).collect();
            return Err(InvalidTenant { name: shown });
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for TenantId {
    type Error = InvalidTenant;

    fn try_from(name: String) -> Result<Self, InvalidTenant> {
        name.parse()
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_tenant_names_are_refused() {
        let long = "a".repeat(64);
        for name in ["", ".", "..", "../..", "a/b", "%2e%2e", "A", "a b", "a\0", "ä", &long] {
            assert!(name.parse::<TenantId>().is_err(), "{name:?} was accepted");
        }
        for name in ["a", "default", "acme-1", "-", &"a".repeat(63)] {
            assert!(name.parse::<TenantId>().is_ok(), "{name:?} was refused");
        }
        assert!(serde_json::from_str::<TenantId>("\"../x\"").is_err());
    }
}
