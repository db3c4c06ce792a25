//! Static bootstraps that Leno and Envoy both read: one listener, one route or many, clusters with static endpoints.

use super::pki::Pki;

/// What a proxy is given. The first cluster leads to `upstream`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bootstrap {
    pub(crate) listen: String,
    pub(crate) upstream: String,
    pub(crate) protocol: Protocol,
    pub(crate) downstream_tls: Option<Tls>,
    pub(crate) upstream_tls: Option<Tls>,
    /// Path of a file.
    pub(crate) access_log: Option<String>,
    /// HTTP filters before the router, as YAML items of `http_filters`.
    pub(crate) http_filters: String,
    /// This many more clusters of ten endpoints, each with a route `/cluster-N`.
    pub(crate) clusters: usize,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Protocol {
    #[default]
    Http1,
    /// From both sides; upstream only where there is TLS.
    Http2,
    /// HTTP/1.1 from the client, HTTP/2 to the upstream.
    Http1ToHttp2,
    Tcp,
}

/// Mutual TLS 1.3, both sides verified by SPIFFE ID.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) roots: String,
    pub(crate) peer: String,
    pub(crate) alpn: &'static str,
}

impl Tls {
    pub(crate) fn new(pki: &Pki, own: &str, peer: &str, alpn: &'static str) -> Self {
        Self {
            certificate: pki.path(&format!("{own}.pem")),
            key: pki.path(&format!("{own}.key")),
            roots: pki.path("root.pem"),
            peer: Pki::id(peer),
            alpn,
        }
    }

    fn yaml(&self, side: &str, indent: usize) -> String {
        let required = if side == "Downstream" { "\n    require_client_certificate: true" } else { "" };
        let alpn = if self.alpn.is_empty() { String::new() } else { format!("alpn_protocols: [\"{}\"]", self.alpn) };
        let text = format!(
            "transport_socket:
  name: tls
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{side}TlsContext{required}
    common_tls_context:
      {alpn}
      tls_params: {{ tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }}
      tls_certificates:
      - certificate_chain: {{ filename: {} }}
        private_key: {{ filename: {} }}
      validation_context:
        trusted_ca: {{ filename: {} }}
        match_typed_subject_alt_names:
        - {{ san_type: URI, matcher: {{ exact: \"{}\" }} }}
",
            self.certificate, self.key, self.roots, self.peer,
        );
        text.lines().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect()
    }
}

/// Who may call, as a mesh asks it: the client's SPIFFE ID.
pub(crate) fn rbac(principal: &str) -> String {
    format!(
        "          - name: rbac
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  client:
                    permissions: [{{ any: true }}]
                    principals:
                    - authenticated: {{ principal_name: {{ exact: \"{principal}\" }} }}
"
    )
}

impl Bootstrap {
    pub(crate) fn yaml(&self) -> String {
        let (listen, listen_port) = split(&self.listen);
        let tls = self.downstream_tls.as_ref().map(|tls| tls.yaml("Downstream", 6)).unwrap_or_default();
        let filter = if self.protocol == Protocol::Tcp { self.tcp() } else { self.http() };
        format!(
            "static_resources:
  listeners:
  - name: in
    address: {{ socket_address: {{ address: {listen}, port_value: {listen_port} }} }}
    filter_chains:
    - filters:
{filter}{tls}  clusters:
{}{}",
            self.origin(),
            (0..self.clusters).map(many).collect::<String>()
        )
    }

    fn tcp(&self) -> String {
        "      - name: tcp
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: in
          cluster: origin
"
        .to_owned()
    }

    fn http(&self) -> String {
        let access_log = self.access_log.as_ref().map(|path| {
            format!(
                "          access_log:
          - name: file
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {path}
"
            )
        });
        let routes: String = (0..self.clusters)
            .map(|n| format!("              - match: {{ prefix: /cluster-{n} }}\n                route: {{ cluster: cluster-{n} }}\n"))
            .collect();
        format!(
            "      - name: http
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          codec_type: AUTO
{}          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
{routes}              - match: {{ prefix: / }}
                route: {{ cluster: origin, timeout: 15s, retry_policy: {{ retry_on: \"connect-failure,refused-stream\", num_retries: 2 }} }}
          http_filters:
{}          - name: router
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
",
            access_log.unwrap_or_default(),
            self.http_filters,
        )
    }

    fn origin(&self) -> String {
        let (address, port) = split(&self.upstream);
        let options = match self.protocol {
            Protocol::Http1 | Protocol::Tcp => "",
            Protocol::Http2 | Protocol::Http1ToHttp2 => {
                "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
"
            }
        };
        let tls = self.upstream_tls.as_ref().map(|tls| tls.yaml("Upstream", 4)).unwrap_or_default();
        format!(
            "  - name: origin
    type: STATIC
    connect_timeout: 5s
    lb_policy: LEAST_REQUEST
{options}    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: {address}, port_value: {port} }} }} }}
{tls}"
        )
    }
}

/// A cluster with ten endpoints that nobody asks.
fn many(n: usize) -> String {
    let endpoints: String = (0..10)
        .map(|endpoint| {
            let address = format!("10.{}.{}.{endpoint}", n / 250, n % 250);
            format!(
                "        - endpoint: {{ address: {{ socket_address: {{ address: {address}, port_value: 8080 }} }} }}\n"
            )
        })
        .collect();
    format!(
        "  - name: cluster-{n}
    type: STATIC
    connect_timeout: 5s
    lb_policy: LEAST_REQUEST
    load_assignment:
      cluster_name: cluster-{n}
      endpoints:
      - lb_endpoints:
{endpoints}"
    )
}

fn split(address: &str) -> (&str, &str) {
    address.rsplit_once(':').unwrap_or((address, "0"))
}
