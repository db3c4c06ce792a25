//! Traffic policies: what a DestinationRule changes in a cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use leno_ir::{
    BalancerPolicy, Cluster, Consecutive, Flavor, Http2Keepalive, LeastRequest, OutlierDetection, ProxyProtocolVersion,
    RetryBudget, RingFunction, SlowStart, TcpKeepalive, UpstreamProtocol,
};
use leno_model::api::{
    self, ConnectionPool, ConsistentHash, GoDuration, H2UpgradePolicy, LoadBalancer, LocalityLb, PortTrafficPolicy,
    ProxyProtocol, ResourceKey, SimpleBalancer, TcpPool, TlsMode, TlsSettings, Tunnel,
};
use leno_model::{Credential, PolicyPart, Problem};
use leno_names::Fraction;

/// How connections are secured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport<'a> {
    /// By the mesh's mutual TLS.
    Mesh,
    Own(&'a TlsSettings, Option<&'a Credential>),
    Plain,
}

/// One policy, with the field it stands in.
#[derive(Clone, Debug)]
pub(crate) struct Layer<'a> {
    object: &'a ResourceKey,
    credentials: &'a BTreeMap<String, Credential>,
    at: String,
    pool: Option<&'a ConnectionPool>,
    balancer: Option<&'a LoadBalancer>,
    outlier: Option<&'a api::OutlierDetection>,
    tls: Option<&'a TlsSettings>,
    proxy_protocol: Option<&'a ProxyProtocol>,
    retry_budget: Option<&'a api::RetryBudget>,
    tunnel: Option<&'a Tunnel>,
}

impl<'a> Layer<'a> {
    pub(crate) fn of(part: &'a PolicyPart) -> Self {
        let policy = &part.policy;
        Self {
            object: &part.object,
            credentials: &part.credentials,
            at: part.at.clone(),
            pool: policy.connection_pool.as_ref(),
            balancer: policy.load_balancer.as_ref(),
            outlier: policy.outlier_detection.as_ref(),
            tls: policy.tls.as_ref(),
            proxy_protocol: policy.proxy_protocol.as_ref(),
            retry_budget: policy.retry_budget.as_ref(),
            tunnel: policy.tunnel.as_ref(),
        }
    }

    /// Istio: what a policy says of a port replaces what it says of all, but for what cannot be said of a port.
    pub(crate) fn of_port(level: &'a PortTrafficPolicy, whole: Self, at: String) -> Self {
        Self {
            at,
            pool: level.connection_pool.as_ref(),
            balancer: level.load_balancer.as_ref(),
            outlier: level.outlier_detection.as_ref(),
            tls: level.tls.as_ref(),
            ..whole
        }
    }

    fn credential(&self, tls: &TlsSettings) -> Option<&'a Credential> {
        self.credentials.get(tls.credential_name.as_ref()?)
    }

    /// How the localities of endpoints are used.
    pub(crate) fn locality(&self) -> Option<&'a LocalityLb> {
        self.balancer?.locality_lb_setting.as_ref()
    }

    /// Somebody looks whether endpoints fail.
    pub(crate) fn sees_failures(&self) -> bool {
        self.outlier.is_some()
    }

    pub(crate) fn tcp(&self) -> Option<&'a TcpPool> {
        self.pool?.tcp.as_ref()
    }

    pub(crate) fn tunnel(&self) -> Option<&'a Tunnel> {
        self.tunnel
    }

    /// What it says of hashing; `None` also where it names a simple balancer, which comes first in Istio.
    pub(crate) fn consistent_hash(&self) -> Option<&'a ConsistentHash> {
        let balancer = self.balancer?;
        let is_simple = balancer.simple.is_some_and(|simple| simple != SimpleBalancer::Unspecified);
        balancer.consistent_hash.as_ref().filter(|_| !is_simple)
    }

    /// It names a balancer that looks at no hash.
    pub(crate) fn ends_hashing(&self) -> bool {
        self.balancer.is_some_and(|balancer| balancer.simple.is_some()) && self.consistent_hash().is_none()
    }

    pub(crate) fn apply(&self, cluster: &mut Cluster, transport: &mut Transport<'a>, problems: &mut Vec<Problem>) {
        if let Some(pool) = self.pool {
            connection_pool(pool, cluster);
        }
        if let Some(hash) = self.consistent_hash() {
            cluster.balancer = hash_table(hash, &self.at, self.object, problems);
        }
        match self.balancer.and_then(|balancer| balancer.simple) {
            None | Some(SimpleBalancer::Unspecified) => {}
            Some(SimpleBalancer::LeastConn | SimpleBalancer::LeastRequest) => {
                cluster.balancer = BalancerPolicy::LeastRequest(LeastRequest::default());
            }
            Some(SimpleBalancer::Random) => cluster.balancer = BalancerPolicy::Random,
            Some(SimpleBalancer::RoundRobin) => cluster.balancer = BalancerPolicy::RoundRobin,
            Some(SimpleBalancer::Passthrough) => {
                let field = format!("{}.loadBalancer.simple", self.at);
                let message = "not supported yet: PASSTHROUGH; the default balancer is used";
                problems.push(Problem::warning(self.object, field, "not_supported_yet", message));
            }
        }
        if let Some(slow_start) = self.balancer.and_then(slow_start) {
            cluster.balancing.slow_start = Some(slow_start);
        }
        if let Some(budget) = self.retry_budget {
            cluster.circuit_breakers.default.retry_budget = Some(retry_budget(budget));
        }
        if let Some(protocol) = self.proxy_protocol {
            cluster.proxy_protocol = Some(match protocol.version {
                None | Some(api::ProxyProtocolVersion::V1) => ProxyProtocolVersion::V1,
                Some(api::ProxyProtocolVersion::V2) => ProxyProtocolVersion::V2,
            });
        }
        if let Some(outlier) = self.outlier {
            cluster.outlier_detection = Some(outlier_detection(outlier));
            cluster.balancing.panic_threshold =
                outlier.min_health_percent.filter(|least| *least > 0).map(|least| percent(Some(least)));
        }
        if let Some(tls) = self.tls {
            *transport = match tls.mode {
                None | Some(TlsMode::Disable) => Transport::Plain,
                Some(TlsMode::IstioMutual) => Transport::Mesh,
                Some(TlsMode::Mutual | TlsMode::Simple) => Transport::Own(tls, self.credential(tls)),
            };
        }
    }
}

