use std::collections::BTreeMap;
use std::sync::Arc;

use leno_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use leno_proto::google::rpc::Status;

use super::{Held, KINDS, Wire};
use crate::ResourceKind::{Cluster, Endpoints, Listener, RouteTable};
use crate::{FullServer, Pacing, Report, Resource, ResourceKind};

/// A state-of-the-world client as plain as can be.
pub(super) struct Peer {
    pacing: Pacing,
    server: FullServer,
    wire: Wire<DiscoveryResponse>,
    held: Held,
    names: BTreeMap<ResourceKind, Vec<String>>,
    nonces: BTreeMap<ResourceKind, String>,
}

impl Peer {
    fn request(&mut self, kind: ResourceKind, error: Option<Status>) {
        self.server.handle(&DiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names: self.names.get(&kind).cloned().unwrap_or_default(),
            response_nonce: self.nonces.get(&kind).cloned().unwrap_or_default(),
            error_detail: error,
            ..DiscoveryRequest::default()
        });
    }

    fn subscribe(&mut self) {
        for (kind, root) in [(Endpoints, Cluster), (RouteTable, Listener)] {
            let wanted: Vec<String> =
                self.held.keys().filter(|(held, _)| *held == root).map(|(_, name)| name.clone()).collect();
            if *self.names.entry(kind).or_default() != wanted {
                self.held.retain(|(held, name), _| *held != kind || wanted.contains(name));
                self.names.insert(kind, wanted);
                self.request(kind, None);
            }
        }
    }
}

impl super::Peer for Peer {
    const RESUMES: bool = false;

    fn new(pacing: Pacing) -> Self {
        let (wire, held) = (Wire::new(), Held::new());
        Self { pacing, server: FullServer::new(pacing), wire, held, names: BTreeMap::new(), nonces: BTreeMap::new() }
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
            self.wire.push_back(response);
            reports.extend(report);
        }
        reports
    }

    fn receive(&mut self, accept: bool) -> bool {
        let Some(response) = self.wire.pop_front() else { return false };
        let kind = ResourceKind::from_type_url(&response.type_url).expect("a kind of ours");
        self.nonces.insert(kind, response.nonce);
        if accept {
            // The body of a resource in these tests is its name and version.
            let bodies = response.resources.iter().map(|any| String::from_utf8_lossy(&any.value).into_owned());
            let resources: Vec<_> = bodies
                .map(|body| {
                    let (name, version) = body.split_once('@').expect("name@version");
                    ((kind, name.to_owned()), version.to_owned())
                })
                .collect();
            if kind.is_root() {
                self.held.retain(|(held, _), _| *held != kind);
            }
            self.held.extend(resources);
        }
        self.request(kind, (!accept).then(|| Status { message: "no".to_owned(), ..Status::default() }));
        self.subscribe();
        true
    }

    fn reconnect(&mut self, resources: &BTreeMap<(ResourceKind, String), Arc<Resource>>) {
        self.server = FullServer::new(self.pacing);
        self.wire.clear();
        self.nonces.clear();
        for ((kind, _), resource) in resources {
            self.server.set(*kind, resource.clone());
        }
        for kind in KINDS {
            if kind.is_root() || self.names.get(&kind).is_some_and(|names| !names.is_empty()) {
                self.request(kind, None);
            }
        }
    }

    fn held(&self) -> Held {
        self.held.clone()
    }
}
