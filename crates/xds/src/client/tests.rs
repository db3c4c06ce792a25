use std::sync::Arc;

use leno_ir::{
    Cluster, Config, Direction, Discovery, EndpointSet, FilterChain, FilterChainMatch, Flavor, HttpConnectionManager,
    Listener, ListenerOptions, LocalityEndpoints, NetworkFilter, RouteSource, RouteTable, Scope, ScopeElement,
    ScopeKeyPart, ScopeRoutes, ScopeSource, ScopedRoutes, VirtualHost,
};
use leno_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use leno_proto::google::protobuf::Any;

use super::{DeltaClient, PersistError};
use crate::{DeltaServer, Pacing, Rejection, ResourceKind, Verdict, codec};

const NODE: &str = "reviews-1.default";

/// What service `name` is made of; `version` makes the parts differ.
fn put(config: &mut Config, name: &str, version: u32) {
    let discovery = Discovery::Eds { service_name: name.to_owned() };
    config.clusters.insert(name.to_owned(), Arc::new(Cluster::new(name, discovery)));
    let locality = LocalityEndpoints { weight: version + 1, ..LocalityEndpoints::default() };
    let endpoints = EndpointSet { name: name.to_owned(), localities: vec![locality], ..EndpointSet::default() };
    config.endpoints.insert(name.to_owned(), Arc::new(endpoints));
    let domains = vec![format!("v{version}.{name}")];
    let virtual_host = VirtualHost { name: name.to_owned(), domains, ..VirtualHost::default() };
    let table = RouteTable::new(name, vec![virtual_host]);
    config.route_tables.insert(name.to_owned(), Arc::new(table));
    let http = HttpConnectionManager::new(format!("v{version}"), RouteSource::Rds(name.to_owned()));
    let chain = FilterChain {
        name: name.to_owned(),
        matches: FilterChainMatch::default(),
        tls: None,
        connection_filters: Vec::new(),
        filter: NetworkFilter::Http(Box::new(http)),
    };
    let listener = Listener {
        name: name.to_owned(),
        address: ([127, 0, 0, 1], 80).into(),
        direction: Direction::Outbound,
        inspect_tls: false,
        inspect_http: false,
        filter_chains: vec![chain],
        default_filter_chain: None,
        options: ListenerOptions::default(),
        api: false,
    };
    config.listeners.insert(name.to_owned(), Arc::new(listener));
}

fn take(config: &mut Config, name: &str) {
    config.clusters.remove(name);
    config.endpoints.remove(name);
    config.route_tables.remove(name);
    config.listeners.remove(name);
}

fn config(names: &[&str]) -> Config {
    let mut config = Config::default();
    names.iter().for_each(|name| put(&mut config, name, 1));
    config
}

/// Brings the server from `old` to `new`.
fn apply(server: &mut DeltaServer, old: &Config, new: &Config) {
    use ResourceKind::{Cluster, Endpoints, Listener, RouteTable};
    let flavor = Flavor::Leno;
    new.clusters.values().for_each(|value| server.set(Cluster, Arc::new(codec::encode_cluster(value, flavor))));
    new.endpoints.values().for_each(|value| server.set(Endpoints, Arc::new(codec::encode_endpoints(value, flavor))));
    new.listeners.values().for_each(|value| server.set(Listener, Arc::new(codec::encode_listener(value, flavor))));
    new.route_tables
        .values()
        .for_each(|value| server.set(RouteTable, Arc::new(codec::encode_route_table(value, flavor))));
    new.scopes.values().for_each(|value| server.set(ResourceKind::Scope, Arc::new(codec::encode_scope(value, flavor))));
    for name in old.clusters.keys().filter(|name| !new.clusters.contains_key(name)) {
        [Cluster, Endpoints, Listener, RouteTable].into_iter().for_each(|kind| server.remove(kind, name));
    }
}

