use serde_json::Value;

use super::schema::{Items, Schema};
use super::set::{FieldSet, field_step};
use super::walk::key_names;

/// `live` with everything that `config` says.
pub(crate) fn merge(live: &Value, config: &Value, schema: Schema<'_>) -> Value {
    match (live, config) {
        (Value::Object(old), Value::Object(new)) if !schema.is_atomic_map() => {
            let mut merged = old.clone();
            for (name, value) in new {
                let value = match old.get(name) {
                    Some(old) => merge(old, value, schema.field(name)),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(old), Value::Array(new)) => {
            let items = schema.items();
            match (items.steps(old), items.steps(new)) {
                (Some(olds), Some(news)) => merge_lists((old, &olds), (new, &news), schema.item()),
                _ => config.clone(),
            }
        }
        _ => config.clone(),
    }
}

/// In the order of the new; what only the old has stays before what it was before.
fn merge_lists((old, olds): (&[Value], &[String]), (new, news): (&[Value], &[String]), item: Schema<'_>) -> Value {
    let mut merged = Vec::new();
    let mut left = 0;
    for (value, step) in new.iter().zip(news) {
        let at = olds.iter().position(|known| known == step);
        if let Some(at) = at.filter(|at| *at >= left) {
            merged.extend((left..at).filter(|index| !news.contains(&olds[*index])).map(|index| old[index].clone()));
            left = at + 1;
        }
        merged.push(at.map_or_else(|| value.clone(), |at| merge(&old[at], value, item)));
    }
    merged.extend((left..old.len()).filter(|index| !news.contains(&olds[*index])).map(|index| old[index].clone()));
    Value::Array(merged)
}

/// Takes out of `value` what was in `gone` and is not in `kept`.
pub(crate) fn prune(value: &mut Value, gone: &FieldSet, kept: &FieldSet, schema: Schema<'_>) {
    prune_below(value, gone, kept, schema, &[]);
}

fn prune_below(value: &mut Value, gone: &FieldSet, kept: &FieldSet, schema: Schema<'_>, keys: &[&str]) {
    let nothing = FieldSet::default();
    match value {
        Value::Object(map) => map.retain(|name, value| {
            let step = field_step(name);
            let Some(gone) = gone.child(&step).filter(|_| !keys.contains(&name.as_str())) else { return true };
            let kept = kept.child(&step).unwrap_or(&nothing);
            stays(value, gone, kept, schema.field(name), &[])
        }),
        Value::Array(list) => {
            let Some(steps) = schema.items().steps(list) else { return };
            let keys = key_names(schema);
            let mut steps = steps.iter();
            list.retain_mut(|item| {
                let Some((step, gone)) = steps.next().and_then(|step| Some((step, gone.child(step)?))) else {
                    return true;
                };
                let kept = kept.child(step).unwrap_or(&nothing);
                stays(item, gone, kept, schema.item(), &keys)
            });
        }
        _ => {}
    }
}

/// Whether anything of it stays.
fn stays(value: &mut Value, gone: &FieldSet, kept: &FieldSet, schema: Schema<'_>, keys: &[&str]) -> bool {
    if gone.member && kept.is_empty() {
        return false;
    }
    let was_empty = is_empty(value);
    let whole = matches!((&*value, schema.items()), (Value::Array(_), Items::Atomic));
    if !whole && !gone.children.is_empty() {
        prune_below(value, gone, kept, schema, keys);
    }
    was_empty || !is_empty(value) || !kept.is_empty()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
