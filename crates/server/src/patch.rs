//! The ways to say what shall be different: JSON Patch, merge patch, and the strategic merge patch of core kinds.
//!
//! Source      RFC 6902; RFC 7386; Kubernetes "Update API Objects in Place Using kubectl patch". Of the strategic one the
//!             directives `$patch`, `$setElementOrder`, `$deleteFromPrimitiveList` and `$retainKeys`

use serde_json::{Map, Value};

use crate::ApiError;

/// # Errors
/// What is no JSON Patch; a path that is not there; a `test` that fails.
pub(crate) fn json_patch(object: &Value, patch: &Value) -> Result<Value, ApiError> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| ApiError::bad_request(format!("the body is no JSON patch: {error}")))?;
    let mut changed = object.clone();
    json_patch::patch(&mut changed, &patch).map_err(|error| {
        ApiError::invalid(format!("the server rejected our request due to an error in our request: {error}"))
    })?;
    Ok(changed)
}

pub(crate) fn merge_patch(object: &Value, patch: &Value) -> Value {
    let mut changed = object.clone();
    json_patch::merge(&mut changed, patch);
    changed
}

/// Lists of objects that are merged, by the end of their path, and the field that tells their items apart.
const MERGE_KEYS: [(&str, &str); 7] = [
    ("metadata.ownerReferences", "uid"),
    ("spec.ports", "port"),
    ("status.conditions", "type"),
    ("secrets", "name"),
    ("imagePullSecrets", "name"),
    ("spec.containers", "name"),
    ("spec.topologySpreadConstraints", "topologyKey"),
];
/// Lists of plain values that are merged.
const MERGED_VALUES: [&str; 2] = ["metadata.finalizers", "spec.finalizers"];

const ORDER: &str = "$setElementOrder/";
const DELETE_VALUES: &str = "$deleteFromPrimitiveList/";

pub(crate) fn strategic_merge_patch(object: &Value, patch: &Value) -> Value {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => Value::Object(merge_maps(object, patch, "")),
        _ => patch.clone(),
    }
}

fn merge_maps(object: &Map<String, Value>, patch: &Map<String, Value>, path: &str) -> Map<String, Value> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => return patch.iter().filter(|(name, _)| *name != "$patch").map(copy).collect(),
        Some("delete") => return Map::new(),
        _ => {}
    }
    let mut merged = object.clone();
    if let Some(Value::Array(names)) = patch.get("$retainKeys") {
        merged.retain(|name, _| names.iter().any(|kept| kept == name));
    }
    for (name, value) in patch {
        let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if name.starts_with('$') {
            continue;
        }
        let merged_value = match (merged.get(name), value) {
            (_, Value::Null) => {
                merged.remove(name);
                continue;
            }
            (Some(Value::Object(old)), Value::Object(new)) => Value::Object(merge_maps(old, new, &at)),
            (None, Value::Object(new)) => Value::Object(merge_maps(&Map::new(), new, &at)),
            (old, Value::Array(new)) => merge_lists(old.and_then(Value::as_array).map_or(&[], Vec::as_slice), new, &at),
            (_, new) => new.clone(),
        };
        merged.insert(name.clone(), merged_value);
    }
    for (name, value) in patch {
        let Value::Array(values) = value else { continue };
        if let Some(list) = name.strip_prefix(DELETE_VALUES).and_then(|name| merged.get_mut(name)?.as_array_mut()) {
            list.retain(|item| !values.contains(item));
        }
        if let Some(name) = name.strip_prefix(ORDER) {
            let at = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            if let Some(list) = merged.get_mut(name).and_then(Value::as_array_mut) {
                order(list, values, &at);
            }
        }
    }
    merged
}