/// A client, its server, and how many resources have crossed.
struct Pair {
    client: DeltaClient,
    server: DeltaServer,
    served: Config,
    resources: usize,
    verdicts: Vec<Verdict>,
}

impl Pair {
    fn open(client: DeltaClient, served: Config) -> Self {
        let mut pair = Self {
            client,
            server: DeltaServer::new(Pacing::Atomic),
            served: Config::default(),
            resources: 0,
            verdicts: Vec::new(),
        };
        pair.serve(served);
        let requests = pair.client.open_stream();
        pair.send(requests);
        pair
    }

    fn serve(&mut self, config: Config) {
        apply(&mut self.server, &self.served, &config);
        self.served = config;
    }

    fn send(&mut self, requests: Vec<DeltaDiscoveryRequest>) {
        for request in requests {
            self.verdicts.extend(self.server.handle(&request).into_iter().map(|report| report.verdict));
        }
    }

    /// The server sends until it waits; the client stages.
    fn deliver(&mut self) {
        while let Some((response, _)) = self.server.poll_response() {
            self.resources += response.resources.len();
            let (requests, _) = self.client.handle(response);
            self.send(requests);
        }
    }

    fn judge(&mut self, rejections: &[Rejection]) {
        let requests = self.client.finish(rejections);
        self.send(requests);
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            self.deliver();
            self.judge(&[]);
        }
    }
}

fn accepted(config: &Config) -> Pair {
    let mut pair = Pair::open(DeltaClient::new(), config.clone());
    pair.settle();
    pair
}

#[test]
fn the_first_configuration_is_whole() {
    let served = config(&["a", "b"]);
    let mut pair = Pair::open(DeltaClient::new(), served.clone());
    assert!(!pair.client.is_synced());
    pair.deliver();
    assert!(pair.client.is_synced() && pair.client.is_complete() && pair.client.has_news());
    assert_eq!(pair.client.config(), served);
    assert!(pair.verdicts.is_empty(), "nothing is answered before the proxy has judged");
    pair.judge(&[]);
    assert!(!pair.client.has_news() && !pair.client.has_unanswered());
    assert_eq!(pair.verdicts, vec![Verdict::Acked; 4]);
}

#[test]
fn a_missing_route_table_is_waited_for() {
    let mut pair = Pair::open(DeltaClient::new(), Config::default());
    pair.settle();
    let whole = config(&["a"]);
    let listener = whole.listeners.get("a").expect("there");
    pair.server.set(ResourceKind::Listener, Arc::new(codec::encode_listener(listener, Flavor::Leno)));
    let (response, _) = pair.server.poll_response().expect("the listener");
    let (requests, _) = pair.client.handle(response);
    assert!(!pair.client.is_complete());
    pair.send(requests);
    // The server has none, and says so.
    pair.deliver();
    assert!(pair.client.is_complete());
}

#[test]
fn scopes_are_asked_for_where_a_listener_takes_them_and_name_route_tables() {
    let mut served = config(&["a", "b"]);
    let scope = |name: &str, table: &str| Scope {
        name: name.to_owned(),
        key: vec![name.to_owned()],
        routes: ScopeRoutes::Rds(table.to_owned()),
    };
    let part = ScopeKeyPart { header: "x-where".to_owned(), separator: String::new(), element: ScopeElement::At(0) };
    let scoped = ScopedRoutes { name: "scopes".to_owned(), key: vec![part], scopes: ScopeSource::Srds };
    let mut listener = Listener::clone(served.listeners.get("a").expect("there"));
    let NetworkFilter::Http(http) = &mut listener.filter_chains[0].filter else { panic!("it speaks HTTP") };
    http.routes = RouteSource::Scoped(Box::new(scoped));
    served.listeners.insert("a".to_owned(), Arc::new(listener));
    served.scopes.insert("blue".to_owned(), Arc::new(scope("blue", "a")));
    let mut pair = accepted(&served);
    assert_eq!(pair.client.accepted_config(), served);
    // Another scope, and with it another table.
    put(&mut served, "c", 1);
    served.listeners.remove("c");
    served.scopes.insert("red".to_owned(), Arc::new(scope("red", "c")));
    pair.serve(served.clone());
    pair.settle();
    assert_eq!(pair.client.accepted_config(), served);
    // Nobody takes scopes from elsewhere.
    let mut plain = accepted(&config(&["a"]));
    let blue = Arc::new(codec::encode_scope(&scope("blue", "a"), Flavor::Leno));
    plain.server.set(ResourceKind::Scope, blue);
    plain.settle();
    assert!(plain.client.accepted_config().scopes.is_empty());
}

