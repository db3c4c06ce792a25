use leno_ir::{Direction, FilterChain, FilterChainMatch, HttpConnectionManager, HttpFilterConfig, ListenerOptions};
use leno_ir::{NetworkFilter, RouteSource, ServerHeader};
use serde_json::json;

use super::*;

const MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

fn listener() -> Listener {
    let manager = HttpConnectionManager::new("inbound", RouteSource::Rds("table".to_owned()));
    Listener {
        name: "inbound|80||".to_owned(),
        address: "127.0.0.1:15006".parse().expect("an address"),
        direction: Direction::Inbound,
        inspect_tls: false,
        inspect_http: false,
        filter_chains: Vec::new(),
        default_filter_chain: Some(FilterChain {
            name: "inbound|80||".to_owned(),
            matches: FilterChainMatch::default(),
            tls: None,
            connection_filters: Vec::new(),
            filter: NetworkFilter::Http(Box::new(manager)),
        }),
        options: ListenerOptions::default(),
        api: false,
    }
}

fn manager(listener: &Listener) -> &HttpConnectionManager {
    match &listener.default_filter_chain.as_ref().expect("it has one").filter {
        NetworkFilter::Http(manager) => manager,
        NetworkFilter::Tcp(_) => panic!("it speaks HTTP"),
    }
}

fn change(part: PatchPart<'_>, operation: PatchOperation, value: &Value) -> Result<Option<Listener>> {
    Patcher::new().listener(&listener(), Patch { part, operation, value })
}

#[test]
fn a_rate_limit_comes_before_the_router() {
    // As in Istio's task "Enabling Rate Limits using Envoy".
    let value = json!({
        "name": "envoy.filters.http.local_ratelimit",
        "typed_config": {
            "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
            "type_url": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            "value": {
                "stat_prefix": "http_local_rate_limiter",
                "token_bucket": { "max_tokens": 4, "tokens_per_fill": 4, "fill_interval": "60s" },
                "filter_enabled": { "default_value": { "numerator": 100, "denominator": "HUNDRED" } },
                "filter_enforced": { "default_value": { "numerator": 100, "denominator": "HUNDRED" } },
            },
        },
    });
    let part = PatchPart::HttpFilter { name: Some("envoy.filters.http.router") };
    let changed = change(part, PatchOperation::InsertBefore, &value).expect("it is supported").expect("it is there");
    let filters = &manager(&changed).filters;
    assert_eq!(filters.len(), 1);
    assert!(matches!(filters[0].config, HttpFilterConfig::LocalRateLimit(_)));
    // Everything else is as it was.
    let mut without = changed.clone();
    let NetworkFilter::Http(manager) = &mut without.default_filter_chain.as_mut().expect("it has one").filter else {
        panic!("it speaks HTTP")
    };
    manager.filters.clear();
    assert_eq!(without, listener());
    let part = PatchPart::HttpFilter { name: Some("envoy.filters.http.cors") };
    assert_eq!(change(part, PatchOperation::InsertBefore, &value), Ok(None));
}

#[test]
fn merging_changes_what_is_named_and_nothing_else() {
    let value = json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": MANAGER,
            "xff_num_trusted_hops": 2,
            "server_name": "shop",
            // The first value of its enum, which the wire leaves out.
            "serverHeaderTransformation": "OVERWRITE",
            "common_http_protocol_options": { "idle_timeout": "0.5s", "max_headers_count": 7 },
            "http_protocol_options": { "header_key_format": { "proper_case_words": {} } },
        },
    });
    let part = PatchPart::NetworkFilter { name: Some("envoy.filters.network.http_connection_manager") };
    let changed = change(part, PatchOperation::Merge, &value).expect("it is supported").expect("it is there");
    let (before, after) = (listener(), manager(&changed));
    let before = manager(&before);
    assert_eq!(after.edge.xff_num_trusted_hops, 2);
    assert_eq!((&*after.edge.server_name, after.edge.server_header), ("shop", ServerHeader::Overwrite));
    assert_eq!(after.idle_timeout, Some(std::time::Duration::from_millis(500)));
    assert_eq!(after.max_request_headers_count, 7);
    assert_ne!(after.http1, before.http1);
    assert_eq!((&after.routes, after.request_headers_timeout), (&before.routes, before.request_headers_timeout));
}

