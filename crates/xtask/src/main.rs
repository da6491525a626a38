//! Chores: `cargo xtask tidy` compares the tree with the drawn architecture,
//! `cargo xtask ci` runs every test.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to whoever runs it")]

mod graph;
mod lockfile;
mod sources;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(&workspace_root()?),
        ["ci", ..] => ci(&workspace_root()?, &arguments[1..]),
        _ => bail!("usage: cargo xtask tidy | cargo xtask ci [SECTION…]"),
    }
}

/// Something that `tidy` found, with the place to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    place: String,
    what: String,
    is_error: bool,
}

impl Finding {
    fn error(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), is_error: true }
    }

    fn warning(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), is_error: false }
    }
}

fn tidy(root: &Path) -> Result<ExitCode> {
    let read = |name: &str| {
        let path = root.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut findings = graph::compare(&graph::drawn(&read("ARCHITECTURE.md")?)?, &graph::actual(&metadata(root)?)?);
    findings.extend(lockfile::check(&read("Cargo.lock")?));
    findings.extend(sources::check(root)?);

    for Finding { place, what, is_error } in &findings {
        println!("{}: {place}: {what}", if *is_error { "error" } else { "warning" });
    }
    let errors = findings.iter().filter(|finding| finding.is_error).count();
    println!("tidy: {errors} errors, {} warnings", findings.len() - errors);
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ci(root: &Path, sections: &[String]) -> Result<ExitCode> {
    let script = root.join("scripts/test");
    let status = Command::new(&script)
        .args(sections)
        .current_dir(root)
        .status()
        .with_context(|| format!("cannot run {}", script.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `cargo metadata` says about the members alone.
fn metadata(root: &Path) -> Result<serde_json::Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")
}

fn workspace_root() -> Result<PathBuf> {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest_dir.ancestors().nth(2).context("xtask does not lie in crates/")?;
    Ok(root.to_path_buf())
}
