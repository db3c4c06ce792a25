//! Leno's own policies.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::Object;
use crate::codes::{LEN0012, LEN0018};
use crate::finding::Findings;
use crate::json::{list, text};
use crate::kinds::{
    DEADLINE_POLICY, FAULT_POLICY, GATEWAY, GRPC_ROUTE, HEDGE_POLICY, HTTP_ROUTE, Kind, RATE_LIMIT_POLICY,
    RETRY_POLICY, SERVICE, TRAFFIC_POLICY,
};
use crate::objects::Objects;
use crate::routes::Reference;

const OWN: [Kind; 6] = [DEADLINE_POLICY, FAULT_POLICY, HEDGE_POLICY, RATE_LIMIT_POLICY, RETRY_POLICY, TRAFFIC_POLICY];

/// Policies of our own whose target is not there, or has one of the kind already.
pub(crate) fn targets(objects: &Objects, found: &mut Findings) {
    for kind in OWN {
        let mut taken: BTreeMap<(&str, &str, &str, &str), &Object> = BTreeMap::new();
        let mut policies: Vec<_> = objects.of(kind).collect();
        // The control plane's order: by age, then by name; without an age last.
        let age = |policy: &Object| {
            let stamp = text(&policy.json, "metadata.creationTimestamp").to_owned();
            (stamp.is_empty(), stamp)
        };
        policies.sort_by_cached_key(|policy| (age(policy), policy.namespace.clone(), policy.name.clone()));
        for policy in policies {
            let targets = list(&policy.json, "spec.targetRefs");
            for (index, json) in targets.iter().enumerate() {
                let group = if text(json, "kind") == "Service" { "" } else { "gateway.networking.k8s.io" };
                let target = Reference::read(json, format!("spec.targetRefs[{index}]"), (group, ""), policy);
                let known = [SERVICE, HTTP_ROUTE, GRPC_ROUTE, GATEWAY].into_iter().find(|kind| target.is(*kind));
                if known.is_some_and(|kind| target.find(objects, kind).is_none()) {
                    let message = format!("there is no {} {}/{}", target.kind, target.namespace, target.name);
                    found.report(policy, LEN0012, format!("{}.name", target.field), message);
                }
                let place = (target.kind, target.namespace, target.name, target.section);
                match taken.entry(place) {
                    Entry::Occupied(first) if !std::ptr::eq(*first.get(), policy) => {
                        let message = format!("{} {} has the same target already", kind.1, first.get().name);
                        found.report(policy, LEN0018, target.field, message);
                    }
                    Entry::Occupied(_) => {}
                    Entry::Vacant(free) => drop(free.insert(policy)),
                }
            }
            if targets.is_empty() {
                match taken.entry(("", &policy.namespace, "", "")) {
                    Entry::Occupied(first) => {
                        let message = format!("{} {} is for the whole namespace already", kind.1, first.get().name);
                        found.report(policy, LEN0018, "spec.targetRefs", message);
                    }
                    Entry::Vacant(free) => drop(free.insert(policy)),
                }
            }
        }
    }
}
