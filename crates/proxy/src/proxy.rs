//! Starts the workers, gives them configurations, and stops them.
//!
//! Shape       `ir::Config` -> bind -> `Plan` -> every worker answers -> active; one configuration at a time
//! Invariants  what cannot be activated is rejected by name and leaves its last good version; the rest is activated
//! Cost        a change: one comparison per resource and worker; unchanged resources keep sockets, pools, measurements
mod config;
mod cpus;
mod sockets;
mod status;
mod usable;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use leno_identity::Identity;
use leno_ir::Config;
use leno_runtime::{Readiness, ReadyGuard, Tasks};
use leno_telemetry::Registry;
use tokio::sync::{Notify, mpsc, oneshot};

pub use config::{ConfigDump, DnsConfig, ProxyConfig};
pub use cpus::{available_cpus, default_threads};
pub(crate) use sockets::{BindKey, NewSockets};

use self::sockets::SocketTable;
use crate::access_log::AccessLogs;
use crate::dns::NameTable;
use crate::listener::ConnectionLimits;
use crate::overload::Overload;
use crate::shared::SharedStates;
use crate::stats::{Stats, StatsSettings};
use crate::supervisor::Supervisor;
use crate::tls::TlsContexts;
use crate::worker::{Command, Plan, WorkerSeed};

/// The data plane.
#[derive(Debug)]
pub struct Proxy;

/// A running proxy. Clones are the same proxy.
#[derive(Clone, Debug)]
pub struct ProxyHandle {
    inner: Arc<Inner>,
}

/// A resource that could not be activated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    pub resource_type: ResourceType,
    pub name: String,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResourceType {
    Cluster,
    Endpoints,
    Listener,
    RouteTable,
    Scope,
}

/// Why a proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the admin interface cannot listen on {address}")]
    Admin { address: SocketAddr, source: io::Error },
    #[error("the DNS server cannot start: {0}")]
    Dns(#[source] io::Error),
    #[error("worker {index} cannot start")]
    Worker { index: usize, source: io::Error },
}

#[derive(Debug)]
struct Inner {
    workers: Vec<WorkerHandle>,
    /// Held while a configuration is being activated, so that each is complete before the next begins.
    state: tokio::sync::Mutex<State>,
    /// Locked before `state`, and longer.
    supervisor: tokio::sync::Mutex<Supervisor>,
    config: ArcSwap<Config>,
    names: Option<Names>,
    ready: Mutex<Option<ReadyGuard>>,
    admin: Option<SocketAddr>,
    stats: Stats,
    access_logs: AccessLogs,
    tls_contexts: TlsContexts,
    /// Health checks of this proxy are to fail.
    unwell: Arc<AtomicBool>,
    /// When the configuration became active.
    updated: Mutex<SystemTime>,
    readiness: Readiness,
    quit: Notify,
    tasks: Tasks,
}

#[derive(Debug, Default)]
struct State {
    sockets: SocketTable,
    plan: Arc<Plan>,
    is_draining: bool,
}

#[derive(Debug)]
struct Names {
    namespace: String,
    table: Arc<ArcSwap<NameTable>>,
}

