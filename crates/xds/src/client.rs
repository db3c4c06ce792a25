//! The client's half of a delta stream: responses in, requests and one consistent `Config` out. No I/O, no clock.
//!
//! ```text
//!  response --decode--> staged --config()--> the proxy applies --finish(rejections)--> accepted --> ACK / NACK
//!                 \--> bad: named in the NACK, the accepted version stays
//! ```
//!
//! Shape       wildcard listeners and clusters, and scopes where a listener takes them; route tables and endpoints by the
//!             names those refer to
//! Invariants  `accepted` is what the proxy runs; a response is answered once, after the proxy has judged it;
//!             what neither `accepted` nor `staged` refers to is not subscribed
//! Errors      a resource that does not decode, or that the proxy refuses, stops no other
//! Cost        per response: its resources; the references are walked when listeners or clusters change
//! Source      Envoy docs `xds_protocol`, "Incremental xDS" and "Warming"

mod kind;
mod persist;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeSet;

use leno_ir::{Config, Listener, NetworkFilter, RouteSource, ScopeSource};
use leno_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use crate::{Rejection, ResourceKind};
use kind::ClientKind;
pub use persist::PersistError;
use value::Value;

/// The client's half of a delta stream, and what outlives the stream.
#[derive(Debug, Default)]
pub struct DeltaClient {
    listeners: ClientKind,
    clusters: ClientKind,
    route_tables: ClientKind,
    endpoints: ClientKind,
    /// Asked for once a listener takes scopes from here.
    scopes: ClientKind,
}

impl DeltaClient {
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a stream; the requests resume from what is accepted. What was staged on the last one is dropped: the
    /// server sends it again.
    #[must_use]
    pub fn open_stream(&mut self) -> Vec<DeltaDiscoveryRequest> {
        self.close_stream();
        let mut requests = Vec::new();
        for kind in [ResourceKind::Cluster, ResourceKind::Listener] {
            requests.extend(self.kind_mut(kind).map(|state| state.open_wildcard(kind)));
        }
        requests.extend(self.update_subscriptions());
        requests
    }

    /// Forgets what belongs to the stream.
    pub fn close_stream(&mut self) {
        for kind in CLIENT_KINDS {
            if let Some(state) = self.kind_mut(kind) {
                state.close();
            }
        }
    }

    /// Takes in a response. Returns the requests to send at once and the resources that do not decode.
    pub fn handle(&mut self, response: DeltaDiscoveryResponse) -> (Vec<DeltaDiscoveryRequest>, Vec<Rejection>) {
        let kind = ResourceKind::from_type_url(&response.type_url);
        let Some((kind, state)) = kind.and_then(|kind| Some((kind, self.kind_mut(kind)?))) else {
            return (Vec::new(), Vec::new());
        };
        let rejections = state.stage(kind, response);
        let requests = if kind.is_root() { self.update_subscriptions() } else { Vec::new() };
        (requests, rejections)
    }

    /// Whether the stream has told which listeners and clusters there are.
    pub fn is_synced(&self) -> bool {
        self.listeners.is_synced() && self.clusters.is_synced()
    }

    /// Whether everything that is referred to has arrived or is known not to exist.
    pub fn is_complete(&self) -> bool {
        let has_scopes = self.scopes.is_synced() || !self.takes_scopes();
        has_scopes
            && self.view_references(ResourceKind::Endpoints).iter().all(|name| self.endpoints.is_known(name))
            && self.view_references(ResourceKind::RouteTable).iter().all(|name| self.route_tables.is_known(name))
    }

    /// Whether `config` differs from what is accepted.
    pub fn has_news(&self) -> bool {
        self.all().iter().any(|state| state.has_staged())
    }

    /// Whether responses wait for [`DeltaClient::finish`].
    pub fn has_unanswered(&self) -> bool {
        self.all().iter().any(|state| state.has_unanswered())
    }

    /// Whether nothing was accepted so far.
    pub fn is_empty(&self) -> bool {
        self.all().iter().all(|state| state.is_empty())
    }

    /// What the proxy should run: what is accepted, with what is staged on top.
    pub fn config(&self) -> Config {
        let mut config = Config::default();
        for state in self.all() {
            for (name, held) in state.view() {
                held.value.add_to(&mut config, name);
            }
        }
        config
    }

    /// What the proxy has accepted.
    pub fn accepted_config(&self) -> Config {
        let mut config = Config::default();
        for state in self.all() {
            for (name, held) in state.accepted() {
                held.value.add_to(&mut config, name);
            }
        }
        config
    }

    /// A rejection of each resource that is staged.
    pub fn reject_staged(&self, reason: &str) -> Vec<Rejection> {
        let staged = CLIENT_KINDS
            .into_iter()
            .zip(self.all())
            .flat_map(|(kind, state)| state.staged_names().map(move |name| (kind, name.clone())));
        staged.map(|(kind, name)| Rejection { kind, name, reason: reason.to_owned() }).collect()
    }

