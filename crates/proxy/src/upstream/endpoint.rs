use std::cell::{Cell, OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use leno_balance::Member;
use leno_ir::{
    Balancing, Cluster, EndpointHealth, EndpointSet, LocalityBalancing, LocalityEndpoints, MetadataValue,
    RoutingPriority,
};
use tokio::sync::Notify;

use super::http1::Http1Connection;
use super::http2::Http2Pool;
use super::pool_key::PoolKey;
use crate::dynamics::CheckedHealth;
use crate::stats::{WorkerStats, WorkloadId};

/// The label that places an endpoint in the tables of ring hash and Maglev instead of its address.
const HASH_KEY: &str = "hash_key";

/// Names one endpoint of a cluster in one worker for as long as the endpoint stays; never used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct EndpointId {
    /// Its place in `Members`; used again by others.
    pub(super) slot: u32,
    serial: u32,
}

impl EndpointId {
    pub(super) fn new(slot: u32, serial: u32) -> Self {
        Self { slot, serial }
    }
}

/// What a worker keeps per endpoint: its connections. Survives configurations that keep the address.
#[derive(Debug)]
pub(super) struct EndpointState {
    pub(super) id: EndpointId,
    pub(super) address: SocketAddr,
    source: RefCell<Rc<EndpointSource>>,
    /// What active checks say of it; `None`: it is not asked.
    pub(super) checked: Cell<Option<CheckedHealth>>,
    /// Idle HTTP/1 connections; the last one in is the first one out, so that the rest can age.
    #[expect(clippy::vec_box, reason = "leases hold them boxed; taking one must not copy it")]
    idle: RefCell<Vec<Box<Http1Connection>>>,
    /// HTTP/1 connections that exist, idle or not.
    open: [Rc<Cell<u32>>; 2],
    /// Those of all workers, where they are limited.
    pub(super) connections: Option<Arc<AtomicU32>>,
    pub(super) http2: Http2Pool,
    /// Whether it has chosen HTTP/1.1 the last time it was asked.
    pub(super) prefers_http1: Cell<bool>,
    /// Requests that wait for `released`.
    pub(super) waiting: Cell<u32>,
    /// Told when an HTTP/1 connection becomes idle or closes while somebody waits.
    pub(super) released: Notify,
    retired: Cell<bool>,
    /// Told when checks or outlier detection find that it fails.
    failed: Notify,
    was_ejected: Cell<bool>,
    pub(super) counts: Rc<Cell<EndpointCounts>>,
}

/// What Envoy tells of an endpoint on `/clusters`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EndpointCounts {
    pub(crate) cx_active: u64,
    pub(crate) cx_connect_fail: u64,
    pub(crate) cx_total: u64,
    pub(crate) rq_error: u64,
    pub(crate) rq_success: u64,
    pub(crate) rq_timeout: u64,
    pub(crate) rq_total: u64,
}

impl EndpointCounts {
    /// Those of another worker.
    pub(crate) fn add(&mut self, other: Self) {
        self.cx_active += other.cx_active;
        self.cx_connect_fail += other.cx_connect_fail;
        self.cx_total += other.cx_total;
        self.rq_error += other.rq_error;
        self.rq_success += other.rq_success;
        self.rq_timeout += other.rq_timeout;
        self.rq_total += other.rq_total;
    }
}

/// Where the endpoint stands in the shared configuration.
#[derive(Debug)]
pub(crate) struct EndpointSource {
    set: Arc<EndpointSet>,
    locality: usize,
    index: usize,
    /// Looked up once, so that no request compares names.
    workload: OnceCell<WorkloadId>,
}

impl EndpointSource {
    pub(super) fn new(set: Arc<EndpointSet>, locality: usize, index: usize) -> Self {
        Self { set, locality, index, workload: OnceCell::new() }
    }

