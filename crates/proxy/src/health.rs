//! Active health checks: one checker per cluster, on the runtime beside the workers, whatever their number.
//!
//! ```text
//!  endpoints ──▶ 1 session each: wait ─▶ probe (connect, TLS, ask, read) ─▶ HostCheck ─▶ Dynamics ─▶ workers
//! ```
//!
//! Invariants  an endpoint is asked by one session; a check ends within its time-out; nothing here runs on a worker
//! Errors      every failure is a result, none ends the checker
//! Source      Envoy health_checker_impl.cc, 1.40: user agent, what counts as which failure, reuse of connections

mod connect;
mod events;
mod grpc;
mod http;
mod payload;
mod session;
mod tcp;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::{AbortHandle, Aborted, BoxFuture, abortable};
use futures_util::stream::{FuturesUnordered, StreamExt};
use leno_balance::{CheckResult, HostCheck, Transition};
use leno_identity::Identity;
use leno_ir::{Cluster, Endpoint, EndpointSet, HealthCheck, Labels};
use leno_runtime::Tasks;

use self::events::EventLog;
use self::session::{Probe, Session};
use crate::dynamics::{CheckedHealth, Dynamics, HealthMap};
use crate::tls::TlsContexts;

/// Checks the endpoints of one cluster.
pub(crate) struct Checker {
    dynamics: Arc<Dynamics>,
    probe: Arc<Probe>,
    config: HealthCheck,
    hosts: HashMap<SocketAddr, Host>,
    events: Option<EventLog>,
    /// Whether a passed check ends an ejection, which workers then must be told of.
    readmits: bool,
}

struct Host {
    endpoint: Endpoint,
    check: HostCheck,
    is_excluded: bool,
    passed: u32,
    abort: AbortHandle,
}

/// A session that was asked and has an answer.
struct Answered {
    session: Session,
    result: CheckResult,
}

/// Aborted when the endpoint leaves.
type Asking = BoxFuture<'static, Result<Answered, Aborted>>;

