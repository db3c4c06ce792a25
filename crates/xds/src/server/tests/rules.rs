use leno_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest};
use leno_proto::google::rpc::Status;

use super::resource;
use crate::ResourceKind::{Cluster, Endpoints, Listener, RouteTable, Secret};
use crate::{DeltaServer, FullServer, Pacing, Report, ResourceKind, Verdict};

fn subscribe(kind: ResourceKind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.type_url().to_owned(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn unsubscribe(kind: ResourceKind, name: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { resource_names_unsubscribe: vec![name.to_owned()], ..subscribe(kind, &[]) }
}

fn ack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn next(server: &mut DeltaServer) -> DeltaDiscoveryResponse {
    server.poll_response().expect("a response is due").0
}

fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}

#[test]
fn one_changed_endpoint_set_is_one_resource() {
    let mut server = DeltaServer::new(Pacing::Atomic);
    for name in ["a", "b", "c"] {
        server.set(Endpoints, resource(Endpoints, name, "1"));
    }
    server.handle(&subscribe(Endpoints, &["a", "b", "c"]));
    let first = next(&mut server);
    assert_eq!(names(&first), ["a", "b", "c"]);
    server.handle(&ack(&first));
    server.set(Endpoints, resource(Endpoints, "b", "2"));
    assert_eq!(names(&next(&mut server)), ["b"]);
}

#[test]
fn what_an_atomic_client_asks_for_comes_although_it_owes_an_answer() {
    let mut server = DeltaServer::new(Pacing::Atomic);
    server.set(RouteTable, resource(RouteTable, "a", "1"));
    server.handle(&subscribe(RouteTable, &["a"]));
    let first = next(&mut server);
    server.set(RouteTable, resource(RouteTable, "b", "1"));
    server.handle(&subscribe(RouteTable, &["b"]));
    let second = next(&mut server);
    assert_eq!(names(&second), ["b"]);
    // Both are answered, in any order.
    assert_eq!(server.handle(&ack(&second)).len(), 1);
    assert_eq!(server.handle(&ack(&first)).len(), 1);
}

#[test]
fn changes_coalesce_while_a_response_is_unanswered() {
    let mut server = DeltaServer::new(Pacing::Atomic);
    server.set(Endpoints, resource(Endpoints, "a", "1"));
    server.handle(&subscribe(Endpoints, &["a"]));
    let first = next(&mut server);
    server.set(Endpoints, resource(Endpoints, "a", "2"));
    server.set(Endpoints, resource(Endpoints, "a", "3"));
    assert!(server.poll_response().is_none());
    server.handle(&ack(&first));
    let second = next(&mut server);
    assert_eq!(second.resources.first().map(|resource| resource.version.as_str()), Some("3"));
    server.handle(&ack(&second));
    assert!(server.poll_response().is_none());
}

#[test]
fn names_that_do_not_exist_are_said_to_be_removed_once() {
    let mut server = DeltaServer::new(Pacing::Atomic);
    server.handle(&subscribe(Endpoints, &["ghost"]));
    let response = next(&mut server);
    assert_eq!(response.removed_resources, ["ghost"]);
    server.handle(&ack(&response));
    assert!(server.poll_response().is_none());
    server.set(Endpoints, resource(Endpoints, "ghost", "1"));
    assert_eq!(names(&next(&mut server)), ["ghost"]);
}

#[test]
fn an_empty_wildcard_is_answered() {
    let mut server = DeltaServer::new(Pacing::Atomic);
    server.handle(&subscribe(Listener, &[]));
    assert!(next(&mut server).resources.is_empty());
    // A type without wildcard by omission owes nothing.
    server.handle(&subscribe(Endpoints, &[]));
    assert!(server.poll_response().is_none());
}

#[test]
fn star_and_names_live_side_by_side() {
    let mut server = DeltaServer::new(Pacing::Atomic);
    server.set(Cluster, resource(Cluster, "a", "1"));
    server.set(Cluster, resource(Cluster, "b", "1"));
    server.handle(&subscribe(Cluster, &["*", "a"]));
    let first = next(&mut server);
    assert_eq!(names(&first), ["a", "b"]);
    server.handle(&ack(&first));
    server.handle(&unsubscribe(Cluster, "*"));
    server.set(Cluster, resource(Cluster, "a", "2"));
    server.set(Cluster, resource(Cluster, "b", "2"));
    assert_eq!(names(&next(&mut server)), ["a"]);
}

#[test]
fn a_resumed_stream_gets_the_difference_only() {
    let mut server = DeltaServer::new(Pacing::Atomic);
    server.set(Cluster, resource(Cluster, "same", "1"));
    server.set(Cluster, resource(Cluster, "changed", "2"));
    let mut request = subscribe(Cluster, &[]);
    for name in ["same", "changed", "gone"] {
        request.initial_resource_versions.insert(name.to_owned(), "1".to_owned());
    }
    let reports = server.handle(&request);
    let had = vec![("same".to_owned(), "1".to_owned())];
    assert_eq!(reports, [Report { kind: Cluster, resources: had, removed: Vec::new(), verdict: Verdict::Acked }]);
    let adds = next(&mut server);
    assert_eq!((names(&adds), adds.removed_resources.len()), (vec!["changed"], 0));
    assert!(server.poll_response().is_none(), "removals wait for the ACK of additions");
    server.handle(&ack(&adds));
    assert_eq!(next(&mut server).removed_resources, ["gone"]);
}

#[test]
fn asking_again_sends_again() {
    let mut server = DeltaServer::new(Pacing::Atomic);
    server.set(Secret, resource(Secret, "default", "1"));
    server.handle(&subscribe(Secret, &["default"]));
    let first = next(&mut server);
    server.handle(&ack(&first));
    server.handle(&subscribe(Secret, &["default"]));
    assert_eq!(names(&next(&mut server)), ["default"]);
}

#[test]
fn a_nack_is_reported_with_its_reason_and_not_repeated() {
    let mut server = DeltaServer::new(Pacing::Atomic);
    server.set(Cluster, resource(Cluster, "good", "1"));
    server.set(Cluster, resource(Cluster, "bad", "1"));
    server.handle(&subscribe(Cluster, &[]));
    let response = next(&mut server);
    let error = Status { message: "bad: no such policy".to_owned(), ..Status::default() };
    let reports = server.handle(&DeltaDiscoveryRequest { error_detail: Some(error), ..ack(&response) });
    let verdicts: Vec<_> = reports.iter().map(|report| (&report.verdict, report.resources.len())).collect();
    let rejected = Verdict::Rejected { reason: "bad: no such policy".to_owned() };
    assert_eq!(verdicts, [(&rejected, 1), (&Verdict::Acked, 1)]);
    assert!(server.poll_response().is_none());
    server.set(Cluster, resource(Cluster, "bad", "2"));
    assert_eq!(names(&next(&mut server)), ["bad"]);
}

#[test]
fn a_stale_nonce_accepts_nothing() {
    let mut delta = DeltaServer::new(Pacing::Atomic);
    delta.set(Cluster, resource(Cluster, "a", "1"));
    delta.handle(&subscribe(Cluster, &[]));
    let first = next(&mut delta);
    assert_eq!(delta.handle(&ack(&first)).len(), 1);
    delta.set(Cluster, resource(Cluster, "a", "2"));
    let second = next(&mut delta);
    assert!(delta.handle(&ack(&first)).is_empty());
    assert_eq!(delta.handle(&ack(&second)).len(), 1);

    let mut full = FullServer::new(Pacing::Atomic);
    full.set(Cluster, resource(Cluster, "a", "1"));
    let mut request = DiscoveryRequest { type_url: Cluster.type_url().to_owned(), ..DiscoveryRequest::default() };
    full.handle(&request);
    let (response, _) = full.poll_response().expect("a response is due");
    request.response_nonce = "stale".to_owned();
    assert!(full.handle(&request).is_empty());
    request.response_nonce = response.nonce;
    assert_eq!(full.handle(&request).len(), 1);
}

#[test]
fn a_foreign_type_is_empty() {
    let mut server = DeltaServer::new(Pacing::Atomic);
    let mut request = subscribe(Cluster, &["x"]);
    request.type_url = "type.googleapis.com/envoy.service.runtime.v3.Runtime".to_owned();
    server.handle(&request);
    let response = next(&mut server);
    assert_eq!(
        (response.removed_resources.as_slice(), response.type_url),
        (["x".to_owned()].as_slice(), request.type_url)
    );
}

#[test]
fn full_state_repeats_clusters_but_not_endpoints() {
    let mut server = FullServer::new(Pacing::Atomic);
    for kind in [Cluster, Endpoints] {
        server.set(kind, resource(kind, "a", "1"));
        server.set(kind, resource(kind, "b", "1"));
    }
    let mut nonce = String::new();
    for (kind, repeated) in [(Cluster, 2), (Endpoints, 1)] {
        let resource_names = if kind == Cluster { Vec::new() } else { vec!["a".to_owned(), "b".to_owned()] };
        let type_url = kind.type_url().to_owned();
        let mut request = DiscoveryRequest { type_url, resource_names, ..DiscoveryRequest::default() };
        server.handle(&request);
        nonce.clone_from(&server.poll_response().expect("the first").0.nonce);
        request.response_nonce.clone_from(&nonce);
        server.handle(&request);
        server.set(kind, resource(kind, "a", "2"));
        assert_eq!(server.poll_response().expect("the change").0.resources.len(), repeated);
    }
}

/// Envoy accepts clusters only when they are warm, that is when their endpoints and secrets have come.
#[test]
fn endpoints_do_not_wait_for_clusters_but_listeners_do() {
    let mut server = DeltaServer::new(Pacing::Stepwise);
    for kind in [Cluster, Endpoints, Listener] {
        server.set(kind, resource(kind, "a", "1"));
    }
    server.handle(&subscribe(Cluster, &[]));
    server.handle(&subscribe(Listener, &[]));
    let clusters = next(&mut server);
    assert_eq!(clusters.type_url, Cluster.type_url());
    assert!(server.poll_response().is_none());
    server.handle(&subscribe(Endpoints, &["a"]));
    let endpoints = next(&mut server);
    assert_eq!(names(&endpoints), ["a"]);
    server.handle(&ack(&endpoints));
    assert!(server.poll_response().is_none());
    server.handle(&ack(&clusters));
    assert_eq!(next(&mut server).type_url, Listener.type_url());
}

/// Leno's proxy answers when it has applied the whole, so what it asks for must come although something is unanswered.
#[test]
fn what_an_atomic_client_waits_for_is_never_held_back() {
    let mut server = DeltaServer::new(Pacing::Atomic);
    server.set(Cluster, resource(Cluster, "a", "1"));
    server.set(RouteTable, resource(RouteTable, "a", "1"));
    server.handle(&subscribe(Cluster, &[]));
    next(&mut server);
    server.set(Cluster, resource(Cluster, "b", "1"));
    server.handle(&subscribe(Listener, &[]));
    assert_eq!(next(&mut server).type_url, Listener.type_url());
    server.handle(&subscribe(RouteTable, &["a"]));
    let routes = next(&mut server);
    assert_eq!(names(&routes), ["a"]);
    server.handle(&ack(&routes));
    // A later change may refer to the cluster that is still to come, so it waits for that.
    server.set(RouteTable, resource(RouteTable, "a", "2"));
    assert!(server.poll_response().is_none());
}
