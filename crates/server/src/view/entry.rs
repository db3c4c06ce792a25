use std::sync::Arc;
use std::time::SystemTime;

use leno_api::{Resource, ResourceKey};
use leno_store::{Stored, timestamp};
use serde_json::{Map, Value, json};

use crate::mesh::{ApiObject, Content};
use crate::place;

/// One object in one state.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    object: ApiObject,
    revision: u64,
    /// The version from which on nothing that a writer could change has changed.
    written: u64,
    /// What the control plane says of it, with the times of its conditions.
    status: Value,
}

impl Entry {
    pub(crate) fn new(object: ApiObject, revision: u64, before: Option<&Self>, now: SystemTime) -> Self {
        let same = before.filter(|before| before.object.content.is(&object.content));
        let written = same.map_or(revision, |before| before.written);
        let status = with_times(&object.status, before.map(|before| &before.status), &timestamp(now));
        Self { object, revision, written, status }
    }

    /// Found as it was stored, at a time when `version` was not drawn yet.
    pub(crate) fn written_before(self, version: u64) -> Self {
        let written = self.object.content.revision().map_or(self.written, |stored| stored.min(version));
        Self { written, ..self }
    }

    /// As it would be.
    pub(crate) fn preview(stored: Arc<Stored>, before: Option<&Self>) -> Self {
        let key = stored.resource.key();
        let revision = before.map_or(0, |before| before.revision);
        let status = before.map_or(Value::Null, |before| before.object.status.clone());
        let shown = before.map_or(Value::Null, |before| before.status.clone());
        let object = ApiObject { key, content: Content::Stored(stored), status };
        Self { object, revision, written: revision, status: shown }
    }

    pub(crate) fn with_revision(&self, revision: u64) -> Self {
        Self { revision, ..self.clone() }
    }

    pub(crate) fn key(&self) -> &ResourceKey {
        &self.object.key
    }

    pub(crate) fn resource(&self) -> &Resource {
        self.object.content.resource()
    }

    pub(crate) fn is(&self, object: &ApiObject) -> bool {
        self.object.status == object.status && self.object.content.is(&object.content)
    }

    /// The version that readers know.
    pub(crate) fn version(&self) -> String {
        self.revision.to_string()
    }

    pub(crate) fn is_stored(&self) -> bool {
        matches!(self.object.content, Content::Stored(_))
    }

    /// Whether nobody has written between the two.
    pub(crate) fn is_same_writing(&self, other: &Self) -> bool {
        self.object.content.is(&other.object.content)
    }

    /// Whether who has read `version` has read what a write would replace.
    pub(crate) fn is_current(&self, version: &str) -> bool {
        version.parse().is_ok_and(|version: u64| (self.written..=self.revision).contains(&version))
    }

    /// As somebody who asks for `version` of the kind's group reads it.
    pub(crate) fn to_json(&self, version: &str) -> Value {
        let mut object = match &self.object.content {
            Content::Read { resource, .. } => resource.to_json(),
            Content::Stored(stored) => stored.to_json(),
        };
        let key = self.key();
        object["apiVersion"] = json!(place::api_version(key.kind, version));
        let metadata = &mut object["metadata"];
        if !key.namespace.is_empty() {
            metadata["namespace"] = json!(key.namespace);
        }
        if metadata.get("uid").is_none() {
            metadata["uid"] = json!(uid_of(key));
        }
        match (self.revision, metadata.as_object_mut()) {
            // It would get one.
            (0, Some(metadata)) => drop(metadata.shift_remove("resourceVersion")),
            _ => metadata["resourceVersion"] = json!(self.version()),
        }
        let generation = metadata.get("generation").cloned();
        if let Value::Object(computed) = &self.status
            && let Some(fields) = object.as_object_mut()
        {
            // At the end, where people look for it.
            let mut status = fields.shift_remove("status").unwrap_or_else(|| json!({}));
            merge_status(&mut status, computed, generation.as_ref());
            fields.insert("status".to_owned(), status);
        }
        object
    }
}

/// The computed parts take the place of stored ones; conditions one by one.
fn merge_status(status: &mut Value, computed: &Map<String, Value>, generation: Option<&Value>) {
    for (name, value) in computed {
        let (Value::Array(conditions), "conditions") = (value, name.as_str()) else {
            status[name] = value.clone();
            continue;
        };
        let mut all = status["conditions"].as_array().cloned().unwrap_or_default();
        all.retain(|known| !conditions.iter().any(|condition| condition["type"] == known["type"]));
        all.extend(conditions.iter().cloned().map(|mut condition| {
            if let Some(generation) = generation.filter(|_| condition.get("observedGeneration").is_none()) {
                condition["observedGeneration"] = generation.clone();
            }
            condition
        }));
        status["conditions"] = Value::Array(all);
    }
}

/// Gives each condition that has none the time of its last change.
fn with_times(status: &Value, before: Option<&Value>, now: &str) -> Value {
    let mut status = status.clone();
    let before = before.and_then(|before| before["conditions"].as_array());
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let same = |known: &&Value| known["type"] == condition["type"] && known["status"] == condition["status"];
        let known = before.and_then(|before| before.iter().find(same));
        if condition.get("lastTransitionTime").is_some() {
            continue;
        }
        condition["lastTransitionTime"] = known.map_or_else(|| json!(now), |known| known["lastTransitionTime"].clone());
    }
    status
}

/// For objects that nobody wrote: always the same for the same name (RFC 9562 §5.8).
fn uid_of(key: &ResourceKey) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.to_string().as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}