#[test]
fn what_the_proxy_cannot_do_is_refused_with_its_field() {
    let lua = json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "inlineCode": "function envoy_on_request(handle) end",
        },
    });
    let found =
        change(PatchPart::HttpFilter { name: None }, PatchOperation::InsertFirst, &lua).expect_err("no Lua here");
    assert!(found[0].field.contains("http_filters[0]"), "{found:?}");
    let misspelt = json!({ "typed_config": { "@type": MANAGER, "xff_trusted_hops": 1 } });
    let found = change(PatchPart::NetworkFilter { name: None }, PatchOperation::Merge, &misspelt).expect_err("a typo");
    assert_eq!(found[0].field, "typed_config.xff_trusted_hops");
}

/// HTTP filters that Istio's users insert, and whether the proxy has them.
#[test]
fn filters_of_the_field_are_inserted_or_refused() {
    let extensions = "type.googleapis.com/envoy.extensions";
    let service =
        json!({ "grpc_service": { "envoy_grpc": { "cluster_name": "ratelimit" } }, "transport_api_version": "V3" });
    let cases = [
        (
            "envoy.filters.http.ratelimit",
            json!({
                "@type": format!("{extensions}.filters.http.ratelimit.v3.RateLimit"),
                "domain": "shop", "failure_mode_deny": true, "timeout": "10s", "rate_limit_service": service,
            }),
            true,
        ),
        (
            "envoy.filters.http.compressor",
            json!({
                "@type": format!("{extensions}.filters.http.compressor.v3.Compressor"),
                "response_direction_config": { "common_config": { "min_content_length": 100, "content_type": ["text/html"] } },
                "compressor_library": {
                    "name": "gzip",
                    "typed_config": { "@type": format!("{extensions}.compression.gzip.compressor.v3.Gzip") },
                },
            }),
            true,
        ),
        (
            "envoy.filters.http.ext_proc",
            json!({
                "@type": format!("{extensions}.filters.http.ext_proc.v3.ExternalProcessor"),
                "grpc_service": { "envoy_grpc": { "cluster_name": "processor" } },
            }),
            false,
        ),
        (
            "envoy.filters.http.wasm",
            json!({ "@type": format!("{extensions}.filters.http.wasm.v3.Wasm"), "config": {} }),
            false,
        ),
    ];
    for (name, config, is_known) in cases {
        let value = json!({ "name": name, "typed_config": config });
        let part = PatchPart::HttpFilter { name: Some("envoy.filters.http.router") };
        let changed = change(part, PatchOperation::InsertBefore, &value);
        assert_eq!(matches!(changed, Ok(Some(_))), is_known, "{name}: {changed:?}");
        if let Err(found) = changed {
            assert!(!found.is_empty() && found.iter().all(|problem| !problem.field.is_empty()), "{name}: {found:?}");
        }
    }
}

#[test]
fn clusters_are_changed_and_made() {
    let before =
        Cluster::new("outbound|80||web", leno_ir::Discovery::Eds { service_name: "outbound|80||web".to_owned() });
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let value = json!({
        "connect_timeout": "0.25s",
        "upstream_connection_options": { "tcp_keepalive": { "keepalive_time": 300, "keepalive_probes": 9 } },
        "circuit_breakers": { "thresholds": [{ "max_connections": 5 }] },
        "typed_extension_protocol_options": {
            options: {
                "@type": format!("type.googleapis.com/{options}"),
                "explicit_http_config": { "http_protocol_options": { "header_key_format": {
                    "stateful_formatter": {
                        "name": "preserve_case",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
                        },
                    },
                } } },
            },
        },
    });
    let mut patcher = Patcher::new();
    let patch = Patch { part: PatchPart::Whole, operation: PatchOperation::Merge, value: &value };
    let changed = patcher.cluster(&before, patch);
    let after = changed.expect("it is supported").expect("it is a change");
    assert_eq!(after.connect_timeout, std::time::Duration::from_millis(250));
    assert_eq!(after.socket.keepalive.as_ref().and_then(|keepalive| keepalive.probes), Some(9));
    assert_eq!(after.discovery, before.discovery);

    let endpoint =
        json!({ "endpoint": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 8081 } } } });
    let value = json!({
        "name": "ratelimit", "type": "STATIC", "connect_timeout": "10s", "lb_policy": "ROUND_ROBIN",
        "load_assignment": { "cluster_name": "ratelimit", "endpoints": [{ "lb_endpoints": [endpoint] }] },
    });
    assert_eq!(patcher.new_cluster(&value).expect("it is whole").name, "ratelimit");
}