#[test]
fn one_changed_endpoint_set_crosses_alone() {
    let served = config(&["a", "b", "c"]);
    let mut pair = accepted(&served);
    let before = pair.resources;
    let mut changed = served;
    let weight = LocalityEndpoints { weight: 77, ..LocalityEndpoints::default() };
    let endpoints = Arc::new(EndpointSet { name: "b".to_owned(), localities: vec![weight], ..EndpointSet::default() });
    pair.server.set(ResourceKind::Endpoints, Arc::new(codec::encode_endpoints(&endpoints, Flavor::Leno)));
    changed.endpoints.insert("b".to_owned(), endpoints);
    pair.settle();
    assert_eq!((pair.resources - before, pair.client.accepted_config()), (1, changed));
}

#[test]
fn what_the_proxy_rejects_stays_as_it_was() {
    let old = config(&["a", "b"]);
    let mut pair = accepted(&old);
    let mut new = Config::default();
    put(&mut new, "a", 2);
    put(&mut new, "b", 2);
    pair.serve(new.clone());
    pair.deliver();
    let rejection = Rejection { kind: ResourceKind::Listener, name: "a".to_owned(), reason: "port taken".to_owned() };
    pair.judge(&[rejection]);
    let rejected = |verdict: &&Verdict| matches!(verdict, Verdict::Rejected { reason } if reason == "a: port taken");
    assert_eq!(pair.verdicts.iter().filter(rejected).count(), 1);
    pair.settle();
    let mut expected = new;
    expected.listeners.insert("a".to_owned(), old.listeners.get("a").expect("there").clone());
    assert_eq!(pair.client.accepted_config(), expected);
}

#[test]
fn what_envoy_would_refuse_is_refused_by_name() {
    let refused = |kind: ResourceKind, resource: crate::Resource| {
        let resource = Resource {
            name: resource.name,
            version: "1".to_owned(),
            resource: Some(Any { type_url: kind.type_url().to_owned(), value: resource.body }),
            ..Resource::default()
        };
        super::kind::decode(kind, resource).expect_err("it is refused")
    };
    let cluster = Cluster {
        connect_timeout: std::time::Duration::ZERO,
        ..Cluster::new("a", Discovery::Eds { service_name: "a".into() })
    };
    let reason = refused(ResourceKind::Cluster, codec::encode_cluster(&cluster, Flavor::Leno));
    assert_eq!(reason, "connect_timeout: must be above 0s");
    let host = |name: &str| VirtualHost {
        name: name.into(),
        domains: vec!["A".into(), name.into()],
        ..VirtualHost::default()
    };
    let twice = RouteTable::new("a", vec![host("b"), VirtualHost { domains: vec!["a".into()], ..host("c") }]);
    let reason = refused(ResourceKind::RouteTable, codec::encode_route_table(&twice, Flavor::Leno));
    assert_eq!(reason, "virtual_hosts[1].domains: a is twice in this table");
}

