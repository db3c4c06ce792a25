use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_ir::{Cluster, EndpointSet, Flavor, RouteTable};
use leno_model::{Problem, Rules, Service, Snapshot};
use leno_names::ServiceKey;

use crate::{cluster, endpoints, routes, tcp};

/// What a service contributes to every node that sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    /// Of the flavors that there are nodes of.
    pub clusters: BTreeMap<Flavor, Vec<Arc<Cluster>>>,
    pub endpoints: Vec<Arc<EndpointSet>>,
    pub routes: Vec<Arc<RouteTable>>,
    pub grpc_routes: Vec<Arc<RouteTable>>,
    pub problems: Vec<Problem>,
}

/// A service, and what of others its routes depend on: the services they lead to, or where there is none.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub service: Arc<Service>,
    outlook: Vec<Option<Arc<Service>>>,
}

impl Subject {
    pub(crate) fn new(snapshot: &Snapshot, service: &Arc<Service>) -> Self {
        let destinations = service.destinations();
        let outlook = destinations.iter().map(|(host, namespace)| snapshot.service(host, namespace).cloned());
        Self { outlook: outlook.collect(), service: service.clone() }
    }

    /// Whether the same is compiled of both.
    fn is_like(&self, other: &Self) -> bool {
        (Arc::ptr_eq(&self.service, &other.service) || self.service == other.service) && self.looks_like(other)
    }

    /// Whether the same routes are compiled of both, as far as other services go.
    pub(crate) fn looks_like(&self, other: &Self) -> bool {
        let alike = |pair: (&Option<Arc<Service>>, &Option<Arc<Service>>)| match pair {
            // What stands behind another service says nothing about the way there.
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.differs_only_in_workloads(other),
            (None, None) => true,
            _ => false,
        };
        self.outlook.len() == other.outlook.len() && self.outlook.iter().zip(&other.outlook).all(alike)
    }

    /// Whether its routes depend on one of these.
    pub(crate) fn looks_at(&self, keys: &BTreeSet<ServiceKey>) -> bool {
        self.outlook.iter().flatten().any(|service| keys.contains(&service.key))
    }

    /// Whether its routes depend on other services at all.
    pub(crate) fn looks_out(&self) -> bool {
        self.service.rules != Rules::Default
    }
}

impl Pieces {
    /// With what `last` has of the same, by identity. `rules`: not only workloads have changed since.
    pub(crate) fn compile(
        snapshot: &Snapshot,
        service: &Service,
        flavors: &BTreeSet<Flavor>,
        last: Option<&Self>,
        rules: bool,
    ) -> Self {
        let none = Self::default();
        let old = last.unwrap_or(&none);
        let endpoints = kept(endpoints::compile(service), &old.endpoints, |set| &set.name);
        if let (Some(last), false) = (last, rules) {
            return Self { endpoints, ..last.clone() };
        }
        let mut problems = Vec::new();
        tcp::check(snapshot, service, &mut problems);
        let tables = routes::compile(snapshot, service, &mut problems);
        let grpc = tables.iter().filter(|_| flavors.contains(&Flavor::Grpc)).map(routes::for_grpc).collect();
        let grpc_routes = kept(grpc, &old.grpc_routes, |table| &table.name);
        let routes = kept(tables, &old.routes, |table| &table.name);
        let clusters = flavors.iter().map(|flavor| {
            let clusters = cluster::compile(snapshot, service, *flavor, &mut problems);
            let old = old.clusters.get(flavor).map_or(&[][..], Vec::as_slice);
            (*flavor, kept(clusters, old, |cluster| &cluster.name))
        });
        let clusters = clusters.collect();
        Self { clusters, endpoints, routes, grpc_routes, problems }
    }
}

/// Those equal to the old ones keep the old identity.
fn kept<T: PartialEq>(new: Vec<T>, old: &[Arc<T>], name: impl Fn(&T) -> &String) -> Vec<Arc<T>> {
    let keep = |value: T| match old.iter().find(|old| name(old) == name(&value)).filter(|old| ***old == value) {
        Some(old) => old.clone(),
        None => Arc::new(value),
    };
    new.into_iter().map(keep).collect()
}

/// What was compiled for some scope: scopes that see a service alike share its pieces.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    compiled: BTreeMap<ServiceKey, Vec<(Subject, Arc<Pieces>)>>,
}

impl Pool {
    pub(crate) fn find(&self, subject: &Subject) -> Option<&Arc<Pieces>> {
        let all = self.compiled.get(&subject.service.key)?;
        all.iter().find(|(other, _)| other.is_like(subject)).map(|(_, pieces)| pieces)
    }

    /// In the place of those that nobody uses any more.
    pub(crate) fn add(&mut self, subject: &Subject, pieces: &Arc<Pieces>) {
        let all = self.compiled.entry(subject.service.key.clone()).or_default();
        all.retain(|(_, pieces)| Arc::strong_count(pieces) > 1);
        all.push((subject.clone(), pieces.clone()));
    }

    /// Of a service that is gone.
    pub(crate) fn sweep(&mut self, key: &ServiceKey) {
        if let Some(all) = self.compiled.get_mut(key) {
            all.retain(|(_, pieces)| Arc::strong_count(pieces) > 1);
            if all.is_empty() {
                self.compiled.remove(key);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.compiled.clear();
    }
}