fn slow_start(balancer: &LoadBalancer) -> Option<SlowStart> {
    let older = balancer.warmup_duration_secs.map(|duration| SlowStart::new(duration.0));
    let Some(warmup) = &balancer.warmup else { return older };
    let default = SlowStart::new(warmup.duration.0);
    let least = warmup.minimum_percent.and_then(|percent| Fraction::from_percent_f64(percent).ok());
    Some(SlowStart {
        aggression: warmup.aggression.filter(|aggression| *aggression > 0.0).unwrap_or(default.aggression),
        min_weight: least.unwrap_or(default.min_weight),
        ..default
    })
}

fn retry_budget(written: &api::RetryBudget) -> RetryBudget {
    let default = RetryBudget::default();
    let share = written.percent.and_then(|percent| Fraction::from_percent_f64(percent).ok());
    RetryBudget {
        budget: share.unwrap_or(default.budget),
        min_retry_concurrency: written.min_retry_concurrency.unwrap_or(default.min_retry_concurrency),
    }
}

/// Istio's: a ring of 1,024 points unless another table is asked for; 0 means "the default".
fn hash_table(hash: &ConsistentHash, at: &str, object: &ResourceKey, problems: &mut Vec<Problem>) -> BalancerPolicy {
    let at = format!("{at}.loadBalancer.consistentHash");
    let chosen = |size: Option<u64>| size.filter(|size| *size > 0);
    if let Some(maglev) = &hash.maglev {
        let wanted = chosen(maglev.table_size).map(u32::try_from);
        let table_size = match wanted {
            None => BalancerPolicy::MAGLEV_TABLE_SIZE,
            Some(Ok(size)) if BalancerPolicy::is_maglev_table_size(size) => size,
            Some(_) => {
                let most = BalancerPolicy::MAX_MAGLEV_TABLE_SIZE;
                let message = format!("is no prime number up to {most}; the default, 65537, is used");
                problems.push(Problem::error(object, format!("{at}.maglev.tableSize"), "invalid_table_size", message));
                BalancerPolicy::MAGLEV_TABLE_SIZE
            }
        };
        return BalancerPolicy::Maglev { table_size };
    }
    let (wanted, field) = match &hash.ring_hash {
        Some(ring) => (ring.minimum_ring_size, "ringHash.minimumRingSize"),
        None => (hash.minimum_ring_size, "minimumRingSize"),
    };
    let most = BalancerPolicy::MAXIMUM_RING_SIZE;
    let wanted = chosen(wanted).unwrap_or(BalancerPolicy::MINIMUM_RING_SIZE.into());
    let minimum_ring_size = u32::try_from(wanted).ok().filter(|size| *size <= most).unwrap_or_else(|| {
        let message = format!("is above {most}, which is used");
        problems.push(Problem::error(object, format!("{at}.{field}"), "invalid_ring_size", message));
        most
    });
    BalancerPolicy::RingHash { minimum_ring_size, maximum_ring_size: most, function: RingFunction::XxHash }
}

/// Chosen; Istio has none for the part that is not said.
const HTTP2_KEEPALIVE: Duration = Duration::from_secs(20);

