//! The client against the real server, over real sockets and mutual TLS.

#[path = "../../xds-server/tests/support/world.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use leno_ir::{Cluster, Config, Discovery, EndpointSet, LocalityEndpoints};
use leno_runtime::Tasks;
use leno_telemetry::Registry;
use leno_xds_client::{Origin, Rejection, ResourceKind, Update, XdsClient, XdsClientConfig};
use leno_xds_server::{Outcome, StreamEnd};
use support::{Authority, CONTROL, Call, REVIEWS, Server, node, soon};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const NODE: &str = "reviews-1.default";

fn put(config: &mut Config, name: &str, weight: u32) {
    let discovery = Discovery::Eds { service_name: name.to_owned() };
    config.clusters.insert(name.to_owned(), Arc::new(Cluster::new(name, discovery)));
    let endpoint = leno_ir::Endpoint {
        weight,
        health: leno_ir::EndpointHealth::Healthy,
        workload: leno_ir::WorkloadLabels::default(),
        ..leno_ir::Endpoint::new(([127, 0, 0, 1], 80).into())
    };
    let locality = LocalityEndpoints { weight: 1, endpoints: vec![endpoint], ..LocalityEndpoints::default() };
    config.endpoints.insert(
        name.to_owned(),
        Arc::new(EndpointSet { name: name.to_owned(), localities: vec![locality], ..EndpointSet::default() }),
    );
}

fn config() -> Config {
    let mut config = Config::default();
    put(&mut config, "a", 1);
    put(&mut config, "b", 1);
    config
}

struct Client {
    client: XdsClient,
    updates: mpsc::Receiver<Update>,
    tasks: Tasks,
    registry: Registry,
}

impl Client {
    fn start(authority: &Authority, control: &[String], persist: Option<&Path>) -> Self {
        let trust_domain = "cluster.local".parse().expect("a trust domain");
        let config = XdsClientConfig {
            persist: persist.map(Path::to_owned),
            backoff_base: Duration::from_millis(20),
            backoff_max: Duration::from_millis(100),
            ..XdsClientConfig::new(control.to_vec(), trust_domain, node(NODE))
        };
        let (tasks, registry) = (Tasks::new(), Registry::new());
        let (client, updates) = XdsClient::start(config, authority.identity(REVIEWS), &tasks, &registry);
        Self { client, updates, tasks, registry }
    }

    fn of(server: &Server) -> Self {
        Self::start(&server.authority, &[server.addr.to_string()], None)
    }

    async fn next(&mut self) -> Update {
        soon("update", self.updates.recv()).await.expect("the client lives")
    }

    /// Takes updates, accepting each, until one is from the control plane and `wanted`.
    async fn until(&mut self, wanted: &Config) {
        loop {
            let update = self.next().await;
            let found = update.origin == Origin::Control && *update.config == *wanted;
            update.reply.send(Vec::new()).expect("awaited");
            if found {
                return;
            }
        }
    }
}

#[tokio::test]
async fn updates_are_whole_and_acknowledged_after_the_proxy() {
    let mut server = Server::start(config()).await;
    let mut client = Client::of(&server);
    let first = client.next().await;
    assert_eq!((first.origin, &*first.config), (Origin::Control, &config()));
    first.reply.send(Vec::new()).expect("awaited");
    server.report(|report| report.outcome == Outcome::Acked).await;
    assert!(*client.client.connected().borrow());

    let mut changed = config();
    put(&mut changed, "b", 9);
    let endpoints = changed.endpoints.get("b").expect("there").clone();
    server.config.send_modify(|config| {
        Arc::make_mut(config).endpoints.insert("b".to_owned(), endpoints);
    });
    client.until(&changed).await;
    let sent = server.report(|report| report.outcome == Outcome::Acked && report.resources.len() == 1).await;
    assert_eq!(sent.type_url, ResourceKind::Endpoints.type_url());
    client.tasks.stop().await;
}

#[tokio::test]
async fn what_the_proxy_rejects_is_reported_and_the_rest_accepted() {
    let mut server = Server::start(config()).await;
    let mut client = Client::of(&server);
    let first = client.next().await;
    let rejection =
        Rejection { kind: ResourceKind::Cluster, name: "b".to_owned(), reason: "no such balancer".to_owned() };
    first.reply.send(vec![rejection]).expect("awaited");
    let rejected = server.report(|report| matches!(report.outcome, Outcome::Rejected { .. })).await;
    assert_eq!(rejected.outcome, Outcome::Rejected { reason: "b: no such balancer".to_owned() });
    assert_eq!(rejected.resources.len(), 1);
    client.tasks.stop().await;
}

