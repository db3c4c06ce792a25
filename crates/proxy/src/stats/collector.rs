use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use leno_telemetry::metric::{Collector, DescriptorEncoder, EncodeLabelSet, MetricType, NoLabelSet};

use super::cells::MergedHistogram;
use super::cluster::Limit;
use super::labels::{FullLabels, OwnLabels, SeriesLabels};
use super::names::{ClusterCounter, ClusterGauge, Root};
use super::own::{HandshakeResult, ProxyHeaderResult, TlsSide};
use super::traffic::direction_label;
use super::{Shard, Shared, lock};

/// Merges what the workers counted, at each scrape.
#[derive(Debug)]
pub(super) struct StatsCollector {
    shared: Arc<Shared>,
    own: OwnLabels,
}

#[derive(Debug, Default)]
struct MergedHttp {
    requests: u64,
    duration: MergedHistogram,
    request_bytes: MergedHistogram,
    response_bytes: MergedHistogram,
}

#[derive(Debug, Default)]
struct MergedTcp {
    opened: u64,
    closed: u64,
    sent_bytes: u64,
    received_bytes: u64,
}

#[derive(Debug, Default)]
struct MergedCluster {
    active: i64,
    opened: u64,
    failed: u64,
    ejections: u64,
    /// The most of any worker, as each ejects by what it saw itself.
    ejected: i64,
    retries: u64,
    overflows: [u64; Limit::ALL.len()],
}

/// Name and help of a metric, and the part of a merged record that it shows.
type Column<R, V> = (&'static str, &'static str, fn(&R) -> V);
/// As `Column`, for a histogram of HTTP traffic.
type HistogramColumn = (&'static str, &'static str, fn(&MergedHttp) -> &MergedHistogram);

impl StatsCollector {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let own = OwnLabels::new(&shared.settings);
        Self { shared, own }
    }

    fn shards(&self) -> Vec<Arc<Shard>> {
        lock(&self.shared.shards).clone()
    }
}

impl Collector for StatsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shards = self.shards();
        self.encode_http(&shards, &mut encoder)?;
        self.encode_tcp(&shards, &mut encoder)?;
        encode_clusters(&shards, &mut encoder)?;
        encode_filters(&shards, &mut encoder)?;
        self.encode_own(&shards, &mut encoder)
    }
}