#[test]
fn what_does_not_decode_stops_nothing_else() {
    let served = config(&["a"]);
    let mut pair = accepted(&served);
    let body =
        |value: &[u8]| Some(Any { type_url: ResourceKind::Cluster.type_url().to_owned(), value: value.to_vec() });
    let endpoints = EndpointSet { name: "new".to_owned(), ..EndpointSet::default() };
    let good = codec::encode_cluster(&Cluster::new("new", Discovery::Static(Arc::new(endpoints))), Flavor::Leno);
    let resources = vec![
        Resource { name: "a".to_owned(), version: "9".to_owned(), resource: body(&[0xff; 8]), ..Resource::default() },
        Resource { name: "new".to_owned(), version: "1".to_owned(), resource: body(&good.body), ..Resource::default() },
    ];
    let type_url = ResourceKind::Cluster.type_url().to_owned();
    let response =
        DeltaDiscoveryResponse { type_url, resources, nonce: "n".to_owned(), ..DeltaDiscoveryResponse::default() };
    let (_, rejections) = pair.client.handle(response);
    assert_eq!(rejections.iter().map(|rejection| rejection.name.as_str()).collect::<Vec<_>>(), ["a"]);
    let answers = pair.client.finish(&[]);
    let nack = answers.iter().find(|request| request.response_nonce == "n").expect("answered");
    assert!(nack.error_detail.as_ref().expect("a NACK").message.starts_with("a: "));
    let accepted = pair.client.accepted_config();
    assert_eq!(accepted.clusters.get("a"), served.clusters.get("a"));
    assert!(accepted.clusters.contains_key("new"));
}

#[test]
fn a_saved_state_resumes_without_transfer() {
    let served = config(&["a", "b"]);
    let bytes = accepted(&served).client.to_bytes(NODE);
    let mut client = DeltaClient::new();
    assert_eq!(client.restore(&bytes, NODE), Ok(0));
    assert_eq!(client.accepted_config(), served);
    let mut pair = Pair::open(client, served.clone());
    pair.settle();
    assert!(pair.client.is_synced() && pair.client.is_complete());
    assert_eq!((pair.resources, pair.client.accepted_config()), (0, served));
}

#[test]
fn a_damaged_or_foreign_saved_state_is_not_used() {
    let bytes = accepted(&config(&["a"])).client.to_bytes(NODE);
    let mut client = DeltaClient::new();
    assert!(matches!(client.restore(&bytes, "other"), Err(PersistError::Node { .. })));
    for at in [0, 8, 20, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(client.restore(&damaged, NODE).is_err(), "byte {at}");
    }
    for length in 0..bytes.len() {
        assert!(client.restore(&bytes[..length], NODE).is_err() || length == 16, "length {length}");
    }
    assert!(client.is_empty());
}

#[test]
fn clients_converge_whatever_happens() {
    for seed in 1..=60_u32 {
        let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
        let mut below = |bound: u32| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state % bound
        };
        let mut served = Config::default();
        let mut pair = Pair::open(DeltaClient::new(), Config::default());
        for version in 0..60 {
            let name = below(5).to_string();
            match below(8) {
                0..3 => put(&mut served, &name, version),
                3 => take(&mut served, &name),
                4 if below(4) == 0 => {
                    let client = std::mem::take(&mut pair.client);
                    pair = Pair::open(client, served.clone());
                }
                5 => pair.judge(&[]),
                6 => {
                    let rejection = Rejection { kind: ResourceKind::Cluster, name, reason: "no".to_owned() };
                    pair.deliver();
                    pair.judge(&[rejection]);
                }
                _ => pair.deliver(),
            }
            pair.serve(served.clone());
        }
        pair.settle();
        // What was rejected comes again when it changes.
        let names: Vec<String> = served.clusters.keys().map(str::to_owned).collect();
        for name in names {
            put(&mut served, &name, 1000);
            let mut cluster = Cluster::new(name.as_str(), Discovery::Eds { service_name: name.clone() });
            cluster.connect_timeout = std::time::Duration::from_secs(7);
            served.clusters.insert(name, Arc::new(cluster));
        }
        pair.serve(served.clone());
        pair.settle();
        assert_eq!(pair.client.accepted_config(), served, "seed {seed}");
    }
}
