use std::time::{Instant, SystemTime};

use leno_ir::{Cluster, Discovery, EndpointSet};
use leno_names::ServiceKey;

use super::*;
use crate::exchange::Protocol;
use crate::flags::ResponseFlags;

fn settings(max_series: usize) -> StatsSettings {
    StatsSettings {
        workload: labels("productpage-v1", "productpage"),
        identity: "spiffe://cluster.local/ns/default/sa/productpage".parse().ok(),
        max_series,
        ..StatsSettings::default()
    }
}

fn labels(workload: &str, service: &str) -> WorkloadLabels {
    WorkloadLabels {
        workload: workload.to_owned(),
        namespace: "default".to_owned(),
        service: service.to_owned(),
        version: "v1".to_owned(),
        cluster: "Kubernetes".to_owned(),
    }
}

fn connection(direction: Direction, peer: Option<&str>) -> Connection {
    Connection {
        direction,
        listener: "test".into(),
        peer: peer.and_then(|peer| peer.parse().ok()),
        mtls: peer.is_some(),
        ..Connection::for_tests(([127, 0, 0, 1], 4000))
    }
}

fn exchange(status: u16) -> Exchange {
    let mut exchange = Exchange::new(Protocol::Http11, Instant::now(), SystemTime::UNIX_EPOCH);
    exchange.status = status;
    exchange.duration = Duration::from_millis(4);
    exchange
}

fn reviews() -> Arc<Cluster> {
    let discovery = Discovery::Static(Arc::new(EndpointSet::default()));
    let mut cluster = Cluster::new("outbound|9080||reviews.default.svc.cluster.local", discovery);
    cluster.service = Some(ServiceKey::new("default", "reviews"));
    Arc::new(cluster)
}

fn lines<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(start)).collect()
}

#[test]
fn the_caller_reports_the_endpoint_and_the_service() {
    let registry = Registry::new();
    let stats = Stats::register(&registry, settings(10));
    let connection = connection(Direction::Outbound, None);
    for worker in [stats.worker(), stats.worker()] {
        let mut exchange = exchange(200);
        exchange.cluster = Some(reviews());
        exchange.workload = worker.workload(&labels("reviews-v2", "reviews"));
        worker.record(&exchange, &connection);
    }
    let text = registry.encode();
    let requests = lines(&text, "istio_requests_total{");
    assert_eq!(requests.len(), 1, "{text}");
    for part in [
        "reporter=\"source\"",
        "source_workload=\"productpage-v1\"",
        "source_principal=\"spiffe://cluster.local/ns/default/sa/productpage\"",
        "destination_workload=\"reviews-v2\"",
        "destination_service=\"reviews.default.svc.cluster.local\"",
        "destination_service_name=\"reviews\"",
        "destination_principal=\"unknown\"",
        "request_protocol=\"http\"",
        "response_code=\"200\"",
        "response_flags=\"-\"",
        "connection_security_policy=\"none\"",
    ] {
        assert!(requests[0].contains(part), "{part} in {}", requests[0]);
    }
    assert!(requests[0].ends_with(" 2"), "both workers are summed: {}", requests[0]);
    let buckets = lines(&text, "istio_request_duration_milliseconds_bucket{");
    let at = |bound: &str| {
        buckets.iter().find(|line| line.contains(&format!("le=\"{bound}\""))).map(|line| line.ends_with(" 2"))
    };
    assert_eq!((at("3.0"), at("4.0"), at("+Inf")), (Some(false), Some(true), Some(true)), "{buckets:?}");
    assert_eq!(lines(&text, "istio_request_duration_milliseconds_sum{").len(), 1);
}

#[test]
fn the_callee_reports_the_verified_client() {
    let registry = Registry::new();
    let worker = Stats::register(&registry, settings(10)).worker();
    let mut exchange = exchange(503);
    exchange.flags = ResponseFlags::UPSTREAM_CONNECTION_FAILURE;
    worker.record(&exchange, &connection(Direction::Inbound, Some("spiffe://cluster.local/ns/shop/sa/cart")));
    let text = registry.encode();
    let requests = lines(&text, "istio_requests_total{");
    for part in [
        "reporter=\"destination\"",
        "source_workload=\"cart\"",
        "source_workload_namespace=\"shop\"",
        "source_principal=\"spiffe://cluster.local/ns/shop/sa/cart\"",
        "destination_workload=\"productpage-v1\"",
        "destination_service=\"productpage.default.svc.cluster.local\"",
        "response_flags=\"UF\"",
        "connection_security_policy=\"mutual_tls\"",
    ] {
        assert!(requests[0].contains(part), "{part} in {}", requests[0]);
    }
}

