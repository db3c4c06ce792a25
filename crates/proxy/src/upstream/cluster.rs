use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_balance::{Balancer, BalancerSettings, Choice, Health, MemberStatus, Signal, Together, Wish};
use leno_ir::{Cluster, Discovery, DynamicHosts, EndpointSet, LocalityBalancing, RoutingPriority, Thresholds};
use leno_names::{Fraction, Locality};

use super::endpoint::{Age, EndpointSource, EndpointState};
use super::limits::{Limits, Usage};
use super::members::Members;
use super::original_dst::Destinations;
use super::sockets::{Sockets, are_same};
use super::{EndpointId, LocalZone, Overflow, RequestPermit, RetryPermit};
use crate::admin::{ClusterStatus, EndpointStatus};
use crate::dynamics::Dynamics;
use crate::stats::{ClusterCounter, ClusterGauge, ClusterStats, Held, Limit, WorkerStats, WorkloadId};
use crate::worker::Worker;

/// What all workers share of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) together: Together,
    /// `None`: nothing of it is found out while it runs.
    pub(crate) dynamics: Option<Arc<Dynamics>>,
}

/// A cluster on one worker.
#[derive(Debug)]
pub(crate) struct UpstreamCluster {
    pub(crate) config: Arc<Cluster>,
    limits: Arc<Limits>,
    dynamics: Option<Arc<Dynamics>>,
    stats: ClusterStats,
    /// The time of the worker's last tick.
    clock: Rc<Cell<Instant>>,
    members: RefCell<Members>,
    /// Set where zones matter.
    zone: RefCell<Option<Arc<LocalZone>>>,
    /// Set where requests say themselves where they go.
    destinations: Option<Rc<Destinations>>,
    /// Shared with successors, to which tries that are under way report as well.
    balancer: Rc<RefCell<Balancer<EndpointId>>>,
    pub(super) sockets: Sockets,
}

/// What became of a try, for the balancer and the outlier detector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// Ended for a reason that says nothing about the endpoint: the client went away, a limit of ours.
    Abandoned,
    /// No connection: refused, timed out, TLS failed.
    ConnectFailure,
    /// A TCP connection was made in `latency`, and used.
    Connected { latency: Duration },
    /// Reset, closed before the end of the response, or not the protocol.
    Reset,
    /// The response's head arrived `latency` after the request was sent. A gRPC status counts as the HTTP status it maps to.
    Response { status: u16, latency: Duration },
    /// No response in time.
    Timeout,
}

/// Why a request is refused for its cluster's `drop_overloads`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dropped {
    /// All of them are.
    Always,
    /// It was drawn.
    Share,
}

impl Outcome {
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
    pub(crate) fn new(config: Arc<Cluster>, shared: Shared, set: Arc<EndpointSet>, worker: &Worker) -> Self {
        let Shared { limits, together, dynamics } = shared;
        let set = found(dynamics.as_ref()).unwrap_or(set);
        let stats = worker.stats.cluster(&config.name);
        if set.endpoints().next().is_some() {
            stats.count(ClusterCounter::MembershipChange);
        }
        let mut balancer = Balancer::sharing(settings(&config, &set, None), worker.random(), together);
        let mut members = Members::new(set, counts_endpoints(&config).then(|| limits.clone()));
        if let Some(dynamics) = dynamics.as_ref().filter(|_| config.health_check.is_some()) {
            members.set_health(dynamics.health());
        }
        balancer.update_labelled(members.for_balancer(&config.balancing), worker.now());
        Self {
            stats,
            destinations: has_destinations(&config).then(Rc::default),
            sockets: Sockets::new(&config, worker),
            config,
            limits,
            dynamics,
            clock: worker.clock(),
            members: RefCell::new(members),
            zone: RefCell::default(),
            balancer: Rc::new(RefCell::new(balancer)),
        }
    }

