use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{EnvoyFilter, Kind, MeshConfig, Resource, ResourceKey, not_supported_yet};
use leno_names::ServiceKey;

use super::attach::Attachments;
use super::entries::{self, Entries};
use super::objects::{Objects, place, unique};
use super::rules::{self, Ruled};
use super::services::{self, Selector};
use super::settings;
use super::slices::{self, Slices};
use super::traffic::Traffic;
use super::workloads::Workloads;
use crate::hosts::Hosts;
use crate::rulebook::{Affected, unequal};
use crate::{MeshSettings, Problem, Scope, Service, Services, Snapshot, Workload};

/// The mesh as objects make it, kept so that a change of one object costs what depends on it.
///
/// Invariants  the snapshot and the problems are those of all objects together, whatever came when and in which order
/// Cost        a workload: the services it may stand behind; a service: those, and all rules; another object: all rules
#[derive(Debug)]
pub struct Builder {
    /// Before what the mesh's own configuration says.
    given: MeshSettings,
    objects: Objects,
    workloads: Workloads,
    entries: Entries,
    slices: Slices,
    /// Services by what selects their workloads.
    selecting: BTreeMap<Selector, BTreeSet<ServiceKey>>,
    /// Before any rule.
    bare: Services,
    /// Leno's own policies.
    attachments: Attachments,
    traffic: Traffic,
    snapshot: Arc<Snapshot>,
    is_new: bool,
    problems: Found,
}

/// What is wrong, by what it depends on.
#[derive(Debug, Default)]
struct Found {
    of_objects: BTreeMap<ResourceKey, Vec<Problem>>,
    of_services: BTreeMap<ServiceKey, Vec<Problem>>,
    of_mesh: Vec<Problem>,
    of_rules: Vec<Problem>,
}

/// What changes make necessary.
#[derive(Default)]
struct Work {
    services: BTreeSet<ServiceKey>,
    /// Which services there are, or in which order they count.
    hosts: bool,
    /// Rules may hold for any service that did not.
    all_bound: bool,
    mesh: bool,
    rules: bool,
}

impl Builder {
    pub fn new(settings: MeshSettings) -> Self {
        Self {
            snapshot: Arc::new(Snapshot::empty(settings.clone())),
            given: settings,
            objects: Objects::default(),
            workloads: Workloads::default(),
            entries: Entries::default(),
            slices: Slices::default(),
            attachments: Attachments::default(),
            traffic: Traffic::new(),
            selecting: BTreeMap::new(),
            bare: Services::new(),
            is_new: true,
            problems: Found::default(),
        }
    }

    /// Of all resources at once; of those of one key the oldest counts.
    pub(crate) fn of(
        resources: &[Arc<Resource>],
        settings: &MeshSettings,
        indices: &BTreeMap<ServiceKey, u16>,
    ) -> Self {
        let mut builder = Self::new(settings.clone());
        builder.update(unique(resources).into_iter().map(|(key, resource)| (key, Some(resource))), indices);
        builder
    }

