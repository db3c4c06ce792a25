use std::collections::BTreeMap;
use std::sync::LazyLock;

use leno_api::Kind;
use serde_json::{Value, json};

use super::set::{key_step, value_step};

/// What an OpenAPI schema says of a value's structure. Without one, maps are merged and lists are taken as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema<'a> {
    schema: Option<&'a Value>,
    metadata: bool,
}

/// How the items of a list are told apart.
pub(crate) enum Items<'a> {
    /// Not at all: the list is one value.
    Atomic,
    /// By these fields, each with its default.
    Keys(Vec<(&'a str, Option<&'a Value>)>),
    /// Each value is there once.
    Set,
}

impl Schema<'static> {
    /// Of an object of a kind, as it is in the version of `api_version`.
    pub(crate) fn of(kind: Kind, api_version: &Value) -> Self {
        let version = api_version.as_str().and_then(|version| version.rsplit('/').next()).unwrap_or_default();
        let schema = crate::schemas::of(kind, version);
        Self { schema: Some(schema), metadata: true }
    }
}

impl<'a> Schema<'a> {
    #[cfg(test)]
    pub(crate) const fn new(schema: &'a Value) -> Self {
        Self { schema: Some(schema), metadata: true }
    }

    fn below(schema: Option<&'a Value>) -> Self {
        Self { schema, metadata: false }
    }

    fn word(self, name: &str) -> Option<&'a str> {
        self.schema?.get(name)?.as_str()
    }

    pub(crate) fn field(self, name: &str) -> Self {
        if self.metadata && name == "metadata" {
            return Schema::below(Some(&METADATA));
        }
        let Some(schema) = self.schema else { return self };
        let declared = schema.get("properties").and_then(|properties| properties.get(name));
        Self::below(declared.or_else(|| schema.get("additionalProperties").filter(|more| more.is_object())))
    }

    pub(crate) fn item(self) -> Self {
        Self::below(self.schema.and_then(|schema| schema.get("items")))
    }

    /// Whether `name` is a key that people choose.
    pub(crate) fn is_free_key(self, name: &str) -> bool {
        let declared =
            |schema: &Value| schema.get("properties").is_some_and(|properties| properties.get(name).is_some());
        self.schema.is_some_and(|schema| schema.get("additionalProperties").is_some() && !declared(schema))
    }

    pub(crate) fn is_atomic_map(self) -> bool {
        self.word("x-kubernetes-map-type") == Some("atomic")
    }

    pub(crate) fn items(self) -> Items<'a> {
        match (self.word("x-kubernetes-list-type"), self.schema) {
            (Some("set"), _) => Items::Set,
            (Some("map"), Some(schema)) => {
                let default = |key: &str| self.item().schema?.get("properties")?.get(key)?.get("default");
                let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten();
                Items::Keys(keys.filter_map(Value::as_str).map(|key| (key, default(key))).collect())
            }
            _ => Items::Atomic,
        }
    }
}

impl Items<'_> {
    /// The step to an item; `None` when it lacks all keys, or two items of `list` have the same: then the list is no such
    /// list, and is one value.
    pub(crate) fn steps(&self, list: &[Value]) -> Option<Vec<String>> {
        let steps: Vec<_> = list.iter().map(|item| self.step(item)).collect::<Option<_>>()?;
        let mut sorted: Vec<_> = steps.iter().collect();
        sorted.sort();
        sorted.windows(2).all(|pair| pair[0] != pair[1]).then_some(steps)
    }

    fn step(&self, item: &Value) -> Option<String> {
        match self {
            Self::Atomic => None,
            Self::Set => (!item.is_object() && !item.is_array()).then(|| value_step(item)),
            Self::Keys(keys) => {
                let value = |(key, default): &(&str, Option<&Value>)| {
                    Some(((*key).to_owned(), item.get(*key).or(*default)?.clone()))
                };
                let keys: BTreeMap<_, _> = keys.iter().filter_map(value).collect();
                (item.is_object() && !keys.is_empty()).then(|| key_step(&keys))
            }
        }
    }
}

/// The same for all kinds.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let words = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    json!({ "type": "object", "properties": {
        "annotations": words,
        "labels": words,
        "finalizers": { "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "string" } },
        "ownerReferences": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
            "items": { "type": "object", "x-kubernetes-map-type": "atomic" },
        },
    }})
});
