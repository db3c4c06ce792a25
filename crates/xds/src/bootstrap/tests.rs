use std::time::Duration;

use leno_ir::{Discovery, NetworkFilter, PathMatch, RouteAction, RouteSource};

use super::*;

const HTTP: &str = r#"
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 9901 } } }
node: { id: one, cluster: edge }
static_resources:
  listeners:
  - name: http
    address: { socket_address: { address: 127.0.0.1, port_value: 8080 } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: /a }
                route: { cluster: app, timeout: 1.5s }
              - match: { prefix: / }
                direct_response: { status: 404, body: { inline_string: none } }
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: app
    type: STATIC
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9000 } } }
"#;

fn problems(text: &str) -> Vec<String> {
    let problems = read_bootstrap(text).expect_err("it is refused");
    problems.iter().map(ToString::to_string).collect()
}

/// The problems once a line of [`HTTP`] says something else.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(HTTP.contains(from), "{from}");
    problems(&HTTP.replacen(from, to, 1))
}

#[test]
fn a_bootstrap_becomes_a_configuration() {
    let bootstrap = read_bootstrap(HTTP).expect("it is supported");
    assert_eq!((bootstrap.node_id.as_str(), bootstrap.node_cluster.as_str()), ("one", "edge"));
    assert_eq!(bootstrap.admin, Some(([127, 0, 0, 1], 9901).into()));
    let listener = &bootstrap.config.listeners["http"];
    assert_eq!(listener.address, ([127, 0, 0, 1], 8080).into());
    let NetworkFilter::Http(manager) = &listener.filter_chains[0].filter else { panic!("HTTP") };
    let RouteSource::Inline(table) = &manager.routes else { panic!("inline") };
    let routes = &table.virtual_hosts[0].routes;
    assert_eq!(routes[0].matches.path, PathMatch::Prefix { text: "/a".to_owned(), ignore_case: false });
    let RouteAction::Forward(forward) = &routes[0].action else { panic!("forward") };
    assert_eq!(forward.timeout, Some(Duration::from_millis(1500)));
    assert!(matches!(routes[1].action, RouteAction::Direct(_)));
    let Discovery::Static(endpoints) = &bootstrap.config.clusters["app"].discovery else { panic!("static") };
    assert_eq!(endpoints.endpoints().next().expect("one").address, ([127, 0, 0, 1], 9000).into());
}

#[test]
fn json_in_camel_case_says_the_same() {
    fn camel(value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::Array(items) => items.into_iter().map(camel).collect(),
            Value::Object(entries) => {
                Value::Object(entries.into_iter().map(|(key, value)| (tree::camel_case(&key), camel(value))).collect())
            }
            other => other,
        }
    }
    let tree: Tree = serde_saphyr::from_str(HTTP).expect("YAML");
    let json = serde_json::to_string_pretty(&camel(tree.to_json())).expect("JSON").replace("  ", "\t");
    assert!(json.contains("staticResources") && json.contains("\t\"portValue\""), "{json}");
    assert_eq!(read_bootstrap(&json).expect("it is supported"), read_bootstrap(HTTP).expect("it is supported"));
}

#[test]
fn what_leno_does_not_have_is_refused_with_its_place() {
    let filter = "- name: envoy.filters.http.lua
            typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua }
          - name: envoy.filters.http.router";
    let manager = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";
    assert_eq!(
        changed("- name: envoy.filters.http.router", filter),
        [format!(
            "24: {manager}.http_filters[0]: no such filter here: envoy.filters.http.lua (envoy.extensions.filters.http.lua.v3.Lua)"
        )]
    );
    assert_eq!(
        changed("stat_prefix: http\n", "stat_prefix: http\n          tracing: {}\n"),
        [format!("14: {manager}.tracing: is not supported")]
    );
    assert_eq!(
        changed("type: STATIC", "type: ORIGINAL_DST"),
        ["29: static_resources.clusters[0].load_assignment: is not supported"]
    );
    assert_eq!(
        changed("type: STATIC", "type: EDS"),
        ["28: static_resources.clusters[0].type: EDS needs a control plane, and a static bootstrap has none"]
    );
    assert_eq!(
        changed(
            "type: STATIC",
            "health_checks: [{ timeout: 1s, healthy_threshold: 1, unhealthy_threshold: 1, tcp_health_check: {} }]"
        ),
        ["28: static_resources.clusters[0].health_checks[0].interval: is missing"]
    );
    assert_eq!(
        changed("type: STATIC", "filters: [{ name: a }]"),
        ["28: static_resources.clusters[0].filters: is not supported"]
    );
    assert_eq!(
        changed("node:", "dynamic_resources: { ads_config: {} }\nnode:"),
        ["3: dynamic_resources: needs a control plane, and a static bootstrap has none"]
    );
}

