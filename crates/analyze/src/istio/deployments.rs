use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Object;
use crate::codes::{IST0116, IST0137, IST0144};
use crate::finding::Findings;
use crate::json::{at, labels, list, number, text, word};
use crate::kinds::{DEPLOYMENT, POD, SERVICE};
use crate::objects::Objects;
use crate::selector::selects;
use crate::workloads::{is_of_istio, template_is_in_mesh};

/// The sidecar's user, whose traffic is not intercepted.
const SIDECAR_USER: i64 = 1337;

/// Services that disagree about the same pods.
pub(crate) fn services(objects: &Objects, found: &mut Findings) {
    for deployment in objects.of(DEPLOYMENT) {
        let template = at(&deployment.json, "spec.template");
        let is_waypoint = deployment.label("gateway.istio.io/managed") == Some("istio.io-mesh-controller");
        if is_waypoint || !template_is_in_mesh(template, &deployment.namespace, objects) {
            continue;
        }
        let pods = labels(template, "metadata.labels");
        let services = objects.of(SERVICE).filter(|service| service.namespace == deployment.namespace);
        let services: Vec<_> = services
            .filter(|service| {
                let wanted = labels(&service.json, "spec.selector");
                !wanted.is_empty() && selects(&wanted, &pods)
            })
            .collect();
        protocols(deployment, &services, found);
        targets(deployment, &services, found);
    }
}

fn ports<'a>(services: &[&'a Object]) -> impl Iterator<Item = (&'a Object, &'a Value, i64)> {
    services.iter().flat_map(|service| {
        let ports = list(&service.json, "spec.ports").iter();
        ports.filter_map(|port| Some((*service, port, number(port, "port")?)))
    })
}

fn protocols(deployment: &Object, services: &[&Object], found: &mut Findings) {
    let mut all: BTreeMap<i64, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for (service, port, number) in ports(services) {
        let (protocols, names) = all.entry(number).or_default();
        protocols.insert(if text(port, "protocol").is_empty() { "TCP" } else { text(port, "protocol") });
        names.insert(&service.name);
    }
    for (port, (protocols, names)) in all.into_iter().filter(|(_, (protocols, _))| protocols.len() > 1) {
        let message = format!("its services {} use port {port} with {}", listed(&names), listed(&protocols));
        found.report(deployment, IST0116, "metadata.name", message);
    }
}

fn targets(deployment: &Object, services: &[&Object], found: &mut Findings) {
    let mut all: BTreeMap<String, (BTreeSet<i64>, BTreeSet<&str>)> = BTreeMap::new();
    for (service, port, number) in ports(services) {
        let target = word(at(port, "targetPort")).filter(|target| !target.is_empty() && target != "0");
        let (ports, names) = all.entry(target.unwrap_or_else(|| number.to_string())).or_default();
        ports.insert(number);
        names.insert(&service.name);
    }
    for (target, (ports, names)) in all.into_iter().filter(|(_, (ports, _))| ports.len() > 1) {
        let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
        let message =
            format!("its services {} give the ports {} to target port {target}", listed(&names), ports.join(", "));
        found.report(deployment, IST0137, "metadata.name", message);
    }
}

fn listed(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

/// Applications that run as the sidecar does.
pub(crate) fn users(objects: &Objects, found: &mut Findings) {
    let pods = objects.of(POD).map(|pod| (pod, "spec"));
    let templates = objects.of(DEPLOYMENT).map(|deployment| (deployment, "spec.template.spec"));
    for (object, path) in pods.chain(templates).filter(|(object, _)| !is_of_istio(object)) {
        let spec = at(&object.json, path);
        let mut fields = Vec::new();
        if number(spec, "securityContext.runAsUser") == Some(SIDECAR_USER) {
            fields.push(format!("{path}.securityContext.runAsUser"));
        }
        for (index, container) in list(spec, "containers").iter().enumerate() {
            let is_istio = ["istio-proxy", "istio-operator"].contains(&text(container, "name"));
            if !is_istio && number(container, "securityContext.runAsUser") == Some(SIDECAR_USER) {
                fields.push(format!("{path}.containers[{index}].securityContext.runAsUser"));
            }
        }
        for field in fields {
            let message = format!("user {SIDECAR_USER} is the sidecar's: its traffic would bypass the mesh");
            found.report(object, IST0144, field, message);
        }
    }
}
