use serde_json::Value;

use super::schema::{Items, Schema};
use super::set::{FieldSet, field_step};

/// What differs between two states of an object.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Added, or of another value.
    pub(crate) set: FieldSet,
    pub(crate) removed: FieldSet,
}

/// The children of a value that is no single value to `schema`.
pub(crate) fn parts<'v, 's>(value: &'v Value, schema: Schema<'s>) -> Option<Vec<(String, &'v Value, Schema<'s>)>> {
    match value {
        Value::Object(map) if !schema.is_atomic_map() => {
            Some(map.iter().map(|(name, value)| (field_step(name), value, schema.field(name))).collect())
        }
        Value::Array(list) => {
            let steps = schema.items().steps(list)?;
            Some(steps.into_iter().zip(list).map(|(step, item)| (step, item, schema.item())).collect())
        }
        _ => None,
    }
}

pub(crate) fn fields_of(value: &Value, schema: Schema<'_>) -> FieldSet {
    let Some(parts) = parts(value, schema) else { return FieldSet::leaf() };
    let mut set = FieldSet { member: parts.is_empty(), ..FieldSet::default() };
    let is_list = value.is_array();
    for (step, value, below) in parts {
        let mut child = fields_of(value, below);
        child.member |= is_list || step.strip_prefix("f:").is_some_and(|name| schema.is_free_key(name));
        set.children.insert(step, child);
    }
    set
}

pub(crate) fn difference(old: &Value, new: &Value, schema: Schema<'_>) -> Difference {
    let mut found = Difference::default();
    compare(old, new, schema, &mut found.set, &mut found.removed);
    found
}

fn compare(old: &Value, new: &Value, schema: Schema<'_>, set: &mut FieldSet, removed: &mut FieldSet) {
    if old == new {
        return;
    }
    let same_shape = old.is_object() == new.is_object();
    let (Some(before), Some(after), true) = (parts(old, schema), parts(new, schema), same_shape) else {
        *set = fields_of(new, schema);
        *removed = fields_of(old, schema);
        removed.subtract(set);
        set.member = true;
        return;
    };
    set.member |= after.is_empty() != before.is_empty() && after.is_empty();
    removed.member |= after.is_empty() != before.is_empty() && before.is_empty();
    for (step, value, below) in &after {
        let mut child = (FieldSet::default(), FieldSet::default());
        match before.iter().find(|(known, _, _)| known == step) {
            Some((_, old, _)) => compare(old, value, *below, &mut child.0, &mut child.1),
            None => {
                child.0 = fields_of(value, *below);
                child.0.member |= new.is_array();
            }
        }
        insert(set, step, child.0);
        insert(removed, step, child.1);
    }
    for (step, value, below) in before.iter().filter(|(step, _, _)| !after.iter().any(|(known, _, _)| known == step)) {
        let mut child = fields_of(value, *below);
        child.member = true;
        insert(removed, step, child);
    }
}

fn insert(set: &mut FieldSet, step: &str, child: FieldSet) {
    if !child.is_empty() {
        set.children.insert(step.to_owned(), child);
    }
}

/// The names of the fields that tell an item from the others: they go only with it.
pub(crate) fn key_names<'a>(schema: Schema<'a>) -> Vec<&'a str> {
    match schema.items() {
        Items::Keys(keys) => keys.into_iter().map(|(key, _)| key).collect(),
        Items::Atomic | Items::Set => Vec::new(),
    }
}
