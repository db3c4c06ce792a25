use serde_json::Value;

use super::hosts::Hosts;
use crate::Object;
use crate::codes::{IST0128, IST0129, IST0173, IST0174};
use crate::finding::{Code, Findings};
use crate::json::{Labels, at, labels, list, number, text, texts};
use crate::kinds::{DEPLOYMENT, DESTINATION_RULE, NODE, POD, WORKLOAD_ENTRY};
use crate::objects::Objects;
use crate::selector::{selects, shown};

/// TLS to servers whose certificates nobody checks.
pub(crate) fn unchecked_servers(objects: &Objects, found: &mut Findings) {
    for rule in objects.of(DESTINATION_RULE) {
        let policy = at(&rule.json, "spec.trafficPolicy");
        unchecked(rule, at(policy, "tls"), "spec.trafficPolicy.tls", IST0128, "", found);
        for (index, level) in list(policy, "portLevelSettings").iter().enumerate() {
            let port = number(level, "port.number").map(|port| format!(", port {port}")).unwrap_or_default();
            let field = format!("spec.trafficPolicy.portLevelSettings[{index}].tls");
            unchecked(rule, at(level, "tls"), &field, IST0129, &port, found);
        }
    }
}

fn unchecked(rule: &Object, tls: &Value, field: &str, code: Code, port: &str, found: &mut Findings) {
    let by_secret = !text(tls, "credentialName").is_empty() && !at(&rule.json, "spec.workloadSelector").is_null();
    let mode = text(tls, "mode");
    if ["SIMPLE", "MUTUAL"].contains(&mode) && text(tls, "caCertificates").is_empty() && !by_secret {
        let host = text(&rule.json, "spec.host");
        let message = format!("mode {mode} without `caCertificates`: nobody checks who answers for {host}{port}");
        found.report(rule, code, format!("{field}.mode"), message);
    }
}

/// Hosts that do not exist, and subsets without pods.
pub(crate) fn subsets(objects: &Objects, found: &mut Findings) {
    let hosts = Hosts::of(objects);
    // Istio counts pods alone; files have the Deployments that make them, and workloads outside Kubernetes.
    let entries = objects.of(WORKLOAD_ENTRY).map(|entry| {
        let mut all = entry.labels();
        all.extend(labels(&entry.json, "spec.labels"));
        all
    });
    let templates = objects.of(DEPLOYMENT).map(|deployment| labels(&deployment.json, "spec.template.metadata.labels"));
    let pods = objects.of(POD).map(|pod| with_topology(pod, objects));
    let pods: Vec<_> = pods.chain(entries).chain(templates).collect();
    for rule in objects.of(DESTINATION_RULE) {
        let name = text(&rule.json, "spec.host");
        let Some(host) = hosts.find(name, &rule.namespace, &texts(&rule.json, "spec.exportTo")) else {
            found.report(rule, IST0174, "spec.host", format!("no service has the host `{name}`"));
            continue;
        };
        for (index, subset) in list(&rule.json, "spec.subsets").iter().enumerate() {
            let mut wanted = host.selector.clone();
            wanted.extend(labels(subset, "labels"));
            if !pods.iter().any(|pod| selects(&wanted, pod)) {
                let message = format!(
                    "subset `{}` selects no workload ({}): requests to it get 503 UH",
                    text(subset, "name"),
                    shown(&wanted)
                );
                found.report(rule, IST0173, format!("spec.subsets[{index}].labels"), message);
            }
        }
    }
}

/// The labels of a pod with those that tell of its node. Istio derives them from region, zone and subzone in this order: what
/// follows an empty one is not there.
fn with_topology(pod: &Object, objects: &Objects) -> Labels {
    let mut all = pod.labels();
    let name = text(&pod.json, "spec.nodeName");
    if name.is_empty() {
        return all;
    }
    all.insert("kubernetes.io/hostname".to_owned(), name.to_owned());
    if let Some(node) = objects.of(NODE).find(|node| node.name == name) {
        for key in ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"] {
            let Some(value) = node.label(key).filter(|value| !value.is_empty()) else { break };
            all.insert(key.to_owned(), value.to_owned());
        }
    }
    all
}
