use std::collections::BTreeMap;

use serde_json::Value;

use crate::Object;
use crate::codes::IST0170;
use crate::finding::Findings;
use crate::json::{list, text};
use crate::kinds::SERVICE;
use crate::objects::Objects;

/// Services of one name that differ between clusters.
pub(crate) fn services(objects: &Objects, found: &mut Findings) {
    let mut all: BTreeMap<(&str, &str), Vec<&Object>> = BTreeMap::new();
    for service in objects.of(SERVICE).filter(|service| !service.cluster.is_empty()) {
        all.entry((&service.namespace, &service.name)).or_default().push(service);
    }
    for services in all.into_values() {
        let Some((first, others)) = services.split_first() else { continue };
        let mut reasons = Vec::new();
        for other in others {
            let headless = |service: &Object| text(&service.json, "spec.clusterIP") == "None";
            let differs = [
                (headless(first) != headless(other), "the addresses: it is headless in only one"),
                (text(&first.json, "spec.type") != text(&other.json, "spec.type"), "the type"),
                (ports(first) != ports(other), "the ports"),
            ];
            let told = differs.into_iter().filter(|(differs, _)| *differs);
            reasons.extend(told.map(|(_, what)| format!("{what} ({} and {})", first.cluster, other.cluster)));
        }
        if !reasons.is_empty() {
            found.report(first, IST0170, "spec", format!("clusters disagree about {}", reasons.join(", ")));
        }
    }
}

/// By name.
fn ports(service: &Object) -> Vec<&Value> {
    let mut ports: Vec<_> = list(&service.json, "spec.ports").iter().collect();
    ports.sort_by_key(|port| text(port, "name"));
    ports
}