#[test]
fn all_problems_are_reported_in_the_order_of_the_file() {
    let text = HTTP
        .replace("prefix: /a", "prefx: /a")
        .replace("timeout: 1.5s", "timeout: soon")
        .replace("port_value: 9901", "port_value: many")
        .replace("type: STATIC", "type: FIXED");
    let found = problems(&text);
    assert_eq!(found.len(), 4, "{found:#?}");
    let route = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config\
                 .virtual_hosts[0].routes[0]";
    assert!(found[0].starts_with("2: admin.address.socket_address.port_value: "), "{}", found[0]);
    assert_eq!(
        found[1],
        format!("19: {route}.match.prefx: envoy.config.route.v3.RouteMatch has no such field; did you mean prefix?")
    );
    assert!(found[2].starts_with(&format!("20: {route}.route.timeout: ")), "{}", found[2]);
    assert_eq!(
        found[3],
        "28: static_resources.clusters[0].type: \"FIXED\" is none of STATIC, STRICT_DNS, LOGICAL_DNS, EDS, ORIGINAL_DST"
    );
}

#[test]
fn what_says_nothing_is_no_problem() {
    let text = HTTP.replacen(
        "type: STATIC",
        "health_checks: []\n    dns_refresh_rate: null\n    outlier_detection: { detect_degraded_hosts: false }",
        1,
    );
    assert!(
        read_bootstrap(&text.replacen("stat_prefix", "use_remote_address: false\n          stat_prefix", 1)).is_ok()
    );
    let found = changed("type: STATIC", "outlier_detection: { detect_degraded_hosts: true }");
    assert_eq!(found, ["28: static_resources.clusters[0].outlier_detection.detect_degraded_hosts: is not supported"]);
}

#[test]
fn two_fields_of_a_choice_are_refused() {
    let found = changed("{ prefix: /a }", "{ prefix: /a, path: /b }");
    assert!(found[0].ends_with("match.path: cannot be set together with prefix"), "{found:?}");
    let found = changed("stat_prefix: http\n", "stat_prefix: http\n          statPrefix: http\n");
    assert!(found[0].ends_with("stat_prefix: is there twice"), "{found:?}");
}

#[test]
fn clusters_that_are_not_there_are_reported() {
    let route = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config\
                 .virtual_hosts[0].routes[0].route";
    assert_eq!(changed("cluster: app", "cluster: apps"), [format!("20: {route}: there is no cluster apps")]);
    let text = HTTP.replacen("cluster: app", "cluster: apps", 1);
    assert!(
        read_bootstrap(&text.replacen("route_config:", "route_config:\n            validate_clusters: false", 1))
            .is_ok()
    );
}

#[test]
fn names_are_used_once() {
    let cluster = "  clusters:\n  - name: app\n";
    assert_eq!(
        changed("  clusters:\n", cluster),
        ["28: static_resources.clusters[1].name: another cluster is called app"]
    );
}

#[test]
fn no_yaml_names_the_line() {
    let found = changed("type: STATIC", "type: [STATIC");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!found[0].starts_with("1: "), "{found:?}");
    assert_eq!(problems(""), ["1: static_resources: is missing: there would be nothing to serve"]);
    assert_eq!(
        problems("[]"),
        ["1: must be an object", "1: static_resources: is missing: there would be nothing to serve"]
    );
}

const TLS: &str = r#"
static_resources:
  secrets:
  - name: mine
    tls_certificate: { certificate_chain: { filename: /c.pem }, private_key: { environment_variable: KEY } }
  - name: roots
    validation_context: { trusted_ca: { inline_string: CA } }
  listeners:
  - name: tls
    address: { socket_address: { address: 127.0.0.1, port_value: 8443 } }
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificate_sds_secret_configs: [{ name: mine }]
            validation_context_sds_secret_config: { name: roots }
      filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: app
  clusters:
  - name: app
    type: STATIC
    load_assignment: { cluster_name: app, endpoints: [] }