#[tokio::test]
async fn a_restarted_control_plane_is_found_and_sends_the_difference() {
    let mut server = Server::start(config()).await;
    let mut client = Client::of(&server);
    client.until(&config()).await;
    for _ in 0..2 {
        server.report(|report| report.outcome == Outcome::Acked).await;
    }
    let addr = server.addr;
    server.tasks.stop().await;
    let mut connected = client.client.connected();
    soon("loss", connected.wait_for(|connected| !connected)).await.expect("the client lives");

    let mut changed = config();
    put(&mut changed, "a", 5);
    let listener = TcpListener::bind(addr).await.expect("the same port");
    let mut server = Server::start_on(listener, server.authority, CONTROL, changed.clone(), None);
    client.until(&changed).await;
    let sent = server.report(|report| report.outcome == Outcome::Sent).await;
    assert_eq!(sent.resources.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a"]);
    client.tasks.stop().await;
}

#[tokio::test]
async fn without_a_control_plane_the_saved_configuration_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state");
    let server = Server::start(config()).await;
    let control = [server.addr.to_string()];
    let mut client = Client::start(&server.authority, &control, Some(&path));
    client.until(&config()).await;
    // What is unsaved is saved at the end, and the judgement just given is handled before.
    let mut server = server;
    for _ in 0..2 {
        server.report(|report| report.outcome == Outcome::Acked).await;
    }
    client.client.close().await;
    server.tasks.stop().await;

    let mut client = Client::start(&server.authority, &control, Some(&path));
    let update = client.next().await;
    assert_eq!((update.origin, &*update.config), (Origin::Disk, &config()));
    update.reply.send(Vec::new()).expect("awaited");
    let listener = TcpListener::bind(server.addr).await.expect("the same port");
    let mut changed = config();
    put(&mut changed, "c", 1);
    let _server = Server::start_on(listener, server.authority, CONTROL, changed.clone(), None);
    client.until(&changed).await;
    client.tasks.stop().await;
}

#[tokio::test]
async fn a_place_that_cannot_be_written_stops_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").expect("written");
    let server = Server::start(config()).await;
    let control = [server.addr.to_string()];
    let mut client = Client::start(&server.authority, &control, Some(&file.join("state")));
    client.until(&config()).await;
    let mut changed = config();
    put(&mut changed, "c", 1);
    server.config.send_replace(Arc::new(changed.clone()));
    client.until(&changed).await;
    client.client.close().await;
    assert!(client.registry.encode().contains("leno_xds_client_persist_failures_total 1"));
}

#[tokio::test]
async fn an_impostor_gets_nothing_and_the_next_address_is_tried() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let impostor_id = "spiffe://cluster.local/ns/default/sa/ratings";
    let mut impostor = Server::start_on(listener, authority, impostor_id, config(), None);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addresses = [impostor.addr.to_string(), listener.local_addr().expect("an address").to_string()];
    let mut client = Client::start(&impostor.authority, &addresses, None);
    let authority = std::mem::replace(&mut impostor.authority, Authority::new());
    let _server = Server::start_on(listener, authority, CONTROL, config(), None);
    client.until(&config()).await;
    assert!(client.registry.encode().contains("leno_xds_client_failures_total 1"));
    impostor.tasks.stop().await;
    assert!(!impostor.was_called());
    client.tasks.stop().await;
}

#[tokio::test]
async fn a_closed_client_deregisters_and_a_killed_one_breaks() {
    let mut server = Server::start(config()).await;
    let mut client = Client::of(&server);
    client.until(&config()).await;
    client.client.close().await;
    assert_eq!(server.end().await, StreamEnd::Clean);
    assert!(soon("end of updates", client.updates.recv()).await.is_none());

    let mut client = Client::of(&server);
    client.until(&config()).await;
    server.call("connect", |call| matches!(call, Call::Connect(..)).then_some(())).await;
    client.tasks.stop().await;
    assert_eq!(server.end().await, StreamEnd::Broken);
}