impl StatsCollector {
    fn encode_http(&self, shards: &[Arc<Shard>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut merged: BTreeMap<SeriesLabels, MergedHttp> = BTreeMap::new();
        for shard in shards {
            for cells in lock(&shard.http).iter() {
                let sum = merged.entry(cells.labels.clone()).or_default();
                sum.requests += cells.requests.get();
                cells.duration.add_to(&mut sum.duration);
                cells.request_bytes.add_to(&mut sum.request_bytes);
                cells.response_bytes.add_to(&mut sum.response_bytes);
            }
        }
        let full = |series| FullLabels { series, own: &self.own };
        counter(
            encoder,
            "istio_requests",
            "Requests that have ended",
            merged.iter().map(|(labels, sum)| (full(labels), sum.requests)),
        )?;
        let histograms: [HistogramColumn; 3] = [
            ("istio_request_duration_milliseconds", "From a request's first byte to the end of its response", |sum| {
                &sum.duration
            }),
            ("istio_request_bytes", "Size of requests, heads included", |sum| &sum.request_bytes),
            ("istio_response_bytes", "Size of responses, heads included", |sum| &sum.response_bytes),
        ];
        for (name, help, part) in histograms {
            histogram(encoder, name, help, merged.iter().map(|(labels, sum)| (full(labels), part(sum))))?;
        }
        Ok(())
    }

    fn encode_tcp(&self, shards: &[Arc<Shard>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut merged: BTreeMap<SeriesLabels, MergedTcp> = BTreeMap::new();
        for shard in shards {
            for cells in lock(&shard.tcp).iter() {
                let sum = merged.entry(cells.labels.clone()).or_default();
                sum.opened += cells.opened.get();
                sum.closed += cells.closed.get();
                sum.sent_bytes += cells.sent_bytes.get();
                sum.received_bytes += cells.received_bytes.get();
            }
        }
        let counters: [Column<MergedTcp, u64>; 4] = [
            ("istio_tcp_connections_opened", "TCP connections opened", |sum| sum.opened),
            ("istio_tcp_connections_closed", "TCP connections closed", |sum| sum.closed),
            ("istio_tcp_sent_bytes", "Bytes sent to clients over TCP", |sum| sum.sent_bytes),
            ("istio_tcp_received_bytes", "Bytes received from clients over TCP", |sum| sum.received_bytes),
        ];
        for (name, help, part) in counters {
            let rows = merged.iter().map(|(labels, sum)| (FullLabels { series: labels, own: &self.own }, part(sum)));
            counter(encoder, name, help, rows)?;
        }
        Ok(())
    }

    fn encode_own(&self, shards: &[Arc<Shard>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let directions = [leno_ir::Direction::Inbound, leno_ir::Direction::Outbound].map(direction_label);
        let rows = |part: &dyn Fn(&Shard, usize) -> i64| {
            let sum = |at| shards.iter().map(|shard| part(shard, at)).sum::<i64>();
            [([("direction", directions[0])], sum(0)), ([("direction", directions[1])], sum(1))]
        };
        let connections = rows(&|shard, at| shard.own.downstream_connections[at].get());
        gauge(encoder, "leno_proxy_downstream_connections_active", "Open connections of clients", connections)?;
        let requests = rows(&|shard, at| shard.own.active_requests[at].get());
        gauge(encoder, "leno_proxy_requests_active", "Requests under way", requests)?;
        let mut handshakes = Vec::new();
        for (side, name) in [(TlsSide::Downstream, "downstream"), (TlsSide::Upstream, "upstream")] {
            for result in HandshakeResult::ALL {
                let sum = shards.iter().map(|shard| shard.own.handshakes[side as usize][result as usize].get()).sum();
                handshakes.push(([("side", name), ("result", result.as_str())], sum));
            }
        }
        counter(encoder, "leno_proxy_tls_handshakes", "TLS handshakes that have ended", handshakes)?;
        let sum = |part: fn(&Shard) -> u64| shards.iter().map(|shard| part(shard)).sum::<u64>();
        let headers = ProxyHeaderResult::ALL.map(|result| {
            let sum: u64 = shards.iter().map(|shard| shard.own.proxy_headers[result as usize].get()).sum();
            ([("result", result.as_str())], sum)
        });
        counter(encoder, "leno_proxy_proxy_headers", "Connections to listeners that expect a PROXY header", headers)?;
        let refused = sum(|shard| shard.own.peer_refused.get());
        single(encoder, "leno_proxy_peer_refused", "Peers with a valid certificate of the wrong identity", refused)?;
        let overflows = sum(|shard| shard.overflows.get());
        single(encoder, "leno_proxy_metric_overflows", "Records counted under \"other\" for want of room", overflows)?;
        let global = &self.shared.global;
        single(encoder, "leno_proxy_config_updates", "Configurations activated", global.config_version())?;
        single(
            encoder,
            "leno_proxy_config_rejections",
            "Resources that could not be activated",
            global.config_rejections(),
        )?;
        let dropped = global.access_log_dropped.load(Ordering::Relaxed);
        single(encoder, "leno_proxy_access_log_dropped", "Lines of the access log that were not written", dropped)?;
        encoder
            .encode_descriptor(
                "leno_proxy_config_version",
                "Number of the active configuration",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&global.config_version())
    }
}

fn encode_clusters(shards: &[Arc<Shard>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut merged: BTreeMap<String, MergedCluster> = BTreeMap::new();
    for shard in shards {
        for cells in lock(&shard.scopes).values().filter(|cells| cells.root == Root::Cluster) {
            let sum = merged.entry(cells.name.clone()).or_default();
            let failed = cells.counter(ClusterCounter::CxConnectFail);
            sum.active += cells.gauge(ClusterGauge::CxActive);
            sum.opened += cells.counter(ClusterCounter::CxTotal).saturating_sub(failed);
            sum.failed += failed;
            sum.ejections += cells.counter(ClusterCounter::Ejections);
            sum.ejected = sum.ejected.max(cells.gauge(ClusterGauge::EjectionsActive));
            sum.retries += cells.counter(ClusterCounter::RqRetry);
            for (total, limit) in sum.overflows.iter_mut().zip(Limit::ALL) {
                *total += cells.counter(limit.counter());
            }
        }
    }
    let levels: [Column<MergedCluster, i64>; 2] = [
        ("leno_proxy_upstream_connections_active", "Open connections to endpoints", |sum| sum.active),
        ("leno_proxy_outlier_ejected_endpoints", "Endpoints left out now, by the worker that leaves out most", |sum| {
            sum.ejected
        }),
    ];
    for (name, help, part) in levels {
        gauge(encoder, name, help, merged.iter().map(|(cluster, sum)| ([("cluster", cluster.as_str())], part(sum))))?;
    }
    let counters: [Column<MergedCluster, u64>; 4] = [
        ("leno_proxy_upstream_connections_opened", "Connections made to endpoints", |sum| sum.opened),
        ("leno_proxy_upstream_connections_failed", "Connections to endpoints that could not be made", |sum| sum.failed),
        ("leno_proxy_outlier_ejections", "Times an endpoint was left out", |sum| sum.ejections),
        ("leno_proxy_retries", "Requests sent again", |sum| sum.retries),
    ];
    for (name, help, part) in counters {
        counter(encoder, name, help, merged.iter().map(|(cluster, sum)| ([("cluster", cluster.as_str())], part(sum))))?;
    }
    let overflows = merged.iter().flat_map(|(cluster, sum)| {
        let row = move |limit: Limit| {
            ([("cluster", cluster.as_str()), ("limit", limit.as_str())], sum.overflows[limit as usize])
        };
        Limit::ALL.into_iter().map(row)
    });
    counter(encoder, "leno_proxy_circuit_breaker_overflows", "Refused because a limit was reached", overflows)
}

fn encode_filters(shards: &[Arc<Shard>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut totals: BTreeMap<String, u64> = BTreeMap::new();
    let mut levels: BTreeMap<String, i64> = BTreeMap::new();
    for shard in shards {
        for cells in lock(&shard.filter_counters).iter() {
            *totals.entry(cells.name.clone()).or_default() += cells.total.get();
        }
        for cells in lock(&shard.filter_gauges).iter() {
            *levels.entry(cells.name.clone()).or_default() += cells.level.get();
        }
    }
    let rows = totals.iter().map(|(name, total)| ([("name", name.as_str())], *total));
    counter(encoder, "leno_proxy_filter_events", "What filters counted, by the name Envoy gives it", rows)?;
    let rows = levels.iter().map(|(name, level)| ([("name", name.as_str())], *level));
    gauge(encoder, "leno_proxy_filter_level", "What filters hold, by the name Envoy gives it", rows)
}

fn counter<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in rows {
        metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
    }
    Ok(())
}

fn single(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Counter)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
}

fn gauge<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl IntoIterator<Item = (L, i64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in rows {
        metric.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

fn histogram<'a, L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl IntoIterator<Item = (L, &'a MergedHistogram)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, merged) in rows {
        metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
            merged.sum,
            merged.count(),
            &merged.buckets(),
            None,
        )?;
    }
    Ok(())
}
