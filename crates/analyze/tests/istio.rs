//! Istio's own test of its analyzers, as a table: the same inputs, the same codes on the same objects.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use leno_analyze::{Objects, run};

const TABLE: &str = include_str!("istio.txt");

/// 2026-11-01: certificates of the inputs are judged as of then.
const NOW: i64 = 1_793_491_200;

fn inputs() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("LENO_REFERENCE_DATA").map_or(default, PathBuf::from).join("istio-analyze/inputs");
    if root.is_dir() {
        return Some(root);
    }
    println!("DID NOT RUN: no reference data at {} (set LENO_REFERENCE_DATA)", root.display());
    None
}

/// `file`, `mesh=file`, `networks=file`, `NAME:file` for an object of the cluster NAME.
fn read(root: &Path, files: &str) -> Objects {
    let mut objects = Objects::new(NOW);
    for file in files.split_whitespace() {
        let (what, file) = file.split_once(['=', ':']).unwrap_or(("", file));
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        for document in leno_api::documents(file, &text).into_iter().flatten() {
            match what {
                "mesh" => objects.set_mesh_config(&document),
                "networks" => {
                    objects.add_mesh_networks(&document);
                }
                cluster => {
                    objects.add(&document, "default", cluster);
                }
            }
        }
    }
    objects.add_defaults();
    objects
}

#[test]
fn the_same_codes_are_found_on_the_same_objects() {
    let Some(root) = inputs() else { return };
    let mut cases: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            Some(expected) => cases.last_mut().unwrap().1.push(expected),
            None => cases.push((line, Vec::new())),
        }
    }
    assert!(cases.len() > 100, "{}", cases.len());
    let mut wrong = Vec::new();
    for (case, mut expected) in cases {
        let (name, files) = case.split_once(": ").unwrap();
        let objects = read(&root, files);
        let found = run(name, &objects).unwrap_or_else(|| panic!("no analysis {name}"));
        let shown = |finding: &leno_analyze::Finding| {
            format!("{} {}", finding.code.id, objects.object(finding.object).unwrap().describe())
        };
        let mut found: Vec<_> = found.iter().map(shown).collect();
        found.sort();
        expected.sort_unstable();
        // Istio tells of each object once with the same words, we of each place.
        let count = |list: &[&str], one: &str| list.iter().filter(|other| **other == one).count();
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        let fits = expected.iter().all(|one| count(&found, one) >= count(&expected, one))
            && found.iter().all(|one| expected.contains(one));
        if !fits {
            wrong.push(format!("{case}\n  expected {expected:#?}\n  found {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
