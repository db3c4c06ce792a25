use leno_proto::envoy::config::cluster::v3::Cluster;
use leno_proto::envoy::config::core::v3::health_check::{HealthChecker, HttpHealthCheck};
use leno_proto::envoy::config::core::v3::{HealthCheck, HealthStatus, HealthStatusSet};
use leno_proto::envoy::config::endpoint::v3::{ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints};
use leno_proto::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use leno_proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use leno_proto::envoy::extensions::filters::http::buffer::v3::{BufferPerRoute, buffer_per_route::Override};
use leno_proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier};
use leno_proto::google::protobuf::{Any, Duration, UInt32Value};
use prost::{Message, Name};

use super::check_rules;

fn problem<M: Message + Name>(message: &M) -> String {
    check_rules(&M::full_name(), &message.encode_to_vec()).expect_err("it breaks a rule").to_string()
}

fn cluster() -> Cluster {
    Cluster { name: "a".into(), ..Cluster::default() }
}

#[test]
fn numbers_texts_and_times_are_looked_at() {
    assert_eq!(check_rules(&Cluster::full_name(), &cluster().encode_to_vec()), Ok(()));
    assert_eq!(problem(&Cluster::default()), "name: is missing");
    let time = |seconds, nanos| Cluster { connect_timeout: Some(Duration { seconds, nanos }), ..cluster() };
    assert_eq!(problem(&time(-1, 0)), "connect_timeout: is negative");
    assert_eq!(problem(&time(0, 0)), "connect_timeout: must be above 0s");
    assert_eq!(problem(&time(i64::MAX, 0)), "connect_timeout: is too long");
    let endpoint =
        |weight| LbEndpoint { load_balancing_weight: Some(UInt32Value { value: weight }), ..LbEndpoint::default() };
    let set = |lb_endpoints, priority| ClusterLoadAssignment {
        cluster_name: "a".into(),
        endpoints: vec![
            LocalityLbEndpoints::default(),
            LocalityLbEndpoints { lb_endpoints, priority, ..Default::default() },
        ],
        ..ClusterLoadAssignment::default()
    };
    let found = problem(&set(vec![endpoint(1), endpoint(0)], 0));
    assert_eq!(found, "endpoints[1].lb_endpoints[1].load_balancing_weight: must be at least 1");
    assert_eq!(problem(&set(Vec::new(), 129)), "endpoints[1].priority: must be at most 128");
    assert_eq!(check_rules(&ClusterLoadAssignment::full_name(), &set(vec![endpoint(1)], 128).encode_to_vec()), Ok(()));
}

#[test]
fn what_must_be_there_is_missed_and_lists_are_counted() {
    let check = |health_checker| Cluster {
        health_checks: vec![HealthCheck {
            timeout: Some(Duration { seconds: 1, nanos: 0 }),
            interval: Some(Duration { seconds: 1, nanos: 0 }),
            unhealthy_threshold: Some(UInt32Value { value: 1 }),
            healthy_threshold: Some(UInt32Value { value: 1 }),
            health_checker,
            ..HealthCheck::default()
        }],
        ..cluster()
    };
    assert!(problem(&check(None)).starts_with("health_checks[0].health_checker: is missing: one of http_health_check"));
    let http = HealthChecker::HttpHealthCheck(HttpHealthCheck::default());
    assert_eq!(problem(&check(Some(http))), "health_checks[0].http_health_check.path: is missing");
    let host = VirtualHost { name: "a".into(), ..VirtualHost::default() };
    let table = RouteConfiguration { virtual_hosts: vec![host], ..RouteConfiguration::default() };
    assert_eq!(problem(&table), "virtual_hosts[0].domains: is missing");
}

#[test]
fn messages_in_messages_of_any_type_and_values_of_maps_are_looked_at() {
    let any = |proxy: TcpProxy| Any { type_url: TcpProxy::type_url(), value: proxy.encode_to_vec() };
    let filter = Filter {
        name: "tcp".into(),
        config_type: Some(filter::ConfigType::TypedConfig(any(TcpProxy {
            cluster_specifier: Some(ClusterSpecifier::Cluster("a".into())),
            ..TcpProxy::default()
        }))),
    };
    let listener = Listener {
        filter_chains: vec![FilterChain { filters: vec![filter], ..FilterChain::default() }],
        ..Listener::default()
    };
    assert_eq!(problem(&listener), "filter_chains[0].filters[0].typed_config.stat_prefix: is missing");
    let route = BufferPerRoute { r#override: Some(Override::Disabled(false)) };
    let overridden = RouteConfiguration {
        typed_per_filter_config: [(
            "buffer".to_owned(),
            Any { type_url: BufferPerRoute::type_url(), value: route.encode_to_vec() },
        )]
        .into(),
        ..RouteConfiguration::default()
    };
    assert_eq!(problem(&overridden), "typed_per_filter_config[buffer].disabled: must be true");
}

#[test]
fn values_of_enumerations_are_known_ones_also_in_packed_lists() {
    let one_by_one = HealthStatusSet { statuses: vec![HealthStatus::Healthy.into(), 77] };
    assert_eq!(problem(&one_by_one), "statuses[1]: 77 is no value of HealthStatus");
    let packed = check_rules(&HealthStatusSet::full_name(), &[0x0a, 2, 1, 77]).expect_err("it breaks a rule");
    assert_eq!(packed.to_string(), "statuses[0]: 77 is no value of HealthStatus");
}

#[test]
fn broken_bytes_are_left_to_the_decoder() {
    let bytes = cluster().encode_to_vec();
    for length in 0..bytes.len() {
        let _ = check_rules(&Cluster::full_name(), &bytes[..length]);
    }
    assert_eq!(check_rules(&Cluster::full_name(), &[0xff; 9]), Ok(()));
}
