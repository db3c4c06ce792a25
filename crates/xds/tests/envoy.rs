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
use leno_ir::{
    BalancerPolicy, CertificateSource, Cluster, Discovery, EndpointSet, Flavor, HealthProbe, Listener, NetworkFilter,
    PeerValidation, RootsSource, RouteTable, UpstreamProtocol, UpstreamTls,
};
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

/// Fields that are old for Envoy, and that we write only to say again what another control plane said with them.
const OLD: [&str; 10] = [
    "config.rbac.v3.Principal.source_ip",
    "config.route.v3.RouteAction.grpc_timeout_offset",
    "config.route.v3.RouteAction.include_vh_rate_limits",
    "config.route.v3.RouteAction.max_grpc_timeout",
    "extensions.filters.http.compressor.v3.Compressor.CommonDirectionConfig.content_type",
    "extensions.filters.http.compressor.v3.Compressor.content_length",
    "extensions.filters.http.compressor.v3.Compressor.content_type",
    "extensions.filters.http.compressor.v3.Compressor.disable_on_etag_header",
    "extensions.filters.http.compressor.v3.Compressor.remove_accept_encoding_header",
    "extensions.filters.http.compressor.v3.Compressor.runtime_enabled",
];

#[test]
fn generated_clusters_are_valid_to_envoy() {
    let Some(envoy) = envoy() else { return };
    let mut runner = TestRunner::deterministic();
    let mut clusters: Vec<Cluster> = CLUSTERS.iter().map(|name| plain_cluster(name)).collect();
    for number in 0..100 {
        let mut cluster = sample(&mut runner, generate::cluster());
        let is_loadable = |tls: &UpstreamTls| {
            has_secrets(tls.certificate.as_ref(), tls.validation.as_ref())
                && (tls.validation.is_some() || !tls.auto_sni_san_validation)
        };
        cluster.tls = cluster.tls.filter(is_loadable);
        for one in &mut cluster.socket_matches {
            one.tls = one.tls.take().filter(is_loadable);
        }
        if cluster.health_check.as_ref().is_some_and(|check| matches!(check.probe, HealthProbe::Grpc(_))) {
            cluster.http.protocol = UpstreamProtocol::Http2;
        }
        if cluster.balancer == BalancerPolicy::ClusterProvided {
            // Their discovery cannot be another, see below.
            cluster.tls = None;
            cluster.socket_matches.clear();
        }
        let has_tls = cluster.tls.is_some() && cluster.socket_matches.iter().all(|one| one.tls.is_some());
        if cluster.http.protocol == UpstreamProtocol::Negotiated && !has_tls {
            cluster.http.protocol = UpstreamProtocol::SameAsDownstream;
        }
        // Of DNS Envoy warns that the fields are old; nothing of ours makes such clusters for it.
        let has_any = cluster.tls.is_some() || cluster.socket_matches.iter().any(|one| one.tls.is_some());
        if has_any || matches!(cluster.discovery, Discovery::Dns(_)) {
            // Of the static resources Envoy loads inline clusters before ADS, then crashes on their secrets by ADS.
            cluster.discovery = Discovery::Eds { service_name: cluster.name.clone() };
            cluster.balancing.hashing.by_hostname = false;
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
        let mut listener = sample(&mut runner, generate::listener());
        for chain in listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain) {
            let tls = chain.tls.take();
            chain.tls = tls.filter(|tls| has_secrets(Some(&tls.certificate), tls.validation.as_ref()));
        }
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

/// Whether keys and roots come over SDS, as the mesh's do; Envoy looks at once for files and what is in them.
fn has_secrets(certificate: Option<&CertificateSource>, validation: Option<&PeerValidation>) -> bool {
    certificate.is_none_or(|source| matches!(source, CertificateSource::Secret(_)))
        && validation.is_none_or(|validation| matches!(validation.roots, RootsSource::Secret(_)))
}

fn inline(filter: &NetworkFilter) -> bool {
    let has_routes = |table: &RouteTable| !table.virtual_hosts.is_empty();
    matches!(filter, NetworkFilter::Http(http) if http.routes.inline().iter().any(|(_, table)| has_routes(table)))
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
    let old = said.split("Using deprecated option 'envoy.").skip(1).filter_map(|rest| rest.split('\'').next());
    let old: Vec<&str> = old.filter(|field| !OLD.contains(field)).collect();
    assert!(old.is_empty(), "Envoy warns of {old:?}");
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
