//! The server over real sockets and mutual TLS, against raw gRPC clients.

#[path = "support/world.rs"]
mod support;

use std::sync::Arc;

use leno_ir::{Cluster, Config, Discovery, Endpoint, EndpointHealth, EndpointSet, LocalityEndpoints, WorkloadLabels};
use leno_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use leno_proto::google::rpc::Status;
use leno_xds::ResourceKind;
use leno_xds_server::{Outcome, SecretText, Secrets, StreamEnd};
use support::{Call, Dialer, REVIEWS, Server, soon, wire_node};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

fn cluster(name: &str) -> Arc<Cluster> {
    Arc::new(Cluster::new(name, Discovery::Eds { service_name: name.to_owned() }))
}

fn endpoints(name: &str, port: u16) -> Arc<EndpointSet> {
    let endpoint = Endpoint {
        weight: 1,
        health: EndpointHealth::Healthy,
        workload: WorkloadLabels::default(),
        ..Endpoint::new(([127, 0, 0, 1], port).into())
    };
    let locality = LocalityEndpoints { weight: 1, endpoints: vec![endpoint], ..LocalityEndpoints::default() };
    Arc::new(EndpointSet { name: name.to_owned(), localities: vec![locality], ..EndpointSet::default() })
}

fn config() -> Config {
    let mut config = Config::default();
    for name in ["a", "b"] {
        config.clusters.insert(name.to_owned(), cluster(name));
        config.endpoints.insert(name.to_owned(), endpoints(name, 80));
    }
    config
}