#[test]
fn what_exceeds_the_limit_is_counted_as_other() {
    let registry = Registry::new();
    let worker = Stats::register(&registry, settings(2)).worker();
    let connection = connection(Direction::Outbound, None);
    for status in 200..220 {
        worker.record(&exchange(status), &connection);
    }
    let text = registry.encode();
    let requests = lines(&text, "istio_requests_total{");
    assert_eq!(requests.len(), 3, "{requests:?}");
    assert!(requests.iter().any(|line| line.contains("destination_service=\"other\"") && line.ends_with(" 18")));
    assert!(text.contains("leno_proxy_metric_overflows_total 18"));
}

#[test]
fn tcp_counts_connections_and_bytes() {
    let registry = Registry::new();
    let worker = Stats::register(&registry, settings(10)).worker();
    let connection = connection(Direction::Outbound, None);
    let mut exchange = Exchange::new(Protocol::Tcp, Instant::now(), SystemTime::UNIX_EPOCH);
    exchange.cluster = Some(reviews());
    worker.tcp_opened(&exchange, &connection);
    (exchange.bytes_received, exchange.bytes_sent) = (7, 9);
    worker.tcp_closed(&exchange, &connection);
    let text = registry.encode();
    for (name, value) in
        [("connections_opened", 1), ("connections_closed", 1), ("sent_bytes", 9), ("received_bytes", 7)]
    {
        let found = lines(&text, &format!("istio_tcp_{name}_total{{"));
        assert!(found.len() == 1 && found[0].ends_with(&format!(" {value}")), "{found:?}");
        assert!(found[0].contains("request_protocol=\"tcp\"") && !found[0].contains("response_code="));
    }
}

#[test]
fn own_levels_go_down_again() {
    let registry = Registry::new();
    let stats = Stats::register(&registry, settings(10));
    let worker = stats.worker();
    let cluster = worker.cluster("outbound|80||a");
    let (connection, request) =
        (worker.downstream_connection(Direction::Inbound), worker.active_request(Direction::Outbound));
    let upstream = cluster.connection_started(Instant::now());
    cluster.overflowed(Limit::Retries);
    cluster.count(ClusterCounter::Ejections);
    cluster.set_ejected_endpoints(1);
    worker.tls_handshake(TlsSide::Upstream, HandshakeResult::Failed);
    stats.config_applied(2);
    let text = registry.encode();
    for line in [
        "leno_proxy_downstream_connections_active{direction=\"inbound\"} 1",
        "leno_proxy_requests_active{direction=\"outbound\"} 1",
        "leno_proxy_upstream_connections_active{cluster=\"outbound|80||a\"} 1",
        "leno_proxy_circuit_breaker_overflows_total{cluster=\"outbound|80||a\",limit=\"retries\"} 1",
        "leno_proxy_outlier_ejections_total{cluster=\"outbound|80||a\"} 1",
        "leno_proxy_outlier_ejected_endpoints{cluster=\"outbound|80||a\"} 1",
        "leno_proxy_tls_handshakes_total{side=\"upstream\",result=\"failed\"} 1",
        "leno_proxy_config_version 1",
        "leno_proxy_config_rejections_total 2",
        "leno_proxy_access_log_dropped_total 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    drop((connection, request, upstream));
    let text = registry.encode();
    assert!(text.contains("leno_proxy_requests_active{direction=\"outbound\"} 0"));
    assert!(text.contains("leno_proxy_upstream_connections_active{cluster=\"outbound|80||a\"} 0"));
    assert!(text.contains("leno_proxy_upstream_connections_opened_total{cluster=\"outbound|80||a\"} 1"));
}
