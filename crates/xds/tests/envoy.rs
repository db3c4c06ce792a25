//! Stock Envoy accepts what is encoded for it: a bootstrap full of generated resources passes `--mode validate`.
//!
//! Needs `LENO_ENVOY`, the path of Envoy's binary, as `cargo xtask test` sets it.

#[path = "support/generate.rs"]
#[allow(dead_code, reason = "shared by tests that use different parts")]
mod generate;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use generate::CLUSTERS;
use leno_ir::{Cluster, Discovery, EndpointSet, Flavor, Listener, NetworkFilter, RouteSource, RouteTable};
use leno_proto::envoy::config::bootstrap::v3::{Bootstrap, bootstrap::DynamicResources, bootstrap::StaticResources};
use leno_proto::envoy::config::core::v3::{
    AggregatedConfigSource, ApiConfigSource, ApiVersion, ConfigSource, GrpcService, Node, api_config_source::ApiType,
    config_source::ConfigSourceSpecifier, grpc_service,
};
use leno_xds::codec::{encode_cluster, encode_listener};
use proptest::prelude::Strategy;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;

const CONTROL: &str = "control";

#[test]
fn generated_clusters_are_valid_to_envoy() {
    let Some(envoy) = envoy() else { return };
    let mut runner = TestRunner::deterministic();
    let mut clusters: Vec<Cluster> = CLUSTERS.iter().map(|name| plain_cluster(name)).collect();
    for number in 0..100 {
        let mut cluster = sample(&mut runner, generate::cluster());
        if cluster.tls.is_some() {
            // Of the static resources Envoy loads inline clusters before ADS, then crashes on their secrets by ADS.
            cluster.discovery = Discovery::Eds { service_name: cluster.name.clone() };
        }
        clusters.push(Cluster { name: format!("{}-{number}", cluster.name), ..cluster });
    }
    validate(&envoy, &clusters, &[]);
}

#[test]
fn generated_listeners_are_valid_to_envoy() {
    let Some(envoy) = envoy() else { return };
    let mut runner = TestRunner::deterministic();
    let clusters: Vec<Cluster> = CLUSTERS.iter().map(|name| plain_cluster(name)).collect();
    let numbered = |number| {
        let listener = sample(&mut runner, generate::listener());
        Listener { name: format!("{}-{number}", listener.name), ..listener }
    };
    let listeners: Vec<Listener> = (0..100).map(numbered).collect();
    let tables = listeners.iter().flat_map(|listener| &listener.filter_chains).filter(|chain| inline(&chain.filter));
    assert!(tables.count() > 20, "the sample has hardly any routes");
    validate(&envoy, &clusters, &listeners);
}

#[test]
fn what_is_wrong_is_noticed() {
    let Some(envoy) = envoy() else { return };
    let wrong = Cluster { connect_timeout: Duration::ZERO, ..plain_cluster("wrong") };
    let (is_valid, said) = run(&envoy, &[wrong], &[]);
    assert!(!is_valid && said.contains("ConnectTimeout"), "{said}");
}

fn inline(filter: &NetworkFilter) -> bool {
    let has_routes = |table: &RouteTable| !table.virtual_hosts.is_empty();
    matches!(filter, NetworkFilter::Http(http) if matches!(&http.routes, RouteSource::Inline(table) if has_routes(table)))
}

fn plain_cluster(name: &str) -> Cluster {
    Cluster::new(
        name,
        Discovery::Static(
            EndpointSet { name: name.to_owned(), localities: Vec::new(), ..EndpointSet::default() }.into(),
        ),
    )
}

fn sample<S: Strategy>(runner: &mut TestRunner, strategy: S) -> S::Value {
    strategy.new_tree(runner).expect("no filters to fail").current()
}

/// `None` when the test cannot run, which is said aloud and with CI=true is a failure.
#[allow(clippy::disallowed_methods, reason = "the test runner tells where the tool is")]
fn envoy() -> Option<PathBuf> {
    let found = std::env::var("LENO_ENVOY").ok().map(PathBuf::from).filter(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "LENO_ENVOY is not set: a tool is missing");
        eprintln!("DID NOT RUN: LENO_ENVOY is not set");
    }
    found
}

fn validate(envoy: &Path, clusters: &[Cluster], listeners: &[Listener]) {
    let (is_valid, said) = run(envoy, clusters, listeners);
    assert!(is_valid, "Envoy refuses it: {said}");
    assert!(!said.contains("eprecated"), "Envoy warns: {said}");
}

/// Whether Envoy takes the resources, and what it said.
fn run(envoy: &Path, clusters: &[Cluster], listeners: &[Listener]) -> (bool, String) {
    let bootstrap = Bootstrap {
        node: Some(Node { id: "guest".to_owned(), cluster: "guest".to_owned(), ..Node::default() }),
        static_resources: Some(static_resources(clusters, listeners)),
        dynamic_resources: Some(ads()),
        ..Bootstrap::default()
    };
    let file = tempfile::Builder::new().suffix(".pb").tempfile().expect("a temporary file");
    std::fs::write(file.path(), bootstrap.encode_to_vec()).expect("room for a file");
    let output = Command::new(envoy)
        .args(["--mode", "validate", "--log-level", "warn", "--config-path"])
        .arg(file.path())
        .output()
        .expect("Envoy starts");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    (output.status.success() && said.contains(" OK"), said)
}

fn static_resources(clusters: &[Cluster], listeners: &[Listener]) -> StaticResources {
    let cluster = |cluster: &Cluster| {
        let body = encode_cluster(cluster, Flavor::Envoy).body;
        Message::decode(body.as_slice()).expect("a cluster")
    };
    let listener = |listener: &Listener| {
        let body = encode_listener(listener, Flavor::Envoy).body;
        Message::decode(body.as_slice()).expect("a listener")
    };
    let mut control = plain_cluster(CONTROL);
    control.http.protocol = leno_ir::UpstreamProtocol::Http2;
    StaticResources {
        clusters: std::iter::once(&control).chain(clusters).map(cluster).collect(),
        listeners: listeners.iter().map(listener).collect(),
        ..StaticResources::default()
    }
}

/// Where RDS, EDS and SDS by ADS lead.
fn ads() -> DynamicResources {
    let envoy_grpc = grpc_service::EnvoyGrpc { cluster_name: CONTROL.to_owned(), ..Default::default() };
    let target = grpc_service::TargetSpecifier::EnvoyGrpc(envoy_grpc);
    let by_ads = || ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    };
    DynamicResources {
        ads_config: Some(ApiConfigSource {
            api_type: ApiType::DeltaGrpc.into(),
            transport_api_version: ApiVersion::V3.into(),
            grpc_services: vec![GrpcService { target_specifier: Some(target), ..GrpcService::default() }],
            ..ApiConfigSource::default()
        }),
        cds_config: Some(by_ads()),
        lds_config: Some(by_ads()),
        ..DynamicResources::default()
    }
}
