use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use leno_ir::Consecutive;
use leno_ir::*;
use leno_names::{Fraction, Locality, ServiceKey};

use super::*;

fn percent(percent: u32) -> Fraction {
    Fraction::from_percent(percent).unwrap()
}

fn ops() -> HeaderOps {
    let header = |name: &str, append| HeaderValue::new(name, "v", append);
    HeaderOps {
        remove: vec!["x-gone".into()],
        add: vec![
            header("a", HeaderAppend::AddIfAbsent),
            header("b", HeaderAppend::AppendOrAdd),
            header("c", HeaderAppend::OverwriteIfExists),
            header("d", HeaderAppend::OverwriteOrAdd),
        ],
    }
}

fn cluster() -> Cluster {
    Cluster {
        connect_timeout: Duration::from_millis(1500),
        balancer: BalancerPolicy::PeakEwma { default_rtt: Duration::from_millis(30), decay: Duration::from_secs(10) },
        circuit_breakers: CircuitBreakers {
            default: Thresholds { max_connections: 7, ..Thresholds::default() },
            high: None,
        },
        outlier_detection: Some(OutlierDetection {
            consecutive_gateway_errors: Some(Consecutive::new(3)),
            consecutive_5xx: None,
            ..OutlierDetection::default()
        }),
        tls: Some(UpstreamTls {
            sni: Some("outbound_.9080_._.reviews".into()),
            alpn: vec!["istio".into()],
            ..UpstreamTls::of_mesh(PeerValidation::of_mesh([
                StringMatch::exact("spiffe://td/ns/a/sa/b"),
                StringMatch::prefix("spiffe://td/"),
            ]))
        }),
        socket: UpstreamSocket {
            source_address: Some("127.0.0.9:0".parse().unwrap()),
            keepalive: Some(TcpKeepalive { probes: Some(3), time: None, interval: Some(Duration::from_secs(5)) }),
        },
        http: UpstreamHttp {
            http1: Http1Options::default(),
            http2: Http2Options::mesh(),
            protocol: UpstreamProtocol::Http2,
            max_requests_per_connection: Some(10),
            idle_timeout: Duration::from_secs(5),
            max_connection_duration: Some(Duration::from_secs(900)),
            max_concurrent_streams: 99,
            response_headers: leno_ir::ResponseHeaders::default(),
            server_name: Some(ServerNameOfRequest { is_sent: true, is_checked: true, header: Some("x-name".into()) }),
        },
        service: Some(ServiceKey::new("default", "reviews")),
        ..Cluster::new("outbound|9080||reviews", Discovery::Eds { service_name: "other".into() })
    }
}

fn endpoints() -> EndpointSet {
    let workload = WorkloadLabels { workload: "r-1".into(), version: "v1".into(), ..WorkloadLabels::default() };
    let endpoint = |port: u16, health| Endpoint {
        weight: 3,
        health,
        workload: workload.clone(),
        ..Endpoint::new(SocketAddr::from(([127, 0, 0, 1], port)))
    };
    EndpointSet {
        name: "other".into(),
        localities: vec![LocalityEndpoints {
            locality: "eu/a".parse::<Locality>().unwrap(),
            priority: 1,
            weight: 2,
            endpoints: vec![
                endpoint(1, EndpointHealth::Draining),
                endpoint(2, EndpointHealth::Healthy),
                endpoint(3, EndpointHealth::Unhealthy),
                endpoint(4, EndpointHealth::Unknown),
            ],
            ..LocalityEndpoints::default()
        }],
        ..EndpointSet::default()
    }
}

