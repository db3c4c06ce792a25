//! Stock Envoy with static configuration: one worker, no hot restart.

use anyhow::Context;

use super::{PROXY_CPU, Peer, Pki, Process, Programs, SERVER_ADDRESS, SetUp, free_port};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Between {
    Http1,
    Http2,
}

impl Between {
    /// Ports on the two hosts, apart so that both variants can run at once.
    fn ports(self) -> (u16, u16) {
        match self {
            Self::Http1 => (15101, 15106),
            Self::Http2 => (15201, 15206),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Http1 => "envoy",
            Self::Http2 => "envoy-h2",
        }
    }

    fn alpn(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }

    /// Protocol options of the client sidecar's cluster.
    fn options(self) -> &'static str {
        match self {
            Self::Http1 => "",
            Self::Http2 => {
                "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
"
            }
        }
    }
}

pub(super) fn single(set_up: &SetUp<'_>, programs: &Programs) -> anyhow::Result<Peer> {
    let port = free_port()?;
    let configuration = Configuration {
        listen: format!("127.0.0.1:{port}"),
        downstream_tls: String::new(),
        access_log: String::new(),
        upstream: format!("127.0.0.1:{}", set_up.origin_port),
        upstream_options: String::new(),
        upstream_tls: String::new(),
    };
    let process = start(set_up, programs, "envoy", None, &configuration)?;
    Ok(Peer {
        name: "envoy".to_owned(),
        address: format!("127.0.0.1:{port}"),
        host: "origin".to_owned(),
        proxies: vec![process],
        _others: Vec::new(),
    })
}

pub(super) fn sidecars(set_up: &SetUp<'_>, programs: &Programs, between: Between) -> anyhow::Result<Peer> {
    let hosts = set_up.hosts.as_ref().context("sidecars need two hosts")?;
    let (client_port, server_port) = between.ports();
    let name = between.name();
    let log = |side: &str| {
        let path = set_up.directory.join(format!("{name}-{side}.access.log"));
        format!(
            "          access_log:
          - name: file
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {}
",
            path.display()
        )
    };
    let client = Configuration {
        listen: format!("127.0.0.1:{client_port}"),
        downstream_tls: String::new(),
        access_log: log("client"),
        upstream: format!("{SERVER_ADDRESS}:{server_port}"),
        upstream_options: between.options().to_owned(),
        upstream_tls: tls(set_up, "Upstream", "client", "server", between, 4),
    };
    let server = Configuration {
        listen: format!("{SERVER_ADDRESS}:{server_port}"),
        downstream_tls: tls(set_up, "Downstream", "server", "client", between, 6),
        access_log: log("server"),
        upstream: format!("127.0.0.1:{}", set_up.origin_port),
        upstream_options: String::new(),
        upstream_tls: String::new(),
    };
    let server = start(set_up, programs, &format!("{name}-server"), Some(&hosts.server), &server)?;
    let client = start(set_up, programs, &format!("{name}-client"), Some(&hosts.client), &client)?;
    Ok(Peer {
        name: name.to_owned(),
        address: format!("127.0.0.1:{client_port}"),
        host: "origin".to_owned(),
        proxies: vec![client, server],
        _others: Vec::new(),
    })
}

struct Configuration {
    listen: String,
    downstream_tls: String,
    access_log: String,
    upstream: String,
    upstream_options: String,
    upstream_tls: String,
}

/// A transport socket with TLS 1.3, both sides verified by SPIFFE ID.
fn tls(set_up: &SetUp<'_>, side: &str, own: &str, peer: &str, between: Between, indent: usize) -> String {
    let pki = &set_up.pki;
    let required = if side == "Downstream" { "\n    require_client_certificate: true" } else { "" };
    let text = format!(
        "transport_socket:
  name: tls
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{side}TlsContext{required}
    common_tls_context:
      alpn_protocols: [\"{}\"]
      tls_params: {{ tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }}
      tls_certificates:
      - certificate_chain: {{ filename: {} }}
        private_key: {{ filename: {} }}
      validation_context:
        trusted_ca: {{ filename: {} }}
        match_typed_subject_alt_names:
        - {{ san_type: URI, matcher: {{ exact: \"{}\" }} }}
",
        between.alpn(),
        pki.path(&format!("{own}.pem")),
        pki.path(&format!("{own}.key")),
        pki.path("root.pem"),
        Pki::id(peer),
    );
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect()
}

fn start(
    set_up: &SetUp<'_>,
    programs: &Programs,
    name: &str,
    namespace: Option<&str>,
    configuration: &Configuration,
) -> anyhow::Result<Process> {
    let path = set_up.directory.join(format!("{name}.yaml"));
    std::fs::write(&path, configuration.yaml()).with_context(|| format!("writing {}", path.display()))?;
    let path = path.display().to_string();
    let command = [&programs.envoy, "-c", &path, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"];
    Process::spawn(&command.map(str::to_owned), PROXY_CPU, namespace, &set_up.directory.join(format!("{name}.log")))
}

impl Configuration {
    fn yaml(&self) -> String {
        let (listen, listen_port) = self.listen.rsplit_once(':').unwrap_or((&self.listen, "0"));
        let (upstream, upstream_port) = self.upstream.rsplit_once(':').unwrap_or((&self.upstream, "0"));
        format!(
            "static_resources:
  listeners:
  - name: in
    address: {{ socket_address: {{ address: {listen}, port_value: {listen_port} }} }}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          codec_type: AUTO
{}          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - match: {{ prefix: / }}
                route: {{ cluster: origin, timeout: 15s, retry_policy: {{ retry_on: \"connect-failure,refused-stream\", num_retries: 2 }} }}
          http_filters:
          - name: router
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
{}  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 5s
    lb_policy: LEAST_REQUEST
{}    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: {upstream}, port_value: {upstream_port} }} }} }}
{}",
            self.access_log, self.downstream_tls, self.upstream_options, self.upstream_tls
        )
    }
}
