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

#[test]
fn istio_samples_and_mesh_conformance_manifests_parse() {
    let Some(root) = data() else { return };
    let mut all = Vec::new();
    files(&root.join("istio/samples"), &mut all);
    files(&root.join("gateway-api/conformance/tests/mesh"), &mut all);
    let (mut resources, mut problems) = (0, Vec::new());
    for path in all {
        let text = std::fs::read_to_string(&path).unwrap();
        let ours = ["VirtualService", "DestinationRule", "Service", "WorkloadEntry", "WorkloadGroup", "HTTPRoute"];
        if !ours.iter().any(|kind| text.contains(&format!("kind: {kind}\n"))) {
            continue;
        }
        let parsed = parse(&path.display().to_string(), &text);
        resources += parsed.resources.len();
        // Documents of other kinds in the same files (templates, foreign groups) are not ours to judge.
        problems.extend(
            parsed.problems.into_iter().filter(|problem| problem.field != "kind" && !problem.object.is_empty()),
        );
    }
    let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    assert!(resources > 100, "{resources}");
}