fn routes() -> RouteTable {
    let header = |kind| HeaderMatch { name: "x".into(), kind, invert: true, treat_missing_as_empty: false };
    let retry = RetryPolicy {
        avoid_canaries: true,
        avoid_labelled: vec![Labels::from([("stage".into(), MetadataValue::String("test".into()))])],
        other_priorities: NonZeroU32::new(2),
        on: RetryOn::ALL.to_vec(),
        retriable_status_codes: vec![409],
        attempts: 2,
        per_try_timeout: Some(Duration::from_millis(250)),
        per_try_idle_timeout: Some(Duration::from_millis(50)),
        retriable_headers: vec![header(HeaderMatchKind::Present(true))],
        retriable_request_headers: vec![header(HeaderMatchKind::Present(true))],
        rate_limited_back_off: Some(RateLimitedBackOff {
            headers: vec![ResetHeader { name: "retry-after".into(), format: ResetFormat::UnixTimestamp }],
            max: Duration::from_secs(5),
        }),
        back_off_base: RetryPolicy::BACK_OFF_BASE,
        back_off_max: RetryPolicy::BACK_OFF_MAX,
        avoid_previous_hosts: true,
        retry_non_idempotent: false,
    };
    let weighted = WeightedCluster { request_headers: ops(), response_headers: ops(), ..WeightedCluster::new("a", 90) };
    let forward = Forward {
        upgrades: Vec::new(),
        priority: RoutingPriority::High,
        internal_redirects: None,
        clusters: vec![weighted, WeightedCluster::new("b", 10)],
        cluster_number_header: Some("x-number".into()),
        clusters_by_hash: false,
        timeout: Some(Duration::from_secs(3)),
        stream_duration: Some(StreamDuration {
            max: Some(Duration::from_secs(9)),
            grpc_header_max: Some(Duration::ZERO),
            grpc_header_offset: Some(Duration::from_millis(5)),
        }),
        grpc_timeout: Some(GrpcTimeout { max: None, offset: Some(Duration::from_millis(5)) }),
        flush_timeout: Some(Duration::from_secs(4)),
        idle_timeout: Some(Duration::ZERO),
        retry: Some(retry),
        hedge_on_per_try_timeout: true,
        rewrite: Some(Rewrite::Regex { pattern: "^/a/(.*)".into(), substitution: "/b/\\1".into() }),
        host_rewrite: Some("other".into()),
        append_x_forwarded_host: true,
        cluster_not_found_status: 404,
        mirrors: vec![Mirror::new("m", percent(5))],
        hash_policies: vec![
            HashPolicy {
                source: HashSource::Cookie(HashCookie {
                    name: "session".into(),
                    ttl: Some(Duration::ZERO),
                    path: "/".into(),
                    attributes: vec![("SameSite".into(), "Lax".into())],
                }),
                terminal: true,
            },
            HashSource::SourceIp.into(),
        ],
        rate_limits: Vec::new(),
        include_host_rate_limits: false,
    };
    let matches = RouteMatch {
        path: PathMatch::Regex(Pattern::new("/a.*").unwrap()),
        headers: vec![
            header(HeaderMatchKind::Present(false)),
            header(HeaderMatchKind::Range { start: -1, end: 9 }),
            header(HeaderMatchKind::Value(StringMatch::Contains { text: "q".into(), ignore_case: true })),
        ],
        query: vec![
            QueryMatch { name: "p".into(), kind: QueryMatchKind::Present(true) },
            QueryMatch { name: "q".into(), kind: QueryMatchKind::Value(StringMatch::exact("1")) },
        ],
        cookies: vec![CookieMatch { name: "c".into(), value: StringMatch::exact("1"), invert: true }],
        tls: TlsMatch { presented: Some(true), validated: Some(false) },
        grpc: true,
        metadata: Vec::new(),
        fraction: Some(Fraction::from_parts_per_million(5).unwrap()),
    };
    let route = |name: &str, matches, action| Route {
        request_headers: ops(),
        request_buffer_limit_bytes: Some(9),
        ..Route::new(name, matches, action)
    };
    let redirect = Redirect {
        scheme: Some("https".into()),
        host: Some("h".into()),
        port: Some(8443),
        path: Some(RedirectPath::Prefix("/new".into())),
        status: 308,
        strip_query: true,
    };
    let plain = |rewrite| RouteAction::Forward(Box::new(Forward { rewrite, ..Forward::to("c") }));
    RouteTable {
        name: "table".into(),
        request_headers: ops(),
        response_headers: ops(),
        header_order: HeaderOrder::TableFirst,
        internal_only_headers: vec!["x-secret".into()],
        ignore_port_in_host_matching: true,
        host_header: Some("x-host".into()),
        virtual_hosts: vec![VirtualHost {
            name: "host".into(),
            domains: vec!["a".into(), "*.b".into()],
            require_tls: RequireTls::ExternalOnly,
            attempt_count: AttemptCount { in_request: true, in_response: true, timeout_retry: true },
            routes: vec![
                route("one", matches, RouteAction::Forward(Box::new(forward))),
                route("two", RouteMatch::any(), RouteAction::Redirect(redirect)),
                route("three", RouteMatch::any(), plain(Some(Rewrite::Path("/whole\\x".into())))),
                route("four", RouteMatch::any(), plain(Some(Rewrite::Prefix("/p".into())))),
                route(
                    "five",
                    RouteMatch {
                        path: PathMatch::PathSeparatedPrefix { text: "/x".into(), ignore_case: true },
                        ..RouteMatch::any()
                    },
                    RouteAction::Direct(leno_ir::DirectResponse { status: 418, body: "tea".into() }),
                ),
            ],
            request_headers: HeaderOps::default(),
            response_headers: ops(),
            filters: FilterOverrides::new(),
            rate_limits: Vec::new(),
        }],
        filters: FilterOverrides::new(),
    }
}