"#;

#[test]
fn secrets_of_the_file_go_where_they_are_named() {
    use leno_ir::{CertificateSource, DataSource, RootsSource};
    let bootstrap = read_bootstrap(TLS).expect("it is supported");
    let tls = bootstrap.config.listeners["tls"].filter_chains[0].tls.clone().expect("it has TLS");
    let CertificateSource::Pem(certificates) = tls.certificate else { panic!("a certificate of its own") };
    assert_eq!(certificates[0].private_key, DataSource::Environment("KEY".to_owned()));
    let RootsSource::Pem(roots) = tls.validation.expect("clients are checked").roots else { panic!("roots") };
    assert_eq!(roots.certificates, DataSource::inline("CA"));
}

#[test]
fn a_secret_that_is_not_there_is_a_problem_of_its_line() {
    let found = problems(&TLS.replace("[{ name: mine }]", "[{ name: yours }]"));
    let place = "static_resources.listeners[0].filter_chains[0].transport_socket.typed_config.common_tls_context";
    assert_eq!(found, [format!("17: {place}.tls_certificate_sds_secret_configs[0]: there is no secret yours")]);
}

#[test]
fn whoever_looks_at_files_has_a_say() {
    let check = |part: BootstrapPart<'_>| match part {
        BootstrapPart::Listener(_) => vec![DecodeError::new("filter_chains[0].transport_socket", "is no good")],
        BootstrapPart::Cluster(_) => Vec::new(),
    };
    let found = read_bootstrap_checked(TLS, &check).expect_err("it is refused");
    assert_eq!((found[0].line, found[0].reason.as_str()), (12, "is no good"));
}

#[test]
fn json_means_the_same_and_its_faults_have_lines() {
    let yaml: serde_json::Value = serde_saphyr::from_str(HTTP).expect("it is YAML");
    let json = serde_json::to_string_pretty(&yaml).expect("it is JSON");
    assert_eq!(read_bootstrap(&json), read_bootstrap(HTTP));
    let faulty = json.replacen("\"stat_prefix\"", "\"stat_suffix\"", 1);
    let line = 1 + faulty.lines().position(|line| line.contains("stat_suffix")).expect("it is there");
    let said = problems(&faulty);
    assert!(matches!(said.as_slice(), [only] if only.starts_with(&format!("{line}: static_resources"))), "{said:?}");
    let twice = json.replacen("\"id\": \"one\"", "\"id\": \"one\", \"id\": \"two\"", 1);
    assert_eq!(problems(&twice).len(), 1);
}

const OVERLOAD: &str = r#"
overload_manager:
  resource_monitors:
  - name: envoy.resource_monitors.fixed_heap
    typed_config: { "@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1000 }
  actions:
  - name: envoy.overload_actions.stop_accepting_requests
    triggers: [{ name: envoy.resource_monitors.fixed_heap, threshold: { value: 0.95 } }]
"#;

#[test]
fn an_overload_manager_is_read() {
    let bootstrap = read_bootstrap(&format!("{HTTP}{OVERLOAD}")).expect("it is supported");
    let overload = bootstrap.overload.expect("there is one");
    assert_eq!(overload.refresh_interval, Duration::from_secs(1));
    assert_eq!((overload.max_heap_size_bytes, overload.max_downstream_connections), (Some(1000), None));
    let kind = leno_ir::OverloadActionKind::StopAcceptingRequests;
    let trigger = leno_ir::OverloadTrigger::Threshold(0.95);
    assert_eq!(overload.actions, [leno_ir::OverloadAction { kind, trigger }]);
}

#[test]
fn an_action_that_is_not_supported_is_refused_by_its_place() {
    let text = OVERLOAD.replace("stop_accepting_requests", "reduce_timeouts");
    let problems = problems(&format!("{HTTP}{text}"));
    assert!(problems.len() == 1 && problems[0].contains("overload_manager.actions[0].name: "), "{problems:?}");
}

/// What Envoy's API says of values beyond their types.
#[test]
fn values_that_envoy_would_not_start_with_are_refused() {
    let route = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0]";
    for (from, to, said) in [
        ("stat_prefix: http", "stat_prefix: ''", "typed_config.stat_prefix: is empty"),
        ("          stat_prefix: http\n", "", "typed_config.stat_prefix: is missing"),
        ("timeout: 1.5s", "timeout: -1.5s", "route.timeout: is negative"),
        ("timeout: 1.5s", "timeout: 315576000000s", "route.timeout: is too long"),
        ("type: STATIC", "connect_timeout: 0s", "clusters[0].connect_timeout: must be above 0s"),
        ("type: STATIC", "lb_policy: 99", "clusters[0].lb_policy: 99 is no value of LbPolicy"),
        ("type: STATIC", "dns_refresh_rate: 0.0005s", "clusters[0].dns_refresh_rate: must be above 0.001s"),
        ("domains: [\"*\"]", "domains: []", "virtual_hosts[0].domains: is empty"),
        ("domains: [\"*\"]", "domains: [a.test, A.test]", "virtual_hosts[0].domains: a.test is twice in this table"),
        ("prefix: /a", "prefix: /a, headers: [{ present_match: true }]", "match.headers[0].name: is missing"),
        (
            "cluster: app, timeout: 1.5s",
            "weighted_clusters: { clusters: [{ name: app, weight: 0 }] }",
            "route.weighted_clusters: the weights add up to 0, which is not from 1 to 4294967295",
        ),
    ] {
        let found = changed(from, to);
        assert!(matches!(found.as_slice(), [only] if only.ends_with(said)), "{to}: {found:?}");
    }
    let twice = changed("prefix: /a", "prefx: /a");
    assert_eq!(twice.len(), 1, "what is misspelt is not missing too: {twice:?}");
    assert!(twice[0].contains(route));
}

