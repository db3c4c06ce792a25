use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use leno_proto::google::rpc::Status;

use super::{Held, KINDS, Wire};
use crate::ResourceKind::{Cluster, Endpoints, Listener, RouteTable};
use crate::{DeltaServer, Pacing, Report, Resource, ResourceKind};

/// A delta client as plain as can be: listeners and clusters by wildcard, the others by the names of those.
pub(super) struct Peer {
    pacing: Pacing,
    server: DeltaServer,
    wire: Wire<DeltaDiscoveryResponse>,
    held: Held,
    subscribed: BTreeSet<(ResourceKind, String)>,
}

impl Peer {
    fn subscribe(&mut self) {
        for (kind, root) in [(Endpoints, Cluster), (RouteTable, Listener)] {
            let wanted: BTreeSet<_> =
                self.held.keys().filter(|(held, _)| *held == root).map(|(_, name)| (kind, name.clone())).collect();
            let had: BTreeSet<_> = self.subscribed.iter().filter(|(had, _)| *had == kind).cloned().collect();
            let names = |set: Vec<&(ResourceKind, String)>| set.into_iter().map(|(_, name)| name.clone()).collect();
            let subscribe: Vec<String> = names(wanted.difference(&had).collect());
            let unsubscribe: Vec<String> = names(had.difference(&wanted).collect());
            if subscribe.is_empty() && unsubscribe.is_empty() {
                continue;
            }
            let first = had.is_empty() && !self.subscribed.iter().any(|(had, _)| *had == kind);
            let versions = self.held.iter().filter(|((held, _), _)| first && *held == kind);
            self.server.handle(&DeltaDiscoveryRequest {
                type_url: kind.type_url().to_owned(),
                resource_names_subscribe: subscribe,
                resource_names_unsubscribe: unsubscribe.clone(),
                initial_resource_versions: versions
                    .map(|((_, name), version)| (name.clone(), version.clone()))
                    .collect(),
                ..DeltaDiscoveryRequest::default()
            });
            self.held.retain(|(held, name), _| *held != kind || !unsubscribe.contains(name));
            self.subscribed.retain(|(had, _)| *had != kind);
            self.subscribed.extend(wanted);
        }
    }
}

impl super::Peer for Peer {
    const RESUMES: bool = true;

    fn new(pacing: Pacing) -> Self {
        let (wire, held, subscribed) = (Wire::new(), Held::new(), BTreeSet::new());
        Self { pacing, server: DeltaServer::new(pacing), wire, held, subscribed }
    }

    fn set(&mut self, kind: ResourceKind, resource: Arc<Resource>) {
        self.server.set(kind, resource);
    }

    fn remove(&mut self, kind: ResourceKind, name: &str) {
        self.server.remove(kind, name);
    }

    fn transmit(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        while let Some((response, report)) = self.server.poll_response() {
            let waiting = self.wire.iter().filter(|other| other.type_url == response.type_url).count();
            // An atomic client answers only when it has all it asked for, so more may be on its way.
            assert!(waiting == 0 || self.pacing == Pacing::Atomic, "two unanswered responses of one type");
            self.wire.push_back(response);
            reports.extend(report);
        }
        reports
    }

    fn receive(&mut self, accept: bool) -> bool {
        let Some(response) = self.wire.pop_front() else { return false };
        let kind = ResourceKind::from_type_url(&response.type_url).expect("a kind of ours");
        for resource in response.resources.iter().filter(|_| accept) {
            self.held.insert((kind, resource.name.clone()), resource.version.clone());
        }
        for name in &response.removed_resources {
            self.held.remove(&(kind, name.clone()));
        }
        let error_detail = (!accept).then(|| Status { message: "no".to_owned(), ..Status::default() });
        self.server.handle(&DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            error_detail,
            ..DeltaDiscoveryRequest::default()
        });
        self.subscribe();
        true
    }

    fn reconnect(&mut self, resources: &BTreeMap<(ResourceKind, String), Arc<Resource>>) {
        self.server = DeltaServer::new(self.pacing);
        self.wire.clear();
        self.subscribed.clear();
        for ((kind, _), resource) in resources {
            self.server.set(*kind, resource.clone());
        }
        for kind in KINDS.into_iter().filter(|kind| kind.is_root()) {
            let versions = self.held.iter().filter(|((held, _), _)| *held == kind);
            self.server.handle(&DeltaDiscoveryRequest {
                type_url: kind.type_url().to_owned(),
                initial_resource_versions: versions
                    .map(|((_, name), version)| (name.clone(), version.clone()))
                    .collect(),
                ..DeltaDiscoveryRequest::default()
            });
        }
        self.subscribe();
    }

    fn held(&self) -> Held {
        self.held.clone()
    }
}