fn listener() -> Listener {
    let manager = HttpConnectionManager {
        access_log: vec![
            leno_ir::AccessLog::new(leno_ir::AccessLogSink::Stdout, leno_ir::AccessLogFormat::Standard),
            leno_ir::AccessLog::new(
                leno_ir::AccessLogSink::File("/tmp/x".into()),
                leno_ir::AccessLogFormat::Json([("a".into(), "%PROTOCOL%".into())].into()),
            ),
        ],
        forward_client_cert: leno_ir::ForwardClientCert::SanitizeSet,
        stream_idle_timeout: None,
        ..HttpConnectionManager::new("in", RouteSource::Inline(Arc::new(routes())))
    };
    let chain = |name: &str, alpn: &[&str], filter| FilterChain {
        name: name.into(),
        matches: FilterChainMatch {
            application_protocols: alpn.iter().map(|a| (*a).to_owned()).collect(),
            ..FilterChainMatch::default()
        },
        tls: Some(DownstreamTls::of_mesh(Some(PeerValidation::of_mesh([])), vec!["h2".into(), "istio".into()])),
        connection_filters: Vec::new(),
        filter,
    };
    let tcp = TcpProxy {
        hash_source_ip: true,
        idle_timeout: None,
        ..TcpProxy::new("tcp", vec![WeightedCluster::new("a", 1)])
    };
    Listener {
        name: "inbound|9080||".into(),
        address: SocketAddr::from(([127, 64, 0, 1], 15006)),
        direction: leno_ir::Direction::Inbound,
        inspect_tls: true,
        inspect_http: true,
        filter_chains: vec![chain("http", &["h2", "http/1.1"], NetworkFilter::Http(Box::new(manager)))],
        default_filter_chain: Some(chain("tcp", &[], NetworkFilter::Tcp(tcp))),
        options: ListenerOptions::default(),
        api: false,
    }
}

#[test]
fn what_is_encoded_for_leno_comes_back_as_it_was() {
    let flavor = Flavor::Leno;
    assert_eq!(decode_cluster(&encode_cluster(&cluster(), flavor).body), Ok(cluster()));
    assert_eq!(decode_endpoints(&encode_endpoints(&endpoints(), flavor).body), Ok(endpoints()));
    assert_eq!(decode_route_table(&encode_route_table(&routes(), flavor).body), Ok(routes()));
    assert_eq!(decode_listener(&encode_listener(&listener(), flavor).body), Ok(listener()));
    let inline = Cluster::new("inbound|9080||", Discovery::Static(Arc::new(endpoints())));
    assert_eq!(decode_cluster(&encode_cluster(&inline, flavor).body), Ok(inline));
}

