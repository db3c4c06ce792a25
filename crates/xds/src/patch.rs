//! Changes to single resources in the words of Envoy's API, as Istio's EnvoyFilter has them. What matches which resource is
//! for others to say.
//!
//! Shape       1 resource -> its message -> parts that are meant, changed -> message -> 1 resource
//! Invariants  a change is made as a whole or not at all; what Leno cannot serve is refused as in a bootstrap
//! Errors      field of the value, and why; fields of the resource where only the whole shows it
//! Cost        the descriptors of Envoy's API once per [`Patcher`]; each change encodes and decodes the resource
//! Source      Istio EnvoyFilter; proto3 merging, but for wrappers and durations, which replace (Istio)

mod listener;
mod merge;
mod routes;

use leno_ir::{Cluster, Flavor, Listener, RouteTable};
use prost::Message;
use serde_json::Value;

use crate::bootstrap::Reader;
use crate::codec::{self, DecodeError};

const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
const LISTENER: &str = "envoy.config.listener.v3.Listener";

/// One change.
#[derive(Clone, Copy, Debug)]
pub struct Patch<'a> {
    pub part: PatchPart<'a>,
    pub operation: PatchOperation,
    /// In either spelling of the names; null for what is removed.
    pub value: &'a Value,
}

/// The part of a resource that is meant. `None`: of whatever name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PatchPart<'a> {
    FilterChain { name: Option<&'a str>, server_name: Option<&'a str> },
    HttpFilter { name: Option<&'a str> },
    NetworkFilter { name: Option<&'a str> },
    Route { host: Option<&'a str>, name: Option<&'a str> },
    VirtualHost { name: Option<&'a str>, domain: Option<&'a str> },
    Whole,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PatchOperation {
    Add,
    InsertAfter,
    InsertBefore,
    InsertFirst,
    Merge,
    Remove,
    Replace,
}

/// Why a change is not made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}{reason}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct PatchProblem {
    /// Of the value, spelt as in Envoy's API.
    pub field: String,
    pub reason: String,
}

impl PatchProblem {
    fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl From<DecodeError> for PatchProblem {
    fn from(error: DecodeError) -> Self {
        Self { field: error.field, reason: error.reason }
    }
}

type Result<T> = std::result::Result<T, Vec<PatchProblem>>;

/// Makes changes, one after another.
#[derive(Debug)]
pub struct Patcher {
    reader: Reader,
}

impl Default for Patcher {
    fn default() -> Self {
        Self { reader: Reader::new() }
    }
}

impl Patcher {
    pub fn new() -> Self {
        Self::default()
    }

    /// `Ok(None)`: the listener has no such part.
    ///
    /// # Errors
    /// Everything that is wrong with the value, or the first thing with what would come of it.
    pub fn listener(&mut self, listener: &Listener, patch: Patch<'_>) -> Result<Option<Listener>> {
        let body = codec::encode_listener(listener, Flavor::Leno).body;
        let Some(changed) = self.change_listener(&body, patch)? else { return Ok(None) };
        Ok(Some(codec::decode_listener(&changed).map_err(|error| vec![error.into()])?))
    }

    /// `Ok(None)`: the table has no such part.
    ///
    /// # Errors
    /// As [`Patcher::listener`].
    pub fn route_table(&mut self, table: &RouteTable, patch: Patch<'_>) -> Result<Option<RouteTable>> {
        let body = codec::encode_route_table(table, Flavor::Leno).body;
        let Some(changed) = self.change_routes(&body, patch)? else { return Ok(None) };
        Ok(Some(codec::decode_route_table(&changed).map_err(|error| vec![error.into()])?))
    }

    /// `Ok(None)`: it is no change of a cluster.
    ///
    /// # Errors
    /// As [`Patcher::listener`].
    pub fn cluster(&mut self, cluster: &Cluster, patch: Patch<'_>) -> Result<Option<Cluster>> {
        if (patch.part, patch.operation) != (PatchPart::Whole, PatchOperation::Merge) {
            return Ok(None);
        }
        let body = codec::encode_cluster(cluster, Flavor::Leno).body;
        let changed = self.merge_bytes(CLUSTER, &body, patch.value)?;
        Ok(Some(codec::decode_cluster(&changed).map_err(|error| vec![error.into()])?))
    }

    /// A cluster that a value describes.
    ///
    /// # Errors
    /// As [`Patcher::listener`].
    pub fn new_cluster(&mut self, value: &Value) -> Result<Cluster> {
        let bytes = self.read(CLUSTER, value, false)?;
        codec::decode_cluster(&bytes).map_err(|error| vec![error.into()])
    }

    /// A listener that a value describes.
    ///
    /// # Errors
    /// As [`Patcher::listener`].
    pub fn new_listener(&mut self, value: &Value) -> Result<Listener> {
        let bytes = self.read(LISTENER, value, false)?;
        codec::decode_listener(&bytes).map_err(|error| vec![error.into()])
    }

    fn read(&mut self, name: &str, value: &Value, is_partial: bool) -> Result<Vec<u8>> {
        let value = typed(value);
        let read = self.reader.read_value(name, &value, is_partial);
        read.map_err(|found| found.into_iter().map(|(field, reason)| PatchProblem::new(field, reason)).collect())
    }

    fn new_message<M: Message + Default>(&mut self, name: &str, value: &Value) -> Result<M> {
        let bytes = self.read(name, value, false)?;
        M::decode(bytes.as_slice()).map_err(|error| vec![PatchProblem::new("", error.to_string())])
    }

    fn merged<M: Message + Default>(&mut self, name: &str, message: &M, value: &Value) -> Result<M> {
        let bytes = self.merge_bytes(name, &message.encode_to_vec(), value)?;
        M::decode(bytes.as_slice()).map_err(|error| vec![PatchProblem::new("", error.to_string())])
    }

    fn merge_bytes(&mut self, name: &str, body: &[u8], value: &Value) -> Result<Vec<u8>> {
        let change = self.read(name, value, true)?;
        merge::merge(self.reader.pool(), name, body, &change, &typed(value))
            .map_err(|error| vec![PatchProblem::new("", error.to_string())])
    }

    /// Changes a list whose items have names. `before_last`: the last one stays the last.
    fn change_list<M: Message + Default>(
        &mut self,
        items: &mut Vec<M>,
        is_meant: impl Fn(&M) -> bool,
        type_name: &str,
        patch: Patch<'_>,
        before_last: bool,
    ) -> Result<bool> {
        let first = items.iter().position(&is_meant);
        let end = if before_last { items.len().saturating_sub(1) } else { items.len() };
        let at = match patch.operation {
            PatchOperation::Add => Some(end),
            PatchOperation::InsertFirst => Some(0),
            PatchOperation::InsertBefore => first,
            PatchOperation::InsertAfter => first.map(|at| (at + 1).min(end.max(at))),
            PatchOperation::Merge => {
                for item in items.iter_mut().filter(|item| is_meant(item)) {
                    *item = self.merged(type_name, item, patch.value)?;
                }
                return Ok(first.is_some());
            }
            PatchOperation::Remove => {
                items.retain(|item| !is_meant(item));
                return Ok(first.is_some());
            }
            PatchOperation::Replace => {
                let Some(slot) = first.and_then(|at| items.get_mut(at)) else { return Ok(false) };
                *slot = self.new_message(type_name, patch.value)?;
                return Ok(true);
            }
        };
        let Some(at) = at else { return Ok(false) };
        let item = self.new_message(type_name, patch.value)?;
        items.insert(at.min(items.len()), item);
        Ok(true)
    }
}

fn is_named(wanted: Option<&str>, name: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.is_empty() || wanted == name)
}

/// Istio's users write typed configurations as `TypedStruct`; the same without the wrapping.
fn typed(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(typed).collect()),
        Value::Object(entries) => {
            let kind = entries.get("@type").and_then(Value::as_str).unwrap_or_default();
            let is_wrapped = kind.ends_with("udpa.type.v1.TypedStruct") || kind.ends_with("xds.type.v3.TypedStruct");
            let inner = entries.get("type_url").or_else(|| entries.get("typeUrl")).filter(|_| is_wrapped);
            let Some(inner) = inner else {
                return Value::Object(entries.iter().map(|(key, value)| (key.clone(), typed(value))).collect());
            };
            let mut plain = serde_json::Map::from_iter([("@type".to_owned(), inner.clone())]);
            if let Some(Value::Object(fields)) = entries.get("value").map(typed) {
                plain.extend(fields);
            }
            Value::Object(plain)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
