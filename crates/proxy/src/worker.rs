//! One thread of the proxy: its listeners, its clusters, and the connections on it. Nothing here is shared with other
//! workers but the immutable configuration, the counters of circuit breakers and limits, and what is known of outliers.
//!
//! Shape       1 proxy -> n workers -> bindings (by address), clusters (by name); commands arrive one at a time
//! Invariants  a resource that did not change keeps its state; `RefCell`s are never borrowed across an await
//! Cost        per request: one look-up per name asked for; a change costs what changed plus one comparison per resource

mod apply;
mod command;
mod crowd;
mod plan;
#[cfg(test)]
mod testing;
mod thread;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use leno_identity::Identity;
use leno_names::Locality;
use leno_runtime::Tasks;
use rustc_hash::FxHashMap;

pub(crate) use command::{Command, Which};
use crowd::Crowd;
pub(crate) use plan::Plan;
pub(crate) use thread::spawn;

use crate::access_log::{AccessLogs, WorkerLogs};
use crate::filter::RouteRules;
use crate::listener::{AcceptOutage, ActiveListener, Binding, ConnectionLimits};
use crate::overload::Overload;
use crate::proxy::BindKey;
use crate::shared::SharedStates;
use crate::stats::WorkerStats;
use crate::tls::{TlsContexts, TlsSettings};
use crate::upstream::UpstreamCluster;

/// What a worker is made from, on its own thread.
#[derive(Debug)]
pub(crate) struct WorkerSeed {
    pub(crate) index: usize,
    pub(crate) stats: WorkerStats,
    pub(crate) access_logs: AccessLogs,
    pub(crate) shared_states: SharedStates,
    /// `None`: nothing is shed.
    pub(crate) overload: Option<Arc<Overload>>,
    /// The name of the cluster this proxy is part of (Envoy's `node.cluster`).
    pub(crate) local_cluster: String,
    /// Who this proxy is (Envoy's `node.id`).
    pub(crate) node_id: String,
    /// See `ProxyConfig`.
    pub(crate) local_zone: Option<(String, Locality)>,
    pub(crate) connection_limits: ConnectionLimits,
    /// `None`: no TLS.
    pub(crate) identity: Option<Identity>,
    /// Shared by the workers.
    pub(crate) tls_contexts: TlsContexts,
    pub(crate) handshake_timeout: Duration,
    /// Starts the random numbers.
    pub(crate) random: u64,
}

/// The state of one worker thread; always behind `Rc`.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) stats: WorkerStats,
    access_logs: WorkerLogs,
    local_cluster: String,
    node_id: String,
    local_zone: Option<(String, Locality)>,
    connection_limits: ConnectionLimits,
    shared_states: SharedStates,
    overload: Option<Arc<Overload>>,
    plan: RefCell<Arc<Plan>>,
    clusters: RefCell<FxHashMap<String, Rc<UpstreamCluster>>>,
    bindings: RefCell<HashMap<BindKey, Rc<Binding>>>,
    /// Listeners without a socket.
    unbound: RefCell<Vec<Rc<ActiveListener>>>,
    random: Cell<u64>,
    /// The time of the last tick, for what needs a second's precision only.
    clock: Rc<Cell<Instant>>,
    /// When the clock was last read, and what it said.
    time_of_day: Cell<(Instant, SystemTime)>,
    tasks: Tasks,
    connections: Tasks,
    tls: TlsSettings,
    accept_outage: AcceptOutage,
    crowd: Cell<Crowd>,
    handshake_timeout: Duration,
}