#[test]
fn a_node_introduces_itself_completely() {
    let node = Node {
        id: "reviews-v1.default".into(),
        flavor: Flavor::Leno,
        locality: "eu/a".parse().unwrap(),
        namespace: "default".into(),
        service_account: "reviews".into(),
        workload: "reviews-v1".into(),
        service: Some("reviews".into()),
        labels: [("app".to_owned(), "reviews".to_owned())].into(),
        address: Some([127, 64, 0, 1].into()),
        ports: vec![WorkloadPort {
            app: 9080,
            app_address: SocketAddr::from(([127, 0, 0, 1], 9080)),
            inbound: 15006,
            protocol: "http".into(),
        }],
        outbound_prefix: Some([127, 64]),
        http_proxy: Some(SocketAddr::from(([127, 64, 0, 1], 15001))),
        access_log: Some("-".into()),
        gateway: None,
        access_log_format: None,
        control: None,
    };
    assert_eq!(decode_node(&encode_node(&node)), Ok(node.clone()));
    let mut foreign = encode_node(&node);
    foreign.metadata.as_mut().unwrap().fields.insert("OUTBOUND_PREFIX".into(), common::string("10.0"));
    assert_eq!(decode_node(&foreign).unwrap_err().field, "metadata.OUTBOUND_PREFIX");
}

#[test]
fn equal_values_have_equal_versions_and_flavors_differ() {
    let version = |flavor| encode_cluster(&cluster(), flavor).version;
    assert_eq!(version(Flavor::Leno), version(Flavor::Leno));
    assert_ne!(version(Flavor::Leno), version(Flavor::Envoy));
}

#[test]
fn what_is_not_supported_is_refused_with_its_field() {
    use leno_proto::envoy::config::cluster::v3::Cluster as Proto;
    let proto = Proto { filters: vec![Default::default()], ..super::cluster::encode(&cluster(), Flavor::Leno) };
    let error = decode_cluster(&proto.encode_to_vec()).unwrap_err();
    assert_eq!(error.to_string(), "filters: is not supported");
    let proto = Proto { health_checks: vec![Default::default()], ..super::cluster::encode(&cluster(), Flavor::Leno) };
    let error = decode_cluster(&proto.encode_to_vec()).unwrap_err();
    assert_eq!(error.to_string(), "health_checks[0].timeout: is missing");
    assert_eq!(refusal_of_hashing(), "common_lb_config.consistent_hashing_lb_config.hash_balance_factor");
    assert_eq!(refused(BalancerPolicy::Maglev { table_size: 100 }), "maglev_lb_config.table_size");
    let upside_down =
        BalancerPolicy::RingHash { minimum_ring_size: 2, maximum_ring_size: 1, function: RingFunction::XxHash };
    assert_eq!(refused(upside_down), "ring_hash_lb_config.minimum_ring_size");
    assert!(decode_listener(b"\xff\xff").is_err());
}

/// The field for which a cluster balanced so is refused.
fn refused(balancer: BalancerPolicy) -> String {
    let encoded = encode_cluster(&Cluster { balancer, ..cluster() }, Flavor::Leno);
    decode_cluster(&encoded.body).unwrap_err().field
}

fn refusal_of_hashing() -> String {
    use leno_proto::envoy::config::cluster::v3::cluster::common_lb_config::ConsistentHashingLbConfig;
    let mut proto = super::cluster::encode(&cluster(), Flavor::Leno);
    let hashing = ConsistentHashingLbConfig { hash_balance_factor: common::u32_value(99), ..Default::default() };
    proto.common_lb_config.as_mut().unwrap().consistent_hashing_lb_config = Some(hashing);
    decode_cluster(&proto.encode_to_vec()).unwrap_err().field
}

/// What Envoy and gRPC would refuse as a whole table.
#[test]
fn a_route_whose_weights_are_all_zero_answers_503_to_others() {
    let forward =
        Forward { clusters: vec![WeightedCluster::new("a", 0), WeightedCluster::new("b", 0)], ..Forward::to("a") };
    let route = Route::new("r", RouteMatch::any(), RouteAction::Forward(Box::new(forward.clone())));
    let host =
        VirtualHost { name: "h".into(), domains: vec!["*".into()], routes: vec![route], ..VirtualHost::default() };
    let table = RouteTable::new("t", vec![host]);
    let action = |flavor| {
        let table = decode_route_table(&encode_route_table(&table, flavor).body).unwrap();
        table.virtual_hosts[0].routes[0].action.clone()
    };
    assert_eq!(action(Flavor::Leno), RouteAction::Forward(Box::new(forward)));
    for flavor in [Flavor::Envoy, Flavor::Grpc] {
        assert!(matches!(action(flavor), RouteAction::Direct(direct) if direct.status == 503));
    }
}