#[derive(Debug)]
struct WorkerHandle {
    commands: mpsc::Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Starts the workers, and on the current runtime the admin interface and the DNS server. The part "configuration" of
    /// `readiness` becomes ready with the first [`ProxyHandle::apply`]. Without an identity there is no TLS.
    ///
    /// # Errors
    /// When an address cannot be bound, or the system gives no threads.
    pub fn start(
        mut config: ProxyConfig,
        identity: Option<Identity>,
        registry: Registry,
        readiness: Readiness,
    ) -> Result<ProxyHandle, StartError> {
        let config_on_leave = config.on_leave.take();
        let config_dump = config.config_dump.take();
        let runtime = config.runtime.take();
        let ready = readiness.guard("configuration");
        let tasks = Tasks::new();
        let settings = StatsSettings {
            workload: config.workload.clone(),
            identity: identity.as_ref().map(|identity| identity.current().id.clone()),
            mesh_domain: config.mesh_domain.clone(),
            max_series: config.max_series,
        };
        let stats = Stats::register(&registry, settings);
        let access_logs = AccessLogs::new(stats.access_log_dropped());
        let shared_states = SharedStates::default();
        let count = config.workers.map_or_else(default_threads, usize::from);
        let tls_contexts = TlsContexts::new(config.read_secret);
        let overload = config.overload.take().map(|config| Overload::register(config, &registry));
        let connection_limits = ConnectionLimits::new(std::mem::take(&mut config.connection_limits));
        let seed = |index| WorkerSeed {
            index,
            local_cluster: config.workload.service.clone(),
            node_id: config.workload.workload.clone(),
            local_zone: config.local_zone.clone(),
            connection_limits: connection_limits.clone(),
            stats: stats.worker(),
            access_logs: access_logs.clone(),
            shared_states: shared_states.clone(),
            overload: overload.clone(),
            identity: identity.clone(),
            tls_contexts: tls_contexts.clone(),
            handshake_timeout: config.handshake_timeout,
            random: rand::random(),
        };
        let workers = (0..count).map(|index| start_worker(seed(index))).collect::<Result<Vec<_>, _>>()?;
        let names = config.dns.map(|dns| start_dns(dns, &tasks)).transpose().map_err(StartError::Dns)?;
        let admin = config.admin.map(bind_admin).transpose()?;
        let supervisor = Supervisor::new(identity.clone(), tls_contexts.clone(), tasks.clone());
        supervisor.tell(workers.iter().map(|worker: &WorkerHandle| worker.commands.downgrade()).collect());
        let unwell = shared_states.unwell();
        let plan = Arc::new(Plan::new(shared_states));
        let state = State { plan, ..State::default() };
        let inner = Inner {
            workers,
            state: tokio::sync::Mutex::new(state),
            supervisor: tokio::sync::Mutex::new(supervisor),
            config: ArcSwap::default(),
            names,
            ready: Mutex::new(Some(ready)),
            admin: admin.as_ref().and_then(|listener| listener.local_addr().ok()),
            stats,
            access_logs,
            tls_contexts,
            unwell,
            updated: Mutex::new(SystemTime::now()),
            readiness: readiness.clone(),
            quit: Notify::new(),
            tasks,
        };
        let handle = ProxyHandle { inner: Arc::new(inner) };
        handle.inner.tasks.spawn("certificates", watch_certificates(handle.inner.tls_contexts.clone()));
        if let Some(overload) = overload {
            handle.inner.tasks.spawn("overload", crate::overload::watch_memory(overload));
        }
        if let Some(listener) = admin {
            let admin = status::admin(&handle, identity, registry, readiness, config_dump, config_on_leave, runtime);
            handle.inner.tasks.spawn("admin", admin.serve(listener));
        }
        Ok(handle)
    }
}

fn start_worker(seed: WorkerSeed) -> Result<WorkerHandle, StartError> {
    let index = seed.index;
    // One command at a time is under way; a second place lets a drain queue behind it.
    let (commands, receiver) = mpsc::channel(2);
    let thread = crate::worker::spawn(seed, receiver).map_err(|source| StartError::Worker { index, source })?;
    Ok(WorkerHandle { commands, thread: Mutex::new(Some(thread)) })
}

/// Between two looks at the directories that certificates are in.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

async fn watch_certificates(contexts: TlsContexts) {
    let mut interval = tokio::time::interval(WATCH_INTERVAL);
    loop {
        interval.tick().await;
        let contexts = contexts.clone();
        let looking = move || {
            if contexts.look_at_directories() {
                contexts.reload();
                tracing::info!("certificates were read again");
            }
        };
        let _ = tokio::task::spawn_blocking(looking).await;
    }
}

fn start_dns(dns: DnsConfig, tasks: &Tasks) -> io::Result<Names> {
    let table = Arc::new(ArcSwap::from_pointee(NameTable::default()));
    crate::dns::serve(dns.block, table.clone(), dns.upstream, tasks)?;
    Ok(Names { namespace: dns.namespace, table })
}

fn bind_admin(address: SocketAddr) -> Result<tokio::net::TcpListener, StartError> {
    let bind = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    };
    bind().map_err(|source| StartError::Admin { address, source })
}