    /// The same cluster under another configuration. Endpoints that stay keep their measurements, and their connections
    /// unless TLS or the PROXY header has changed.
    pub(crate) fn successor(
        &self,
        config: Arc<Cluster>,
        shared: Shared,
        set: Arc<EndpointSet>,
        worker: &Worker,
    ) -> Self {
        let Shared { limits, dynamics, .. } = shared;
        let set = found(dynamics.as_ref()).unwrap_or(set);
        let mut members = self.members.borrow().clone();
        let counts = counts_endpoints(&config);
        let is_same = are_same(&self.config, &config);
        if !is_same || counts_endpoints(&self.config) != counts {
            members.renew(counts.then(|| limits.clone()));
        }
        let mut balancer = self.balancer.borrow_mut();
        let zone = self.zone.borrow().clone();
        let kept = self.destinations.clone().filter(|_| is_same);
        let destinations = has_destinations(&config).then(|| kept.unwrap_or_default());
        balancer.reconfigure(settings(&config, &set, zone.as_deref()));
        if members.update(set) {
            self.stats.count(ClusterCounter::MembershipChange);
        }
        match dynamics.as_ref().filter(|_| config.health_check.is_some()) {
            Some(dynamics) => drop(members.set_health(dynamics.health())),
            None => members.forget_health(),
        }
        balancer.update_labelled(members.for_balancer(&config.balancing), worker.now());
        Self {
            sockets: Sockets::new(&config, worker),
            config,
            limits,
            dynamics,
            stats: self.stats.clone(),
            clock: self.clock.clone(),
            members: RefCell::new(members),
            zone: RefCell::new(zone),
            destinations,
            balancer: self.balancer.clone(),
        }
    }

    /// Takes another set of endpoints in place.
    pub(crate) fn update(&self, set: Arc<EndpointSet>, worker: &Worker) {
        self.take(found(self.dynamics.as_ref()).unwrap_or(set), worker);
    }

    /// Takes what was found out since.
    pub(crate) fn refresh(&self, worker: &Worker) {
        if let Some(set) = found(self.dynamics.as_ref()) {
            self.take(set, worker);
        }
    }

    fn take(&self, set: Arc<EndpointSet>, worker: &Worker) {
        let mut members = self.members.borrow_mut();
        let checked = self.dynamics.as_ref().filter(|_| self.config.health_check.is_some());
        let health = checked.map(|dynamics| dynamics.health());
        let has_new_health = health.as_ref().is_some_and(|health| !members.has_health(health));
        let has_new_endpoints = !members.are_of(&set);
        if !has_new_endpoints && !has_new_health {
            return;
        }
        let mut balancer = self.balancer.borrow_mut();
        if has_new_endpoints {
            balancer.reconfigure(settings(&self.config, &set, self.zone.borrow().as_deref()));
            if members.update(set) {
                self.stats.count(ClusterCounter::MembershipChange);
            }
        }
        let passed = health.map(|health| members.set_health(health)).unwrap_or_default();
        balancer.update_labelled(members.for_balancer(&self.config.balancing), worker.now());
        if balancer.readmit(&passed) {
            self.stats.set_ejected_endpoints(balancer.ejected());
        }
    }

    /// Whether it matters where this proxy is.
    pub(crate) fn is_zone_aware(&self) -> bool {
        matches!(self.config.balancing.localities, LocalityBalancing::ZoneAware(_))
    }

    pub(crate) fn set_zone(&self, zone: Option<&Arc<LocalZone>>) {
        if self.zone.borrow().as_ref() != zone {
            let settings = settings(&self.config, self.members.borrow().set(), zone.map(AsRef::as_ref));
            self.balancer.borrow_mut().reconfigure(settings);
            *self.zone.borrow_mut() = zone.cloned();
        }
    }

    pub(crate) fn each_endpoint(&self, mut see: impl FnMut(EndpointId, &leno_ir::Endpoint)) {
        self.members.borrow().states().for_each(|state| see(state.id, state.source().endpoint()));
    }

