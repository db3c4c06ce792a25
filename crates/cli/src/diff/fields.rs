use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// A value that is another.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FieldChange {
    /// `virtual_hosts[0].routes[1].action.forward.clusters[0].weight`
    pub(crate) path: String,
    /// Null: it is not there.
    pub(crate) before: Value,
    pub(crate) after: Value,
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Value::Null, after) => write!(f, "{}: {}", self.path, short(after)),
            (before, Value::Null) => write!(f, "{}: no {}", self.path, short(before)),
            (before, after) => write!(f, "{}: {} becomes {}", self.path, short(before), short(after)),
        }
    }
}

/// Most characters of a value that are shown.
const SHOWN: usize = 120;

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// The smallest parts that differ.
pub(crate) fn differences(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    walk("", before, after, &mut found);
    found
}

fn walk(path: &str, before: &Value, after: &Value, found: &mut Vec<FieldChange>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (before, after) {
        _ if before == after => {}
        (Value::Object(old), Value::Object(new)) => {
            for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
                let side = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                walk(&below(name), &side(old), &side(new), found);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for index in 0..old.len().max(new.len()) {
                let side = |list: &[Value]| list.get(index).cloned().unwrap_or_default();
                walk(&format!("{path}[{index}]"), &side(old), &side(new), found);
            }
        }
        _ => found.push(FieldChange { path: path.to_owned(), before: before.clone(), after: after.clone() }),
    }
}
