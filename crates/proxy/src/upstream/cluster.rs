use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_ir::{Cluster, EndpointSet};

use super::chooser::{Chooser, InFlight};
use super::endpoint::{EndpointSource, EndpointState};
use super::limits::Limits;
use super::{EndpointId, Overflow, RequestPermit, RetryPermit};
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
    pub(super) tls_cache: ClientCaches,
}

#[derive(Debug)]
struct Endpoints {
    set: Arc<EndpointSet>,
    /// In the order of `set`; the chooser names them by their place.
    members: Vec<Rc<EndpointState>>,
    chooser: Rc<Chooser>,
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

impl UpstreamCluster {
    pub(crate) fn new(config: Arc<Cluster>, limits: Arc<Limits>, set: Arc<EndpointSet>, worker: &Worker) -> Self {
        let next_id = Rc::new(Cell::new(0));
        let members = members(&set, Vec::new(), &next_id);
        let chooser = Rc::new(Chooser::new(&config, &members, None, worker.now()));
        let endpoints = RefCell::new(Endpoints { set, members, chooser });
        Self { config, limits, clock: worker.clock(), endpoints, next_id, tls_cache: ClientCaches::default() }
    }

    /// The same cluster under another configuration. Endpoints keep their connections unless TLS has changed, and their
    /// measurements always.
    pub(crate) fn successor(&self, config: Arc<Cluster>, set: Arc<EndpointSet>, worker: &Worker) -> Self {
        let keeps_connections = self.config.tls == config.tls;
        let old = self.endpoints.borrow();
        if !keeps_connections {
            old.members.iter().for_each(|member| member.retire());
        }
        let kept = if keeps_connections { old.members.clone() } else { Vec::new() };
        let members = members(&set, kept, &self.next_id);
        let chooser = Rc::new(Chooser::new(&config, &members, Some(&old.chooser), worker.now()));
        Self {
            config,
            limits: self.limits.clone(),
            clock: self.clock.clone(),
            endpoints: RefCell::new(Endpoints { set, members, chooser }),
            next_id: self.next_id.clone(),
            tls_cache: ClientCaches::default(),
        }
    }

    /// Takes another set of endpoints in place.
    pub(crate) fn update(&self, set: Arc<EndpointSet>, worker: &Worker) {
        let mut endpoints = self.endpoints.borrow_mut();
        if Arc::ptr_eq(&endpoints.set, &set) || endpoints.set == set {
            return;
        }
        let members = members(&set, std::mem::take(&mut endpoints.members), &self.next_id);
        let chooser = Rc::new(Chooser::new(&self.config, &members, Some(&endpoints.chooser), worker.now()));
        *endpoints = Endpoints { set, members, chooser };
    }

    /// # Errors
    /// When `max_requests` are under way (503, flag UO).
    pub(crate) fn admit(self: &Rc<Self>) -> Result<RequestPermit, Overflow> {
        self.limits.request(&self.config.circuit_breakers)
    }

    /// # Errors
    /// When the retry budget or `max_retries` is used up: the last response stands.
    pub(crate) fn admit_retry(self: &Rc<Self>) -> Result<RetryPermit, Overflow> {
        self.limits.retry(&self.config.circuit_breakers)
    }

    /// The endpoint for a try, preferably none of `avoid`. `None`: no endpoint at all (503, flag UH).
    pub(crate) fn pick(self: &Rc<Self>, worker: &Worker, avoid: &[EndpointId]) -> Option<Pick> {
        let endpoints = self.endpoints.borrow();
        let is_avoided = |index: usize| endpoints.members.get(index).is_some_and(|member| avoid.contains(&member.id));
        let index = endpoints.chooser.pick(&|| worker.random(), worker.now(), &is_avoided)?;
        let state = endpoints.members.get(index)?.clone();
        let in_flight = InFlight::new(endpoints.chooser.clone(), index);
        Some(Pick { source: state.source(), state, in_flight })
    }

    /// Once a second: sweeps of the outlier detector, idle connections.
    pub(crate) fn tick(&self, now: Instant) {
        let endpoints = self.endpoints.borrow();
        endpoints.chooser.tick(now);
        let oldest = now.checked_sub(self.config.http.idle_timeout);
        for member in &endpoints.members {
            member.sweep(oldest);
        }
    }

    /// The cluster is gone: idle connections close now, the others when their exchange ends.
    pub(crate) fn retire(&self) {
        self.endpoints.borrow().members.iter().for_each(|member| member.retire());
    }

    /// The time of the last tick.
    pub(super) fn coarse_now(&self) -> Instant {
        self.clock.get()
    }

    pub(super) fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }
}

/// The states of `set`'s endpoints, taken from `old` where the address stays; the rest of `old` is retired.
fn members(set: &Arc<EndpointSet>, old: Vec<Rc<EndpointState>>, next_id: &Cell<u64>) -> Vec<Rc<EndpointState>> {
    let mut old: HashMap<SocketAddr, Rc<EndpointState>> =
        old.into_iter().map(|member| (member.address, member)).collect();
    let mut members = Vec::new();
    for (locality, endpoints) in set.localities.iter().enumerate() {
        for (index, endpoint) in endpoints.endpoints.iter().enumerate() {
            let source = EndpointSource::new(set.clone(), locality, index);
            members.push(match old.remove(&endpoint.address) {
                Some(member) => {
                    member.update(source);
                    member
                }
                None => {
                    next_id.set(next_id.get() + 1);
                    Rc::new(EndpointState::new(EndpointId(next_id.get()), source))
                }
            });
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
    in_flight: InFlight,
}

impl Pick {
    pub(crate) fn endpoint(&self) -> &leno_ir::Endpoint {
        self.source.endpoint()
    }

    pub(crate) fn id(&self) -> EndpointId {
        self.state.id
    }

    /// Tells balancer and outlier detector how it went. A pick that is dropped counts as [`Outcome::Abandoned`].
    pub(crate) fn finish(mut self, outcome: Outcome) {
        self.in_flight.report(outcome);
    }

    /// Tells how a part of it went; the pick goes on counting as under way.
    pub(crate) fn report(&mut self, outcome: Outcome) {
        self.in_flight.report(outcome);
    }

    pub(super) fn state(&self) -> &Rc<EndpointState> {
        &self.state
    }
}
