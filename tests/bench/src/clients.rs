//! Many discovery clients of one control plane: how soon a change has reached all of them, and how much each is sent.
//!
//! Shape       objects -> control plane (one thread) -> n clients (another thread), each with a connection and an identity
//! Invariants  a client that is ready has every resource that it subscribed to; all changes come through the store
//! Cost        a Sidecar in each namespace bounds what a client sees, as it has to in a mesh of this size

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use clap::Args;
use hyper_util::rt::TokioIo;
use leno_api::{Located, Resource};
use leno_bench::mesh::Authority;
use leno_control::{Control, ControlConfig};
use leno_identity::{ClientAuth, ClientTls, Identity, PeerNames, ServerTls};
use leno_model::MeshSettings;
use leno_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use leno_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use leno_runtime::{Drain, Tasks};
use leno_store::{DirectoryContent, EmbeddedStore};
use leno_telemetry::Registry;
use leno_xds::{ResourceKind, codec};
use leno_xds_server::XdsServer;
use prost::Message;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tonic::transport::Endpoint;

use crate::large::{self, Place};
use crate::scale::resident_bytes;

#[derive(Args)]
pub(crate) struct ClientsArgs {
    #[arg(long, default_value_t = 2000)]
    clients: usize,
    #[arg(long, default_value_t = 100)]
    namespaces: usize,
    /// Of each namespace; every other one has a route.
    #[arg(long, default_value_t = 100)]
    services: usize,
    /// Of each service.
    #[arg(long, default_value_t = 10)]
    endpoints: usize,
    /// Services with routes that all clients see.
    #[arg(long, default_value_t = 10)]
    shared: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Milliseconds and bytes; of all rounds and clients.
#[derive(Serialize)]
struct Outcome {
    clients: usize,
    services: usize,
    endpoints: usize,
    /// Resources that a client has.
    resources_each: usize,
    /// Until all clients had all of it.
    connect_ms: f64,
    endpoint_change: Reached,
    route_change: Reached,
    /// Of the control plane, before the clients.
    resident_bytes: u64,
    /// With both ends of all streams.
    resident_with_clients_bytes: u64,
}

#[derive(Serialize)]
struct Reached {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// To one client.
    bytes_max: usize,
}

/// The namespace that everybody sees.
const SHARED: &str = "shared";
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn run(args: &ClientsArgs) -> anyhow::Result<()> {
    let thread = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (server, clients) = (thread()?, thread()?);
    let directory = tempfile::tempdir()?;
    let store = Arc::new(EmbeddedStore::open(&directory.path().join("store.redb"))?);
    let authority = Authority::new()?;
    let (_files, content) = watch::channel(Arc::new(files(args)));
    store.put(route(0), SystemTime::now())?;
    store.put(workload(0), SystemTime::now())?;
    let (tasks, serving) = (Tasks::new(), Tasks::new());
    let control = {
        let _entered = server.enter();
        let config = ControlConfig {
            settings: MeshSettings::new("cluster.local".parse()?),
            reconnect_grace: Duration::from_secs(3),
            restart_grace: Duration::from_secs(3),
            issue_secrets: Arc::new(|_| Err("nobody asks".to_owned())),
        };
        Control::start(config, store.clone(), content, &tasks, &Registry::new())
    };
    let problems = control.problems();
    ensure!(problems.is_empty(), "{}", problems[0]);
    let without_clients = resident_bytes()?;
    let tls =
        ServerTls { alpn: vec![b"h2".to_vec()], client: ClientAuth::Optional, peers: PeerNames::AnyInTrustDomain };
    let tls = Identity::from_svid(authority.svid("spiffe://cluster.local/ns/leno-system/sa/leno-control")?)
        .server_config(&tls)?;
    let listener = server.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).context("listening for xDS")?;
    let address = listener.local_addr()?;
    let (_drain, watch) = Drain::new();
    server.spawn(async move {
        let server = XdsServer::new(Arc::new(control), &Registry::new());
        server.serve(listener, tls, tonic::service::Routes::default(), serving, watch).await;
    });

