//! What upstream publishes parses unchanged.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use leno_api::parse;

fn data() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("LENO_REFERENCE_DATA").map_or(default, PathBuf::from);
    if root.is_dir() {
        return Some(root);
    }
    println!("DID NOT RUN: no reference data at {} (set LENO_REFERENCE_DATA)", root.display());
    None
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(path);
        }
    }
}

/// What problems there are in the documents below `folders`, and how many resources.
fn read(folders: &[&str]) -> Option<(usize, Vec<String>)> {
    let root = data()?;
    let mut all = Vec::new();
    folders.iter().for_each(|folder| files(&root.join(folder), &mut all));
    assert!(!all.is_empty(), "nothing in {folders:?}");
    let (mut resources, mut problems) = (0, Vec::new());
    for path in all {
        let text = std::fs::read_to_string(&path).unwrap();
        // What the suite fills in.
        let text = text
            .replace("{GATEWAY_CONTROLLER_NAME}", "leno.dev/gateway-controller")
            .replace("<NAMESPACE>", "default")
            .replace("PLACEHOLDER_UNUSABLE_ADDRS", "192.0.2.1")
            .replace("PLACEHOLDER_USABLE_ADDRS", "127.0.0.1");
        let parsed = parse(&path.strip_prefix(&root).unwrap().display().to_string(), &text);
        resources += parsed.resources.len();
        // Charts and other files that are no objects are not ours to judge.
        problems.extend(parsed.problems.iter().filter(|problem| !problem.object.is_empty()).map(ToString::to_string));
    }
    Some((resources, problems))
}

#[test]
fn gateway_api_manifests_are_valid() {
    let Some((resources, problems)) = read(&["gateway-api/conformance", "gateway-api/examples"]) else { return };
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(resources > 400, "{resources}");
}

#[test]
fn istio_samples_are_valid() {
    let Some((resources, problems)) = read(&["istio/samples"]) else { return };
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(resources > 100, "{resources}");
}

#[test]
fn smi_manifests_are_valid() {
    let Some((resources, problems)) = read(&["smi-tests"]) else { return };
    // Steps of the test tool itself.
    let problems: Vec<_> = problems.into_iter().filter(|problem| !problem.contains("TestStep")).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(resources > 20, "{resources}");
}
