use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_balance::{Balancer, BalancerSettings, Choice, Member, Signal};
use leno_ir::{Cluster, EndpointSet};

use super::endpoint::{EndpointSource, EndpointState};
use super::limits::Limits;
use super::{EndpointId, Overflow, RequestPermit, RetryPermit};
use crate::stats::{ClusterStats, Limit};
use crate::tls::ClientCaches;
use crate::worker::Worker;

/// A cluster on one worker.
#[derive(Debug)]
pub(crate) struct UpstreamCluster {
    pub(crate) config: Arc<Cluster>,
    limits: Arc<Limits>,
    /// The time of the worker's last tick.
    clock: Rc<Cell<Instant>>,
    endpoints: RefCell<Endpoints>,
    next_id: Rc<Cell<u64>>,
    stats: ClusterStats,
    pub(super) tls_cache: ClientCaches,
}

#[derive(Debug)]
struct Endpoints {
    set: Arc<EndpointSet>,
    members: HashMap<EndpointId, Rc<EndpointState>>,
    balancer: Balancer<EndpointId>,
}

/// What became of a try, for the balancer and the outlier detector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// Ended for a reason that says nothing about the endpoint: the client went away, a limit of ours.
    Abandoned,
    /// No connection: refused, timed out, TLS failed.
    ConnectFailure,
    /// A TCP connection was made in `latency`.
    Connected { latency: Duration },
    /// Reset, closed before the end of the response, or not the protocol.
    Reset,
    /// The response's head arrived `latency` after the request was sent. A gRPC status counts as the HTTP status it maps to.
    Response { status: u16, latency: Duration },
    /// No response in time.
    Timeout,
}

impl Outcome {
    /// What the balancer and the outlier detector make of it; `None`: nothing.
    fn signal(self) -> Option<(Signal, Option<Duration>)> {
        match self {
            Self::Abandoned => None,
            Self::ConnectFailure | Self::Reset | Self::Timeout => Some((Signal::LocalFailure, None)),
            Self::Connected { latency } => Some((Signal::Success, Some(latency))),
            Self::Response { status, latency } => Some((Signal::Response { status }, Some(latency))),
        }
    }
}

impl UpstreamCluster {
    pub(crate) fn new(config: Arc<Cluster>, limits: Arc<Limits>, set: Arc<EndpointSet>, worker: &Worker) -> Self {
        let next_id = Rc::new(Cell::new(0));
        let balancer = Balancer::new(settings(&config), worker.random());
        let endpoints = Endpoints::new(set, HashMap::new(), balancer, &next_id, worker.now());
        let stats = worker.stats.cluster(&config.name);
        Self {
            config,
            limits,
            clock: worker.clock(),
            endpoints: RefCell::new(endpoints),
            next_id,
            stats,
            tls_cache: ClientCaches::default(),
        }
    }

    /// The same cluster under another configuration. Endpoints keep their connections unless TLS has changed, and their
    /// measurements while their connections stay.
    pub(crate) fn successor(&self, config: Arc<Cluster>, set: Arc<EndpointSet>, worker: &Worker) -> Self {
        let mut old = self.endpoints.borrow_mut();
        let keeps_connections = self.config.tls == config.tls;
        if !keeps_connections {
            old.members.values().for_each(|member| member.retire());
        }
        let kept = if keeps_connections { old.members.clone() } else { HashMap::new() };
        // Picks under way still report to the old balancer; it is empty then, and what they say is lost.
        let empty = Balancer::new(settings(&self.config), 0);
        let mut balancer = std::mem::replace(&mut old.balancer, empty);
        balancer.reconfigure(settings(&config));
        let endpoints = Endpoints::new(set, kept, balancer, &self.next_id, worker.now());
        Self {
            config,
            limits: self.limits.clone(),
            clock: self.clock.clone(),
            endpoints: RefCell::new(endpoints),
            next_id: self.next_id.clone(),
            stats: self.stats.clone(),
            tls_cache: ClientCaches::default(),
        }
    }

    /// Takes another set of endpoints in place.
    pub(crate) fn update(&self, set: Arc<EndpointSet>, worker: &Worker) {
        let mut endpoints = self.endpoints.borrow_mut();
        if Arc::ptr_eq(&endpoints.set, &set) || endpoints.set == set {
            return;
        }
        let old = std::mem::take(&mut endpoints.members);
        endpoints.members = members(&set, old, &self.next_id);
        endpoints.set = set;
        endpoints.refresh(worker.now());
    }

    /// # Errors
    /// When `max_requests` are under way (503, flag UO).
    pub(crate) fn admit(self: &Rc<Self>) -> Result<RequestPermit, Overflow> {
        self.limits.request(&self.config.circuit_breakers).inspect_err(|_| self.stats.overflowed(Limit::Requests))
    }

    /// # Errors
    /// When the retry budget or `max_retries` is used up: the last response stands.
    pub(crate) fn admit_retry(self: &Rc<Self>) -> Result<RetryPermit, Overflow> {
        let permit = self.limits.retry(&self.config.circuit_breakers);
        match &permit {
            Ok(_) => self.stats.retried(),
            Err(_) => self.stats.overflowed(Limit::Retries),
        }
        permit
    }

