//! What each crate keeps to itself, searched in the code that ships.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Finding;

/// Words that only some crates may say.
struct Rule {
    words: &'static [&'static str],
    crates: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        words: &[
            "LocalFileSystem::new",
            "AmazonS3Builder",
            "GoogleCloudStorageBuilder",
            "MicrosoftAzureBuilder",
            "HttpBuilder",
            "memory::InMemory",
            "InMemory::new",
            "object_store::parse_url",
        ],
        crates: &["storage"],
        why: "only storage opens object stores; take one from `Engine::object_store`",
    },
    Rule {
        words: &["SessionContext::new", "SessionContext::default", "SessionStateBuilder::new"],
        crates: &["query"],
        why: "only query builds DataFusion sessions; take one as an argument",
    },
    Rule { words: &["axum::"], crates: &["server"], why: "only server knows HTTP" },
    Rule {
        words: &["SystemTime::now", "Utc::now", "Local::now"],
        crates: &["server", "tracehound"],
        why: "only server and the binary know the time of day; take it as an argument",
    },
    Rule {
        words: &["Instant::now", ".elapsed()"],
        crates: &["server", "tracehound", "storage", "query"],
        why: "decoding, functions and formats are pure; take a time as an argument",
    },
    Rule {
        words: &["env::var", "env::temp_dir", "env::current_dir"],
        crates: &["server", "tracehound"],
        why: "only server and the binary read the environment; take the value as an argument",
    },
];

/// The runtime's clock may be read anywhere: tests pause it, and it tells no time of day.
const RUNTIME_CLOCK: &str = "tokio::time::Instant::now";

const LINES_MAX: usize = 600;

/// Searches `crates/*/src`.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for directory in sorted_entries(&root.join("crates"))? {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut files = Vec::new();
        rust_files(&directory.join("src"), &mut files)?;
        for path in files {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let place = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            findings.extend(check_file(&name, &place, &text));
        }
    }
    Ok(findings)
}

fn check_file(name: &str, place: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        findings.push(Finding::warning(place, format!("{lines} lines are over {LINES_MAX}; does it hold one idea?")));
    }
    // xtask spells the words out above, and is no part of the product.
    if name == "xtask" || is_test(Path::new(place)) {
        return findings;
    }
    for (number, line) in shipped_lines(text) {
        let line = line.replace(RUNTIME_CLOCK, "");
        for rule in RULES.iter().filter(|rule| !rule.crates.contains(&name)) {
            if let Some(word) = rule.words.iter().find(|word| line.contains(*word)) {
                findings.push(Finding::error(format!("{place}:{number}"), format!("{word}: {}", rule.why)));
            }
        }
    }
    findings
}

/// The lines that are neither comments nor part of an item under `#[cfg(test)]`, numbered from 1.
///
/// Relies on rustfmt: an item ends at the first line that closes a brace at the indentation it began with.
fn shipped_lines(text: &str) -> Vec<(usize, &str)> {
    let mut shipped = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("//") {
            continue;
        }
        if !trimmed.starts_with("#[cfg(test)]") {
            shipped.push((number, line));
            continue;
        }
        let indentation = &line[..line.len() - trimmed.len()];
        for (line, _) in lines.by_ref() {
            let at_item_level = line.strip_prefix(indentation).is_some_and(|rest| !rest.starts_with(' '));
            let is_attribute = line.trim_start().starts_with("#[");
            if at_item_level && !is_attribute && (line.ends_with('}') || line.ends_with(';')) {
                break;
            }
        }
    }
    shipped
}

fn is_test(path: &Path) -> bool {
    let test = |part: &str| matches!(part, "tests" | "tests.rs" | "sim") || part.ends_with("_tests.rs");
    path.components().any(|part| part.as_os_str().to_str().is_some_and(test))
}

fn rust_files(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for path in sorted_entries(directory)? {
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn sorted_entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let list = || std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut entries = list().with_context(|| format!("cannot list {}", directory.display()))?;
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expected: &[&str]) {
        let found: Vec<_> = check_file(name, "src/x.rs", text).into_iter().map(|finding| finding.place).collect();
        assert_eq!(found, expected, "{name}: {text}");
    }

    #[test]
    fn each_crate_keeps_its_own() {
        let store = "let store = LocalFileSystem::new_with_prefix(path);";
        check("query", store, &["src/x.rs:1"]);
        check("storage", store, &[]);
        let session = "\nlet ctx = SessionContext::new_with_config(config);";
        check("functions", session, &["src/x.rs:2"]);
        check("query", session, &[]);
        let clock = "fn now() -> SystemTime { SystemTime::now() }";
        check("otlp", clock, &["src/x.rs:1"]);
        check("server", clock, &[]);
        check("storage", "std::env::var(\"HOME\")", &["src/x.rs:1"]);
        check("otlp", "let start = Instant::now();", &["src/x.rs:1"]);
        check("storage", "let start = Instant::now();", &[]);
        check("storage", "let start = SystemTime::now();", &["src/x.rs:1"]);
        check("query", "let start = tokio::time::Instant::now();", &[]);
        check("query", "use axum::Router;", &["src/x.rs:1"]);
    }

    #[test]
    fn comments_and_tests_are_free() {
        check("otlp", "/// Never calls `SystemTime::now`.\nfn f() {}", &[]);
        check("otlp", "#[cfg(test)]\nmod tests {\n    fn f() {\n        SystemTime::now();\n    }\n}\n", &[]);
        check("otlp", "#[cfg(test)]\nmod tests;\nfn f() { SystemTime::now(); }", &["src/x.rs:3"]);
        check(
            "otlp",
            "#[cfg(test)]\n#[allow(x)]\nfn f() {\n    SystemTime::now();\n}\nfn g() { Utc::now(); }",
            &["src/x.rs:6"],
        );
        check(
            "otlp",
            "impl X {\n    #[cfg(test)]\n    fn f() {\n        Utc::now();\n    }\n    fn g() { Utc::now(); }\n}",
            &["src/x.rs:6"],
        );
        assert_eq!(check_file("otlp", "src/wal/tests.rs", "SystemTime::now()"), []);
        assert_eq!(check_file("otlp", "src/tests/wal.rs", "SystemTime::now()"), []);
    }

    #[test]
    fn long_files_are_a_warning() {
        let findings = check_file("otlp", "src/x.rs", &"\n".repeat(LINES_MAX + 1));
        assert!(matches!(&findings[..], [Finding { is_error: false, .. }]), "{findings:?}");
        assert_eq!(check_file("otlp", "src/x.rs", &"\n".repeat(LINES_MAX)), []);
    }
}
