//! The crates and their arrows: as drawn in `ARCHITECTURE.md`, and as built.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::Finding;

/// Each crate with those it depends on. Names go without the `tracehound-` prefix.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

const FENCE: &str = "```crates";
const ARROW: &str = "→";

/// Reads the code block marked `crates`, whose lines read `query → storage, functions`.
///
/// A crate without arrows of its own may stand alone on a line, or only to the right of others.
pub(crate) fn drawn(architecture: &str) -> Result<Graph> {
    let mut lines = architecture.lines().skip_while(|line| line.trim() != FENCE);
    lines.next().with_context(|| format!("ARCHITECTURE.md has no code block marked {FENCE}"))?;

    let mut graph = Graph::new();
    for line in lines {
        let line = line.trim();
        if line.starts_with("```") {
            ensure!(!graph.is_empty(), "the block {FENCE} in ARCHITECTURE.md is empty");
            return Ok(graph);
        }
        if line.is_empty() {
            continue;
        }
        let (from, targets) = line.split_once(ARROW).unwrap_or((line, ""));
        let from = from.trim();
        ensure!(is_name(from), "ARCHITECTURE.md: {line:?} does not read `crate {ARROW} crate, crate`");
        for target in targets.split(',').map(str::trim).filter(|target| !target.is_empty()) {
            ensure!(is_name(target), "ARCHITECTURE.md: {target:?} in {line:?} is not a crate's name");
            graph.entry(target.to_owned()).or_default();
            graph.entry(from.to_owned()).or_default().insert(target.to_owned());
        }
        graph.entry(from.to_owned()).or_default();
    }
    bail!("the block {FENCE} in ARCHITECTURE.md is not closed")
}

/// The graph of normal and build dependencies between members.
pub(crate) fn actual(metadata: &Value) -> Result<Graph> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut graph = Graph::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let dependencies = package["dependencies"].as_array().context("a package has no dependencies")?;
        let internal = dependencies
            .iter()
            .filter(|dependency| dependency["path"].is_string() && dependency["kind"].as_str() != Some("dev"))
            .filter_map(|dependency| dependency["name"].as_str())
            .map(|name| short(name).to_owned())
            .collect();
        graph.insert(short(name).to_owned(), internal);
    }
    Ok(graph)
}

/// What differs between the two.
pub(crate) fn compare(drawn: &Graph, actual: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    let nothing = BTreeSet::new();
    for name in drawn.keys().chain(actual.keys()).collect::<BTreeSet<_>>() {
        match (drawn.get(name), actual.get(name)) {
            (None, _) => findings.push(Finding::error(
                format!("crates/{name}"),
                "is not drawn in ARCHITECTURE.md; draw it in the block `crates`",
            )),
            (_, None) => findings
                .push(Finding::error("ARCHITECTURE.md", format!("draws {name}, but the workspace has no such crate"))),
            _ => {}
        }
        let (drawn, actual) = (drawn.get(name).unwrap_or(&nothing), actual.get(name).unwrap_or(&nothing));
        for target in actual.difference(drawn) {
            findings.push(Finding::error(
                format!("crates/{name}/Cargo.toml"),
                format!("depends on {target}, an arrow that ARCHITECTURE.md does not draw"),
            ));
        }
        for target in drawn.difference(actual) {
            findings.push(Finding::error(
                "ARCHITECTURE.md",
                format!("draws {name} {ARROW} {target}, but crates/{name}/Cargo.toml has no such dependency"),
            ));
        }
    }
    findings
}

fn short(name: &str) -> &str {
    name.strip_prefix("tracehound-").unwrap_or(name)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(text: &str) -> Graph {
        drawn(&format!("# Title\n```\na → b\n```\n{FENCE}\n{text}\n```\nmore → text\n")).unwrap()
    }

    fn check(drawn: &str, actual: &str, expected: &[&str]) {
        let found: Vec<_> = compare(&graph(drawn), &graph(actual))
            .into_iter()
            .map(|finding| {
                assert!(finding.is_error);
                format!("{}: {}", finding.place, finding.what)
            })
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found:?} lacks {expected:?}");
        }
    }

    #[test]
    fn the_block_becomes_a_graph() {
        let graph = graph("query → storage, schema\n\nstorage → schema");
        let names: Vec<_> = graph.keys().map(String::as_str).collect();
        assert_eq!(names, ["query", "schema", "storage"]);
        assert_eq!(graph["query"].iter().map(String::as_str).collect::<Vec<_>>(), ["schema", "storage"]);
        assert!(graph["schema"].is_empty());
    }

    #[test]
    fn a_bad_drawing_is_an_error() {
        for bad in
            ["nothing", "```crates\n```", "```crates\na → b", "```crates\na → b c\n```", "```crates\nA -> b\n```"]
        {
            assert!(drawn(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn differences_are_found_both_ways() {
        check("a → b, c\nb → c", "a → b, c\nb → c", &[]);
        check("a → b", "a → b, c\nc", &["crates/a/Cargo.toml: depends on c", "crates/c: is not drawn"]);
        check("a → b, c", "a → b\nc", &["draws a → c, but"]);
        check("a → b\nc", "a → b", &["draws c, but the workspace"]);
        check("a → b", "b → a", &["draws a → b", "crates/b/Cargo.toml: depends on a"]);
    }

    #[test]
    fn only_internal_dependencies_that_ship_count() {
        let metadata = serde_json::json!({"packages": [
            {"name": "tracehound-query", "dependencies": [
                {"name": "tracehound-storage", "path": "/x", "kind": null},
                {"name": "tracehound-functions", "path": "/x", "kind": "build"},
                {"name": "tracehound-otlp", "path": "/x", "kind": "dev"},
                {"name": "arrow", "kind": null},
            ]},
            {"name": "xtask", "dependencies": []},
        ]});
        let graph = actual(&metadata).unwrap();
        assert_eq!(graph.keys().collect::<Vec<_>>(), ["query", "xtask"]);
        assert!(graph["xtask"].is_empty());
        assert_eq!(graph["query"].iter().map(String::as_str).collect::<Vec<_>>(), ["functions", "storage"]);
    }
}