/// Envoy's `prefix_rewrite` would make `//b` of `/a/b`.
#[test]
fn a_prefix_replaced_by_a_slash_leaves_no_double_slash_to_others() {
    let route = |rewrite: &str| {
        Route::new(
            "r",
            RouteMatch {
                path: PathMatch::PathSeparatedPrefix { text: "/a.b".into(), ignore_case: false },
                ..RouteMatch::any()
            },
            RouteAction::Forward(Box::new(Forward {
                rewrite: Some(Rewrite::Prefix(rewrite.into())),
                ..Forward::to("c")
            })),
        )
    };
    let read = |rewrite: &str, flavor| {
        let routes = vec![route(rewrite)];
        let host = VirtualHost { name: "h".into(), domains: vec!["*".into()], routes, ..VirtualHost::default() };
        let table = RouteTable::new("t", vec![host]);
        let table = decode_route_table(&encode_route_table(&table, flavor).body).unwrap();
        match &table.virtual_hosts[0].routes[0].action {
            RouteAction::Forward(forward) => forward.rewrite.clone().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read("/", Flavor::Leno), Rewrite::Prefix("/".into()));
    assert_eq!(read("/x", Flavor::Envoy), Rewrite::Prefix("/x".into()));
    let regex = |substitution: &str| Rewrite::Regex {
        pattern: r"^\/a\.b/?(.*)$".to_owned(),
        substitution: substitution.to_owned(),
    };
    assert_eq!(read("/", Flavor::Envoy), regex(r"/\1"));
    assert_eq!(read(r"/x\/", Flavor::Envoy), regex(r"/x\\/\1"));
}

#[test]
fn what_other_control_planes_leave_out_has_envoys_defaults() {
    use leno_proto::envoy::config::cluster::v3::Cluster as Proto;
    let read = decode_cluster(&Proto { name: "c".into(), ..Proto::default() }.encode_to_vec()).unwrap();
    assert_eq!((read.connect_timeout, read.balancer), (Duration::from_secs(5), BalancerPolicy::RoundRobin));
    assert_eq!((read.http.protocol, read.circuit_breakers.default.max_requests), (UpstreamProtocol::Http1, 1024));
    #[allow(deprecated, reason = "other control planes still say HTTP/2 on the cluster itself")]
    let http2 = Proto { name: "c".into(), http2_protocol_options: Some(Default::default()), ..Proto::default() };
    assert_eq!(decode_cluster(&http2.encode_to_vec()).unwrap().http.protocol, UpstreamProtocol::Http2);
}

/// A name that is asked for in the older field must not be lost: the peer would go unchecked.
#[test]
#[allow(deprecated, reason = "what gRPC reads and older control planes write")]
fn names_in_the_older_field_are_read() {
    use leno_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
    let context = proto::CertificateValidationContext {
        match_subject_alt_names: vec![matching::encode(&StringMatch::exact("spiffe://td/ns/a/sa/b"))],
        ..Default::default()
    };
    let combined = proto::common_tls_context::CombinedCertificateValidationContext {
        default_validation_context: Some(context),
        validation_context_sds_secret_config: Some(proto::SdsSecretConfig { name: "ROOTCA".into(), sds_config: None }),
        ..Default::default()
    };
    let kind = proto::common_tls_context::ValidationContextType::CombinedValidationContext(combined);
    let common = proto::CommonTlsContext { validation_context_type: Some(kind), ..Default::default() };
    let context = proto::UpstreamTlsContext { common_tls_context: Some(common), ..Default::default() };
    let socket = leno_proto::envoy::config::core::v3::TransportSocket {
        name: "tls".into(),
        config_type: Some(leno_proto::envoy::config::core::v3::transport_socket::ConfigType::TypedConfig(common::any(
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            &context,
        ))),
    };
    let read = tls::read_upstream(&socket).unwrap().and_then(|tls| tls.validation).unwrap();
    let name = StringMatch::exact("spiffe://td/ns/a/sa/b");
    assert_eq!(read.subject_alt_names, [leno_ir::SubjectAltName { kind: leno_ir::SubjectAltNameKind::Any, name }]);
}

#[test]
fn what_grpc_gets_has_nothing_that_it_refuses() {
    use leno_proto::envoy::config::cluster::v3::{Cluster as Proto, cluster::LbPolicy};
    use leno_proto::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
    let proto = Proto::decode(encode_cluster(&cluster(), Flavor::Grpc).body.as_slice()).unwrap();
    assert_eq!((proto.lb_policy(), proto.load_balancing_policy), (LbPolicy::RoundRobin, None));
    let config = match proto.transport_socket.unwrap().config_type {
        Some(leno_proto::envoy::config::core::v3::transport_socket::ConfigType::TypedConfig(config)) => config,
        None => panic!("no configuration"),
    };
    let tls = UpstreamTlsContext::decode(config.value.as_slice()).unwrap().common_tls_context.unwrap();
    assert!(tls.tls_params.is_none() && tls.tls_certificate_sds_secret_configs.is_empty());
    assert_eq!(tls.tls_certificate_provider_instance.unwrap().instance_name, "default");
}

/// From another control plane these arrive unchecked; written as they are they would end a line of the message.
#[test]
fn what_would_break_the_head_of_a_message_is_refused_with_its_field() {
    let refused = |change: &dyn Fn(&mut Route)| {
        let mut route = Route::new("r", RouteMatch::any(), RouteAction::Forward(Box::new(Forward::to("c"))));
        change(&mut route);
        let (domains, routes) = (vec!["*".into()], vec![route]);
        let host = VirtualHost { name: "h".into(), domains, routes, ..VirtualHost::default() };
        let table = RouteTable::new("t", vec![host]);
        let field = decode_route_table(&encode_route_table(&table, Flavor::Leno).body).unwrap_err().field;
        field.strip_prefix("virtual_hosts[0].routes[0].").unwrap_or(&field).to_owned()
    };
    assert_eq!(
        refused(&|route: &mut Route| route.request_headers = header("x-a", "b\r\nc: d")),
        "request_headers_to_add.header.value"
    );
    assert_eq!(
        refused(&|route: &mut Route| route.response_headers = header("a\r\nb", "c")),
        "response_headers_to_add.header.key"
    );
    assert_eq!(
        refused(&|route: &mut Route| route.request_headers = header(":path", "/")),
        "request_headers_to_add.header.key"
    );
    assert_eq!(
        refused(&|route: &mut Route| route.request_headers = header("content-length", "5")),
        "request_headers_to_add.header.key"
    );
    let forward = |rewrite, host: Option<&str>| {
        let host_rewrite = host.map(Into::into);
        RouteAction::Forward(Box::new(Forward { rewrite, host_rewrite, ..Forward::to("c") }))
    };
    let rewritten =
        |rewrite: Rewrite| refused(&|route: &mut Route| route.action = forward(Some(rewrite.clone()), None));
    assert_eq!(rewritten(Rewrite::Prefix("/a b".into())), "route.prefix_rewrite");
    assert_eq!(rewritten(Rewrite::Path("/a\r\nb".into())), "route.regex_rewrite.substitution");
    assert_eq!(
        refused(&|route: &mut Route| route.action = forward(None, Some("a\r\nb: c"))),
        "route.host_rewrite_literal"
    );
    let redirected =
        |redirect: Redirect| refused(&|route: &mut Route| route.action = RouteAction::Redirect(redirect.clone()));
    let redirect = Redirect { scheme: None, host: None, port: None, path: None, status: 301, strip_query: false };
    let path = Some(RedirectPath::Full("/a\r\nb: c".into()));
    assert_eq!(redirected(Redirect { path, ..redirect.clone() }), "redirect.path_redirect");
    assert_eq!(redirected(Redirect { host: Some("a\nb".into()), ..redirect }), "redirect.host_redirect");
}

fn header(name: &str, value: &str) -> HeaderOps {
    let append = HeaderAppend::OverwriteOrAdd;
    HeaderOps { remove: vec![], add: vec![HeaderValue::new(name, value, append)] }
}

mod filters;
