//! Statuses as they are read: with times and generations, and with what gateways say.

use std::collections::BTreeMap;
use std::time::SystemTime;

use leno_api::{Kind, ResourceKey};
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
        let generation =
            state.sources.in_force().get(key).and_then(|located| located.value.metadata().generation).unwrap_or(1);
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
    let addresses: std::collections::BTreeSet<_> = sessions.iter().filter_map(|session| session.node.address).collect();
    let addresses: Vec<_> =
        addresses.iter().map(|address| json!({ "type": "IPAddress", "value": address.to_string() })).collect();
    if !addresses.is_empty() {
        status["addresses"] = Value::Array(addresses);
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
