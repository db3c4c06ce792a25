//! `cargo xtask tidy`: what the compiler does not check. Prints every finding, then fails if there was one.
//!
//! Checks      dependency table · lint files of the pure crates · unsafe code · links between documents · README commands
//!             descriptors of the bootstrap

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::command::{cargo, output, root};
use crate::packages;

/// Crate and the workspace crates it may use. Layers 0 and 1 are the rows before `runtime`.
const TABLE: &[(&str, &[&str])] = &[
    ("names", &[]),
    ("api", &["names"]),
    ("proto", &[]),
    ("analyze", &["names", "api", "model"]),
    ("model", &["names", "api"]),
    ("ir", &["names"]),
    ("compile", &["names", "model", "ir"]),
    ("xds", &["names", "ir", "proto"]),
    ("routing", &["names", "ir"]),
    ("authz", &["names", "ir"]),
    ("balance", &["names", "ir"]),
    ("runtime", &[]),
    ("telemetry", &["names", "proto", "runtime"]),
    ("identity", &["names", "proto", "runtime", "telemetry"]),
    ("ca", &["names", "proto", "runtime", "telemetry", "identity"]),
    ("store", &["names", "api", "runtime", "telemetry"]),
    ("xds-server", &["names", "ir", "proto", "xds", "runtime", "telemetry", "identity"]),
    ("xds-client", &["names", "ir", "proto", "xds", "runtime", "telemetry", "identity"]),
    ("proxy", &["names", "ir", "routing", "authz", "balance", "runtime", "telemetry", "identity", "xds-client"]),
    (
        "control",
        &["names", "api", "model", "ir", "compile", "store", "xds", "xds-server", "identity", "runtime", "telemetry"],
    ),
    ("server", &["names", "api", "model", "store", "identity", "runtime", "telemetry"]),
    ("cli", &["names", "api", "analyze", "model", "ir", "compile", "xds", "routing", "runtime"]),
];

/// Crates of layers 0 and 1: pure, each with its own bans.
const PURE: [&str; 11] =
    ["names", "api", "proto", "analyze", "model", "ir", "compile", "xds", "routing", "authz", "balance"];

/// What a pure crate may not name.
const PURE_BANS: [&str; 4] =
    ["std::time::Instant::now", "std::time::SystemTime::now", "std::env::var", "std::fs::File::open"];

/// Crates that may hold unsafe code, in a module called `sys`.
const MAY_BE_UNSAFE: [&str; 2] = ["proxy", "runtime"];

pub(crate) fn run() -> anyhow::Result<()> {
    let mut findings = Vec::new();
    check_dependencies(&mut findings)?;
    check_lint_files(&mut findings)?;
    check_unsafe(&mut findings)?;
    check_documents(&mut findings)?;
    check_readme(&mut findings)?;
    if !crate::descriptors::is_current()? {
        findings.push("the descriptors of the bootstrap are not current: run cargo xtask descriptors".to_owned());
    }
    let mut locked = cargo(&["metadata", "--format-version=1", "--locked"]);
    if output(locked.current_dir(root().join("fuzz"))).is_err() {
        findings.push("fuzz/Cargo.lock is not current: run cargo metadata in fuzz".to_owned());
    }
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if findings.is_empty() {
        println!("tidy: nothing to mend");
        Ok(())
    } else {
        bail!("{} finding(s)", findings.len())
    }
}

fn check_dependencies(findings: &mut Vec<String>) -> anyhow::Result<()> {
    let table: BTreeMap<_, BTreeSet<_>> =
        TABLE.iter().map(|(name, uses)| (*name, uses.iter().copied().collect())).collect();
    for package in packages::of_workspace()? {
        let Some(name) = package
            .name
            .strip_prefix("leno-")
            .filter(|name| !matches!(*name, "bench" | "instructions" | "differential" | "e2e" | "smuggling"))
        else {
            continue;
        };
        let Some(allowed) = table.get(name) else {
            findings.push(format!("crate {name} is not in the dependency table"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
            if let Some(used) = dependency.name.strip_prefix("leno-").filter(|used| !allowed.contains(used)) {
                findings.push(format!("crate {name} may not use {used} (dependency table, CONVENTIONS layers)"));
            }
            if PURE.contains(&name) && dependency.name == "tokio" {
                findings.push(format!("crate {name} is pure and may not use tokio"));
            }
        }
    }
    Ok(())
}

fn check_lint_files(findings: &mut Vec<String>) -> anyhow::Result<()> {
    let root_bans = banned(&root().join("clippy.toml"))?;
    for name in PURE {
        let path = root().join("crates").join(name).join("clippy.toml");
        let Ok(bans) = banned(&path) else {
            findings.push(format!("{} is missing: a pure crate bans clocks, files and environment", shown(&path)));
            continue;
        };
        for ban in root_bans.iter().map(String::as_str).chain(PURE_BANS) {
            if !bans.contains(ban) {
                findings.push(format!("{} does not ban {ban}", shown(&path)));
            }
        }
    }
    Ok(())
}

/// The paths that a `clippy.toml` bans.
fn banned(path: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let mut paths = BTreeSet::new();
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once("path = \"")
            && let Some((ban, rest)) = rest.split_once('"')
        {
            anyhow::ensure!(rest.contains("reason = \""), "{}: the ban of {ban} has no reason", path.display());
            paths.insert(ban.to_owned());
        }
    }
    Ok(paths)
}

fn check_unsafe(findings: &mut Vec<String>) -> anyhow::Result<()> {
    for (name, _) in TABLE {
        let path = root().join("crates").join(name).join("src/lib.rs");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let wanted = if MAY_BE_UNSAFE.contains(name) { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
        if !text.contains(wanted) && !text.contains("#![forbid(unsafe_code)]") {
            findings.push(format!("{} does not say {wanted}", shown(&path)));
        }
    }
    Ok(())
}

/// Every relative link of every document leads to a file.
fn check_documents(findings: &mut Vec<String>) -> anyhow::Result<()> {
    let mut documents = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    collect_markdown(&root().join("docs"), &mut documents)?;
    for document in documents {
        let text = std::fs::read_to_string(&document).with_context(|| format!("reading {}", document.display()))?;
        for target in links(&text) {
            let path = document.parent().unwrap_or(Path::new(".")).join(target);
            if !path.exists() {
                findings.push(format!("{} links to {target}, which is not there", shown(&document)));
            }
        }
    }
    Ok(())
}

fn collect_markdown(directory: &Path, documents: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect_markdown(&path, documents)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
    Ok(())
}

/// Targets of `](…)` that are files of the repository, without their fragment.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains("://")).then_some(target)
    })
}

/// The two commands that the README promises.
fn check_readme(findings: &mut Vec<String>) -> anyhow::Result<()> {
    let readme = std::fs::read_to_string(root().join("README.md")).context("reading README.md")?;
    let ci = std::fs::read_to_string(root().join(".ci/run")).context("reading .ci/run")?;
    for command in ["cargo run --release -- demo", "cargo xtask test"] {
        if !readme.contains(command) {
            findings.push(format!("README.md does not show `{command}`"));
        }
    }
    for command in ["cargo xtask lint", "cargo xtask test"] {
        if !ci.contains(command) {
            findings.push(format!(".ci/run does not call `{command}`"));
        }
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
