//! One bootstrap with 100 routes and a cluster of ten endpoints: read, and taken apart for the other paths.

use std::hint::black_box;
use std::sync::Arc;

use leno_ir::{Config, Flavor, NetworkFilter, RouteSource, RouteTable};
use leno_xds::codec;

fn text() -> String {
    let mut routes = String::new();
    for n in 0..100 {
        routes += &format!("{{match: {{prefix: /service-{n}/}}, route: {{cluster: service, timeout: 3s}}}},");
    }
    let mut endpoints = String::new();
    for n in 0..10 {
        endpoints +=
            &format!("{{endpoint: {{address: {{socket_address: {{address: 192.0.2.{n}, port_value: 80}}}}}}}},");
    }
    format!(
        "static_resources:
  listeners:
  - name: in
    address: {{socket_address: {{address: 127.0.0.1, port_value: 10000}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config: {{name: routes, virtual_hosts: [{{name: all, domains: [\"*\"], routes: [{routes}]}}]}}
          http_filters:
          - name: router
            typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: service
    connect_timeout: 1s
    type: STATIC
    lb_policy: LEAST_REQUEST
    circuit_breakers: {{thresholds: [{{max_connections: 100, max_requests: 1000}}]}}
    outlier_detection: {{consecutive_5xx: 5, interval: 10s, base_ejection_time: 30s}}
    load_assignment: {{cluster_name: service, endpoints: [{{lb_endpoints: [{endpoints}]}}]}}
"
    )
}

fn read(text: &str) -> Config {
    match leno_xds::read_bootstrap(text) {
        Ok(bootstrap) => bootstrap.config,
        Err(problems) => panic!("the bootstrap is refused: {problems:?}"),
    }
}

pub(crate) fn route_table() -> Arc<RouteTable> {
    let config = read(&text());
    let listener = config.listeners.values().next();
    let chain = listener.and_then(|listener| listener.filter_chains.first());
    match chain.map(|chain| &chain.filter) {
        Some(NetworkFilter::Http(manager)) => match &manager.routes {
            RouteSource::Inline(table) => table.clone(),
            other => panic!("the routes are elsewhere: {other:?}"),
        },
        other => panic!("the bootstrap has no HTTP listener but {other:?}"),
    }
}

pub(crate) fn read_bootstrap(count: u32) {
    let text = text();
    for _ in 0..count {
        black_box(read(black_box(&text)));
    }
}

pub(crate) fn decode_cluster(count: u32) {
    let config = read(&text());
    let cluster = config.clusters.values().next().expect("the bootstrap has one");
    let resource = codec::encode_cluster(cluster, Flavor::Envoy);
    for _ in 0..count {
        black_box(codec::decode_cluster(black_box(&resource.body)).is_ok());
    }
}

pub(crate) fn decode_route_table(count: u32) {
    let resource = codec::encode_route_table(&route_table(), Flavor::Envoy);
    for _ in 0..count {
        black_box(codec::decode_route_table(black_box(&resource.body)).is_ok());
    }
}
