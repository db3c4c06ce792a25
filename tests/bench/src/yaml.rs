//! Bootstraps for the mesh of this crate: one listener, routes by prefix, clusters with static endpoints.

use std::fmt::Write;
use std::net::SocketAddr;

#[derive(Debug, Default)]
pub(crate) struct Yaml {
    routes: String,
    clusters: String,
}

impl Yaml {
    /// `version`, when given, is what the route says in its answers.
    pub(crate) fn route(&mut self, prefix: &str, cluster: &str, version: Option<u64>) {
        let header = version
            .map(|version| format!(", response_headers_to_add: [{{header: {{key: x-route, value: \"{version}\"}}}}]"));
        // Writing to a string does not fail.
        let _ = writeln!(
            self.routes,
            "              - {{match: {{prefix: \"{prefix}\"}}, route: {{cluster: {cluster}}}{}}}",
            header.unwrap_or_default()
        );
    }

    pub(crate) fn cluster(&mut self, name: &str, endpoints: &[SocketAddr]) {
        let _ = write!(
            self.clusters,
            "  - name: {name}
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
"
        );
        for endpoint in endpoints {
            let _ = writeln!(
                self.clusters,
                "        - {{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}",
                endpoint.ip(),
                endpoint.port()
            );
        }
    }

    pub(crate) fn bootstrap(&self, listen: SocketAddr) -> String {
        format!(
            "static_resources:
  listeners:
  - name: in
    address: {{socket_address: {{address: {}, port_value: {}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            name: routes
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
{}          http_filters:
          - name: router
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
{}",
            listen.ip(),
            listen.port(),
            self.routes,
            self.clusters
        )
    }
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}
