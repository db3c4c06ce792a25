//! Counts of what the proxy does: Istio's standard metrics, Leno's own, and Envoy's by its names. Decides nothing.
//!
//! Shape       1 `Stats` -> n `WorkerStats` (one per thread) -> n series, n scopes (a cluster, a connection manager …); merged by
//!             label set, or by name, at scrape time
//! Units       durations are milliseconds (Istio), sizes bytes
//! Invariants  a cell is written by one worker only, so that counting is a plain load and store; a worker keeps at most
//!             `max_series` label sets, what exceeds them is counted under the label values `other`
//! Cost        per exchange: look-ups of three small ids and one of the series, then relaxed stores; a lock is taken by the
//!             worker only for a label set it has not met, and by a scrape
//! Source      Istio standard metrics v1.24 (docs: reference/config/metrics)

mod cells;
mod cluster;
mod codes;
mod collector;
mod http;
mod labels;
mod named;
mod names;
mod own;
mod scope;
mod snapshot;
mod traffic;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leno_ir::{Direction, WorkloadLabels};
use leno_names::SpiffeId;
use leno_telemetry::Registry;

use crate::connection::Connection;
use crate::exchange::Exchange;

pub(crate) use cluster::{ClusterStats, ConnectionGuard, Limit, Origin, Waiting};
pub(crate) use http::HttpStats;
pub(crate) use labels::WorkloadId;
pub(crate) use named::{Counter, Gauge, GaugeGuard};
pub(crate) use names::{
    ClusterCounter, ClusterGauge, ClusterHistogram, HttpCounter, HttpGauge, HttpHistogram, ListenerCounter,
    ListenerGauge, ListenerHistogram, Root, TcpCounter,
};
pub(crate) use own::{ActiveGuard, HandshakeResult, ProxyHeaderResult, TlsSide};
pub(crate) use scope::{Held, Scope};
pub(crate) use snapshot::{Histogram, Snapshot, Stat, Value};

use cells::{Cell64, Level};
use collector::StatsCollector;
use named::{NamedCells, NamedLevel};
use names::{Kind, OfCluster, OfHttp, OfListener, OfTcp};
use own::WorkerCells;
use scope::ScopeCells;
use traffic::{HttpCells, TcpCells, Traffic};

/// Who this proxy is, for the labels of its own side.
#[derive(Clone, Debug)]
pub(crate) struct StatsSettings {
    pub(crate) workload: WorkloadLabels,
    /// `None` until an identity is known; the principal is then `unknown`.
    pub(crate) identity: Option<SpiffeId>,
    /// For `destination_service` of inbound traffic: `cluster.local`.
    pub(crate) mesh_domain: String,
    /// Label sets a worker keeps per kind (HTTP, TCP).
    pub(crate) max_series: usize,
}

impl Default for StatsSettings {
    fn default() -> Self {
        Self {
            workload: WorkloadLabels::default(),
            identity: None,
            mesh_domain: "cluster.local".to_owned(),
            max_series: Self::MAX_SERIES,
        }
    }
}

impl StatsSettings {
    /// Chosen: about 10 MB a worker at worst.
    pub(crate) const MAX_SERIES: usize = 10_000;
}

/// All counts of a proxy. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Stats {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: StatsSettings,
    shards: Mutex<Vec<Arc<Shard>>>,
    global: own::GlobalCells,
}

/// What one worker counts; read by scrapes.
#[derive(Debug, Default)]
struct Shard {
    http: Mutex<Vec<Arc<HttpCells>>>,
    tcp: Mutex<Vec<Arc<TcpCells>>>,
    scopes: Mutex<BTreeMap<(Root, String), Arc<ScopeCells>>>,
    filter_counters: Mutex<Vec<Arc<NamedCells>>>,
    filter_gauges: Mutex<Vec<Arc<NamedLevel>>>,
    own: Arc<WorkerCells>,
    overflows: Cell64,
}

/// The counts of one worker; stays on its thread.
#[derive(Debug)]
pub(crate) struct WorkerStats {
    shard: Arc<Shard>,
    traffic: RefCell<Traffic>,
}

pub(crate) type ListenerStats = Scope<OfListener>;
pub(crate) type TcpStats = Scope<OfTcp>;

impl Stats {
    /// Adds everything to what `registry` exports.
    pub(crate) fn register(registry: &Registry, settings: StatsSettings) -> Self {
        let shared = Arc::new(Shared { settings, shards: Mutex::default(), global: own::GlobalCells::default() });
        registry.register_collector(StatsCollector::new(shared.clone()));
        Self { shared }
    }

    pub(crate) fn worker(&self) -> WorkerStats {
        let shard = Arc::new(Shard::default());
        lock(&self.shared.shards).push(shard.clone());
        let traffic = RefCell::new(Traffic::new(self.shared.settings.max_series));
        WorkerStats { shard, traffic }
    }