    /// How many endpoints have the highest priority, well or not.
    pub(crate) fn most_important_members(&self) -> u32 {
        self.members.borrow().of_first_priority()
    }

    /// Where its endpoints are that take traffic.
    pub(crate) fn healthy_by_locality(&self) -> BTreeMap<Locality, u32> {
        self.members.borrow().healthy(&self.config.balancing)
    }

    /// Whether an answer that asks for it takes its endpoint out (`x-envoy-immediate-health-check-fail`).
    pub(crate) fn is_checked(&self) -> bool {
        self.config.health_check.is_some()
    }

    /// The endpoint has said that it fails.
    pub(crate) fn report_failed(&self, pick: &Pick) {
        if let Some(dynamics) = &self.dynamics {
            dynamics.report_failed(pick.state.address);
        }
    }

    /// Whether the request is one of those that are refused before an endpoint is looked for. Each share is drawn for by itself.
    pub(crate) fn drops(&self, mut random: impl FnMut() -> u64) -> Option<Dropped> {
        let members = self.members.borrow();
        let shares = members.drop_overloads();
        if shares.contains(&Fraction::ONE) {
            return Some(Dropped::Always);
        }
        let is_drawn = |share: &Fraction| random() % 1_000_000 < u64::from(share.parts_per_million());
        shares.iter().any(is_drawn).then_some(Dropped::Share)
    }

    /// # Errors
    /// When `max_requests` are under way (503, flag UO).
    pub(crate) fn admit(self: &Rc<Self>, priority: RoutingPriority) -> Result<RequestPermit, Overflow> {
        let (usage, most) = self.usage(priority);
        self.counted(usage.request(most))
    }

    /// # Errors
    /// When the retry budget or `max_retries` is used up: the last response stands.
    pub(crate) fn admit_retry(self: &Rc<Self>, priority: RoutingPriority) -> Result<RetryPermit, Overflow> {
        let (usage, most) = self.usage(priority);
        let permit = self.counted(usage.retry(most))?;
        self.stats.count(ClusterCounter::RqRetry);
        Ok(permit)
    }

    /// The endpoint for a try, preferably none of `avoid`. `None`: no endpoint at all (503, flag UH).
    pub(crate) fn pick(self: &Rc<Self>, worker: &Worker, now: Instant, avoid: &[EndpointId]) -> Option<Pick> {
        self.pick_for(worker, now, Wish::default(), avoid)
    }

    /// The same for a request that says more of its endpoint.
    pub(crate) fn pick_for(
        self: &Rc<Self>,
        worker: &Worker,
        now: Instant,
        wish: Wish<'_>,
        avoid: &[EndpointId],
    ) -> Option<Pick> {
        if let Discovery::Aggregate(_) = self.config.discovery {
            return self.pick_among(worker, now, wish, avoid);
        }
        let choice = self.balancer.borrow_mut().pick_for(wish, now, &mut || worker.random(), avoid)?;
        let state = self.members.borrow().get(choice.key())?;
        Some(Pick::new(self, state, Some(choice)))
    }

    /// The endpoint that a session names.
    pub(crate) fn pick_of_session(self: &Rc<Self>, address: SocketAddr) -> Option<Pick> {
        let allowed = self.config.balancing.override_health();
        let choice = self.balancer.borrow_mut().pick_at(address, allowed)?;
        let state = self.members.borrow().get(choice.key())?;
        Some(Pick::new(self, state, Some(choice)))
    }

    /// Whether the endpoint that a session names is there, well or not.
    pub(crate) fn has_endpoint(&self, address: SocketAddr) -> bool {
        self.balancer.borrow().has_address(address)
    }