#[test]
fn names_of_values_have_no_case_and_truth_may_stand_in_quotes() {
    let text = HTTP.replace("type: STATIC", "type: static\n    lb_policy: least_request");
    let text = text.replace("stat_prefix: http", "stat_prefix: http\n          normalize_path: \"true\"");
    let bootstrap = read_bootstrap(&text).expect("as Envoy reads it");
    assert!(matches!(bootstrap.config.clusters["app"].discovery, Discovery::Static(_)));
    let NetworkFilter::Http(manager) = &bootstrap.config.listeners["http"].filter_chains[0].filter else {
        panic!("HTTP")
    };
    assert!(manager.edge.normalize_path);
}

/// `log_format` is required in the API, but in a oneof that need not be there.
#[test]
fn a_log_needs_no_format() {
    for name in ["stream.v3.StdoutAccessLog", "stream.v3.StderrAccessLog", "file.v3.FileAccessLog, path: /dev/null"] {
        let log = format!(
            "stat_prefix: http\n          access_log: [{{ name: a, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.access_loggers.{name} }} }}]"
        );
        assert!(read_bootstrap(&HTTP.replace("stat_prefix: http", &log)).is_ok(), "{name}");
    }
}

#[test]
fn a_listener_without_filter_chains_is_refused() {
    let at = HTTP.find("    filter_chains").expect("it is there");
    let text = format!("{}{}", &HTTP[..at], &HTTP[HTTP.find("  clusters:").expect("it is there")..]);
    assert!(problems(&text)[0].contains("listeners[0].filter_chains: is missing"));
}

#[test]
fn a_large_file_is_read_and_a_bomb_is_not() {
    assert!(yaml::read::<Tree>(&format!("[{}]", "x, ".repeat(260_000))).is_ok());
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (of, name) in "abcde".chars().zip("bcdef".chars()) {
        bomb.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 10].join(", ")));
    }
    let (_, said) = yaml::read::<Tree>(&bomb).expect_err("a million values");
    assert!(said.starts_with("too many values, with aliases counted"), "{said}");
}

#[test]
fn what_is_no_yaml_is_said_in_words_of_ours() {
    assert_eq!(problems(&format!("{HTTP}---\n{HTTP}")).len(), 1);
    assert!(
        problems(&format!("{HTTP}---\n{HTTP}"))[0].ends_with(": a second document begins here; a bootstrap is one")
    );
    assert_eq!(
        changed("stat_prefix: http", "stat_prefix: http\n          stat_prefix: b"),
        ["14: stat_prefix is there twice"]
    );
}

/// The reader looks for them by halves.
#[test]
fn rules_are_sorted_by_message() {
    let messages: Vec<_> = leno_proto::BOOTSTRAP_RULES.lines().filter_map(|line| line.split('\t').next()).collect();
    assert!(messages.is_sorted());
}
