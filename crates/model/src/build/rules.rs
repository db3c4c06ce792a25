//! What objects say of services: everything in a snapshot but the services themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::{MeshConfig, Resource, ResourceKey};
use leno_names::ServiceKey;

use super::attach::Attachments;
use super::traffic::{self, Traffic};
use super::{bind, gateways, istio_gateways, smi};
use crate::client::Differences;
use crate::hosts::Hosts;
use crate::rulebook::Rulebook;
use crate::sidecar::Sidecars;
use crate::status::Status;
use crate::{AccessRule, BackendTls, Gateway, Grants, IstioGateway, MeshSettings, Problem, Services, Visibility};

/// What rules are made of.
pub(super) struct World<'a> {
    /// Oldest first.
    pub resources: &'a [Arc<Resource>],
    pub services: &'a Services,
    pub hosts: &'a Hosts,
    pub settings: &'a MeshSettings,
    pub mesh: &'a MeshConfig,
}

pub(super) struct Ruled {
    pub rulebook: Rulebook,
    pub grants: Grants,
    pub gateways: BTreeMap<ResourceKey, Arc<Gateway>>,
    pub istio_gateways: Vec<Arc<IstioGateway>>,
    pub backend_tls: BTreeMap<(ServiceKey, u16), BackendTls>,
    pub access: BTreeMap<(String, String), Vec<AccessRule>>,
    pub statuses: BTreeMap<ResourceKey, Status>,
    pub attachments: Attachments,
    pub traffic: Traffic,
}

pub(super) fn rules(world: &World<'_>, problems: &mut Vec<Problem>) -> Ruled {
    let World { resources, services, hosts, settings, mesh } = *world;
    let mut rulebook = Rulebook { differences: differences(services, hosts), ..Rulebook::default() };
    rulebook.sidecars = Sidecars::new(resources, &settings.root_namespace, &mut rulebook.differences);
    let mut binding = bind::Binding { services, hosts, rulebook: &mut rulebook, at_gateways: Default::default() };
    binding.destination_rules(resources, mesh, &settings.root_namespace, problems);
    binding.virtual_services(resources, mesh, problems);
    let istio_gateways = istio_gateways::build(resources, binding.at_gateways, problems);
    let grants = Grants::of(resources);
    let mut entry = gateways::build(&gateways::World::new(resources, services, &grants));
    problems.append(&mut entry.problems);
    let specs = smi::Specs::of(resources);
    entry.mesh_routes.extend(smi::splits(resources, &specs, services, &settings.domain, problems));
    let mut attachments = Attachments::of(resources, services, &settings.root_namespace);
    problems.append(&mut attachments.problems);
    entry.statuses.append(&mut attachments.statuses);
    let (traffic, policies) = traffic::of(resources, services);
    problems.extend(policies.iter().flat_map(|(key, status)| gateways::problems(key, status)));
    entry.statuses.extend(policies);
    let access = smi::access(resources, &specs, problems);
    bind::mesh_routes(entry.mesh_routes, services, &mut rulebook, problems);
    let gateways::Built { gateways, backend_tls, statuses, .. } = entry;
    Ruled { rulebook, grants, gateways, istio_gateways, backend_tls, access, statuses, attachments, traffic }
}

/// What services differ by to those who look at them.
fn differences(services: &Services, hosts: &Hosts) -> Differences {
    let mut differences = Differences::default();
    for service in services.values().filter(|service| service.visibility != Visibility::Everywhere) {
        differences.see(&service.visibility, &service.key.namespace);
    }
    for (_, keys) in hosts.iter().filter(|(_, keys)| keys.len() > 1) {
        differences.namespaces.extend(keys.iter().map(|key| key.namespace.clone()));
    }
    differences
}