    /// The endpoint at an address, where requests say themselves where they go.
    pub(crate) fn pick_destination(self: &Rc<Self>, address: SocketAddr, now: Instant) -> Option<Pick> {
        let state = self.destinations.as_ref()?.at(address, now);
        Some(Pick::new(self, state, None))
    }

    /// The endpoint of the host that a request names, where that is all a cluster knows. `None`: it has no address, or the
    /// request would come back to where it came in.
    pub(crate) async fn pick_named(
        self: &Rc<Self>,
        config: &DynamicHosts,
        authority: &str,
        came_to: SocketAddr,
        now: Instant,
    ) -> Option<Pick> {
        let default_port = if self.config.tls.is_some() { 443 } else { 80 };
        let (host, port) = host_and_port(authority, default_port)?;
        let destinations = self.destinations.clone()?;
        let address = SocketAddr::new(destinations.look_up(config, host, now).await?, port);
        if address == came_to { None } else { self.pick_destination(address, now) }
    }

    pub(super) fn with_priorities(&self, mut see: impl FnMut(u32, Health)) {
        self.balancer.borrow().priorities().iter().for_each(|(priority, health)| see(*priority, *health));
    }

    pub(super) fn panic_threshold(&self) -> Fraction {
        self.config.balancing.panic_threshold.unwrap_or_else(half)
    }

    /// Once a second: sweeps of the outlier detector, idle connections.
    pub(crate) fn tick(&self, now: Instant) {
        let mut random = || self.random();
        let mut balancer = self.balancer.borrow_mut();
        balancer.sweep(now, &mut random);
        if self.config.outlier_detection.is_some() {
            // Whoever has changed it.
            self.stats.set_ejected_endpoints(balancer.ejected());
        }
        if self.config.balancing.closes_connections_of_failed {
            let members = self.members.borrow();
            for status in balancer.status(now) {
                if let Some(state) = members.get(status.key) {
                    state.set_ejected(status.ejected_until.is_some());
                }
            }
        }
        let http = &self.config.http;
        let age = Age {
            idle: now.checked_sub(http.idle_timeout),
            made: http.max_connection_duration.and_then(|most| now.checked_sub(most)),
        };
        self.members.borrow().each(|member| member.sweep(age));
        let unused_for = match &self.config.discovery {
            Discovery::DynamicHosts(config) => config.host_ttl,
            Discovery::OriginalDestination(config) => config.cleanup_interval,
            _ => return,
        };
        if let Some(destinations) = &self.destinations {
            destinations.sweep(age, now, unused_for);
        }
    }

    /// The cluster is gone: idle connections close now, the others when their exchange ends.
    pub(crate) fn retire(&self) {
        self.members.borrow().each(EndpointState::retire);
        if let Some(destinations) = &self.destinations {
            destinations.retire();
        }
        self.stats.set_ejected_endpoints(0);
    }

    /// For the admin interface.
    pub(crate) fn status(&self, now: Instant) -> ClusterStatus {
        let members = self.members.borrow();
        let endpoint = |status: MemberStatus<EndpointId>| {
            let state = members.get(status.key)?;
            let (source, locality) = (state.source(), state.locality());
            let endpoint = source.endpoint();
            Some(EndpointStatus {
                address: state.address,
                hostname: endpoint.hostname.clone(),
                locality: locality.locality,
                priority: locality.priority,
                counts: state.counts.get(),
                health: endpoint.health,
                checked: state.checked.get(),
                is_ejected: status.ejected_until.is_some(),
                active_requests: u64::from(status.active),
                latency: status.latency,
                weight: endpoint.weight,
            })
        };
        let endpoints = self.balancer.borrow().status(now).filter_map(endpoint).collect();
        let breakers = [RoutingPriority::Default, RoutingPriority::High].map(|priority| {
            let (usage, most) = self.usage(priority);
            usage.are_reached(most)
        });
        ClusterStatus { config: self.config.clone(), breakers, is_dynamic: false, endpoints }
    }