impl ProxyHandle {
    /// Makes `config` what the proxy runs, and says what of it could not be activated. Returns when every worker runs it.
    ///
    /// A listener that cannot be bound is rejected, its last good version stays; everything else is activated.
    pub async fn apply(&self, config: Arc<Config>) -> Vec<Rejection> {
        let inner = &self.inner;
        let mut supervisor = inner.supervisor.lock().await;
        // Only who holds the supervisor changes what runs.
        let running = inner.state.lock().await.plan.config.clone();
        let (config, mut rejections) = usable::usable(config, &running, &inner.tls_contexts);
        let dynamics = supervisor.follow(&config).await;
        let mut state = inner.state.lock().await;
        if state.is_draining {
            return Vec::new();
        }
        let bound = state.sockets.bind(&config, &running, inner.workers.len(), &inner.tls_contexts);
        rejections.extend(bound.rejections);
        let plan = Arc::new(state.plan.next(Arc::new(bound.config), dynamics));
        state.plan = plan.clone();
        if let Some(names) = &inner.names {
            names.table.store(Arc::new(NameTable::new(&plan.config, &names.namespace)));
        }
        let mut answers = Vec::with_capacity(inner.workers.len());
        for (worker, sockets) in inner.workers.iter().zip(bound.sockets) {
            let (done, answer) = oneshot::channel();
            // A worker is gone only when its thread has panicked, which was logged.
            if worker.commands.send(Command::Apply { plan: plan.clone(), sockets, done }).await.is_ok() {
                answers.push(answer);
            }
        }
        for answer in answers {
            for rejection in answer.await.unwrap_or_default() {
                if !rejections.contains(&rejection) {
                    rejections.push(rejection);
                }
            }
        }
        inner.tls_contexts.sweep();
        inner.config.store(plan.config.clone());
        *inner.updated.lock().unwrap_or_else(PoisonError::into_inner) = SystemTime::now();
        inner.stats.config_applied(rejections.len() as u64);
        if let Some(ready) = inner.ready.lock().unwrap_or_else(PoisonError::into_inner).take() {
            ready.release();
        }
        rejections
    }

    /// What runs now.
    pub fn config(&self) -> Arc<Config> {
        self.inner.config.load_full()
    }

    /// Where a listener is reached; differs from its configuration when that says port 0. `None`: it does not run.
    pub async fn listener_address(&self, name: &str) -> Option<SocketAddr> {
        let state = self.inner.state.lock().await;
        state.sockets.address(state.plan.config.listeners.get(name)?)
    }

    /// Where the admin interface is reached.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.inner.admin
    }

    /// Takes no new connections, lets exchanges under way finish until `deadline`, then closes what is left and ends the
    /// workers. `false` when something had to be cut. Admin and DNS go on until [`ProxyHandle::stop`].
    pub async fn drain(&self, deadline: Duration) -> bool {
        let mut state = self.inner.state.lock().await;
        if !std::mem::replace(&mut state.is_draining, true) {
            // Never released: who is about to leave is not ready.
            drop(self.inner.readiness.guard("draining"));
        }
        drop(state);
        let answers = self.ask_workers(|done| Command::Drain { deadline, done }).await;
        let all_finished = answers.into_iter().all(|answer| answer.unwrap_or(false));
        for worker in &self.inner.workers {
            let thread = worker.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(thread) = thread {
                // It ends at once now; a panic in it was reported by the panic hook.
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
        }
        all_finished
    }

    /// Asks all workers at once. One that has ended is left out; one that ends over it answers `None`.
    async fn ask_workers<T>(&self, command: impl Fn(oneshot::Sender<T>) -> Command) -> Vec<Option<T>> {
        let mut waiting = Vec::with_capacity(self.inner.workers.len());
        for worker in &self.inner.workers {
            let (done, answer) = oneshot::channel();
            if worker.commands.send(command(done)).await.is_ok() {
                waiting.push(answer);
            }
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for answer in waiting {
            answers.push(answer.await.ok());
        }
        answers
    }

    /// Ends the admin interface and the DNS server, and writes what is left of the access logs.
    pub async fn stop(&self) {
        self.inner.tasks.stop().await;
        let logs = self.inner.access_logs.clone();
        let _ = tokio::task::spawn_blocking(move || logs.close()).await;
    }

    /// Opens the access logs anew, after somebody has moved the files away.
    pub fn reopen_access_logs(&self) {
        self.inner.access_logs.reopen();
    }

    /// Reads the certificates that are files again; new connections get them. Those that cannot be read stay as they were.
    pub async fn reload_certificates(&self) {
        let contexts = self.inner.tls_contexts.clone();
        // A panic in it was reported by the panic hook.
        let _ = tokio::task::spawn_blocking(move || contexts.reload()).await;
    }

    /// Resolves when somebody asked the admin interface to end the proxy (`/quitquitquit`).
    pub async fn quit_requested(&self) {
        self.inner.quit.notified().await;
    }

    /// [`ProxyHandle::drain`], then [`ProxyHandle::stop`].
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let all_finished = self.drain(deadline).await;
        self.stop().await;
        all_finished
    }
}
