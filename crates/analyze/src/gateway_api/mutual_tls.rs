//! Clients and servers that disagree: a DestinationRule says how to call, a PeerAuthentication what is taken.

use serde_json::Value;

use crate::Object;
use crate::codes::LEN0013;
use crate::finding::Findings;
use crate::istio::hosts::{overlap, whole};
use crate::json::{at, labels, list, number, text, word};
use crate::kinds::{DESTINATION_RULE, PEER_AUTHENTICATION, SERVICE};
use crate::objects::Objects;
use crate::selector::selects;

pub(crate) fn mismatches(objects: &Objects, found: &mut Findings) {
    for rule in objects.of(DESTINATION_RULE) {
        let host = whole(&rule.namespace, text(&rule.json, "spec.host"));
        let policy = at(&rule.json, "spec.trafficPolicy");
        let services = objects.of(SERVICE).filter(|service| overlap(&host, &whole(&service.namespace, &service.name)));
        for service in services {
            let of_ports = list(policy, "portLevelSettings").iter().enumerate();
            let of_ports = of_ports.map(|(index, level)| {
                (
                    format!("spec.trafficPolicy.portLevelSettings[{index}].tls"),
                    at(level, "tls"),
                    number(level, "port.number"),
                )
            });
            let whole = ("spec.trafficPolicy.tls".to_owned(), at(policy, "tls"), None);
            for (field, tls, port) in std::iter::once(whole).chain(of_ports) {
                let Some((mode, by)) = taken(service, port, objects) else { continue };
                let says = text(tls, "mode");
                let problem = match (says, mode) {
                    ("DISABLE" | "SIMPLE" | "MUTUAL", "STRICT") => "takes only mutual TLS of the mesh",
                    ("ISTIO_MUTUAL", "DISABLE") => "takes no mutual TLS",
                    _ => continue,
                };
                let message =
                    format!("calls with mode {says}, and {} {problem} ({})", service.describe(), by.describe());
                found.report(rule, LEN0013, format!("{field}.mode"), message);
                break;
            }
        }
    }
}

/// What a service takes, and which policy says so: of its workloads, of its namespace, of the mesh.
fn taken<'a>(service: &Object, port: Option<i64>, objects: &'a Objects) -> Option<(&'a str, &'a Object)> {
    let mode =
        |policy: &'a Object| Some((text(&policy.json, "spec.mtls.mode"), policy)).filter(|(mode, _)| is_set(mode));
    let all = || objects.of(PEER_AUTHENTICATION);
    let wanted = labels(&service.json, "spec.selector");
    let own = || {
        all().filter(|policy| {
            let selector = labels(&policy.json, "spec.selector.matchLabels");
            policy.namespace == service.namespace && !selector.is_empty() && selects(&selector, &wanted)
        })
    };
    let target = port.and_then(|port| target(service, port));
    let of_port = own().find_map(|policy| {
        let mode = text(at(&policy.json, "spec.portLevelMtls").get(target.as_deref()?)?, "mode");
        is_set(mode).then_some((mode, policy))
    });
    let whole = |namespace: &'a str| {
        all().filter(move |policy| {
            policy.namespace == namespace && labels(&policy.json, "spec.selector.matchLabels").is_empty()
        })
    };
    let namespace = all().map(|policy| policy.namespace.as_str()).find(|name| *name == service.namespace);
    of_port
        .or_else(|| own().find_map(mode))
        .or_else(|| namespace.and_then(|namespace| whole(namespace).find_map(mode)))
        .or_else(|| whole(objects.root_namespace()).find_map(mode))
}

fn is_set(mode: &str) -> bool {
    !["", "UNSET"].contains(&mode)
}

/// The workload's port behind a port of the service.
fn target(service: &Object, port: i64) -> Option<String> {
    let mut ports = list(&service.json, "spec.ports").iter();
    let known: &Value = ports.find(|known| number(known, "port") == Some(port))?;
    word(at(known, "targetPort")).or_else(|| Some(port.to_string()))
}