    /// A configuration was activated; `rejected` of its resources were not.
    pub(crate) fn config_applied(&self, rejected: u64) {
        self.shared.global.config_applied(rejected);
    }

    /// Lines of the access log that were not written.
    pub(crate) fn access_log_dropped(&self) -> Arc<std::sync::atomic::AtomicU64> {
        self.shared.global.access_log_dropped.clone()
    }
}

impl WorkerStats {
    /// A finished HTTP exchange.
    pub(crate) fn record(&self, exchange: &Exchange, connection: &Connection) {
        let mut traffic = self.traffic.borrow_mut();
        let cells = traffic.http(exchange, connection, &self.shard);
        cells.record(exchange);
    }

    /// A TCP connection to an upstream was made, or could not be.
    pub(crate) fn tcp_opened(&self, exchange: &Exchange, connection: &Connection) {
        self.traffic.borrow_mut().tcp(exchange, connection, &self.shard).opened.add(1);
    }

    /// The end of a connection that `tcp_opened` was called for. Flags may have come since.
    pub(crate) fn tcp_closed(&self, exchange: &Exchange, connection: &Connection) {
        let mut traffic = self.traffic.borrow_mut();
        let cells = traffic.tcp(exchange, connection, &self.shard);
        cells.closed.add(1);
        cells.received_bytes.add(exchange.bytes_received);
        cells.sent_bytes.add(exchange.bytes_sent);
    }

    /// A small number for who runs at an endpoint, to be kept in `Exchange::workload`.
    pub(crate) fn workload(&self, labels: &WorkloadLabels) -> WorkloadId {
        self.traffic.borrow_mut().workload(labels)
    }

    fn scope<K: Kind>(&self, name: &str) -> Arc<ScopeCells> {
        let mut scopes = lock(&self.shard.scopes);
        scopes.entry((K::ROOT, name.to_owned())).or_insert_with(|| Scope::<K>::cells(name)).clone()
    }

    /// The counts of one cluster. Keep it; it is looked for under a lock. So are those below.
    pub(crate) fn cluster(&self, name: &str) -> ClusterStats {
        ClusterStats::new(self.scope::<OfCluster>(name))
    }

    pub(crate) fn http(&self, stat_prefix: &str, listener: &Scope<OfListener>) -> HttpStats {
        HttpStats::new(Scope::new(self.scope::<OfHttp>(stat_prefix)), stat_prefix, listener)
    }

    pub(crate) fn listener(&self, name: &str) -> ListenerStats {
        Scope::new(self.scope::<OfListener>(name))
    }

    pub(crate) fn tcp(&self, stat_prefix: &str) -> TcpStats {
        Scope::new(self.scope::<OfTcp>(stat_prefix))
    }

    /// What a filter counts under that name. Keep it; it is found by a scan under a lock.
    pub(crate) fn filter_counter(&self, name: String) -> Counter {
        let mut counters = lock(&self.shard.filter_counters);
        let known = counters.iter().find(|cells| cells.name == name).cloned();
        let cells = known.unwrap_or_else(|| {
            let cells = Arc::new(NamedCells { name, total: Cell64::default() });
            counters.push(cells.clone());
            cells
        });
        Counter { cells, _stays_on_its_thread: std::marker::PhantomData }
    }

    /// As [`WorkerStats::filter_counter`], for what goes up and down.
    pub(crate) fn filter_gauge(&self, name: String) -> Gauge {
        let mut gauges = lock(&self.shard.filter_gauges);
        let known = gauges.iter().find(|cells| cells.name == name).cloned();
        let cells = known.unwrap_or_else(|| {
            let cells = Arc::new(NamedLevel { name, level: Level::default() });
            gauges.push(cells.clone());
            cells
        });
        Gauge { cells, _stays_on_its_thread: std::marker::PhantomData }
    }

    /// Counts a downstream connection until the guard is dropped.
    pub(crate) fn downstream_connection(&self, direction: Direction) -> ActiveGuard {
        self.shard.own.downstream_connection(direction)
    }

    /// Counts a request as active until the guard is dropped.
    pub(crate) fn active_request(&self, direction: Direction) -> ActiveGuard {
        self.shard.own.active_request(direction)
    }

    pub(crate) fn tls_handshake(&self, side: TlsSide, result: HandshakeResult) {
        self.shard.own.tls_handshake(side, result);
    }

    pub(crate) fn proxy_header(&self, result: ProxyHeaderResult) {
        self.shard.own.proxy_headers[result as usize].add(1);
    }

    /// A peer showed a valid certificate of a workload that is not allowed here.
    pub(crate) fn peer_refused(&self) {
        self.shard.own.peer_refused.add(1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests;
