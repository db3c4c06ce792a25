//! Values that a schema puts where nothing was written, as Kubernetes does before it looks at an object.

use serde_json::Value as Schema;

use crate::tree::{Tree, Value};

/// The document with its defaults; they stand where their object stands.
pub(super) fn filled(schema: &Schema, tree: &Tree) -> Tree {
    let value = match &tree.value {
        Value::Map(entries) => {
            let known = schema.get("properties").and_then(Schema::as_object);
            let rest = schema.get("additionalProperties");
            let child = |(name, place, child): &(String, _, Tree)| {
                let schema = known.and_then(|known| known.get(name)).or(rest);
                (name.clone(), *place, schema.map_or_else(|| child.clone(), |schema| filled(schema, child)))
            };
            let mut all: Vec<_> = entries.iter().map(child).collect();
            for (name, schema) in known.into_iter().flatten() {
                if let Some(default) = schema.get("default").filter(|_| tree.get(name).is_none()) {
                    let mut child = filled(schema, &Tree::from_json(default));
                    child.place = tree.place;
                    all.push((name.clone(), tree.place, child));
                }
            }
            Value::Map(all)
        }
        Value::List(items) => match schema.get("items") {
            Some(schema) => Value::List(items.iter().map(|item| filled(schema, item)).collect()),
            None => tree.value.clone(),
        },
        other => other.clone(),
    };
    Tree { place: tree.place, value }
}
