//! What the process finds out of a cluster while it runs, for all workers alike: its addresses and the health of each.
//!
//! Shape       1 cluster that is looked up or checked -> 1 `Dynamics` <- tasks of the supervisor; -> n workers, told to look
//! Invariants  one writer per part; workers only read; an endpoint that is checked and has no entry was not checked yet
//! Cost        nothing for a cluster without health checks whose addresses are configured

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use leno_ir::{Cluster, EndpointSet};
use tokio::sync::{Notify, mpsc, watch};

/// What active health checks say of an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CheckedHealth {
    pub(crate) is_failed: bool,
    /// Not checked yet.
    pub(crate) is_pending: bool,
    pub(crate) is_degraded: bool,
    /// The last check had no answer in time.
    pub(crate) has_timed_out: bool,
    /// It said itself, in an answer to ordinary traffic, that it fails.
    pub(crate) is_excluded: bool,
    /// Discovery has taken it away; it stays while its checks pass.
    pub(crate) is_leaving: bool,
    /// Checks passed so far, where they end ejections.
    pub(crate) passed: u32,
}

impl CheckedHealth {
    pub(crate) const PENDING: Self = Self {
        is_failed: true,
        is_pending: true,
        is_degraded: false,
        has_timed_out: false,
        is_excluded: false,
        is_leaving: false,
        passed: 0,
    };
}

pub(crate) type HealthMap = HashMap<SocketAddr, CheckedHealth>;

#[derive(Debug)]
pub(crate) struct Dynamics {
    /// `None` until they are known.
    endpoints: watch::Sender<Option<Arc<EndpointSet>>>,
    leaving: Mutex<HashSet<SocketAddr>>,
    health: ArcSwap<HealthMap>,
    has_traffic: AtomicBool,
    /// Whether what must be known before the cluster is used is known.
    warm: watch::Sender<bool>,
    /// Endpoints that said they fail. When it is full the next answer will say it again.
    failed: mpsc::Sender<SocketAddr>,
    changed: Arc<Notify>,
    keeps_healthy: bool,
}

impl Dynamics {
    /// `changed` is told when workers should look. The receiver is for whoever checks health.
    pub(crate) fn new(cluster: &Cluster, changed: Arc<Notify>) -> (Self, mpsc::Receiver<SocketAddr>) {
        let (failed, failures) = mpsc::channel(64);
        let dynamics = Self {
            endpoints: watch::Sender::new(None),
            leaving: Mutex::default(),
            health: ArcSwap::default(),
            has_traffic: AtomicBool::new(false),
            warm: watch::Sender::new(false),
            failed,
            changed,
            keeps_healthy: cluster.health_check.is_some() && !cluster.balancing.ignore_health_on_removal,
        };
        (dynamics, failures)
    }

    pub(crate) fn endpoints(&self) -> Option<Arc<EndpointSet>> {
        self.endpoints.borrow().clone()
    }

    pub(crate) fn watch_endpoints(&self) -> watch::Receiver<Option<Arc<EndpointSet>>> {
        self.endpoints.subscribe()
    }

    pub(crate) fn health(&self) -> Arc<HealthMap> {
        self.health.load_full()
    }

    /// Takes what discovery says; endpoints it leaves out stay while their health checks pass (Envoy `cluster_manager`,
    /// "Health check failure" and "Endpoint removal").
    pub(crate) fn set_endpoints(&self, set: Arc<EndpointSet>) {
        let set = if self.keeps_healthy { self.with_healthy_ones(set) } else { set };
        self.endpoints.send_replace(Some(set));
        self.changed.notify_one();
    }

    fn with_healthy_ones(&self, set: Arc<EndpointSet>) -> Arc<EndpointSet> {
        let Some(before) = self.endpoints() else { return set };
        let health = self.health.load();
        let wanted: HashSet<SocketAddr> = set.endpoints().map(|endpoint| endpoint.address).collect();
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(|address| !wanted.contains(address));
        let mut merged = None;
        for locality in &before.localities {
            let stays = |endpoint: &&leno_ir::Endpoint| {
                !wanted.contains(&endpoint.address)
                    && health.get(&endpoint.address).is_some_and(|health| !health.is_failed)
            };
            let kept: Vec<_> = locality.endpoints.iter().filter(stays).cloned().collect();
            if kept.is_empty() {
                continue;
            }
            leaving.extend(kept.iter().map(|endpoint| endpoint.address));
            let merged: &mut EndpointSet = merged.get_or_insert_with(|| EndpointSet::clone(&set));
            let same = |other: &&mut leno_ir::LocalityEndpoints| {
                other.locality == locality.locality && other.priority == locality.priority
            };
            match merged.localities.iter_mut().find(same) {
                Some(other) => other.endpoints.extend(kept),
                None => merged.localities.push(leno_ir::LocalityEndpoints { endpoints: kept, ..locality.clone() }),
            }
        }
        merged.map_or(set, Arc::new)
    }

    pub(crate) fn is_leaving(&self, address: SocketAddr) -> bool {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }

    /// An endpoint that was only kept for its health has lost that.
    pub(crate) fn forget(&self, address: SocketAddr) {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
        self.endpoints.send_if_modified(|set| {
            let Some(before) = set else { return false };
            let mut after = EndpointSet::clone(before);
            for locality in &mut after.localities {
                locality.endpoints.retain(|endpoint| endpoint.address != address);
            }
            *set = Some(Arc::new(after));
            true
        });
        self.changed.notify_one();
    }

    pub(crate) fn set_health(&self, health: HealthMap) {
        if **self.health.load() != health {
            self.health.store(Arc::new(health));
            self.changed.notify_one();
        }
    }

    pub(crate) fn note_traffic(&self) {
        if !self.has_traffic.load(Ordering::Relaxed) {
            self.has_traffic.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn has_traffic(&self) -> bool {
        self.has_traffic.load(Ordering::Relaxed)
    }

    /// An endpoint said that it fails.
    pub(crate) fn report_failed(&self, address: SocketAddr) {
        let _ = self.failed.try_send(address);
    }

    pub(crate) fn set_warm(&self) {
        self.warm.send_replace(true);
    }

    pub(crate) async fn warm(&self) {
        // The sender is ours, so it cannot be gone.
        let _ = self.warm.subscribe().wait_for(|warm| *warm).await;
    }
}
