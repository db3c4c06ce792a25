//! What other projects' CRDs say about their objects, as data: types, limits, rules, keys of lists.
//!
//! Shape       1 file per project -> n kinds -> n versions -> 1 OpenAPI v3 schema of the whole object
//! Cost        a file is read when one of its kinds is first asked for, and kept
//! Source      `cargo xtask schemas` cuts the files out of the CRDs: Gateway API v1.6 (experimental channel), Istio, SMI

mod defaults;
mod rules;
mod structure;

use std::sync::LazyLock;

use serde_json::Value;

use crate::Kind;
use crate::leno;
use crate::parse::code;
use crate::tree::{Finding, Tree};

/// Of the kinds whose schemas are those of the types here.
const OWN_GROUP: &str = "leno.dev";

/// A file of schemas, read at most once.
type File = LazyLock<Value>;

static GATEWAY_API: File = LazyLock::new(|| file(include_str!("../schemas/gateway-api.json")));
static ISTIO: File = LazyLock::new(|| file(include_str!("../schemas/istio.json")));
static SMI: File = LazyLock::new(|| file(include_str!("../schemas/smi.json")));
/// What each rule of the schemas says, in words.
static WORDS: File = LazyLock::new(|| file(include_str!("../schemas/words.json")));

fn file(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The schema of `kind` in one of its versions; `None` for kinds that are no custom resources.
pub fn schema(kind: Kind, version: &str) -> Option<&'static Value> {
    let group = kind.group();
    if group == OWN_GROUP {
        return kind.versions().contains(&version).then(|| leno::schema(kind)).flatten();
    }
    let file: &'static Value = match group {
        "gateway.networking.k8s.io" | "gateway.networking.x-k8s.io" => &GATEWAY_API,
        _ if group.ends_with(".istio.io") => &ISTIO,
        _ if group.ends_with(".smi-spec.io") => &SMI,
        _ => return None,
    };
    let versions = file.get(format!("{kind}.{group}"))?;
    let schema = versions.get(version)?;
    schema.as_str().map_or(Some(schema), |same| versions.get(same))
}

/// All that the schema finds wrong with a document of `kind`; nothing when there is no schema.
pub(crate) fn check(kind: Kind, tree: &Tree) -> Vec<(&'static str, Finding)> {
    let version = tree.text("apiVersion").unwrap_or_default();
    let is_smi = kind.group().ends_with(".smi-spec.io");
    // Older ones are read as the newest.
    let version = if is_smi { kind.versions()[0] } else { version.rsplit('/').next().unwrap_or_default() };
    let Some(schema) = schema(kind, version) else { return Vec::new() };
    let tree = &defaults::filled(schema, tree);
    let mut found = Vec::new();
    structure::check(schema, tree, &mut found);
    // Of older versions, and written with the newest all the same.
    found.retain(|finding| !(is_smi && finding.path == "spec.destination.port"));
    if !found.is_empty() {
        return found.into_iter().map(|finding| (code::SCHEMA, finding)).collect();
    }
    rules::check(kind, version, schema, tree, &mut found);
    found.into_iter().map(|finding| (code::RULE, finding)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn rules(json: &Value, found: &mut BTreeSet<String>) {
        for rule in json.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
            found.insert(rule["rule"].as_str().unwrap().to_owned());
        }
        match json {
            Value::Object(entries) => entries.values().for_each(|child| rules(child, found)),
            Value::Array(items) => items.iter().for_each(|child| rules(child, found)),
            _ => {}
        }
    }

    #[test]
    fn every_rule_of_the_schemas_has_words_and_no_other() {
        let mut found = BTreeSet::new();
        [&GATEWAY_API, &ISTIO, &SMI].into_iter().for_each(|file| rules(file, &mut found));
        let words: BTreeSet<_> = WORDS.as_object().unwrap().keys().cloned().collect();
        assert!(found.len() > 100, "{}", found.len());
        assert_eq!(found.difference(&words).collect::<Vec<_>>(), Vec::<&String>::new());
        assert_eq!(words.difference(&found).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[test]
    fn every_custom_resource_has_a_schema() {
        for kind in Kind::ALL.into_iter() {
            let custom = kind.group().contains("networking.") || kind.group().contains("istio.io");
            if custom {
                assert!(schema(kind, kind.versions()[0]).is_some(), "{kind} {}", kind.group());
            }
        }
    }
}