    /// A request has its connection.
    pub(super) fn request_begins(&self, endpoint: &EndpointState) -> Held {
        endpoint.count(|counts| counts.rq_total += 1);
        self.stats.count(ClusterCounter::RqTotal);
        self.stats.hold(ClusterGauge::RqActive)
    }

    pub(crate) fn stats(&self) -> &ClusterStats {
        &self.stats
    }

    /// For ejections, which are rare.
    fn random(&self) -> u64 {
        rand::random()
    }

    /// The time of the last tick.
    pub(super) fn coarse_now(&self) -> Instant {
        self.clock.get()
    }

    /// Connections tell health checks that the cluster is in use.
    pub(super) fn note_traffic(&self) {
        if let Some(dynamics) = &self.dynamics {
            dynamics.note_traffic();
        }
    }

    /// What is in use of the limits of a priority, and the limits.
    pub(super) fn usage(&self, priority: RoutingPriority) -> (&Arc<Usage>, &Thresholds) {
        let breakers = &self.config.circuit_breakers;
        let most = match priority {
            RoutingPriority::Default => &breakers.default,
            RoutingPriority::High => breakers.high.as_deref().unwrap_or(&Thresholds::ENVOY),
        };
        (self.limits.of(priority), most)
    }

    pub(super) fn counted<T>(&self, result: Result<T, Overflow>) -> Result<T, Overflow> {
        if let Err(overflow) = &result {
            self.stats.overflowed(match overflow {
                Overflow::Connections => Limit::Connections,
                Overflow::Pending => Limit::Pending,
                Overflow::Requests => Limit::Requests,
                Overflow::Retries => Limit::Retries,
            });
        }
        result
    }

    fn report(&self, choice: &Choice<EndpointId>, endpoint: &EndpointState, outcome: Outcome, now: Instant) {
        let Some((signal, latency)) = outcome.signal() else { return };
        endpoint.count(|counts| match outcome {
            Outcome::ConnectFailure | Outcome::Reset => counts.rq_error += 1,
            Outcome::Response { status: 500.., .. } => counts.rq_error += 1,
            Outcome::Response { .. } => counts.rq_success += 1,
            Outcome::Timeout => counts.rq_timeout += 1,
            Outcome::Abandoned | Outcome::Connected { .. } => {}
        });
        let mut balancer = self.balancer.borrow_mut();
        if balancer.report(choice, signal, latency, now, self.random()) {
            self.stats.count(ClusterCounter::Ejections);
            self.stats.set_ejected_endpoints(balancer.ejected());
            tracing::warn!(cluster = self.config.name, endpoint = %endpoint.address, "endpoint ejected as an outlier");
        }
    }
}

/// Envoy's panic threshold where nothing is said.
fn half() -> Fraction {
    Fraction::from_percent(50).unwrap_or(Fraction::ZERO)
}

fn found(dynamics: Option<&Arc<Dynamics>>) -> Option<Arc<EndpointSet>> {
    dynamics?.endpoints()
}

fn has_destinations(config: &Cluster) -> bool {
    matches!(config.discovery, Discovery::DynamicHosts(_) | Discovery::OriginalDestination(_))
}

/// `example.com`, `example.com:8080`, `[::1]:8080`.
fn host_and_port(authority: &str, default: u16) -> Option<(&str, u16)> {
    let whole = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let (host, port) = whole;
    let port = port.map_or(Some(default), |port| port.parse().ok())?;
    (!host.is_empty()).then_some((host, port))
}

fn counts_endpoints(config: &Cluster) -> bool {
    let breakers = &config.circuit_breakers;
    std::iter::once(&breakers.default)
        .chain(breakers.high.as_deref())
        .any(|limits| limits.max_connections_per_endpoint.is_some())
}

