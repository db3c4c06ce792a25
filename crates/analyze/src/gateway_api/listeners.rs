use serde_json::Value;

use crate::Object;
use crate::codes::LEN0009;
use crate::finding::Findings;
use crate::json::{at, list, number, text};
use crate::kinds::{GATEWAY, LISTENER_SET};
use crate::objects::Objects;
use crate::routes::Reference;

/// A listener, and whose it is.
struct Listener<'a> {
    owner: &'a Object,
    index: usize,
    json: &'a Value,
}

/// Listeners of one Gateway, those of its ListenerSets included, that cannot be told apart. The later one is at fault.
pub(crate) fn conflicts(objects: &Objects, found: &mut Findings) {
    for gateway in objects.of(GATEWAY) {
        let sets = objects.of(LISTENER_SET).filter(|set| {
            let parent = Reference::read(at(&set.json, "spec.parentRef"), String::new(), GATEWAY, set);
            parent.is(GATEWAY) && (parent.namespace, parent.name) == (gateway.namespace.as_str(), gateway.name.as_str())
        });
        let all: Vec<_> = std::iter::once(gateway)
            .chain(sets)
            .flat_map(|owner| {
                let listeners = list(&owner.json, "spec.listeners").iter().enumerate();
                listeners.map(move |(index, json)| Listener { owner, index, json })
            })
            .collect();
        for (place, later) in all.iter().enumerate() {
            let first = all.iter().take(place).find_map(|first| Some((first, conflict(first.json, later.json)?)));
            if let Some((first, why)) = first {
                let message = format!(
                    "listener {} of {} has the same port and {why}",
                    text(first.json, "name"),
                    first.owner.describe()
                );
                found.report(later.owner, LEN0009, format!("spec.listeners[{}]", later.index), message);
            }
        }
    }
}

fn conflict(a: &Value, b: &Value) -> Option<&'static str> {
    let family = |listener: &Value| match text(listener, "protocol") {
        "HTTP" => "HTTP",
        "HTTPS" | "TLS" => "TLS",
        "UDP" => "UDP",
        _ => "TCP",
    };
    let (first, second) = (family(a), family(b));
    if number(a, "port") != number(b, "port") || (first == "UDP") != (second == "UDP") {
        return None;
    }
    match first {
        _ if first != second => Some("another protocol"),
        "HTTP" | "TLS" => (text(a, "hostname") == text(b, "hostname")).then_some("the same hostname"),
        _ => Some("nothing to tell connections apart by"),
    }
}