impl Worker {
    pub(crate) fn new(seed: WorkerSeed) -> Self {
        Self {
            stats: seed.stats,
            access_logs: WorkerLogs::new(seed.access_logs),
            shared_states: seed.shared_states,
            overload: seed.overload,
            local_cluster: seed.local_cluster,
            node_id: seed.node_id,
            local_zone: seed.local_zone,
            connection_limits: seed.connection_limits,
            plan: RefCell::default(),
            clusters: RefCell::default(),
            bindings: RefCell::default(),
            unbound: RefCell::default(),
            // Zero is the one state that xorshift never leaves.
            random: Cell::new(seed.random | 1),
            clock: Rc::new(Cell::new(Instant::now())),
            time_of_day: Cell::new((Instant::now(), SystemTime::now())),
            tasks: Tasks::new(),
            connections: Tasks::new(),
            tls: TlsSettings::new(seed.identity, seed.tls_contexts, seed.handshake_timeout),
            accept_outage: AcceptOutage::default(),
            crowd: Cell::default(),
            handshake_timeout: seed.handshake_timeout,
        }
    }

    pub(crate) fn connection_limits(&self) -> &ConnectionLimits {
        &self.connection_limits
    }

    /// `None`: the configuration has no such cluster (flag NC).
    pub(crate) fn cluster(&self, name: &str) -> Option<Rc<UpstreamCluster>> {
        self.clusters.borrow().get(name).cloned()
    }

    /// `None`: the table has not arrived (flag NR).
    pub(crate) fn route_table(&self, name: &str) -> Option<Arc<RouteRules>> {
        self.plan.borrow().routes.get(name).cloned()
    }

    /// The scopes of SRDS.
    pub(crate) fn scopes(&self) -> Arc<crate::http::ScopeIndex> {
        self.plan.borrow().scopes.clone()
    }

    /// Random enough to spread load, cheap enough for every request (xorshift64*); not for secrets.
    pub(crate) fn random(&self) -> u64 {
        let mut state = self.random.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.random.set(state);
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::now()
    }

    /// The time of day of a moment not long ago. The clock is read once a second, so one that is set shows as late as that.
    pub(crate) fn time_of_day(&self, moment: Instant) -> SystemTime {
        let (read_at, time) = self.time_of_day.get();
        match moment.checked_duration_since(read_at) {
            Some(since) if since.as_secs() < 1 => time + since,
            _ => {
                let (now, time) = (self.now(), SystemTime::now());
                self.time_of_day.set((now, time));
                time.checked_sub(now.saturating_duration_since(moment)).unwrap_or(time)
            }
        }
    }

    /// The buffers of the access logs; flushed by every tick.
    pub(crate) fn access_logs(&self) -> &WorkerLogs {
        &self.access_logs
    }

    /// How many proxies like this one there are; 0: not known.
    pub(crate) fn local_members(&self) -> u32 {
        let Some((name, _)) = &self.local_zone else { return 0 };
        self.cluster(name).map_or(0, |cluster| cluster.most_important_members())
    }

    pub(crate) fn local_cluster(&self) -> &str {
        &self.local_cluster
    }

    pub(crate) fn node_id(&self) -> &str {
        &self.node_id
    }

    /// What filters of all workers have in common.
    pub(crate) fn shared_states(&self) -> &SharedStates {
        &self.shared_states
    }

    /// `None`: nothing is shed.
    pub(crate) fn overload(&self) -> Option<&Arc<Overload>> {
        self.overload.as_ref()
    }

    /// Whether a connection is to end after the exchange that is beginning on it.
    pub(crate) fn ends_keepalive(&self) -> bool {
        self.overload.as_ref().is_some_and(|overload| overload.ends_keepalive(|| self.random()))
    }

    /// Resolves when listeners are to stop (`true`) or go on (`false`) accepting for want of memory.
    pub(crate) async fn stops_accepting(&self, stops: bool) {
        match &self.overload {
            Some(overload) => overload.stops_accepting(stops).await,
            None => std::future::pending().await,
        }
    }

    /// Owner of every task on this thread but the connections.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Owner of the tasks that serve downstream connections.
    pub(crate) fn connections(&self) -> &Tasks {
        &self.connections
    }

    pub(crate) fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    pub(crate) fn accept_outage(&self) -> &AcceptOutage {
        &self.accept_outage
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }

    /// The time of the last tick, shared with what must not ask the system each time.
    pub(crate) fn clock(&self) -> Rc<Cell<Instant>> {
        self.clock.clone()
    }
}