    /// The endpoint for a try, preferably none of `avoid`. `None`: no endpoint at all (503, flag UH).
    pub(crate) fn pick(self: &Rc<Self>, worker: &Worker, avoid: &[EndpointId]) -> Option<Pick> {
        let mut endpoints = self.endpoints.borrow_mut();
        let choice = endpoints.balancer.pick(worker.now(), &mut || worker.random(), avoid)?;
        let state = endpoints.members.get(&choice.key())?.clone();
        Some(Pick { source: state.source(), state, choice, cluster: self.clone() })
    }

    /// Once a second: sweeps of the outlier detector, idle connections.
    pub(crate) fn tick(&self, now: Instant) {
        let mut endpoints = self.endpoints.borrow_mut();
        endpoints.balancer.sweep(now);
        self.stats.set_ejected_endpoints(endpoints.balancer.ejected());
        let oldest = now.checked_sub(self.config.http.idle_timeout);
        for member in endpoints.members.values() {
            member.sweep(oldest);
        }
    }

    /// The cluster is gone: idle connections close now, the others when their exchange ends.
    pub(crate) fn retire(&self) {
        self.endpoints.borrow().members.values().for_each(|member| member.retire());
    }

    fn report(&self, choice: &Choice<EndpointId>, outcome: Outcome) {
        let Some((signal, latency)) = outcome.signal() else { return };
        let mut endpoints = self.endpoints.borrow_mut();
        if endpoints.balancer.report(choice, signal, latency, Instant::now()) {
            self.stats.ejected();
            self.stats.set_ejected_endpoints(endpoints.balancer.ejected());
            if let Some(member) = endpoints.members.get(&choice.key()) {
                tracing::info!(cluster = self.config.name, endpoint = %member.address, ?outcome, "endpoint ejected");
            }
        }
    }

    pub(super) fn stats(&self) -> &ClusterStats {
        &self.stats
    }

    /// The time of the last tick.
    pub(super) fn coarse_now(&self) -> Instant {
        self.clock.get()
    }

    pub(super) fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }
}

fn settings(config: &Cluster) -> BalancerSettings {
    BalancerSettings::new(config.balancer.clone(), config.outlier_detection.clone())
}

impl Endpoints {
    fn new(
        set: Arc<EndpointSet>,
        old: HashMap<EndpointId, Rc<EndpointState>>,
        balancer: Balancer<EndpointId>,
        next_id: &Cell<u64>,
        now: Instant,
    ) -> Self {
        let members = members(&set, old, next_id);
        let mut endpoints = Self { set, members, balancer };
        endpoints.refresh(now);
        endpoints
    }

    /// Tells the balancer who is there now. Endpoints that are draining take nothing new and are left out.
    fn refresh(&mut self, now: Instant) {
        let mut ids: Vec<_> = self.members.keys().copied().collect();
        ids.sort_unstable();
        let members = ids.into_iter().filter_map(|id| {
            let source = self.members.get(&id)?.source();
            let (locality, endpoint) = (source.locality(), source.endpoint());
            Some(Member {
                key: id,
                weight: endpoint.weight,
                health: endpoint.health,
                priority: locality.priority,
                locality: u32::try_from(source.locality_index()).unwrap_or(u32::MAX),
                locality_weight: locality.weight,
            })
        });
        self.balancer.update(members.collect::<Vec<_>>(), now);
    }
}

/// The states of `set`'s endpoints, taken from `old` where the address stays; the rest of `old` is retired.
fn members(
    set: &Arc<EndpointSet>,
    old: HashMap<EndpointId, Rc<EndpointState>>,
    next_id: &Cell<u64>,
) -> HashMap<EndpointId, Rc<EndpointState>> {
    let mut old: HashMap<SocketAddr, Rc<EndpointState>> =
        old.into_values().map(|member| (member.address, member)).collect();
    let mut members = HashMap::new();
    for (locality, endpoints) in set.localities.iter().enumerate() {
        for (index, endpoint) in endpoints.endpoints.iter().enumerate() {
            let source = EndpointSource::new(set.clone(), locality, index);
            let member = match old.remove(&endpoint.address) {
                Some(member) => {
                    member.update(source);
                    member
                }
                None => {
                    next_id.set(next_id.get() + 1);
                    Rc::new(EndpointState::new(EndpointId(next_id.get()), source))
                }
            };
            members.insert(member.id, member);
        }
    }
    old.into_values().for_each(|member| member.retire());
    members
}

/// An endpoint chosen for one try; counts as under way there until finished or dropped.
#[derive(Debug)]
pub(crate) struct Pick {
    state: Rc<EndpointState>,
    source: Rc<EndpointSource>,
    choice: Choice<EndpointId>,
    cluster: Rc<UpstreamCluster>,
}

impl Pick {
    pub(crate) fn endpoint(&self) -> &leno_ir::Endpoint {
        self.source.endpoint()
    }

    pub(crate) fn id(&self) -> EndpointId {
        self.state.id
    }

    /// Tells balancer and outlier detector how it went. A pick that is dropped counts as [`Outcome::Abandoned`].
    pub(crate) fn finish(self, outcome: Outcome) {
        self.cluster.report(&self.choice, outcome);
    }

    /// Tells how a part of it went; the pick goes on counting as under way.
    pub(crate) fn report(&mut self, outcome: Outcome) {
        self.cluster.report(&self.choice, outcome);
    }

    pub(super) fn state(&self) -> &Rc<EndpointState> {
        &self.state
    }
}
