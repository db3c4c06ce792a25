//! What of a request is hashed: written in the DestinationRule of where a route leads, in force on the route.

use leno_ir::{HashCookie, HashPolicy, HashSource, Route, RouteAction, WeightedCluster};
use leno_model::api::ConsistentHash;
use leno_model::{Service, Snapshot};

use crate::cluster;

/// Where the names of clusters are looked up.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub snapshot: &'a Snapshot,
    /// The service whose routes lead there; `None`: those of a gateway.
    pub own: Option<&'a Service>,
    /// That comes first where several have a service of one host.
    pub namespace: &'a str,
}

impl<'a> Site<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot, service: &'a Service) -> Self {
        Self { snapshot, own: Some(service), namespace: &service.key.namespace }
    }

    /// The service, port and subset that a cluster is of.
    pub(crate) fn target(self, cluster: &str) -> Option<(&'a Service, u16, Option<String>)> {
        // `Service::cluster_name`
        let mut parts = cluster.splitn(4, '|').skip(1);
        let (port, subset, host) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let target = match self.own.filter(|own| own.fqdn == host) {
            Some(own) => own,
            None => self.snapshot.service(host, self.namespace)?,
        };
        Some((target, port, Some(subset.to_owned()).filter(|name| !name.is_empty())))
    }
}

/// Gives each route the hash policies of its destinations.
pub(crate) fn apply(site: Site<'_>, routes: &mut [Route]) {
    for route in routes {
        if let RouteAction::Forward(forward) = &mut route.action {
            forward.hash_policies = policies(site, &forward.clusters);
        }
    }
}

/// As Istio: those of all destinations after one another. Ours: equal ones once, so that parts of a split agree with the whole.
pub(crate) fn policies(site: Site<'_>, clusters: &[WeightedCluster]) -> Vec<HashPolicy> {
    let mut policies: Vec<HashPolicy> = Vec::new();
    for cluster in clusters {
        let source = source_of(site, &cluster.name).map(HashPolicy::from);
        policies.extend(source.filter(|source| !policies.contains(source)));
    }
    policies
}

fn source_of(site: Site<'_>, cluster: &str) -> Option<HashSource> {
    let (target, port, subset) = site.target(cluster)?;
    let mut hash = None;
    for layer in cluster::layers_of(target, port, subset.as_deref()) {
        if layer.ends_hashing() {
            hash = None;
        }
        hash = layer.consistent_hash().or(hash);
    }
    source(hash?)
}

fn source(hash: &ConsistentHash) -> Option<HashSource> {
    if let Some(cookie) = &hash.http_cookie {
        return Some(HashSource::Cookie(HashCookie {
            name: cookie.name.clone(),
            ttl: cookie.ttl.map(|ttl| ttl.0),
            path: cookie.path.clone().unwrap_or_default(),
            attributes: cookie.attributes.iter().map(|one| (one.name.clone(), one.value.clone())).collect(),
        }));
    }
    if let Some(name) = &hash.http_header_name {
        return Some(HashSource::Header(name.to_ascii_lowercase()));
    }
    if let Some(name) = &hash.http_query_parameter_name {
        return Some(HashSource::QueryParameter(name.clone()));
    }
    (hash.use_source_ip == Some(true)).then_some(HashSource::SourceIp)
}