    /// Who runs there, as the statistics of this worker number it.
    pub(super) fn workload(&self, stats: &WorkerStats) -> WorkloadId {
        *self.workload.get_or_init(|| stats.workload(&self.endpoint().workload))
    }

    pub(super) fn priority(&self) -> u32 {
        self.set.localities[self.locality].priority
    }

    /// The way it is connected to, as [`Cluster::socket_of`].
    pub(crate) fn socket(&self, cluster: &Cluster) -> Option<usize> {
        cluster.socket_of(&self.endpoint().socket_labels, &self.set.localities[self.locality].socket_labels)
    }

    /// Whether both are connected to in the same way, whatever the cluster.
    fn has_same_socket(&self, other: &Self) -> bool {
        self.endpoint().socket_labels == other.endpoint().socket_labels
            && self.set.localities[self.locality].socket_labels == other.set.localities[other.locality].socket_labels
    }

    pub(crate) fn endpoint(&self) -> &leno_ir::Endpoint {
        // In range: `new` is only called while enumerating exactly this set.
        &self.set.localities[self.locality].endpoints[self.index]
    }
}

/// The times before which a connection is too old; `None`: none is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    pub(super) idle: Option<Instant>,
    pub(super) made: Option<Instant>,
}

impl Age {
    pub(super) fn is_stale(self, idle_since: Instant) -> bool {
        self.idle.is_some_and(|oldest| idle_since < oldest)
    }

    pub(super) fn is_over(self, made: Instant) -> bool {
        self.made.is_some_and(|oldest| made < oldest)
    }
}

/// Idle connections kept per endpoint and worker. Chosen: above what a worker can use at once, below what hurts.
const MAX_IDLE: usize = 1024;

