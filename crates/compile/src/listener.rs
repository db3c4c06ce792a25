use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use leno_ir::{
    AccessLog, AccessLogFormat, AccessLogSink, Direction, FilterChain, FilterChainMatch, Flavor, HttpConnectionManager,
    Listener, ListenerOptions, NetworkFilter, Node, RouteSource, TransportProtocol, Upgrade,
};
use leno_model::{Protocol, Service, ServicePort, Snapshot};

use crate::{hash, routes, tcp};

/// What an HTTP inspector finds in plaintext.
const PLAIN_HTTP: [&str; 3] = ["http/1.0", "http/1.1", "h2c"];

/// The listeners through which the application of `node` reaches services.
pub(crate) fn outbound(snapshot: &Snapshot, node: &Node) -> Vec<Listener> {
    let services = snapshot.services.values();
    let ports = services.flat_map(|service| service.ports.iter().map(move |port| (service, port)));
    if node.flavor == Flavor::Grpc {
        let http = ports.filter(|(_, port)| port.protocol.may_be_http());
        return http.flat_map(|(service, port)| api(snapshot, node, service, port)).collect();
    }
    let Some(prefix) = node.outbound_prefix else { return Vec::new() };
    ports.filter_map(|(service, port)| bound(snapshot, node, service, port, prefix)).collect()
}

fn bound(snapshot: &Snapshot, node: &Node, service: &Service, port: &ServicePort, [a, b]: [u8; 2]) -> Option<Listener> {
    let [c, d] = service.index?.to_be_bytes();
    let name = service.cluster_name(port.number, None);
    let chain = |matches, filter| FilterChain {
        name: name.clone(),
        matches,
        tls: None,
        connection_filters: Vec::new(),
        filter,
    };
    let any = FilterChainMatch::default;
    let tcp =
        |clusters| NetworkFilter::Tcp(tcp::outbound(hash::Site::of(snapshot, service), node, name.clone(), clusters));
    let http = || NetworkFilter::Http(Box::new(http(node, &name, &name)));
    let plain = || tcp(tcp::clusters(snapshot, service, port));
    let named = match port.protocol {
        Protocol::Auto | Protocol::Tcp | Protocol::Tls => tcp::by_server_name(snapshot, service, port),
        Protocol::Grpc | Protocol::Http | Protocol::Http2 => Vec::new(),
    };
    let inspect_tls = !named.is_empty();
    let named = named.into_iter().map(|(server_names, clusters)| {
        let matches = FilterChainMatch {
            server_names,
            transport_protocol: Some(TransportProtocol::Tls),
            ..FilterChainMatch::default()
        };
        chain(matches, tcp(clusters))
    });
    let (filter_chains, default) = match port.protocol {
        // Istio: where names are routed, others lead nowhere.
        Protocol::Tls if inspect_tls => (named.collect(), None),
        Protocol::Tcp | Protocol::Tls => (named.collect(), Some(chain(any(), plain()))),
        Protocol::Auto => {
            let protocols = PLAIN_HTTP.iter().map(|&word| word.to_owned()).collect();
            let matches = FilterChainMatch { application_protocols: protocols, ..FilterChainMatch::default() };
            (std::iter::once(chain(matches, http())).chain(named).collect(), Some(chain(any(), plain())))
        }
        Protocol::Grpc | Protocol::Http | Protocol::Http2 => (Vec::new(), Some(chain(any(), http()))),
    };
    Some(Listener {
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port.number),
        direction: Direction::Outbound,
        inspect_tls,
        inspect_http: port.protocol == Protocol::Auto,
        filter_chains,
        default_filter_chain: default,
        options: ListenerOptions::default(),
        api: false,
        name,
    })
}

/// What proxyless gRPC asks for: the authority of the target, so one listener for each way to write it.
fn api(snapshot: &Snapshot, node: &Node, service: &Service, port: &ServicePort) -> Vec<Listener> {
    let table = service.cluster_name(port.number, None);
    let one = |host: String| Listener {
        name: format!("{host}:{}", port.number),
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        direction: Direction::Outbound,
        inspect_tls: false,
        inspect_http: false,
        filter_chains: vec![FilterChain {
            name: table.clone(),
            matches: FilterChainMatch::default(),
            tls: None,
            connection_filters: Vec::new(),
            filter: NetworkFilter::Http(Box::new(http(node, &table, &table))),
        }],
        default_filter_chain: None,
        options: ListenerOptions::default(),
        api: true,
    };
    hosts(snapshot, service, &node.namespace).into_iter().map(one).collect()
}

/// The ways to write a service's name in `namespace`.
pub(crate) fn hosts(snapshot: &Snapshot, service: &Service, namespace: &str) -> Vec<String> {
    let (name, own) = (&service.key.name, &service.key.namespace);
    if service.fqdn != service.key.fqdn(&snapshot.settings.domain) {
        // Virtual addresses are what clients call, too; of ranges nobody can say which they mean.
        let addresses = service.addresses.iter().map(|text| text.strip_suffix("/32").unwrap_or(text));
        let addresses = addresses.filter_map(|text| text.parse().ok()).map(|address| match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        });
        return std::iter::once(service.fqdn.clone()).chain(addresses).collect();
    }
    let mut all = Vec::new();
    if own == namespace {
        all.push(name.clone());
    }
    all.extend([format!("{name}.{own}"), format!("{name}.{own}.svc"), service.key.fqdn(&snapshot.settings.domain)]);
    all
}

/// The forward proxy for applications that take one from their environment.
pub(crate) fn http_proxy(node: &Node, address: SocketAddr) -> Listener {
    let mut manager = http(node, routes::PROXY_TABLE, routes::PROXY_TABLE);
    // Here alone: a tunnel carries what no rule of a service can see.
    manager.upgrades.push(Upgrade::new("connect"));
    Listener {
        name: routes::PROXY_TABLE.to_owned(),
        address,
        direction: Direction::Outbound,
        inspect_tls: false,
        inspect_http: false,
        filter_chains: Vec::new(),
        default_filter_chain: Some(FilterChain {
            name: routes::PROXY_TABLE.to_owned(),
            matches: FilterChainMatch::default(),
            tls: None,
            connection_filters: Vec::new(),
            filter: NetworkFilter::Http(Box::new(manager)),
        }),
        options: ListenerOptions::default(),
        api: false,
    }
}

fn http(node: &Node, stat_prefix: &str, table: &str) -> HttpConnectionManager {
    let mut manager = HttpConnectionManager::new(stat_prefix, RouteSource::Rds(table.to_owned()));
    manager.access_log = access_log(node);
    manager
}

/// Istio's keys of a JSON access log and the operators behind them.
const JSON_LOG: [(&str, &str); 20] = [
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
];

pub(crate) fn access_log(node: &Node) -> Vec<AccessLog> {
    let Some(path) = &node.access_log else { return Vec::new() };
    let sink = if path == "-" { AccessLogSink::Stdout } else { AccessLogSink::File(path.into()) };
    let format = match node.access_log_format.as_deref() {
        None | Some("") => AccessLogFormat::Standard,
        Some("json") => {
            let keys: BTreeMap<_, _> =
                JSON_LOG.iter().map(|(key, word)| ((*key).to_owned(), leno_ir::JsonFormat::from(*word))).collect();
            AccessLogFormat::Json(keys)
        }
        Some(text) => AccessLogFormat::Text(text.to_owned()),
    };
    vec![AccessLog::new(sink, format)]
}
