//! Columns pass between DataFusion, Parquet and us: two versions of Arrow are two types of array.

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;

/// Families of crates of which the lock file may hold one version only.
const SINGLE: [&str; 6] = ["arrow", "parquet", "datafusion", "object_store", "sqlparser", "opentelemetry-proto"];

/// Reports families that `Cargo.lock` holds in several versions, or (for Arrow) not at all.
pub(crate) fn check(lock: &str) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(value) = quoted(line, "name = ") {
            name = value;
        } else if let Some(version) = quoted(line, "version = ")
            && let Some(family) = family(name)
        {
            versions.entry(family).or_default().insert(version);
        }
    }
    let mut findings = Vec::new();
    if !versions.contains_key("arrow") {
        findings.push(Finding::error("Cargo.lock", "holds no arrow: is it a lock file?"));
    }
    for (family, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let versions = versions.iter().copied().collect::<Vec<_>>().join(" and ");
        findings.push(Finding::error(
            "Cargo.lock",
            format!("holds {family} in versions {versions}; `cargo tree -i {family}` says who asks for which"),
        ));
    }
    findings
}

fn family(name: &str) -> Option<&'static str> {
    SINGLE.into_iter().find(|family| {
        name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || (rest.starts_with('-') && *family != "parquet"))
    })
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(packages: &[(&str, &str)]) -> String {
        let package = |(name, version): &(&str, &str)| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\ndependencies = [\n \"arrow\",\n]\n")
        };
        packages.iter().map(package).collect()
    }

    #[test]
    fn one_version_is_fine() {
        assert_eq!(check(&lock(&[("arrow", "59.3.0"), ("arrow-array", "59.3.0"), ("rand", "1"), ("rand", "2")])), []);
    }

    #[test]
    fn two_versions_are_not() {
        let findings = check(&lock(&[("arrow", "59.3.0"), ("arrow-array", "58.0.0")]));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].is_error && findings[0].what.contains("58.0.0 and 59.3.0"), "{findings:?}");
    }

    #[test]
    fn an_empty_lock_file_does_not_pass() {
        assert_eq!(check("").len(), 1);
    }
}