pub(crate) fn connection_pool(pool: &ConnectionPool, cluster: &mut Cluster) {
    if let Some(tcp) = &pool.tcp {
        set(&mut cluster.circuit_breakers.default.max_connections, tcp.max_connections);
        if let Some(timeout) = tcp.connect_timeout {
            cluster.connect_timeout = timeout.0;
        }
        if let Some(written) = &tcp.tcp_keepalive {
            cluster.socket.keepalive = Some(keepalive(written));
        }
        if let Some(longest) = tcp.max_connection_duration {
            cluster.http.max_connection_duration = Some(longest.0);
        }
    }
    let Some(http) = &pool.http else { return };
    set(&mut cluster.circuit_breakers.default.max_pending_requests, http.http1_max_pending_requests);
    set(&mut cluster.circuit_breakers.default.max_requests, http.http2_max_requests);
    if let Some(retries) = http.max_retries {
        cluster.circuit_breakers.default.max_retries = retries;
        cluster.circuit_breakers.default.retry_budget = None;
    }
    set(&mut cluster.http.max_concurrent_streams, http.max_concurrent_streams);
    if let Some(most) = http.max_requests_per_connection {
        cluster.http.max_requests_per_connection = Some(most).filter(|most| *most > 0);
    }
    if let Some(timeout) = http.idle_timeout {
        cluster.http.idle_timeout = timeout.0;
    }
    if let Some(keepalive) = &http.http2_keep_alive {
        let or_default = |written: Option<GoDuration>| written.map_or(HTTP2_KEEPALIVE, |written| written.0);
        let (interval, timeout) = (or_default(keepalive.interval), or_default(keepalive.timeout));
        cluster.http.http2.keepalive = Some(Http2Keepalive { interval, timeout });
    }
    match http.h2_upgrade_policy {
        Some(H2UpgradePolicy::Upgrade) => cluster.http.protocol = UpstreamProtocol::Http2,
        Some(H2UpgradePolicy::DoNotUpgrade) if cluster.http.protocol != UpstreamProtocol::Http2 => {
            cluster.http.protocol = UpstreamProtocol::Http1;
        }
        _ => {}
    }
    if http.use_client_protocol == Some(true) {
        cluster.http.protocol = UpstreamProtocol::SameAsDownstream;
    }
}

/// No probes means the system's number of them.
pub(crate) fn keepalive(written: &api::TcpKeepalive) -> TcpKeepalive {
    TcpKeepalive {
        probes: written.probes.filter(|probes| *probes > 0),
        time: written.time.map(|time| time.0),
        interval: written.interval.map(|interval| interval.0),
    }
}

/// 0 means "the default" in Istio.
fn set(slot: &mut u32, wanted: Option<u32>) {
    if let Some(wanted) = wanted.filter(|wanted| *wanted > 0) {
        *slot = wanted;
    }
}

/// What holds when no DestinationRule speaks of ejection. Leno's proxy leaves out endpoints that five times in a row
/// could not be reached, reset or timed out, at most half of them, 10 s at first: such an endpoint is gone, whatever
/// the request was. Answers never eject by default, not even 5xx: they are often the request's fault, and a bad
/// release would take healthy endpoints out with it. Guests keep Istio's default, none.
pub(crate) fn default_outlier_detection(flavor: Flavor) -> Option<OutlierDetection> {
    (flavor == Flavor::Leno).then(|| OutlierDetection {
        consecutive_5xx: None,
        consecutive_local_origin_failures: Some(Consecutive::new(5)),
        split_local_origin: true,
        base_ejection_time: std::time::Duration::from_secs(10),
        max_ejection: percent(Some(50)),
        ..OutlierDetection::default()
    })
}

/// Istio's: 0 turns a detector off; gateway errors count only when asked for; local origin failures only when split.
fn outlier_detection(written: &api::OutlierDetection) -> OutlierDetection {
    let default = OutlierDetection::default();
    let positive = |wanted: Option<u32>| wanted.filter(|count| *count > 0).map(Consecutive::new);
    let split = written.split_external_local_origin_errors == Some(true);
    OutlierDetection {
        consecutive_5xx: positive(Some(written.consecutive_5xx_errors.unwrap_or(5))),
        consecutive_gateway_errors: positive(written.consecutive_gateway_errors),
        consecutive_local_origin_failures: positive(
            split.then(|| written.consecutive_local_origin_failures.unwrap_or(5)),
        ),
        split_local_origin: split,
        interval: written.interval.map_or(default.interval, |interval| interval.0),
        base_ejection_time: written.base_ejection_time.map_or(default.base_ejection_time, |time| time.0),
        max_ejection_time: default.max_ejection_time,
        max_ejection: written.max_ejection_percent.map_or(default.max_ejection, |most| percent(Some(most))),
        ..default
    }
}

fn percent(percent: Option<u32>) -> Fraction {
    percent.and_then(Fraction::from_percent).unwrap_or(Fraction::ZERO)
}