    /// Takes over objects that are new or have changed, and those that are gone (`None`). `indices` are the numbers of
    /// [`service_keys`](crate::service_keys); a service keeps the one it had when it was made.
    pub fn update(
        &mut self,
        changes: impl IntoIterator<Item = (ResourceKey, Option<Arc<Resource>>)>,
        indices: &BTreeMap<ServiceKey, u16>,
    ) -> &Arc<Snapshot> {
        let is_first = std::mem::take(&mut self.is_new);
        let mut work = Work { mesh: is_first, rules: is_first, ..Work::default() };
        for (key, new) in changes {
            self.take(&key, new.as_ref(), &mut work);
        }
        let mut next = Snapshot::clone(&self.snapshot);
        if work.mesh {
            self.read_mesh(&mut next, &mut work);
        }
        let changed = self.make_services(&mut next, &mut work, indices);
        let mut affected = if work.rules { self.make_rules(&mut next) } else { Vec::new() };
        if work.all_bound {
            affected.push(Affected::All);
        }
        self.bind(&mut next, changed, affected);
        self.snapshot = Arc::new(next);
        &self.snapshot
    }

    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Sorted.
    pub fn problems(&self) -> Vec<Problem> {
        let Found { of_objects, of_services, of_mesh, of_rules } = &self.problems;
        let single = of_objects.values().chain(of_services.values()).flatten();
        let mut all: Vec<_> = single.chain(of_mesh).chain(of_rules).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    fn take(&mut self, key: &ResourceKey, new: Option<&Arc<Resource>>, work: &mut Work) {
        let mut problems = Vec::new();
        if let Some(new) = new {
            problems.extend(not_supported_yet(new).into_iter().map(|field| {
                let message = format!("not supported yet: {field}");
                Problem::warning(key, field, "not_supported_yet", message)
            }));
        }
        if key.kind == Kind::WorkloadEntry {
            self.take_workload(key, new, work, &mut problems);
        } else {
            self.take_object(key, new, work, &mut problems);
        }
        if problems.is_empty() {
            self.problems.of_objects.remove(key);
        } else {
            self.problems.of_objects.insert(key.clone(), problems);
        }
    }

    fn take_workload(
        &mut self,
        key: &ResourceKey,
        new: Option<&Arc<Resource>>,
        work: &mut Work,
        problems: &mut Vec<Problem>,
    ) {
        let new = new.and_then(|new| match &**new {
            Resource::WorkloadEntry(entry) => Workload::read(key.clone(), entry, problems).map(Arc::new),
            _ => None,
        });
        let old = self.workloads.replace(key, new.as_ref());
        let domain = &self.snapshot.settings.domain;
        for workload in old.iter().chain(&new) {
            for (label, value) in &workload.labels {
                let selector = (key.namespace.clone(), label.clone(), value.clone());
                work.services.extend(self.selecting.get(&selector).into_iter().flatten().cloned());
            }
            if let Some(name) = &workload.service {
                work.add(ServiceKey::new(&key.namespace, name), domain);
            }
            work.services.extend(self.entries.choosing(workload, domain));
            work.services.extend(self.slices.naming(workload).cloned());
        }
    }

    fn take_object(
        &mut self,
        key: &ResourceKey,
        new: Option<&Arc<Resource>>,
        work: &mut Work,
        problems: &mut Vec<Problem>,
    ) {
        let old = self.objects.replace(key, new);
        let domain = &self.snapshot.settings.domain;
        work.hosts |= matches!(key.kind, Kind::Service | Kind::ServiceEntry);
        match key.kind {
            Kind::Service => {
                let own = ServiceKey::new(&key.namespace, &key.name);
                for (resource, is_there) in old.iter().map(|old| (old, false)).chain(new.map(|new| (new, true))) {
                    let Resource::Service(object) = &**resource else { continue };
                    let Some(selector) = services::selector(object) else { continue };
                    let selecting = self.selecting.entry(selector).or_default();
                    if is_there {
                        selecting.insert(own.clone());
                    } else {
                        selecting.remove(&own);
                    }
                }
                work.add(own, domain);
            }
            Kind::ServiceEntry => {
                for (resource, is_there) in old.iter().map(|old| (old, false)).chain(new.map(|new| (new, true))) {
                    let Resource::ServiceEntry(object) = &**resource else { continue };
                    let place = place(key, resource);
                    if is_there {
                        self.entries.add(&place, object, problems);
                    } else {
                        self.entries.remove(&place, object);
                    }
                    work.services.extend(entries::keys(object, domain));
                }
            }
            Kind::EndpointSlice => {
                for (resource, is_there) in old.iter().map(|old| (old, false)).chain(new.map(|new| (new, true))) {
                    let Resource::EndpointSlice(slice) = &**resource else { continue };
                    let place = place(key, resource);
                    if is_there {
                        self.slices.add(place, slice);
                    } else {
                        self.slices.remove(&place, slice);
                    }
                    work.services.extend(slices::service_of(slice));
                }
            }
            Kind::MeshConfig => work.mesh = true,
            Kind::ConfigMap => {
                // The mesh's own, or roots that others name.
                work.mesh = true;
                work.rules = true;
            }
            _ => work.rules = true,
        }
    }

    /// What the mesh says of itself may be about every service.
    fn read_mesh(&mut self, next: &mut Snapshot, work: &mut Work) {
        self.problems.of_mesh.clear();
        let mut mesh = mesh_config(&self.objects, &self.given, &mut self.problems.of_mesh);
        settings::lay_over(&mut mesh, self.objects.iter(), &mut self.problems.of_mesh);
        let settings = self.given.with(&mesh);
        if *next.mesh == mesh && next.settings == settings {
            return;
        }
        next.settings = settings;
        next.mesh = Arc::new(mesh);
        work.rules = true;
        work.all_bound = true;
        work.services.extend(self.bare.keys().cloned());
    }

    /// Makes the services that are to be looked at; gives those that have changed.
    fn make_services(
        &mut self,
        next: &mut Snapshot,
        work: &mut Work,
        indices: &BTreeMap<ServiceKey, u16>,
    ) -> BTreeSet<ServiceKey> {
        let Self { objects, workloads, entries, slices, bare, problems: found, .. } = self;
        let world = services::World { objects, workloads, entries, slices, settings: &next.settings, mesh: &next.mesh };
        let mut changed = BTreeSet::new();
        let mut names_changed = false;
        for key in std::mem::take(&mut work.services) {
            let mut problems = Vec::new();
            let new = world.service(&key, &mut problems);
            if problems.is_empty() {
                found.of_services.remove(&key);
            } else {
                found.of_services.insert(key.clone(), problems);
            }
            let old = bare.get(&key);
            names_changed |= old.map(|old| &old.fqdn) != new.as_ref().map(|new| &new.fqdn);
            let Some(mut new) = new else {
                if bare.remove(&key).is_some() {
                    work.rules = true;
                    changed.insert(key);
                }
                continue;
            };
            new.index = indices.get(&key).copied();
            if old.is_some_and(|old| **old == new) {
                continue;
            }
            work.rules |= old.is_none_or(|old| !old.differs_only_in_workloads(&new));
            bare.insert(key.clone(), Arc::new(new));
            changed.insert(key);
        }
        if names_changed || work.hosts {
            let hosts = self.hosts(next);
            if *next.hosts != hosts {
                next.hosts = Arc::new(hosts);
            }
        }
        changed
    }

    /// Services of the mesh before hosts of ServiceEntries, those in order of age.
    fn hosts(&self, next: &Snapshot) -> Hosts {
        let Self { objects, workloads, entries, slices, .. } = self;
        let world = services::World { objects, workloads, entries, slices, settings: &next.settings, mesh: &next.mesh };
        let mut hosts = Hosts::new(&next.settings.domain);
        for (key, service) in self.bare.iter().filter(|(_, service)| service.is_of_mesh()) {
            hosts.add(&service.fqdn, key);
        }
        for (namespace, host) in self.entries.hosts() {
            let key = entries::key_of(&world, namespace, host);
            if let Some(service) = self.bare.get(&key).filter(|service| !service.is_of_mesh()) {
                hosts.add(&service.fqdn, &key);
            }
        }
        hosts
    }

    /// Gives the services that rules may hold for that did not.
    fn make_rules(&mut self, next: &mut Snapshot) -> Vec<Affected> {
        // What services are made of is in the services.
        let is_rule = |resource: &&Arc<Resource>| {
            !matches!(resource.kind(), Kind::EndpointSlice | Kind::Service | Kind::ServiceEntry)
        };
        let resources: Vec<_> = self.objects.iter().filter(is_rule).cloned().collect();
        let world = rules::World {
            resources: &resources,
            services: &self.bare,
            hosts: &next.hosts,
            settings: &next.settings,
            mesh: &next.mesh,
        };
        self.problems.of_rules.clear();
        let ruled = rules::rules(&world, &mut self.problems.of_rules);
        let Ruled { rulebook, grants, gateways, istio_gateways, backend_tls, access, statuses, attachments, traffic } =
            ruled;
        let affected = vec![
            rulebook.affected(&next.rulebook, &next.hosts),
            attachments.affected(&self.attachments),
            Affected::Some(unequal(&traffic, &self.traffic).cloned().collect()),
        ];
        next.rulebook = Arc::new(rulebook);
        next.route_policies = Arc::new(attachments.routes.clone());
        self.attachments = attachments;
        self.traffic = traffic;
        next.grants = Arc::new(grants);
        next.gateways = Arc::new(gateways);
        next.istio_gateways = Arc::new(istio_gateways);
        let envoy_filters = self.envoy_filters();
        if *next.envoy_filters != envoy_filters {
            next.envoy_filters = Arc::new(envoy_filters);
        }
        next.backend_tls = Arc::new(backend_tls);
        next.access = Arc::new(access);
        next.statuses = Arc::new(statuses);
        affected
    }

    fn envoy_filters(&self) -> Vec<Arc<EnvoyFilter>> {
        let filter = |resource: &Arc<Resource>| match &**resource {
            Resource::EnvoyFilter(object) => Some(object.clone()),
            _ => None,
        };
        let mut all: Vec<_> = self.objects.iter().filter_map(filter).collect();
        all.sort_by_key(|filter| filter.spec.priority.unwrap_or_default());
        all
    }

    /// Gives services the rules that clients of their own namespaces see.
    fn bind(&self, next: &mut Snapshot, mut changed: BTreeSet<ServiceKey>, affected: Vec<Affected>) {
        for affected in affected {
            match affected {
                Affected::All => changed.extend(self.bare.keys().cloned()),
                Affected::Some(keys) => changed.extend(keys),
            }
        }
        for key in changed {
            let Some(service) = self.bare.get(&key) else {
                next.services.remove(&key);
                continue;
            };
            let scope = Scope { namespace: key.namespace.clone(), labels: BTreeMap::new() };
            let service = match (self.attachments.of_service(&key), self.traffic.get(&key).cloned()) {
                (None, None) => service.clone(),
                (attached, traffic) => Arc::new(Service { attached, traffic, ..Service::clone(service) }),
            };
            let bound = next.with_rules_for(&service, &scope, None);
            if next.services.get(&key).is_none_or(|old| *old != bound) {
                next.services.insert(key, bound);
            }
        }
    }
}

impl Work {
    /// A Service; what a ServiceEntry says of its whole name depends on whether there is one.
    fn add(&mut self, key: ServiceKey, domain: &str) {
        self.services.insert(ServiceKey::new(&key.namespace, key.fqdn(domain)));
        self.services.insert(key);
    }
}

/// What Istio's ConfigMap says of the mesh: `istio` in `istio-system` or in the root namespace, the key `mesh`.
fn mesh_config(objects: &Objects, settings: &MeshSettings, problems: &mut Vec<Problem>) -> MeshConfig {
    let found = objects.iter().find_map(|resource| {
        let Resource::ConfigMap(object) = &**resource else { return None };
        let key = resource.key();
        let is_it = key.name == "istio" && ["istio-system", &settings.root_namespace].contains(&&*key.namespace);
        Some((key, object.data.get("mesh")?)).filter(|_| is_it)
    });
    let Some((key, text)) = found else { return MeshConfig::default() };
    let (config, found) = MeshConfig::read(text);
    problems.extend(found.into_iter().map(|(field, message)| {
        let path = if field.is_empty() { "data.mesh".to_owned() } else { format!("data.mesh.{field}") };
        Problem::warning(&key, path, "not_supported_yet", message)
    }));
    config
}