impl Checker {
    /// `cluster` has health checks.
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        dynamics: Arc<Dynamics>,
        (identity, contexts): (Option<Identity>, TlsContexts),
        tasks: Tasks,
    ) -> Self {
        let config = cluster.health_check.as_deref().cloned().expect("only clusters with health checks get a checker");
        let events = EventLog::open(&cluster.name, &config);
        let readmits = cluster.outlier_detection.as_ref().is_some_and(|outlier| outlier.health_check_readmits);
        let probe = Arc::new(Probe { cluster, config: config.clone(), identity, contexts, tasks });
        Self { dynamics, probe, config, hosts: HashMap::new(), events, readmits }
    }

    /// Until the cluster is gone. `failures` are endpoints that said in an answer to ordinary traffic that they fail.
    pub(crate) async fn run(mut self, mut failures: tokio::sync::mpsc::Receiver<SocketAddr>) {
        let mut endpoints = self.dynamics.watch_endpoints();
        // They may be there already.
        endpoints.mark_changed();
        let mut asked = FuturesUnordered::new();
        loop {
            tokio::select! {
                changed = endpoints.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let set = endpoints.borrow_and_update().clone();
                    let sessions = set.map(|set| self.follow(&set)).unwrap_or_default();
                    for session in sessions {
                        asked.push(self.start(session));
                    }
                    self.publish();
                }
                Some(address) = failures.recv() => self.fail(address),
                Some(answered) = asked.next(), if !asked.is_empty() => {
                    // Aborted: the endpoint has left.
                    if let Ok(answered) = answered {
                        let (wait, session) = self.take(answered);
                        if let Some(session) = session {
                            asked.push(self.ask_after(session, wait));
                        }
                    }
                }
            }
        }
    }

    /// Sessions for endpoints that are new.
    fn follow(&mut self, set: &EndpointSet) -> Vec<Session> {
        let located = set.localities.iter().flat_map(|locality| {
            locality.endpoints.iter().map(move |endpoint| (endpoint.address, (endpoint, &locality.socket_labels)))
        });
        let wanted: HashMap<SocketAddr, (&Endpoint, &Labels)> =
            located.filter(|(_, (endpoint, _))| !endpoint.check.disabled).collect();
        self.hosts.retain(|address, host| {
            let stays = wanted.get(address).is_some_and(|(endpoint, _)| {
                endpoint.check == host.endpoint.check
                    && endpoint.hostname == host.endpoint.hostname
                    && endpoint.socket_labels == host.endpoint.socket_labels
            });
            if !stays {
                host.abort.abort();
            }
            stays
        });
        let new = wanted.into_iter().filter(|(address, _)| !self.hosts.contains_key(address));
        new.map(|(_, (endpoint, labels))| Session::new(endpoint.clone(), labels.clone())).collect()
    }

    fn start(&mut self, session: Session) -> Asking {
        let endpoint = session.endpoint().clone();
        let (_, abort) = abortable(std::future::ready(()));
        let host = Host { endpoint, check: HostCheck::default(), is_excluded: false, passed: 0, abort };
        self.hosts.insert(session.endpoint().address, host);
        let wait = self.config.initial_jitter.map_or_else(Default::default, |most| most.mul_f64(rand::random::<f64>()));
        self.ask_after(session, wait)
    }

    fn ask_after(&mut self, mut session: Session, wait: std::time::Duration) -> Asking {
        let address = session.endpoint().address;
        let probe = self.probe.clone();
        let (future, abort) = abortable(async move {
            tokio::time::sleep(wait).await;
            let result = session.ask(&probe).await;
            Answered { session, result }
        });
        if let Some(host) = self.hosts.get_mut(&address) {
            host.abort = abort;
        }
        Box::pin(future)
    }

    /// The time until the endpoint is asked again; no session when it has left.
    fn take(&mut self, answered: Answered) -> (std::time::Duration, Option<Session>) {
        let Answered { session, result } = answered;
        let address = session.endpoint().address;
        let Some(host) = self.hosts.get_mut(&address) else { return Default::default() };
        let transition = host.check.observe(result, &self.config);
        if matches!(result, CheckResult::Success { .. }) && !host.check.is_failed() {
            host.is_excluded = false;
            if self.readmits {
                host.passed = host.passed.wrapping_add(1);
            }
        }
        let wait = host.check.wait(transition, self.dynamics.has_traffic(), &self.config, rand::random());
        if let Some(events) = &mut self.events {
            events.note(&host.endpoint, &host.check, result, transition);
        }
        if transition != Transition::Changed && self.readmits {
            self.publish();
        } else if transition == Transition::Changed {
            let has_failed = host.check.is_failed();
            tracing::info!(cluster = self.probe.cluster.name, endpoint = %address, has_failed, ?result, "health has changed");
            self.publish();
            if has_failed && self.dynamics.is_leaving(address) {
                self.dynamics.forget(address);
            }
        }
        (wait, Some(session))
    }

    fn fail(&mut self, address: SocketAddr) {
        if let Some(host) = self.hosts.get_mut(&address) {
            host.check.fail();
            host.is_excluded = true;
            self.publish();
        }
    }

    fn publish(&self) {
        let health = |(address, host): (&SocketAddr, &Host)| {
            let checked = CheckedHealth {
                is_failed: host.check.is_failed(),
                is_pending: host.check.is_pending(),
                is_degraded: host.check.is_degraded(),
                has_timed_out: host.check.has_timed_out(),
                is_excluded: host.is_excluded,
                is_leaving: self.dynamics.is_leaving(*address),
                passed: host.passed,
            };
            (*address, checked)
        };
        let map: HealthMap = self.hosts.iter().map(health).collect();
        let is_warm = map.values().all(|health| !health.is_pending);
        self.dynamics.set_health(map);
        if is_warm {
            self.dynamics.set_warm();
        }
    }
}
