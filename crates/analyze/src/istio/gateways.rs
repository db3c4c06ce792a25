use std::collections::BTreeSet;

use crate::Object;
use crate::codes::{IST0101, IST0145, IST0162, IST0166};
use crate::finding::Findings;
use crate::json::{Labels, at, labels, list, number, text, texts};
use crate::kinds::{self, ISTIO_GATEWAY, POD, SERVICE};
use crate::objects::Objects;
use crate::selector::{selects, shown};

/// Ports that no Service leads to.
pub(crate) fn ports(objects: &Objects, found: &mut Findings) {
    for gateway in objects.of(ISTIO_GATEWAY) {
        let wanted = labels(&gateway.json, "spec.selector");
        let pods: Vec<_> = objects.of(POD).filter(|pod| selects(&wanted, &pod.labels())).collect();
        if pods.is_empty() {
            found.report(gateway, IST0101, "spec.selector", format!("no pod has the labels {}", shown(&wanted)));
            continue;
        }
        let open = open_ports(&pods, objects);
        for (index, server) in list(&gateway.json, "spec.servers").iter().enumerate() {
            let port = number(server, "port.number").unwrap_or_default();
            if !at(server, "port").is_null() && !open.contains(&port) {
                let message = format!("no Service of the gateway's pods ({}) leads to port {port}", shown(&wanted));
                found.report(gateway, IST0162, format!("spec.servers[{index}].port.number"), message);
            }
        }
    }
}

/// Ports of services and of the pods behind them; a gateway may be written for either.
fn open_ports(pods: &[&Object], objects: &Objects) -> BTreeSet<i64> {
    let mut open = BTreeSet::new();
    for service in objects.of(SERVICE) {
        let wanted = labels(&service.json, "spec.selector");
        if !pods.iter().any(|pod| pod.namespace == service.namespace && selects(&wanted, &pod.labels())) {
            continue;
        }
        for port in list(&service.json, "spec.ports") {
            // A port without a protocol has TCP.
            if ["TCP", ""].contains(&text(port, "protocol")) {
                open.extend(number(port, "port"));
                open.extend(number(port, "targetPort").filter(|target| *target > 0));
            }
        }
    }
    open
}

/// One port and host claimed twice on the same workloads.
pub(crate) fn conflicts(objects: &Objects, found: &mut Findings) {
    for gateway in objects.of(ISTIO_GATEWAY) {
        let wanted = labels(&gateway.json, "spec.selector");
        let rivals: Vec<_> = objects
            .of(ISTIO_GATEWAY)
            .filter(|other| other.index != gateway.index)
            .filter(|other| on_same_workloads(&wanted, &labels(&other.json, "spec.selector"), objects))
            .collect();
        for (index, server) in list(&gateway.json, "spec.servers").iter().enumerate() {
            let claims = |other: &&&Object| {
                let theirs = list(&other.json, "spec.servers").iter();
                let same = theirs.filter(|theirs| {
                    number(theirs, "port.number") == number(server, "port.number")
                        && text(theirs, "bind") == text(server, "bind")
                });
                let hosts: BTreeSet<_> = same.flat_map(|theirs| texts(theirs, "hosts")).collect();
                texts(server, "hosts").iter().any(|host| hosts.contains(host))
            };
            let names: BTreeSet<_> = rivals.iter().filter(claims).map(|other| other.full_name()).collect();
            if !names.is_empty() {
                let names: Vec<_> = names.into_iter().collect();
                let message = format!(
                    "hosts {} on port {} are claimed by {} too, on the same workloads",
                    texts(server, "hosts").join(", "),
                    number(server, "port.number").unwrap_or_default(),
                    names.join(", ")
                );
                found.report(gateway, IST0145, format!("spec.servers[{index}].hosts"), message);
            }
        }
    }
}

/// Equal, or one selects a part of the other and there is a pod in both.
fn on_same_workloads(a: &Labels, b: &Labels, objects: &Objects) -> bool {
    a == b
        || ((selects(a, b) || selects(b, a))
            && objects.of(POD).map(Object::labels).any(|pod| selects(a, &pod) && selects(b, &pod)))
}

/// Policies of Istio that select gateways of the Gateway API by labels.
pub(crate) fn selectors(objects: &Objects, found: &mut Findings) {
    const NAME: &str = "gateway.networking.k8s.io/gateway-name";
    let policies = [kinds::AUTHORIZATION_POLICY, kinds::REQUEST_AUTHENTICATION, kinds::TELEMETRY, kinds::WASM_PLUGIN];
    for policy in policies.into_iter().flat_map(|kind| objects.of(kind)) {
        let spec = at(&policy.json, "spec");
        if at(spec, "selector").is_null() || !at(spec, "targetRef").is_null() {
            continue;
        }
        let wanted = labels(spec, "selector.matchLabels");
        for pod in objects.of(POD).filter(|pod| pod.namespace == policy.namespace) {
            if let Some(gateway) = pod.label(NAME).filter(|_| selects(&wanted, &pod.labels())) {
                let message = format!("labels do not select the Gateway `{gateway}`; name it in `targetRefs`");
                found.report(policy, IST0166, "spec.selector", message);
            }
        }
    }
}
