//! The life of a workload's registration, in virtual time.

#[path = "support/mesh.rs"]
mod mesh;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use leno_ir::Flavor;
use leno_xds_server::{ConfigSource, StreamEnd};
use mesh::{Mesh, id, node, workloads};
use tokio::time::Instant;

fn healthy<const N: usize>(names: [&str; N]) -> BTreeMap<String, String> {
    names.into_iter().map(|name| (name.to_owned(), "healthy".to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_workload_is_there_while_its_stream_is() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    let session = mesh.connect(node("a-1", "a")).unwrap();
    mesh.until("registered", |control| workloads(control) == healthy(["a-1"])).await;
    let began = Instant::now();
    session.guard.close(StreamEnd::Clean);
    mesh.until("gone", |control| workloads(control).is_empty()).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(mesh.store.states("workload/").unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_is_cut_off_is_unhealthy_and_goes_after_the_grace() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    let session = mesh.connect(node("a-1", "a")).unwrap();
    mesh.until("registered", |control| workloads(control) == healthy(["a-1"])).await;
    let began = Instant::now();
    // Nobody says how the stream ended.
    drop(session);
    mesh.until("unhealthy", |control| workloads(control).values().any(|health| health == "unhealthy")).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    mesh.until("gone", |control| workloads(control).is_empty()).await;
    assert!((3..4).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_comes_back_in_time_stays() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    let first = mesh.connect(node("a-1", "a")).unwrap();
    first.guard.close(StreamEnd::Broken);
    mesh.until("unhealthy", |control| workloads(control).values().any(|health| health == "unhealthy")).await;
    let _second = mesh.connect(node("a-1", "a")).unwrap();
    mesh.until("healthy", |control| workloads(control) == healthy(["a-1"])).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(mesh.workloads(), healthy(["a-1"]));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stream_that_was_replaced_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    let first = mesh.connect(node("a-1", "a")).unwrap();
    let _second = mesh.connect(node("a-1", "a")).unwrap();
    assert_eq!(mesh.control.status().proxies.len(), 1);
    first.guard.close(StreamEnd::Clean);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(mesh.workloads(), healthy(["a-1"]));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_workloads_have_time_to_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    let _sessions = [mesh.connect(node("a-1", "a")).unwrap(), mesh.connect(node("a-2", "a")).unwrap()];
    mesh.control.stop();
    drop(_sessions);
    // Even when the shutdown takes longer than the grace.
    tokio::time::sleep(Duration::from_secs(10)).await;
    mesh.kill().await;

    let mesh = Mesh::start(directory.path());
    let began = Instant::now();
    assert_eq!(mesh.workloads(), healthy(["a-1", "a-2"]));
    let _back = mesh.connect(node("a-1", "a")).unwrap();
    mesh.until("the lost one is gone", |control| workloads(control) == healthy(["a-1"])).await;
    assert!((15..16).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_node_speaks_only_for_the_identity_it_has_proved() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    let refusal = mesh.control.connect(node("a-1", "a"), id("default", "b")).unwrap_err();
    assert!(refusal.reason.contains("default/a"), "{refusal}");
    assert!(refusal.reason.contains("spiffe://cluster.local/ns/default/sa/b"), "{refusal}");
    let _session = mesh.connect(node("a-1", "a")).unwrap();
    for (namespace, account) in [("default", "b"), ("other", "a")] {
        let mut thief = node("a-1", account);
        thief.namespace = namespace.to_owned();
        let refusal = mesh.connect(thief).unwrap_err();
        assert!(refusal.reason.contains("default/a") && refusal.reason.contains(&format!("{namespace}/{account}")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_gets_secrets_and_new_ones_at_half_life() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    let mut guest = node("a-1", "a");
    guest.flavor = Flavor::Envoy;
    let session = mesh.connect(guest).unwrap();
    let mut secrets = session.secrets.unwrap();
    assert_eq!(secrets.borrow_and_update().chain_pem, "spiffe://cluster.local/ns/default/sa/a 0");
    let began = Instant::now();
    secrets.changed().await.unwrap();
    assert!((50..52).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(mesh.issued.load(Ordering::Relaxed), 2);
    assert!(mesh.connect(node("b-1", "b")).unwrap().secrets.is_none());
}
