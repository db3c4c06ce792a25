//! Statuses as they are read: with times and generations, and with what gateways say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::SystemTime;

use leno_api::{Kind, Resource, ResourceKey};
use serde_json::{Value, json};

use crate::Control;
use crate::control::State;
use crate::session::NodeSession;

/// The last status of each object that was asked for, so that a condition keeps the time of its last transition.
pub(crate) type Statuses = BTreeMap<ResourceKey, Value>;

impl Control {
    /// The status of an object that has one of its own (Gateway API), with the conditions that all objects have for those
    /// that have conditions. `None` for all others.
    pub fn status_of(&self, key: &ResourceKey) -> Option<Value> {
        let mut state = self.shared.lock();
        let mut status = serde_json::to_value(state.snapshot.statuses.get(key)?).unwrap_or_default();
        if key.kind == Kind::Gateway {
            gateway(&state, key, &mut status);
        }
        let generation = state.resources.get(key).and_then(|located| located.value.metadata().generation).unwrap_or(1);
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let last = state.given.remove(key).unwrap_or_default();
        stamp(&mut status, &last, generation, &now);
        state.given.insert(key.clone(), status.clone());
        Some(status)
    }
}

/// Where the gateway is reached, and whether anybody serves it.
fn gateway(state: &State, key: &ResourceKey, status: &mut Value) {
    let serves = |node: &leno_ir::Node| {
        node.gateway.as_ref().is_some_and(|role| role.namespace == key.namespace && role.name == key.name)
    };
    let sessions: Vec<_> = state.sessions.values().filter(|session| serves(&session.node)).collect();
    let served: BTreeSet<_> = sessions.iter().filter_map(|session| session.node.address).collect();
    let wanted = wanted_addresses(state, key);
    let is_wanted = |address: &&IpAddr| wanted.is_empty() || wanted.contains(&address.to_string());
    let addresses: Vec<_> = served.iter().filter(is_wanted).map(ToString::to_string).collect();
    let missing: Vec<_> = wanted.into_iter().filter(|address| !addresses.contains(address)).collect();
    if !addresses.is_empty() {
        let address = |value: String| json!({ "type": "IPAddress", "value": value });
        status["addresses"] = addresses.into_iter().map(address).collect();
    }
    if !missing.is_empty() && !sessions.is_empty() {
        let message = format!("no proxy serves it at {}; start one with --bind", missing.join(", "));
        unprogrammed(&mut status["conditions"], "AddressNotUsable", &message);
    }
    // Where there is nothing to send, as with one TCP route whose backends are all wrong, there is nothing to take.
    let is_served = |session: &&&NodeSession| session.sync.in_sync() || session.config.borrow().listeners.is_empty();
    let pending = match sessions.iter().find(is_served) {
        Some(_) => return,
        None if sessions.is_empty() => {
            let command = format!("leno proxy --gateway {} -n {}", key.name, key.namespace);
            ("NoResources", format!("no proxy serves it yet; start one with: {command}"))
        }
        None => ("Pending", "no proxy has taken its configuration yet".to_owned()),
    };
    for listener in status["listeners"].as_array_mut().into_iter().flatten() {
        unprogrammed(&mut listener["conditions"], "Pending", &pending.1);
    }
    unprogrammed(&mut status["conditions"], pending.0, &pending.1);
}

/// The addresses that its author asks for.
fn wanted_addresses(state: &State, key: &ResourceKey) -> Vec<String> {
    let located = state.resources.get(key);
    let Some(Resource::Gateway(object)) = located.map(|located| &*located.value) else { return Vec::new() };
    let ip =
        object.spec.addresses.iter().filter(|address| address.r#type.as_deref().is_none_or(|kind| kind == "IPAddress"));
    ip.filter_map(|address| address.value.clone()).collect()
}

fn unprogrammed(conditions: &mut Value, reason: &str, message: &str) {
    for condition in conditions.as_array_mut().into_iter().flatten() {
        if condition["type"] == "Programmed" && condition["status"] == "True" {
            condition["status"] = json!("False");
            condition["reason"] = json!(reason);
            condition["message"] = json!(message);
        }
    }
}

/// Gives every condition the generation it speaks of and the time since when it says what it says.
fn stamp(new: &mut Value, last: &Value, generation: i64, now: &str) {
    match new {
        Value::Object(entries) => {
            for (name, child) in entries.iter_mut() {
                let last = &last[name.as_str()];
                if name == "conditions" {
                    child.as_array_mut().into_iter().flatten().for_each(|one| condition(one, last, generation, now));
                } else {
                    stamp(child, last, generation, now);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                stamp(item, &last[index], generation, now);
            }
        }
        _ => {}
    }
}

fn condition(new: &mut Value, last: &Value, generation: i64, now: &str) {
    let before = last.as_array().into_iter().flatten().find(|one| one["type"] == new["type"]);
    let since = before.filter(|one| one["status"] == new["status"]).map(|one| one["lastTransitionTime"].clone());
    new["lastTransitionTime"] = since.unwrap_or_else(|| json!(now));
    new["observedGeneration"] = json!(generation);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_until_it_changes() {
        let status = |value: &str| json!({ "conditions": [{ "type": "Accepted", "status": value }] });
        let mut first = status("True");
        stamp(&mut first, &Value::Null, 1, "one");
        let mut second = status("True");
        stamp(&mut second, &first, 2, "two");
        assert_eq!(second["conditions"][0]["lastTransitionTime"], "one");
        assert_eq!(second["conditions"][0]["observedGeneration"], 2);
        let mut third = status("False");
        stamp(&mut third, &second, 2, "three");
        assert_eq!(third["conditions"][0]["lastTransitionTime"], "three");
    }
}
