//! Envoy's runtime, as far as a file can say it: the values of static layers take the place of the defaults that name them.
//!
//! Shape       `layered_runtime.layers[].static_layer` -> key to value, later layers win -> every `runtime_key` of the file
//! Errors      a key that nothing in the file reads: it would change how Envoy itself works, and Leno is not Envoy
//! Source      Envoy runtime.proto; `Snapshot::featureEnabled`: a number is a percentage, an object a fraction

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::tree::{Entry, Tree, Value, camel_case};

const LISTENERS: &str = "static_resources.listeners";
const LAYERS: &str = "layered_runtime.layers";

/// A value of a layer, and whether anything reads it.
struct Setting {
    line: usize,
    layer: usize,
    tree: Tree,
    is_read: bool,
}

/// Line, field, reason.
type Problem = (usize, String, String);

/// Puts the values where they are read. What listeners may have of connections is read by nothing in the file itself.
pub(super) fn apply(tree: &mut Tree) -> (BTreeMap<String, u64>, Vec<Problem>) {
    let mut settings = BTreeMap::new();
    for (layer, item) in tree.at(LAYERS).map(Tree::items).unwrap_or_default().iter().enumerate() {
        settings.extend(settings_of(item, layer));
    }
    if settings.is_empty() {
        return Default::default();
    }
    put(tree, &mut settings);
    let limits = connection_limits(tree, &mut settings);
    let unread = settings.into_iter().filter(|(_, setting)| !setting.is_read);
    (limits, unread.map(|(key, Setting { line, layer, .. })| (line, field(layer), reason(&key))).collect())
}

/// `envoy.resource_limits.listener.<name>.connection_limit`, for the listeners that there are.
fn connection_limits(tree: &Tree, settings: &mut BTreeMap<String, Setting>) -> BTreeMap<String, u64> {
    let listeners = tree.at(LISTENERS).map(Tree::items).unwrap_or_default();
    let limit = |name: &str| {
        let setting = settings.get_mut(&format!("envoy.resource_limits.listener.{name}.connection_limit"))?;
        setting.is_read = true;
        // As in Envoy, what is no number says nothing.
        match &setting.tree.value {
            Value::Scalar(value) => Some((name.to_owned(), value.as_u64()?)),
            _ => None,
        }
    };
    listeners.iter().filter_map(|listener| listener.at("name")?.text()).filter_map(limit).collect()
}

/// What the layers say, as Envoy's admin interface lists it.
pub(super) fn page(tree: &Tree) -> Option<Json> {
    let layers = tree.at(LAYERS).map(Tree::items).filter(|layers| !layers.is_empty())?;
    let names: Vec<_> = layers.iter().map(|layer| layer.at("name").and_then(Tree::text).unwrap_or_default()).collect();
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (at, layer) in layers.iter().enumerate() {
        for (key, setting) in settings_of(layer, at) {
            let of_key = values.entry(key).or_insert_with(|| vec![String::new(); layers.len()]);
            if let Some(value) = of_key.get_mut(at) {
                *value = match setting.tree.to_json() {
                    Json::String(text) => text,
                    other => other.to_string(),
                };
            }
        }
    }
    let entry = |(key, values): (String, Vec<String>)| {
        let last = values.iter().rev().find(|value| !value.is_empty()).cloned().unwrap_or_default();
        (key, json!({ "final_value": last, "layer_values": values }))
    };
    let entries: serde_json::Map<_, _> = values.into_iter().map(entry).collect();
    Some(json!({ "layers": names, "entries": entries }))
}

fn field(layer: usize) -> String {
    format!("{LAYERS}[{layer}].static_layer")
}

fn reason(key: &str) -> String {
    format!("nothing in this file reads the runtime key {key}")
}

/// Of one layer.
fn settings_of(item: &Tree, layer: usize) -> BTreeMap<String, Setting> {
    let mut settings = BTreeMap::new();
    for entry in item.at("static_layer").and_then(Tree::entries).unwrap_or_default() {
        flatten(String::new(), entry, layer, &mut settings);
    }
    settings
}

/// Objects are parts of keys, joined by dots, unless they are fractions.
fn flatten(prefix: String, entry: &Entry, layer: usize, settings: &mut BTreeMap<String, Setting>) {
    let key = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
    match entry.tree.entries() {
        Some(entries) if !entries.iter().any(|entry| entry.key == "numerator") => {
            entries.iter().for_each(|entry| flatten(key.clone(), entry, layer, settings));
        }
        _ => {
            let setting = Setting { line: entry.line, layer, tree: entry.tree.clone(), is_read: false };
            settings.insert(key, setting);
        }
    }
}

fn put(tree: &mut Tree, settings: &mut BTreeMap<String, Setting>) {
    match &mut tree.value {
        Value::List(items) => items.iter_mut().for_each(|item| put(item, settings)),
        Value::Map(entries) => {
            let key = entries.iter().find(|entry| is(entry, "runtime_key")).and_then(|entry| entry.tree.text());
            if let Some(setting) = key.and_then(|key| settings.get_mut(key)) {
                setting.is_read = true;
                let default =
                    entries.iter_mut().find(|entry| is(entry, "default_value") || is(entry, "percent_sampled"));
                if let Some(default) = default {
                    default.tree = value(&setting.tree, &default.tree);
                }
            }
            entries.iter_mut().for_each(|entry| put(&mut entry.tree, settings));
        }
        Value::Null | Value::Scalar(_) => {}
    }
}

fn is(entry: &Entry, name: &str) -> bool {
    entry.key == name || entry.key == camel_case(name)
}

/// In the shape of the default that it replaces.
fn value(set: &Tree, default: &Tree) -> Tree {
    match (&set.value, default.entries()) {
        (Value::Scalar(Json::Number(percent)), Some(_)) => {
            let percent = percent.as_f64().unwrap_or(0.0).clamp(0.0, 100.0);
            let numerator = Tree { line: set.line, value: Value::Scalar(Json::from(percent as u64)) };
            let entry = Entry { key: "numerator".to_owned(), line: set.line, tree: numerator };
            Tree { line: set.line, value: Value::Map(vec![entry]) }
        }
        _ => set.clone(),
    }
}
