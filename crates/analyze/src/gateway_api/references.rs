//! What routes, gateways and policies refer to.

use crate::Object;
use crate::codes::{LEN0003, LEN0004, LEN0005, LEN0006, LEN0014};
use crate::finding::Findings;
use crate::istio::certificates::usable;
use crate::json::{at, list, number, text};
use crate::kinds::{BACKEND_TLS_POLICY, CONFIG_MAP, GATEWAY, GATEWAY_CLASS, LISTENER_SET, SECRET, SERVICE};
use crate::objects::Objects;
use crate::routes::{ROUTES, Reference, backends, is_granted};

pub(crate) fn of_routes(objects: &Objects, found: &mut Findings) {
    for route in ROUTES.into_iter().flat_map(|(kind, _)| objects.of(kind)) {
        for backend in backends(route) {
            // Of other kinds nothing is known here.
            if !backend.is(SERVICE) {
                continue;
            }
            let Some(service) = backend.find(objects, SERVICE) else {
                let message = format!("there is no Service {}/{}", backend.namespace, backend.name);
                found.report(route, LEN0003, format!("{}.name", backend.field), message);
                continue;
            };
            if !is_of_mesh(route) {
                ungranted(route, &backend, objects, found);
            }
            let mut ports = list(&service.json, "spec.ports").iter();
            if let Some(port) = backend.port
                && !ports.any(|known| number(known, "port") == Some(port))
            {
                let message = format!("{} has no port {port}", service.describe());
                found.report(route, LEN0004, format!("{}.port", backend.field), message);
            }
        }
    }
}

/// Clients of the mesh could call its backends themselves, so nobody has to be asked (GEP-1294).
fn is_of_mesh(route: &Object) -> bool {
    let parents = list(&route.json, "spec.parentRefs");
    !parents.is_empty() && parents.iter().all(|parent| text(parent, "kind") == "Service")
}

fn ungranted(from: &Object, to: &Reference<'_>, objects: &Objects, found: &mut Findings) {
    if !is_granted(from, to, objects) {
        let message = format!(
            "no ReferenceGrant in {} lets a {} of {} refer to {} {}",
            to.namespace, from.kind, from.namespace, to.kind, to.name
        );
        found.report(from, LEN0005, format!("{}.namespace", to.field), message);
    }
}

pub(crate) fn of_gateways(objects: &Objects, found: &mut Findings) {
    let has_classes = objects.of(GATEWAY_CLASS).next().is_some();
    for gateway in objects.of(GATEWAY) {
        let class = text(&gateway.json, "spec.gatewayClassName");
        // Without any class at hand they are somewhere else.
        if has_classes && objects.find(GATEWAY_CLASS, "", class).is_none() {
            let message = format!("there is no GatewayClass {class}: nobody serves the Gateway");
            found.report(gateway, LEN0014, "spec.gatewayClassName", message);
        }
    }
    for owner in objects.of(GATEWAY).chain(objects.of(LISTENER_SET)) {
        for (index, listener) in list(&owner.json, "spec.listeners").iter().enumerate() {
            for (place, certificate) in list(listener, "tls.certificateRefs").iter().enumerate() {
                let field = format!("spec.listeners[{index}].tls.certificateRefs[{place}]");
                let reference = Reference::read(certificate, field, SECRET, owner);
                if reference.is(SECRET) {
                    certificate_of(owner, &reference, objects, found);
                }
            }
        }
    }
    for policy in objects.of(BACKEND_TLS_POLICY) {
        for (index, authority) in list(&policy.json, "spec.validation.caCertificateRefs").iter().enumerate() {
            let field = format!("spec.validation.caCertificateRefs[{index}]");
            let reference = Reference::read(authority, field, CONFIG_MAP, policy);
            if !reference.is(CONFIG_MAP) {
                continue;
            }
            let map = reference.find(objects, CONFIG_MAP);
            if map.is_none_or(|map| at(&map.json, "data").get("ca.crt").is_none()) {
                let message = format!("there is no ConfigMap {}/{} with a ca.crt", reference.namespace, reference.name);
                found.report(policy, LEN0006, format!("{}.name", reference.field), message);
            }
        }
    }
}

fn certificate_of(owner: &Object, reference: &Reference<'_>, objects: &Objects, found: &mut Findings) {
    let field = format!("{}.name", reference.field);
    match reference.find(objects, SECRET) {
        None => {
            let message = format!("there is no Secret {}/{}", reference.namespace, reference.name);
            found.report(owner, LEN0006, field, message);
        }
        Some(secret) => {
            ungranted(owner, reference, objects, found);
            if let Err(problem) = usable(secret, objects.now) {
                found.report(owner, LEN0006, field, format!("Secret {}: {problem}", secret.full_name()));
            }
        }
    }
}