impl EndpointState {
    pub(super) fn new(id: EndpointId, source: EndpointSource, connections: Option<Arc<AtomicU32>>) -> Self {
        Self {
            id,
            address: source.endpoint().address,
            source: RefCell::new(Rc::new(source)),
            checked: Cell::new(None),
            idle: RefCell::default(),
            open: Default::default(),
            connections,
            http2: Http2Pool::default(),
            prefers_http1: Cell::new(false),
            waiting: Cell::new(0),
            released: Notify::new(),
            retired: Cell::new(false),
            failed: Notify::new(),
            was_ejected: Cell::new(false),
            counts: Rc::default(),
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut EndpointCounts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    /// The endpoint as the balancer takes it.
    pub(super) fn member(&self, balancing: &Balancing) -> Member<EndpointId> {
        let source = self.source.borrow();
        let (locality, endpoint) = (&source.set.localities[source.locality], source.endpoint());
        let checked = self.checked.get();
        Member {
            key: self.id,
            weight: endpoint.weight,
            health: match (endpoint.health, checked) {
                (health @ (EndpointHealth::Draining | EndpointHealth::Unhealthy), _) => health,
                (_, Some(checked)) if checked.is_failed => EndpointHealth::Unhealthy,
                (_, Some(checked)) if checked.is_degraded => EndpointHealth::Degraded,
                (health, _) => health,
            },
            is_excluded: checked.is_some_and(|checked| {
                checked.is_excluded || (checked.is_pending && balancing.ignore_new_until_checked)
            }),
            priority: locality.priority,
            locality: u32::try_from(source.locality).unwrap_or(u32::MAX),
            locality_weight: match balancing.localities {
                _ if balancing.subsets.as_ref().is_some_and(|subsets| !subsets.weighs_localities) => 0,
                LocalityBalancing::Ignored | LocalityBalancing::ZoneAware(_) => 0,
                LocalityBalancing::Weighted => locality.weight,
            },
            address: endpoint.address,
            hash_key: match endpoint.labels.get(HASH_KEY) {
                Some(MetadataValue::String(key)) => Some(key.as_str().into()),
                _ if balancing.hashing.by_hostname => Some(endpoint.hostname.as_str().into()),
                _ => None,
            },
        }
    }

    /// What active checks say from now on. Connections that are not in use end with the endpoint's health.
    /// Whether a check has passed since.
    pub(super) fn set_checked(&self, checked: CheckedHealth) -> bool {
        let checked = Some(checked).filter(|_| !self.source.borrow().endpoint().check.disabled);
        let has_failed = |checked: Option<CheckedHealth>| checked.is_some_and(|checked| checked.is_failed);
        let before = self.checked.replace(checked);
        if has_failed(checked) && !has_failed(before) {
            self.idle.borrow_mut().clear();
            self.http2.clear();
            self.failed.notify_waiters();
        }
        checked.zip(before).is_some_and(|(now, before)| now.passed != before.passed)
    }

    /// What outlier detection says from now on.
    pub(super) fn set_ejected(&self, is_ejected: bool) {
        if is_ejected && !self.was_ejected.replace(is_ejected) {
            self.failed.notify_waiters();
        }
        self.was_ejected.set(is_ejected);
    }

    /// Until it is found to fail.
    pub(super) async fn failed(&self) {
        self.failed.notified().await;
    }

    pub(super) fn locality(&self) -> LocalityEndpoints {
        let source = self.source.borrow();
        let LocalityEndpoints { locality, priority, weight, .. } = &source.set.localities[source.locality];
        LocalityEndpoints {
            locality: locality.clone(),
            priority: *priority,
            weight: *weight,
            ..LocalityEndpoints::default()
        }
    }

    pub(super) fn source(&self) -> Rc<EndpointSource> {
        self.source.borrow().clone()
    }

    pub(super) fn update(&self, source: EndpointSource) {
        *self.source.borrow_mut() = Rc::new(source);
    }

    /// Whether connections that exist are as those that would be made under `source`.
    pub(super) fn keeps_connections(&self, source: &EndpointSource) -> bool {
        self.source.borrow().has_same_socket(source)
    }

    /// HTTP/1 connections for requests of a priority.
    pub(super) fn open(&self, priority: RoutingPriority) -> &Rc<Cell<u32>> {
        match priority {
            RoutingPriority::Default => &self.open[0],
            RoutingPriority::High => &self.open[1],
        }
    }

    pub(super) fn has_connections(&self) -> bool {
        self.open.iter().any(|open| open.get() > 0) || !self.http2.is_empty()
    }

    /// An idle connection for such requests that is still good. Closes the bad ones it meets.
    pub(super) fn pop_idle(&self, key: &PoolKey) -> Option<Box<Http1Connection>> {
        let mut idle = self.idle.borrow_mut();
        // Where all are for the same requests, the last one.
        while let Some(at) = idle.iter().rposition(|connection| connection.key == *key) {
            let mut connection = idle.remove(at);
            if connection.stream.is_quiet() {
                return Some(connection);
            }
            connection.counted.closed_by_remote();
        }
        None
    }

    pub(super) fn close_idle(&self) {
        self.idle.borrow_mut().clear();
    }

    pub(super) fn push_idle(&self, connection: Box<Http1Connection>) {
        let mut idle = self.idle.borrow_mut();
        if !self.retired.get() && idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        drop(idle);
        self.wake_one();
    }

    pub(super) fn wake_one(&self) {
        if self.waiting.get() > 0 {
            self.released.notify_one();
        }
    }

    /// Closes idle connections that the peer closed or that are too old.
    pub(super) fn sweep(&self, age: Age) {
        self.idle.borrow_mut().retain_mut(|connection| {
            let is_quiet = connection.stream.is_quiet();
            if !is_quiet {
                connection.counted.closed_by_remote();
            }
            let is_stale = age.is_stale(connection.idle_since);
            if is_quiet && is_stale {
                connection.counted.was_idle();
            }
            is_quiet && !is_stale && !age.is_over(connection.made)
        });
        self.http2.sweep(age);
    }

    /// The endpoint is gone: idle connections close now, the others when their exchange ends.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        self.http2.clear();
    }
}
