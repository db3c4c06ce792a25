//! One thread of the proxy: its listeners, its clusters, and the connections on it. Nothing here is shared with other
//! workers but the immutable configuration and the counters of circuit breakers.
//!
//! Shape       1 proxy -> n workers -> bindings (by address), clusters (by name); commands arrive one at a time
//! Invariants  a resource that did not change keeps its state; `RefCell`s are never borrowed across an await
//! Cost        per request: one look-up per name asked for; a change costs what changed plus one comparison per resource

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_ir::Config;
use leno_routing::CompiledRoutes;
use leno_runtime::Tasks;

use crate::drain::DrainSignal;
use crate::stats::WorkerStats;
use crate::tls::TlsSettings;
use crate::upstream::{Limits, UpstreamCluster};

/// A configuration, prepared once for all workers.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) config: Arc<Config>,
    /// Every route table, indexed for matching.
    pub(crate) routes: HashMap<String, Arc<CompiledRoutes>>,
    /// By cluster name.
    pub(crate) limits: HashMap<String, Arc<Limits>>,
}

/// The state of one worker thread; always behind `Rc`.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) stats: WorkerStats,
    plan: RefCell<Arc<Plan>>,
    clusters: RefCell<HashMap<String, Rc<UpstreamCluster>>>,
    random: Cell<u64>,
    /// The time of the last tick, for what needs a second's precision only.
    clock: Rc<Cell<Instant>>,
    drain: Rc<DrainSignal>,
    tasks: Tasks,
    tls: TlsSettings,
}

impl Worker {
    /// `None`: the configuration has no such cluster (flag NC).
    pub(crate) fn cluster(&self, name: &str) -> Option<Rc<UpstreamCluster>> {
        self.clusters.borrow().get(name).cloned()
    }

    /// `None`: the table has not arrived (flag NR).
    pub(crate) fn route_table(&self, name: &str) -> Option<Arc<CompiledRoutes>> {
        self.plan.borrow().routes.get(name).cloned()
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

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.is_draining()
    }

    /// Resolves when the worker starts to drain. A connection watches its own `Connection::drain`, which includes this.
    pub(crate) async fn draining(&self) {
        self.drain.draining().await;
    }

    /// Owner of every task on this thread.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(crate) fn tls(&self) -> &TlsSettings {
        &self.tls
    }
}
