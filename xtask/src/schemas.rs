//! `cargo xtask schemas`: what the CRDs of other projects say about their objects (types, limits, rules, keys of lists),
//! without their texts, as one file per project in `crates/api/schemas`.
//!
//! Source      the reference data's CRDs (`LENO_REFERENCE_DATA`, by default `../shared/data`)
//! Shape       {"Kind.group": {"version": schema, "older version": "version of the same schema"}}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::command::root;

/// File to be written, and where the CRDs are.
const SOURCES: [(&str, &str); 3] =
    [("gateway-api", "gateway-api/config/crd/experimental"), ("istio", "istio/crds"), ("smi", "smi/crds")];

pub(crate) fn run() -> Result<()> {
    let root = root();
    let data = std::env::var_os("LENO_REFERENCE_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    ensure!(data.is_dir(), "no reference data in {}; LENO_REFERENCE_DATA says where it is", data.display());
    for (name, folder) in SOURCES {
        let schemas = read(&data.join(folder))?;
        let path = root.join(format!("crates/api/schemas/{name}.json"));
        let mut text = String::from("{\n");
        for (index, (kind, versions)) in schemas.iter().enumerate() {
            let end = if index + 1 == schemas.len() { "" } else { "," };
            text.push_str(&format!("{}: {}{end}\n", json!(kind), Value::Object(versions.clone())));
        }
        text.push_str("}\n");
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("{}: {} kinds", path.display(), schemas.len());
    }
    Ok(())
}

fn read(folder: &Path) -> Result<BTreeMap<String, Map<String, Value>>> {
    let mut all = BTreeMap::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        for document in text.split("\n---") {
            let document: Value =
                serde_saphyr::from_str(document).with_context(|| format!("reading {}", path.display()))?;
            if document["kind"] == "CustomResourceDefinition" {
                let spec = &document["spec"];
                let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let kind = format!("{}.{}", word(&spec["names"]["kind"]), word(&spec["group"]));
                all.insert(kind, versions(spec));
            }
        }
    }
    Ok(all)
}

fn versions(spec: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    for version in spec["versions"].as_array().into_iter().flatten() {
        let Some(name) = version["name"].as_str() else { continue };
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        strip(&mut schema, false);
        let same = all.iter().find(|(_, other)| **other == schema).map(|(same, _)| json!(same));
        all.insert(name.to_owned(), same.unwrap_or(schema));
    }
    all
}

/// Takes out everything that is only said to people. `names` is true where keys are names of fields.
fn strip(value: &mut Value, names: bool) {
    match value {
        Value::Object(entries) => {
            if !names {
                for word in ["description", "message", "messageExpression", "title", "example"] {
                    entries.remove(word);
                }
                // A state that waits for somebody else's controller.
                if entries.get("default").is_some_and(|default| default.to_string().contains("Waiting for controller"))
                {
                    entries.remove("default");
                }
            }
            for (key, child) in entries.iter_mut() {
                strip(child, !names && matches!(key.as_str(), "properties" | "default"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| strip(item, false)),
        _ => {}
    }
}