fn copy((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

fn merge_key(path: &str) -> Option<&'static str> {
    MERGE_KEYS.iter().find(|(known, _)| *known == path).map(|(_, key)| *key)
}

fn merge_lists(old: &[Value], new: &[Value], path: &str) -> Value {
    if MERGED_VALUES.contains(&path) {
        let added = new.iter().filter(|value| !old.contains(value));
        return old.iter().chain(added).cloned().collect();
    }
    let Some(key) = merge_key(path) else {
        return new.iter().filter(|item| item.get("$patch").is_none()).cloned().collect();
    };
    if new.iter().any(|item| item["$patch"] == "replace") {
        return new.iter().filter(|item| item.get("$patch").is_none()).cloned().collect();
    }
    let mut merged = old.to_vec();
    for item in new {
        let at = merged.iter().position(|known| known[key] == item[key]);
        match (at, item) {
            (Some(at), _) if item["$patch"] == "delete" => drop(merged.remove(at)),
            (None, _) if item["$patch"] == "delete" => {}
            (Some(at), Value::Object(patch)) => {
                if let Value::Object(known) = &merged[at] {
                    merged[at] = Value::Object(merge_maps(known, patch, &format!("{path}[]")));
                }
            }
            _ => merged.push(item.clone()),
        }
    }
    Value::Array(merged)
}

/// In the order of `wanted`; what is not in it stays behind what is.
fn order(list: &mut [Value], wanted: &[Value], path: &str) {
    let place = |item: &Value| {
        let same = |known: &Value| match merge_key(path) {
            Some(key) => known[key] == item[key],
            None => known == item,
        };
        wanted.iter().position(same).unwrap_or(usize::MAX)
    };
    list.sort_by_key(place);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_of_a_service_are_merged_by_number() {
        let service = json!({ "spec": { "type": "x", "ports": [{ "port": 80, "name": "a" }, { "port": 81 }] } });
        let patch = json!({ "spec": {
            "type": null,
            "$setElementOrder/ports": [{ "port": 82 }, { "port": 80 }],
            "ports": [{ "port": 80, "targetPort": 8080 }, { "port": 82 }, { "port": 81, "$patch": "delete" }],
        }});
        let wanted = json!({ "spec": { "ports": [{ "port": 82 }, { "port": 80, "name": "a", "targetPort": 8080 }] } });
        assert_eq!(strategic_merge_patch(&service, &patch), wanted);
    }

    #[test]
    fn directives_replace_retain_and_delete() {
        let object =
            json!({ "metadata": { "finalizers": ["a", "b"] }, "spec": { "ports": [{ "port": 1 }], "x": 1, "y": 2 } });
        for (patch, wanted) in [
            (json!({ "spec": { "$patch": "replace", "z": 3 } }), json!({ "z": 3 })),
            (json!({ "spec": { "$retainKeys": ["x"], "x": 5 } }), json!({ "x": 5 })),
            (
                json!({ "spec": { "ports": [{ "$patch": "replace" }, { "port": 9 }], "x": null, "y": null } }),
                json!({ "ports": [{ "port": 9 }] }),
            ),
            (json!({ "spec": { "list": [1, 2], "x": null, "y": null, "ports": null } }), json!({ "list": [1, 2] })),
        ] {
            assert_eq!(strategic_merge_patch(&object, &patch)["spec"], wanted, "{patch}");
        }
        let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"] } });
        assert_eq!(strategic_merge_patch(&object, &patch)["metadata"]["finalizers"], json!(["b", "c"]));
    }

    #[test]
    fn a_test_that_fails_changes_nothing() {
        let object = json!({ "a": 1 });
        let patch = json!([{ "op": "test", "path": "/a", "value": 2 }, { "op": "remove", "path": "/a" }]);
        assert_eq!(json_patch(&object, &patch).unwrap_err().code, 422);
        let patch = json!([{ "op": "add", "path": "/b", "value": 2 }]);
        assert_eq!(json_patch(&object, &patch).unwrap(), json!({ "a": 1, "b": 2 }));
        assert_eq!(json_patch(&object, &json!({})).unwrap_err().code, 400);
        assert_eq!(merge_patch(&object, &json!({ "a": null, "c": 3 })), json!({ "c": 3 }));
    }
}