struct Delta {
    requests: Option<mpsc::Sender<DeltaDiscoveryRequest>>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Delta {
    async fn open(server: &Server, node: &str) -> Result<Self, tonic::Status> {
        Self::dial(server.dialer(Some(REVIEWS)), node).await
    }

    async fn dial(dialer: Dialer, node: &str) -> Result<Self, tonic::Status> {
        let (requests, receiver) = mpsc::channel(16);
        let first = DeltaDiscoveryRequest { node: Some(wire_node(node)), ..subscribe(ResourceKind::Cluster, &[]) };
        requests.send(first).await.expect("room");
        let mut client = dialer.client().await;
        let opened = client.delta_aggregated_resources(ReceiverStream::new(receiver));
        let responses = soon("stream", opened).await?.into_inner();
        Ok(Self { requests: Some(requests), responses })
    }

    async fn send(&self, request: DeltaDiscoveryRequest) {
        self.requests.as_ref().expect("not closed").send(request).await.expect("room");
    }

    async fn next(&mut self) -> DeltaDiscoveryResponse {
        soon("response", self.responses.message()).await.expect("no error").expect("not the end")
    }

    async fn ack(&self, response: &DeltaDiscoveryResponse) {
        let (type_url, response_nonce) = (response.type_url.clone(), response.nonce.clone());
        self.send(DeltaDiscoveryRequest { type_url, response_nonce, ..DeltaDiscoveryRequest::default() }).await;
    }
}

fn subscribe(kind: ResourceKind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.type_url().to_owned(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}

#[tokio::test]
async fn delta_sends_what_changed_and_reports_what_was_accepted() {
    let mut server = Server::start(config()).await;
    let mut delta = Delta::open(&server, "reviews-1.default").await.expect("opened");
    let connected = server.call("connect", |call| match call {
        Call::Connect(node, peer) => Some((node.id, peer.to_string())),
        _ => None,
    });
    assert_eq!(connected.await, ("reviews-1.default".to_owned(), REVIEWS.to_owned()));
    let clusters = delta.next().await;
    assert_eq!(names(&clusters), ["a", "b"]);
    delta.ack(&clusters).await;
    let acked = server.report(|report| report.outcome == Outcome::Acked).await;
    assert_eq!((acked.node_id.as_str(), acked.resources.len()), ("reviews-1.default", 2));

    delta.send(subscribe(ResourceKind::Endpoints, &["a", "b"])).await;
    let first = delta.next().await;
    assert_eq!(names(&first), ["a", "b"]);
    delta.ack(&first).await;
    server.config.send_modify(|config| {
        Arc::make_mut(config).endpoints.insert("b".to_owned(), endpoints("b", 81));
    });
    assert_eq!(names(&delta.next().await), ["b"]);
    let metrics = server.registry.encode();
    assert!(metrics.contains("leno_xds_streams_active 1"), "{metrics}");
    assert!(metrics.contains("leno_xds_pushes_total{type=\"EDS\"} 2"), "{metrics}");
}

#[tokio::test]
async fn a_nack_reaches_the_source_with_its_reason() {
    let mut server = Server::start(config()).await;
    let mut delta = Delta::open(&server, "reviews-1.default").await.expect("opened");
    let clusters = delta.next().await;
    let error = Status { message: "b: cannot do that".to_owned(), ..Status::default() };
    let (type_url, response_nonce) = (clusters.type_url, clusters.nonce);
    let nack = DeltaDiscoveryRequest {
        type_url,
        response_nonce,
        error_detail: Some(error),
        ..DeltaDiscoveryRequest::default()
    };
    delta.send(nack).await;
    let rejected = server.report(|report| matches!(report.outcome, Outcome::Rejected { .. })).await;
    assert_eq!(rejected.outcome, Outcome::Rejected { reason: "b: cannot do that".to_owned() });
    assert_eq!(rejected.resources.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b"]);
    let accepted = server.report(|report| report.outcome == Outcome::Acked).await;
    assert_eq!(accepted.resources.len(), 1);
}

#[tokio::test]
async fn full_state_is_served_too() {
    let mut server = Server::start(config()).await;
    let (requests, receiver) = mpsc::channel(16);
    let mut request = DiscoveryRequest {
        node: Some(wire_node("reviews-1.default")),
        type_url: ResourceKind::Cluster.type_url().to_owned(),
        ..DiscoveryRequest::default()
    };
    requests.send(request.clone()).await.expect("room");
    let mut client = server.dialer(Some(REVIEWS)).client().await;
    let opened = soon("stream", client.stream_aggregated_resources(ReceiverStream::new(receiver))).await;
    let mut responses = opened.expect("opened").into_inner();
    let first: DiscoveryResponse = soon("response", responses.message()).await.expect("no error").expect("not the end");
    assert_eq!(first.resources.len(), 2);
    request.node = None;
    request.version_info.clone_from(&first.version_info);
    request.response_nonce.clone_from(&first.nonce);
    requests.send(request).await.expect("room");
    assert_eq!(server.report(|report| report.outcome == Outcome::Acked).await.resources.len(), 2);
    server.config.send_modify(|config| {
        Arc::make_mut(config).clusters.remove("a");
    });
    let second: DiscoveryResponse =
        soon("response", responses.message()).await.expect("no error").expect("not the end");
    assert_eq!(second.resources.len(), 1);
    assert_ne!(second.version_info, first.version_info);
}

#[tokio::test]
async fn secrets_are_served_where_there_are_some() {
    let secrets = |chain: &str| {
        let (chain_pem, key_pem) = (chain.to_owned(), SecretText::new("key"));
        Arc::new(Secrets { chain_pem, key_pem, roots_pem: "roots".to_owned() })
    };
    let (sender, receiver) = watch::channel(secrets("one"));
    let server = Server::start_with(Config::default(), Some(receiver)).await;
    let mut delta = Delta::open(&server, "envoy.default").await.expect("opened");
    let clusters = delta.next().await;
    delta.ack(&clusters).await;
    delta.send(subscribe(ResourceKind::Secret, &["default", "ROOTCA"])).await;
    let first = delta.next().await;
    assert_eq!(names(&first), ["ROOTCA", "default"]);
    delta.ack(&first).await;
    sender.send_replace(secrets("two"));
    assert_eq!(names(&delta.next().await), ["default"]);
}

#[tokio::test]
async fn without_a_certificate_nothing_is_served() {
    let server = Server::start(config()).await;
    let mut client = server.dialer(None).client().await;
    let refused = soon("answer", client.delta_aggregated_resources(tokio_stream::pending())).await;
    assert_eq!(refused.expect_err("refused").code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_refusal_tells_its_reason() {
    let server = Server::start(config()).await;
    let mut stranger = Delta::open(&server, "stranger.default").await.expect("opened");
    let status = soon("answer", stranger.responses.message()).await.expect_err("refused");
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "who are you?"));
}

#[tokio::test]
async fn a_closed_stream_is_clean_and_a_dropped_one_broken() {
    let mut server = Server::start(config()).await;
    let mut delta = Delta::open(&server, "reviews-1.default").await.expect("opened");
    delta.next().await;
    delta.requests = None;
    assert_eq!(server.end().await, StreamEnd::Clean);
    assert!(soon("end", delta.responses.message()).await.expect("no error").is_none());

    // A runtime that is shut down leaves its sockets as a killed process does.
    let process =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let dialer = server.dialer(Some(REVIEWS));
    let opened = process.spawn(async move {
        let mut delta = Delta::dial(dialer, "reviews-1.default").await.expect("opened");
        delta.next().await;
        delta
    });
    let delta = soon("stream", opened).await.expect("no panic");
    process.shutdown_background();
    assert_eq!(server.end().await, StreamEnd::Broken);
    drop(delta);
}

#[tokio::test]
async fn a_drain_ends_streams_as_broken_and_joins_all_tasks() {
    let mut server = Server::start(config()).await;
    let mut delta = Delta::open(&server, "reviews-1.default").await.expect("opened");
    delta.next().await;
    server.drain.start();
    assert_eq!(server.end().await, StreamEnd::Broken);
    let status = soon("goodbye", delta.responses.message()).await.expect_err("told");
    assert_eq!(status.code(), Code::Unavailable);
    drop(delta);
    soon("rest", server.tasks.join()).await;
    assert_eq!(server.tasks.panics(), 0);
}