    let started = Instant::now();
    let (sender, mut events) = mpsc::unbounded_channel();
    for namespace in 0..args.namespaces {
        let name = large::namespace(namespace);
        let identity = Identity::from_svid(authority.svid(&format!("spiffe://cluster.local/ns/{name}/sa/client"))?);
        let tls =
            ClientTls { alpn: vec![b"h2".to_vec()], peers: PeerNames::AnyInTrustDomain, present_certificate: true };
        let tls = identity.client_config(&tls)?;
        for index in (namespace..args.clients).step_by(args.namespaces) {
            let client = Client { index, namespace: name.clone(), tls: tls.clone(), address, events: sender.clone() };
            clients.spawn(async move {
                let (index, events) = (client.index, client.events.clone());
                if let Err(error) = client.run().await {
                    // Nobody listens when the run is over.
                    let _ = events.send(Event { index, what: What::Failed(format!("{error:#}")), at: Instant::now() });
                }
            });
        }
    }
    let mut ready = BTreeSet::new();
    let mut resources_each = 0;
    while ready.len() < args.clients {
        let event = server.block_on(next(&mut events)).context("clients are not ready")?;
        match event {
            Event { index, what: What::Ready(resources), .. } => {
                ready.insert(index);
                resources_each = resources_each.max(resources);
            }
            Event { what: What::Failed(error), .. } => anyhow::bail!("a client failed: {error}"),
            _ => {}
        }
    }
    let connect_ms = started.elapsed().as_secs_f64() * 1e3;
    let mut change = |kind: ResourceKind, make: &dyn Fn(usize) -> Resource| -> anyhow::Result<Reached> {
        let (mut took, mut bytes_max) = (Vec::new(), 0);
        for round in 0..args.rounds {
            while events.try_recv().is_ok() {}
            let began = Instant::now();
            store.put(make(round + 1), SystemTime::now())?;
            let mut reached = BTreeSet::new();
            while reached.len() < args.clients {
                match server.block_on(next(&mut events)).context("a change does not reach everybody")? {
                    Event { index, what: What::Received(of, bytes), at } if of == kind && reached.insert(index) => {
                        took.push(at.saturating_duration_since(began));
                        bytes_max = bytes_max.max(bytes);
                    }
                    Event { what: What::Failed(error), .. } => anyhow::bail!("a client failed: {error}"),
                    _ => {}
                }
            }
        }
        took.sort();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        Ok(Reached { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0), bytes_max })
    };
    let endpoint_change = change(ResourceKind::Endpoints, &workload)?;
    let route_change = change(ResourceKind::RouteTable, &route)?;
    let outcome = Outcome {
        clients: args.clients,
        services: args.namespaces * args.services + args.shared,
        endpoints: (args.namespaces * args.services + args.shared) * args.endpoints,
        resources_each,
        connect_ms,
        endpoint_change,
        route_change,
        resident_bytes: without_clients,
        resident_with_clients_bytes: resident_bytes()?,
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

async fn next(events: &mut mpsc::UnboundedReceiver<Event>) -> anyhow::Result<Event> {
    tokio::time::timeout(LIMIT, events.recv()).await?.context("clients are gone")
}

struct Event {
    index: usize,
    what: What,
    at: Instant,
}

enum What {
    Failed(String),
    /// So many resources are there.
    Ready(usize),
    /// A response of so many bytes.
    Received(ResourceKind, usize),
}

struct Client {
    index: usize,
    namespace: String,
    tls: Arc<rustls::ClientConfig>,
    address: SocketAddr,
    events: mpsc::UnboundedSender<Event>,
}

impl Client {
    /// Subscribes to all clusters and listeners, and to the endpoints and routes of each cluster.
    async fn run(self) -> anyhow::Result<()> {
        let connector = tokio_rustls::TlsConnector::from(self.tls.clone());
        let address = self.address;
        let connect = tower::service_fn(move |_uri| {
            let connector = connector.clone();
            async move {
                let stream = tokio::net::TcpStream::connect(address).await?;
                let name = rustls_pki_types::ServerName::try_from("localhost").map_err(std::io::Error::other)?;
                connector.connect(name, stream).await.map(TokioIo::new)
            }
        });
        let channel = Endpoint::from_static("http://control").connect_with_connector(connect).await?;
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        let (requests, receiver) = mpsc::channel(64);
        let node = large::node(format!("client-{}.{}", self.index, self.namespace), &self.namespace);
        let first = DeltaDiscoveryRequest { node: Some(codec::encode_node(&node)), ..of(ResourceKind::Cluster) };
        requests.send(first).await?;
        requests.send(of(ResourceKind::Listener)).await?;
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut responses = client.delta_aggregated_resources(stream).await?.into_inner();
        let mut held: BTreeMap<ResourceKind, BTreeSet<String>> = BTreeMap::new();
        let mut is_ready = false;
        while let Some(response) = responses.message().await? {
            let kind = ResourceKind::from_type_url(&response.type_url).context("a type of resource")?;
            let at = Instant::now();
            self.events.send(Event { index: self.index, what: What::Received(kind, response.encoded_len()), at })?;
            let names = response.resources.into_iter().map(|resource| resource.name);
            let new: Vec<_> = names.filter(|name| held.entry(kind).or_default().insert(name.clone())).collect();
            let acknowledged = DeltaDiscoveryRequest {
                type_url: response.type_url,
                response_nonce: response.nonce,
                ..DeltaDiscoveryRequest::default()
            };
            requests.send(acknowledged).await?;
            if kind == ResourceKind::Cluster && !new.is_empty() {
                for kind in [ResourceKind::Endpoints, ResourceKind::RouteTable] {
                    let wanted = DeltaDiscoveryRequest { resource_names_subscribe: new.clone(), ..of(kind) };
                    requests.send(wanted).await?;
                }
            }
            let count = |kind| held.get(&kind).map_or(0, BTreeSet::len);
            let clusters = count(ResourceKind::Cluster);
            let kinds = [ResourceKind::Endpoints, ResourceKind::RouteTable, ResourceKind::Listener];
            if !is_ready && clusters > 0 && kinds.iter().all(|kind| count(*kind) == clusters) {
                is_ready = true;
                self.events.send(Event { index: self.index, what: What::Ready(4 * clusters), at })?;
            }
        }
        anyhow::bail!("the stream has ended")
    }
}

fn of(kind: ResourceKind) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: kind.type_url().to_owned(), ..DeltaDiscoveryRequest::default() }
}