fn settings(config: &Cluster, set: &EndpointSet, zone: Option<&LocalZone>) -> BalancerSettings {
    let zone_aware = match &config.balancing.localities {
        LocalityBalancing::ZoneAware(zones) => Some(zones),
        LocalityBalancing::Ignored | LocalityBalancing::Weighted => None,
    };
    let default = BalancerSettings::new(config.balancer.clone(), config.outlier_detection.clone());
    BalancerSettings {
        panic_threshold: config.balancing.panic_threshold.unwrap_or(default.panic_threshold),
        overprovisioning_percent: set.policy.overprovisioning_percent,
        weighted_priority_health: set.policy.weighted_priority_health,
        subsets: config.balancing.subsets.clone(),
        slow_start: config.balancing.slow_start.clone(),
        balance_percent: config.balancing.hashing.balance_percent,
        zones: zone_aware.zip(zone).map(|(config, zone)| Box::new(zone.of(set, config))),
        fails_in_panic: zone_aware.is_some_and(|config| config.fails_in_panic),
        ..default
    }
}

/// An endpoint chosen for one try; counts as under way there until finished or dropped.
#[derive(Debug)]
pub(crate) struct Pick {
    cluster: Rc<UpstreamCluster>,
    place: u32,
    state: Rc<EndpointState>,
    source: Rc<EndpointSource>,
    /// `None`: nobody chose, the request said it.
    choice: Option<Choice<EndpointId>>,
    /// In the limits of a cluster that another one is made of.
    admitted: Option<RequestPermit>,
}

impl Pick {
    fn new(cluster: &Rc<UpstreamCluster>, state: Rc<EndpointState>, choice: Option<Choice<EndpointId>>) -> Self {
        let source = state.source();
        Self { cluster: cluster.clone(), place: source.priority(), state, source, choice, admitted: None }
    }

    /// The one the endpoint belongs to: not the one asked, where that is made of others.
    pub(crate) fn cluster(&self) -> &Rc<UpstreamCluster> {
        &self.cluster
    }

    /// The same, chosen by a cluster that is made of others.
    pub(super) fn of_place(self, place: u32) -> Self {
        Self { place, ..self }
    }

    /// Which priority it is of: of those of all clusters, where the one asked is made of others.
    pub(crate) fn priority(&self) -> u32 {
        self.place
    }

    /// Counts the request in the limits of the endpoint's cluster, where that is not `asked`, which counts it already.
    ///
    /// # Errors
    /// When `max_requests` are under way there.
    pub(crate) fn admit(&mut self, asked: &Rc<UpstreamCluster>, priority: RoutingPriority) -> Result<(), Overflow> {
        if !Rc::ptr_eq(asked, &self.cluster) {
            self.admitted = Some(self.cluster.admit(priority)?);
        }
        Ok(())
    }

    /// Until the endpoint is found to fail, where that is to end its connections; otherwise for ever.
    pub(crate) async fn must_end(&self) {
        if self.cluster.config.balancing.closes_connections_of_failed {
            self.state.failed().await;
        } else {
            std::future::pending().await
        }
    }

    /// Who runs there, as the statistics of this worker number it.
    pub(crate) fn workload(&self, stats: &WorkerStats) -> WorkloadId {
        self.source.workload(stats)
    }

    pub(crate) fn endpoint(&self) -> &leno_ir::Endpoint {
        self.source.endpoint()
    }

    /// What is configured of the endpoint, to be kept.
    pub(crate) fn source(&self) -> Rc<EndpointSource> {
        self.source.clone()
    }

    pub(crate) fn id(&self) -> EndpointId {
        self.state.id
    }

    /// Tells balancer and outlier detector how it went. A pick that is dropped counts as [`Outcome::Abandoned`].
    pub(crate) fn finish(self, outcome: Outcome, now: Instant) {
        if let Some(choice) = &self.choice {
            self.cluster.report(choice, &self.state, outcome, now);
        }
    }

    pub(super) fn state(&self) -> &Rc<EndpointState> {
        &self.state
    }
}