    /// The proxy has judged `config()`: accepts what it did not reject and answers all responses.
    #[must_use]
    pub fn finish(&mut self, rejections: &[Rejection]) -> Vec<DeltaDiscoveryRequest> {
        let mut requests = Vec::new();
        for kind in CLIENT_KINDS {
            let own: Vec<&Rejection> = rejections.iter().filter(|rejection| rejection.kind == kind).collect();
            if let Some(state) = self.kind_mut(kind) {
                requests.extend(state.finish(kind, &own));
            }
        }
        requests.extend(self.update_subscriptions());
        requests
    }

    /// Drops accepted resources, so that the next stream asks for them anew.
    pub fn forget(&mut self, rejections: &[Rejection]) {
        for rejection in rejections {
            if let Some(state) = self.kind_mut(rejection.kind) {
                state.forget(&rejection.name);
            }
        }
    }

    /// Subscribes what is newly referred to and drops what no longer is.
    fn update_subscriptions(&mut self) -> Vec<DeltaDiscoveryRequest> {
        let mut requests = Vec::new();
        if !self.clusters.is_open() {
            return requests;
        }
        if self.takes_scopes() && !self.scopes.is_open() {
            requests.push(self.scopes.open_wildcard(ResourceKind::Scope));
        }
        for kind in [ResourceKind::Endpoints, ResourceKind::RouteTable] {
            let mut wanted = self.view_references(kind);
            wanted.extend(self.accepted_references(kind));
            if let Some(state) = self.kind_mut(kind) {
                requests.extend(state.subscribe_exactly(kind, wanted));
            }
        }
        requests
    }

    fn view_references(&self, to: ResourceKind) -> BTreeSet<String> {
        references(self.referrers(to).into_iter().flat_map(ClientKind::view).map(|(_, held)| &held.value))
    }

    fn accepted_references(&self, to: ResourceKind) -> BTreeSet<String> {
        references(self.referrers(to).into_iter().flat_map(ClientKind::accepted).map(|(_, held)| &held.value))
    }

    /// The kinds whose resources name those of `to`.
    fn referrers(&self, to: ResourceKind) -> Vec<&ClientKind> {
        if to == ResourceKind::RouteTable { vec![&self.listeners, &self.scopes] } else { vec![&self.clusters] }
    }

    /// Whether a listener takes its scopes from SRDS.
    fn takes_scopes(&self) -> bool {
        let takes = |value: &Value| match value {
            Value::Listener(listener) => route_sources(listener)
                .any(|routes| matches!(routes, RouteSource::Scoped(scoped) if scoped.scopes == ScopeSource::Srds)),
            _ => false,
        };
        self.listeners.view().chain(self.listeners.accepted()).any(|(_, held)| takes(&held.value))
    }

    fn all(&self) -> [&ClientKind; 5] {
        [&self.clusters, &self.endpoints, &self.listeners, &self.route_tables, &self.scopes]
    }

    fn kind_mut(&mut self, kind: ResourceKind) -> Option<&mut ClientKind> {
        match kind {
            ResourceKind::Cluster => Some(&mut self.clusters),
            ResourceKind::Endpoints => Some(&mut self.endpoints),
            ResourceKind::Listener => Some(&mut self.listeners),
            ResourceKind::RouteTable => Some(&mut self.route_tables),
            ResourceKind::Scope => Some(&mut self.scopes),
            ResourceKind::Secret => None,
        }
    }
}

/// The kinds a Leno proxy asks for; it holds its own keys.
const CLIENT_KINDS: [ResourceKind; 5] = [
    ResourceKind::Cluster,
    ResourceKind::Endpoints,
    ResourceKind::Listener,
    ResourceKind::RouteTable,
    ResourceKind::Scope,
];

/// Names of the route tables or endpoint sets that listeners or clusters name.
fn references<'a>(values: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for value in values {
        match value {
            Value::Cluster(cluster) => names.extend(cluster.endpoint_set_name().map(str::to_owned)),
            Value::Endpoints(_) | Value::RouteTable(_) => {}
            Value::Listener(listener) => {
                names.extend(route_sources(listener).flat_map(RouteSource::named).map(str::to_owned));
            }
            Value::Scope(scope) => names.extend(scope.route_table_name().map(str::to_owned)),
        }
    }
    names
}

fn route_sources(listener: &Listener) -> impl Iterator<Item = &RouteSource> {
    let chains = listener.filter_chains.iter().chain(&listener.default_filter_chain);
    chains.filter_map(|chain| match &chain.filter {
        NetworkFilter::Http(http) => Some(&http.routes),
        NetworkFilter::Tcp(_) => None,
    })
}
