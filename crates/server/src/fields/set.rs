use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A set of fields, as the tree of their paths. Steps are spelt as in `FieldsV1`: `f:spec`, `k:{"name":"http"}`, `v:"a"`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct FieldSet {
    /// The path up to here is in the set.
    pub(crate) member: bool,
    pub(crate) children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    pub(crate) fn leaf() -> Self {
        Self { member: true, children: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// What cannot be read is left out.
    pub(crate) fn from_json(value: &Value) -> Self {
        let mut set = Self::default();
        for (step, below) in value.as_object().into_iter().flatten() {
            if step == "." {
                set.member = true;
                continue;
            }
            let mut child = Self::from_json(below);
            child.member |= child.children.is_empty();
            set.children.insert(canonical(step), child);
        }
        set
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".to_owned(), json!({}));
        }
        map.extend(self.children.iter().map(|(step, child)| (step.clone(), child.to_json())));
        Value::Object(map)
    }

    pub(crate) fn child(&self, step: &str) -> Option<&Self> {
        self.children.get(step)
    }

    pub(crate) fn union(&mut self, other: &Self) {
        self.member |= other.member;
        for (step, child) in &other.children {
            self.children.entry(step.clone()).or_default().union(child);
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.member &= !other.member;
        for (step, child) in &other.children {
            if let Some(own) = self.children.get_mut(step) {
                own.subtract(child);
                if own.is_empty() {
                    self.children.remove(step);
                }
            }
        }
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let both = |(step, child): (&String, &Self)| {
            let common = child.intersection(other.children.get(step)?);
            (!common.is_empty()).then(|| (step.clone(), common))
        };
        Self { member: self.member && other.member, children: self.children.iter().filter_map(both).collect() }
    }

    /// Without what is below `path`.
    pub(crate) fn remove(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => drop(self.children.remove(*last)),
            [first, rest @ ..] => {
                if let Some(child) = self.children.get_mut(*first) {
                    child.remove(rest);
                    if child.is_empty() {
                        self.children.remove(*first);
                    }
                }
            }
        }
    }

    /// Every path, as people read it: `.spec.ports[port=80].name`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut all = Vec::new();
        self.collect("", &mut all);
        all
    }

    fn collect(&self, at: &str, all: &mut Vec<String>) {
        if self.member && !at.is_empty() {
            all.push(at.to_owned());
        }
        for (step, child) in &self.children {
            child.collect(&format!("{at}{}", shown(step)), all);
        }
    }
}

fn shown(step: &str) -> String {
    match step.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let pairs: Vec<_> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        Some(("v", value)) => format!("[={value}]"),
        _ => format!("[{step}]"),
    }
}

/// Keys in order and without spaces, so that equal ones are equal.
fn canonical(step: &str) -> String {
    let keys = step.strip_prefix("k:").and_then(|keys| serde_json::from_str::<BTreeMap<String, Value>>(keys).ok());
    keys.map_or_else(|| step.to_owned(), |keys| key_step(&keys))
}

pub(crate) fn key_step(keys: &BTreeMap<String, Value>) -> String {
    format!("k:{}", json!(keys))
}

pub(crate) fn field_step(name: &str) -> String {
    format!("f:{name}")
}

pub(crate) fn value_step(value: &Value) -> String {
    format!("v:{value}")
}
