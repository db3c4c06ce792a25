//! What each service contributes to every node that sees it, kept while it does not change.
//!
//! Shape       1 scope -> n services -> 1 `Pieces`, the same `Arc` in all scopes that see the service alike
//! Invariants  routes of one service may name others: they are compiled again when names, ports or subsets of any change

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_ir::{Cluster, EndpointSet, Flavor, RouteTable};
use leno_model::api::LoadBalancer;
use leno_model::{Problem, Rules, Service, Snapshot};
use leno_names::ServiceKey;

use crate::{cluster, endpoints, hash, routes, tcp};

/// What the clients of one scope get.
#[derive(Debug, Default)]
pub(crate) struct ForScope {
    pub seen: Option<Arc<Snapshot>>,
    pub services: BTreeMap<ServiceKey, Arc<Pieces>>,
    /// Changes with everything but endpoints.
    pub rules: u64,
}

/// What a service contributes to every node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    pub clusters: BTreeMap<Flavor, BTreeMap<String, Arc<Cluster>>>,
    pub endpoints: BTreeMap<String, Arc<EndpointSet>>,
    pub routes: BTreeMap<String, Arc<RouteTable>>,
    pub grpc_routes: BTreeMap<String, Arc<RouteTable>>,
    pub problems: Vec<Problem>,
}

const FLAVORS: [Flavor; 3] = [Flavor::Envoy, Flavor::Grpc, Flavor::Leno];

/// What other scopes have compiled already of the same snapshot.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Scopes whose services look alike from outside.
    alike: Vec<Arc<Snapshot>>,
    compiled: BTreeMap<ServiceKey, Vec<Shared>>,
}

#[derive(Debug)]
struct Shared {
    service: Arc<Service>,
    /// Where the routes of a service lead depends on what else there is: the place in `Pool::alike`.
    among: Option<usize>,
    pieces: Arc<Pieces>,
}

impl Pool {
    fn place(&mut self, seen: &Arc<Snapshot>) -> usize {
        let names = names(seen);
        let known = self.alike.iter().position(|other| self::names(other) == names);
        known.unwrap_or_else(|| {
            self.alike.push(seen.clone());
            self.alike.len() - 1
        })
    }

    fn find(&self, service: &Arc<Service>, among: usize) -> Option<&Arc<Pieces>> {
        let same = |shared: &&Shared| {
            shared.among.is_none_or(|place| place == among)
                && (Arc::ptr_eq(&shared.service, service) || shared.service == *service)
        };
        self.compiled.get(&service.key)?.iter().find(same).map(|shared| &shared.pieces)
    }

    fn add(&mut self, service: &Arc<Service>, among: usize, pieces: &Arc<Pieces>) {
        let among = Some(among).filter(|_| service.rules != Rules::Default);
        let shared = Shared { service: service.clone(), among, pieces: pieces.clone() };
        self.compiled.entry(service.key.clone()).or_default().push(shared);
    }
}

impl ForScope {
    /// Takes over a new snapshot, as the scope sees it.
    pub(crate) fn update(&mut self, seen: &Arc<Snapshot>, pool: &mut Pool) {
        let before = self.seen.replace(seen.clone());
        // Routes of one service name others: with another set of names or ports, each may read differently.
        let same_names = before.as_ref().is_some_and(|before| {
            names(before) == names(seen)
                && before.grants == seen.grants
                && before.mesh == seen.mesh
                && before.route_policies.routes == seen.route_policies.routes
        });
        self.services.retain(|key, _| seen.services.contains_key(key));
        let same_ingress = before.as_ref().is_some_and(|before| {
            before.ingress == seen.ingress
                && before.outbound == seen.outbound
                && before.envoy_filters == seen.envoy_filters
        });
        let mut any_rules_changed = !same_names || !same_ingress;
        let mut place = None;
        for (key, service) in &seen.services {
            let last = before.as_ref().and_then(|before| before.services.get(key));
            if same_names && last.is_some_and(|last| Arc::ptr_eq(last, service) || last == service) {
                continue;
            }
            let rules_changed =
                !same_names || last.is_none_or(|last| without_endpoints(last) != without_endpoints(service));
            any_rules_changed |= rules_changed;
            let place = *place.get_or_insert_with(|| pool.place(seen));
            let pieces = pool.find(service, place).cloned().unwrap_or_else(|| {
                let mut pieces = self.services.get(key).map(|pieces| Pieces::clone(pieces)).unwrap_or_default();
                pieces.update(seen, service, rules_changed);
                let pieces = Arc::new(pieces);
                pool.add(service, place, &pieces);
                pieces
            });
            self.services.insert(key.clone(), pieces);
        }
        self.rules += u64::from(any_rules_changed);
    }
}

impl Pieces {
    fn update(&mut self, snapshot: &Snapshot, service: &Service, rules_changed: bool) {
        replace(&mut self.endpoints, endpoints::compile(service).into_iter().map(|set| (set.name.clone(), set)));
        if !rules_changed {
            return;
        }
        self.problems.clear();
        tcp::check(snapshot, service, &mut self.problems);
        let tables = routes::compile(snapshot, service, &mut self.problems);
        let grpc = tables.iter().map(|table| (table.name.clone(), routes::for_grpc(table))).collect::<Vec<_>>();
        replace(&mut self.grpc_routes, grpc);
        replace(&mut self.routes, tables.into_iter().map(|table| (table.name.clone(), table)));
        for flavor in FLAVORS {
            let clusters = cluster::compile(snapshot, service, flavor, &mut self.problems);
            let slot = self.clusters.entry(flavor).or_default();
            replace(slot, clusters.into_iter().map(|cluster| (cluster.name.clone(), cluster)));
        }
    }
}

/// All that the routes of another service may depend on.
#[derive(PartialEq)]
struct Names<'a> {
    key: &'a ServiceKey,
    ports: Vec<u16>,
    subsets: Vec<&'a str>,
    hashing: Vec<&'a LoadBalancer>,
}

fn names(snapshot: &Snapshot) -> Vec<Names<'_>> {
    snapshot
        .services
        .iter()
        .map(|(key, service)| Names {
            key,
            ports: service.ports.iter().map(|port| port.number).collect(),
            subsets: service.subsets().iter().map(|subset| subset.name.as_str()).collect(),
            hashing: hash::settings(service),
        })
        .collect()
}

/// Everything but the endpoints that travel on their own.
fn without_endpoints(service: &Service) -> Service {
    let is_apart = service.has_endpoint_sets();
    Service { workloads: if is_apart { Vec::new() } else { service.workloads.clone() }, ..service.clone() }
}

/// Takes over the new values; those equal to the old keep the old identity.
fn replace<T: PartialEq>(slot: &mut BTreeMap<String, Arc<T>>, new: impl IntoIterator<Item = (String, T)>) {
    let mut new: BTreeMap<_, _> = new.into_iter().map(|(name, value)| (name, Arc::new(value))).collect();
    keep(&mut new, slot);
    *slot = new;
}

pub(crate) fn keep<T: PartialEq>(new: &mut BTreeMap<String, Arc<T>>, old: &BTreeMap<String, Arc<T>>) {
    for (name, value) in new {
        if let Some(old) = old.get(name).filter(|old| Arc::ptr_eq(old, value) || *old == value) {
            *value = old.clone();
        }
    }
}
