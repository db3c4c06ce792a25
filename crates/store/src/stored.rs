use std::sync::Arc;
use std::time::SystemTime;

use leno_api::{Resource, ResourceKey};
use serde_json::{Map, Value, json};

use crate::StoreError;

/// One object: as it was written, and as it was understood.
#[derive(Debug)]
pub struct Stored {
    /// Without `status` and `managedFields`, which mean nothing to the mesh.
    pub resource: Arc<Resource>,
    pub revision: u64,
    /// JSON, as written. Kept as text: a tree of it takes some five times the memory.
    pub(crate) text: Box<[u8]>,
}

/// A revision is given to one text only.
impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.revision == other.revision
    }
}

impl Stored {
    pub(crate) fn new(object: Value, revision: u64) -> Result<Self, StoreError> {
        let text = object.to_string().into_bytes().into();
        let resource = understood(object).map_err(|problems| StoreError::Invalid { problems })?;
        Ok(Self { resource: Arc::new(resource), revision, text })
    }

    pub(crate) fn load(text: &[u8]) -> Result<Self, String> {
        let object: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let revision = object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok());
        let resource = understood(object).map_err(|problems| format!("{}", problems[0]))?;
        Ok(Self { resource: Arc::new(resource), revision: revision.unwrap_or_default(), text: text.into() })
    }

    /// With `status` and `managedFields`.
    pub fn to_json(&self) -> Value {
        serde_json::from_slice(&self.text).unwrap_or_default()
    }
}

fn understood(mut object: Value) -> Result<Resource, Vec<leno_api::ParseProblem>> {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Resource::from_json(&object)
}

/// Gives an object what the store says of it, as far as it stays when nothing else changes.
pub(crate) fn keep(object: &mut Value, key: &ResourceKey, before: Option<&Value>, now: SystemTime) {
    let metadata = metadata_of(object);
    if key.namespace.is_empty() {
        metadata.shift_remove("namespace");
    } else {
        metadata.insert("namespace".to_owned(), json!(key.namespace));
    }
    let before = before.map(|before| &before["metadata"]);
    for field in ["uid", "creationTimestamp", "generation", "resourceVersion"] {
        metadata.remove(field);
        if let Some(value) = before.and_then(|before| before.get(field)) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    if !metadata.contains_key("creationTimestamp") {
        metadata.insert("creationTimestamp".to_owned(), json!(timestamp(now)));
    }
}

/// Gives a changed object its new numbers.
pub(crate) fn renew(object: &mut Value, before: Option<&Value>, revision: u64) {
    let same_wish = before.is_some_and(|before| wish(before) == wish(object));
    let generation = before.map_or(0, |before| before["metadata"]["generation"].as_u64().unwrap_or(1));
    let metadata = metadata_of(object);
    if !metadata.contains_key("uid") {
        metadata.insert("uid".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
    }
    metadata.insert("generation".to_owned(), json!(generation + u64::from(!same_wish)));
    metadata.insert("resourceVersion".to_owned(), json!(revision.to_string()));
}

/// What people ask for: all but names and state.
fn wish(object: &Value) -> Vec<(&String, &Value)> {
    let parts = object.as_object().into_iter().flatten();
    let mut parts: Vec<_> =
        parts.filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status" | "apiVersion")).collect();
    parts.sort_by_key(|(name, _)| *name);
    parts
}

fn metadata_of(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    match &mut object["metadata"] {
        Value::Object(metadata) => metadata,
        _ => unreachable!("it was made one above"),
    }
}

/// RFC 3339 in UTC, to the second.
pub fn timestamp(now: SystemTime) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time::OffsetDateTime::from(now).format(format).unwrap_or_default()
}
