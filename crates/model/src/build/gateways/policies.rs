//! BackendTLSPolicy: how gateways speak TLS with services.

use std::collections::BTreeMap;

use leno_api::{BackendTlsPolicy, ParentRef, Resource, ResourceKey};
use leno_names::ServiceKey;

use super::certificates::From;
use super::listeners::Draft;
use super::{Attached, Built, World, backend};
use crate::backend_tls::{BackendName, BackendRoots, BackendTls};
use crate::status::{AncestorStatus, CONTROLLER, Condition, PolicyStatus, Status};

/// The oldest policy of a port wins; one that names the port beats one for the whole service.
pub(super) fn backend_tls(world: &World<'_>, drafts: &mut BTreeMap<ResourceKey, Draft<'_>>, built: &mut Built) {
    let mut claims: BTreeMap<(ServiceKey, u16), (bool, ResourceKey)> = BTreeMap::new();
    for specific in [true, false] {
        for resource in world.resources {
            let Resource::BackendTlsPolicy(policy) = &**resource else { continue };
            for target in policy.spec.target_refs.iter().filter(|target| target.section_name.is_some() == specific) {
                let key = ServiceKey::new(policy.metadata.namespace(), &target.name);
                let Some(service) = world.services.get(&key).filter(|_| target.kind == "Service") else { continue };
                let ports = service.ports.iter().filter(|port| {
                    target.section_name.is_none() || port.name.as_deref() == target.section_name.as_deref()
                });
                for port in ports {
                    claims.entry((key.clone(), port.number)).or_insert_with(|| (specific, resource.key()));
                }
            }
        }
    }
    for resource in world.resources {
        let Resource::BackendTlsPolicy(policy) = &**resource else { continue };
        let key = resource.key();
        let read = read(world, policy);
        let mut won = Vec::new();
        for ((service, port), (_, winner)) in &claims {
            if *winner == key {
                let tls = read.as_ref().cloned().unwrap_or(BackendTls::Broken);
                built.backend_tls.insert((service.clone(), *port), tls);
                won.push(service.clone());
            }
        }
        let targets = |service: &ServiceKey| {
            service.namespace == key.namespace
                && policy.spec.target_refs.iter().any(|target| target.name == service.name)
        };
        let conditions = conditions(&read, !won.is_empty(), policy);
        let ancestors = drafts.values().filter(|draft| uses(world, draft, &targets)).map(|draft| AncestorStatus {
            ancestor_ref: ParentRef {
                group: Some(super::GROUP.to_owned()),
                kind: Some("Gateway".to_owned()),
                name: draft.key.name.clone(),
                namespace: Some(draft.key.namespace.clone()),
                ..ParentRef::default()
            },
            controller_name: CONTROLLER,
            conditions: conditions.clone(),
        });
        built.statuses.insert(key.clone(), Status::Policy(PolicyStatus { ancestors: ancestors.collect() }));
    }
}

type Read = Result<BackendTls, Condition>;

fn conditions(read: &Read, won: bool, policy: &BackendTlsPolicy) -> Vec<Condition> {
    if !won {
        let names: Vec<_> = policy.spec.target_refs.iter().map(|target| target.name.as_str()).collect();
        let message = format!("an older policy has {} already", names.join(", "));
        return vec![
            Condition::fails("Accepted", "Conflicted", message),
            Condition::holds("ResolvedRefs", "ResolvedRefs"),
        ];
    }
    match read {
        Ok(_) => vec![Condition::holds("Accepted", "Accepted"), Condition::holds("ResolvedRefs", "ResolvedRefs")],
        Err(unresolved) if unresolved.kind == "Accepted" => vec![unresolved.clone()],
        Err(unresolved) => {
            vec![Condition::fails("Accepted", "NoValidCACertificate", unresolved.message.clone()), unresolved.clone()]
        }
    }
}

fn read(world: &World<'_>, policy: &BackendTlsPolicy) -> Read {
    let validation = &policy.spec.validation;
    let namespace = policy.metadata.namespace();
    let from = From { kind: "BackendTLSPolicy", namespace };
    let (mut roots, mut error) = (String::new(), None);
    for reference in &validation.ca_certificate_refs {
        let to = (&*reference.group, &*reference.kind, namespace, &*reference.name);
        match world.vault.roots(from, to, world.grants, ["InvalidKind", "InvalidCACertificateRef"]) {
            Ok(text) => {
                roots.push_str(&text);
                roots.push('\n');
            }
            Err((reason, message)) => error = error.or(Some(Condition::fails("ResolvedRefs", reason, message))),
        }
    }
    let roots = match validation.well_known_ca_certificates.as_deref() {
        Some("System") => BackendRoots::System,
        Some(other) => {
            let message = format!("well-known certificates \"{other}\" are not known; valid is System");
            return Err(Condition::fails("Accepted", "Invalid", message));
        }
        None => BackendRoots::Pem(roots),
    };
    match error {
        Some(error) if roots == BackendRoots::Pem(String::new()) => Err(error),
        _ => Ok(BackendTls::Checked {
            server_name: validation.hostname.to_ascii_lowercase(),
            names: validation
                .subject_alt_names
                .iter()
                .filter_map(|name| match name.r#type.as_str() {
                    "URI" => name.uri.clone().map(BackendName::Uri),
                    _ => name.hostname.clone().map(BackendName::Dns),
                })
                .collect(),
            roots,
        }),
    }
}

/// Whether a route of the gateway leads to a service that is meant.
fn uses(world: &World<'_>, draft: &Draft<'_>, targets: &impl Fn(&ServiceKey) -> bool) -> bool {
    let routes = draft.listeners.iter().flat_map(|listener| &listener.routes);
    routes.map(|attached| &attached.route).any(|route| {
        let from = (route.kind(), route.metadata().namespace());
        route.backends().iter().any(|to| {
            backend(world.services, Attached::Gateway(world.grants), from, to)
                .is_ok_and(|(service, _)| targets(&service.key))
        })
    })
}