/// A shared service's.
fn route(round: usize) -> Resource {
    large::route(Place { namespace: SHARED, service: 0 }, 1 + round as u32)
}

fn workload(round: usize) -> Resource {
    large::workload(Place { namespace: SHARED, service: 0 }, 0, 1 + round)
}

/// Everything but what changes.
fn files(args: &ClientsArgs) -> DirectoryContent {
    let names: Vec<_> = (0..args.namespaces).map(large::namespace).collect();
    let mut all = Vec::new();
    let own = names.iter().map(|name| (name.as_str(), args.services));
    for (namespace, services) in own.chain([(SHARED, args.shared)]) {
        for service in 0..services {
            let place = Place { namespace, service };
            let first = usize::from(namespace == SHARED && service == 0);
            all.push(large::service(place));
            all.extend((first..args.endpoints).map(|index| large::workload(place, index, 0)));
            if service % 2 == 0 && first == 0 {
                all.push(large::route(place, 1));
            }
        }
        all.push(large::sidecar(namespace, SHARED));
    }
    let located = |resource: Resource| {
        (resource.key(), Located { source: "mesh.yaml".into(), line: 1, value: Arc::new(resource) })
    };
    DirectoryContent { resources: all.into_iter().map(located).collect(), problems: Vec::new() }
}
