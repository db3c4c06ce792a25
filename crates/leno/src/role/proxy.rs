//! `leno proxy`: a sidecar, put together.
//!
//! With `--bootstrap` it is no sidecar: [`bootstrap`] serves a file and needs nobody.
//!
//! Order       block -> identity (saved, or by token) -> workers, admin, DNS -> xDS stream -> first configuration -> ready
//! Shutdown    the stream is closed (callers stop coming) -> exchanges under way finish until the deadline -> end
//! Errors      without identity or block it does not start; without control plane it starts from what it saved

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use leno_identity::{Identity, JoinConfig, JoinToken};
use leno_ir::{Config, Direction, Flavor, Node, WorkloadLabels};
use leno_proxy::{DnsConfig, Proxy, ProxyConfig, ProxyHandle, ResourceType, claim_held_block};
use leno_runtime::{Readiness, Tasks};
use leno_telemetry::Registry;
use leno_xds_client::{Origin, Rejection, ResourceKind, Update, XdsClient, XdsClientConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::proxy_args::ProxyArgs;
use super::workload;
use crate::notify::{self, Ready};
use crate::parent;

mod bootstrap;
mod moved;
mod overload;

/// Of each step of joining.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);
/// File below the state directory.
const LAST_CONFIGURATION: &str = "configuration";

/// Options that mean nothing to a proxy with a bootstrap.
const OF_A_SIDECAR: [&str; 16] = [
    "control",
    "service",
    "namespace",
    "service_account",
    "workload_version",
    "labels",
    "ports",
    "app_address",
    "address",
    "workload",
    "locality",
    "token",
    "token_file",
    "state",
    "access_log",
    "block",
];

/// Run a sidecar by itself; `leno run` starts one together with an application.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  leno proxy --service reviews --version v2 --port 9080 --token $TOKEN\n  \
                        leno proxy --gateway entry -n shop --token $TOKEN\n  \
                        leno proxy --bootstrap envoy.yaml\n  leno proxy --bootstrap envoy.yaml --validate")]
#[command(mut_arg("service", |service| {
    // What a bootstrap serves is no instance of a service.
    let service = service.required(false).required_unless_present_any(["bootstrap", "gateway"]);
    let service = service.default_value_if("bootstrap", clap::builder::ArgPredicate::IsPresent, "static");
    service.default_value_if("gateway", clap::builder::ArgPredicate::IsPresent, "gateway")
}))]
pub(crate) struct ProxyCommand {
    #[command(flatten)]
    pub(crate) proxy: ProxyArgs,
    /// Be a gateway instead of a sidecar: serve the Gateway of this name in the namespace of `-n`, and Istio's Gateways whose
    /// selectors fit the labels `app=NAME`, `istio=NAME` without "istio-", and those of `--label`.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["bootstrap", "service", "ports", "app_address"])]
    gateway: Option<String>,
    /// Where the listeners of the gateway are bound, each on its own port.
    #[arg(long, default_value = "0.0.0.0", value_name = "IP", requires = "gateway")]
    bind: IpAddr,
    /// Serve a static Envoy bootstrap (YAML or JSON) instead of joining a mesh.
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_A_SIDECAR)]
    bootstrap: Option<PathBuf>,
    /// Only say whether the bootstrap can be served, with the files it names: nothing is listened on.
    #[arg(long, requires = "bootstrap")]
    validate: bool,
    /// Report readiness on this Unix socket, one JSON line.
    #[arg(long, value_name = "SOCKET")]
    notify: Option<PathBuf>,
    /// Stop when standard input ends: the process that started us is gone.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
    /// This block of loopback addresses and no other: the application knows addresses of it.
    #[arg(long, hide = true, value_parser = parse_block, value_name = "127.N")]
    block: Option<[u8; 2]>,
}

pub(crate) fn run(mut command: ProxyCommand) -> anyhow::Result<i32> {
    if let Some(gateway) = &command.gateway {
        command.proxy.service.clone_from(gateway);
    }
    // Configuration, certificates, admin and DNS; traffic has threads of its own.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).max_blocking_threads(4).enable_all().build()?;
    match command.bootstrap.clone() {
        Some(path) => runtime.block_on(bootstrap::serve(command, &path))?,
        None => runtime.block_on(serve(command))?,
    }
    Ok(0)
}

async fn serve(command: ProxyCommand) -> anyhow::Result<()> {
    let args = &command.proxy;
    let (registry, tasks, readiness) = (Registry::new(), Tasks::new(), Readiness::default());
    let state = workload::state_directory(args);
    std::fs::create_dir_all(&state).with_context(|| format!("making the state directory {}", state.display()))?;
    let block = match command.block {
        Some(prefix) => claim_held_block(prefix),
        None => workload::claim(args, saved_block(&state)),
    };
    let block = block.context("claiming a block of loopback addresses")?;
    let prefix = block.prefix();
    save_block(&state, block.prefix());
    let own = block.address();
    let dns = block.dns_address();
    let resolver = block.has_standard_port().then(|| own.to_string());
    let node = match command.gateway {
        Some(_) => workload::gateway(args, command.bind, block.prefix())?,
        None => workload::node(args, Flavor::Leno, block.prefix())?,
    };

    let join = join_config(args, Some(state.clone()))?;
    let identity = leno_identity::join(&join).await.context("getting an identity")?;
    leno_identity::spawn_rotation(identity.clone(), join, &tasks, &registry);

    let (leave, told_to_leave) = watch::channel(false);
    let (left, has_left) = watch::channel(false);
    let admin = args.admin.unwrap_or_else(|| SocketAddr::from((own, workload::ADMIN_PORT)));
    let config = ProxyConfig {
        workers: args.threads,
        admin: Some(admin),
        dns: Some(DnsConfig { block, namespace: args.namespace.clone(), upstream: system_resolver() }),
        workload: labels(&node),
        overload: overload::within_control_group(),
        config_dump: Some(Box::new(|config, last_updated, includes_endpoints| {
            leno_xds::config_dump(leno_xds::Dump { config, bootstrap: None, includes_endpoints, last_updated })
        })),
        on_leave: Some(Box::new(move || {
            leave.send_replace(true);
            let mut has_left = has_left.clone();
            Box::pin(async move {
                // An error means that the task has ended: so does the proxy.
                let _ = has_left.wait_for(|left| *left).await;
            })
        })),
        ..ProxyConfig::default()
    };
    let proxy = Proxy::start(config, Some(identity.clone()), registry.clone(), readiness.clone())
        .context("starting the proxy")?;
    let (client, updates) = start_xds(args, &node, identity, &state, &tasks, &registry);
    tasks.spawn("configuration", apply_updates(proxy.clone(), updates, prefix));
    let client = std::sync::Arc::new(client);
    tasks.spawn("leave", leave_when_told(client.clone(), told_to_leave, left));
    tasks.spawn("hangup", on_hangup(proxy.clone(), signal(SignalKind::hangup())?));

    let mut end = std::pin::pin!(told_to_end(&proxy, command.exit_with_parent));
    tokio::select! {
        () = readiness.ready() => {}
        end = &mut end => return end,
    }
    give_back_memory();
    let mut addresses = addresses(&proxy, &node, dns, own.to_string());
    addresses.extend(resolver.map(|address| ("dns_port_53".to_owned(), address)));
    tracing::info!(workload = node.workload, id = node.id, address = %own, "sidecar ready");
    if let Some(socket) = &command.notify {
        let upstreams = upstreams(&proxy.config(), &args.namespace);
        let ready = Ready { name: node.workload.clone(), pid: std::process::id(), addresses, upstreams };
        notify::send(socket, &ready).await;
    }

    end.await?;
    tracing::info!("leaving the mesh");
    client.close().await;
    if !proxy.shutdown(args.drain_deadline).await {
        tracing::warn!(deadline = ?args.drain_deadline, "requests under way were cut off at the deadline");
    }
    tasks.stop().await;
    Ok(())
}

/// What only the start needed: its code, and what reading the configuration allocated.
fn give_back_memory() {
    leno_runtime::sys::trim_heap();
    if let Err(error) = leno_runtime::sys::release_code_pages() {
        tracing::debug!(%error, "the memory of the start's code stays taken");
    }
}

/// By a signal, by the admin interface, or because whoever started us is gone.
async fn told_to_end(proxy: &ProxyHandle, watch_parent: bool) -> anyhow::Result<()> {
    tokio::select! {
        end = parent::shutdown(watch_parent) => end,
        () = proxy.quit_requested() => {
            tracing::info!("asked to end by the admin interface");
            Ok(())
        }
    }
}

/// What logrotate and its like expect of SIGHUP, and who renews certificates.
async fn on_hangup(proxy: ProxyHandle, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        proxy.reopen_access_logs();
        proxy.reload_certificates().await;
        tracing::info!("access logs are opened anew, certificates read again");
    }
}

/// What a workload needs to join.
///
/// # Errors
/// When the token cannot be read or is none.
pub(crate) fn join_config(args: &ProxyArgs, state_dir: Option<PathBuf>) -> anyhow::Result<JoinConfig> {
    let text = match (&args.token, &args.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(path)) => Some(
            std::fs::read_to_string(path).with_context(|| format!("reading the join token in {}", path.display()))?,
        ),
        (None, None) => None,
    };
    // An empty variable is how some set-ups say "none".
    let text = text.filter(|text| !text.trim().is_empty());
    let token = text.map(|text| text.trim().parse::<JoinToken>()).transpose().context("reading the join token")?;
    Ok(JoinConfig {
        control: args.control.clone(),
        token,
        namespace: args.namespace.clone(),
        service_account: args.service_account().to_owned(),
        state_dir,
        timeout: JOIN_TIMEOUT,
    })
}

fn start_xds(
    args: &ProxyArgs,
    node: &Node,
    identity: Identity,
    state: &Path,
    tasks: &Tasks,
    registry: &Registry,
) -> (XdsClient, mpsc::Receiver<Update>) {
    let trust_domain = identity.current().id.trust_domain.clone();
    let mut config = XdsClientConfig::new(args.control.clone(), trust_domain, node.clone());
    config.persist = Some(state.join(LAST_CONFIGURATION));
    XdsClient::start(config, identity, tasks, registry)
}

async fn apply_updates(proxy: ProxyHandle, mut updates: mpsc::Receiver<Update>, block: [u8; 2]) {
    while let Some(update) = updates.recv().await {
        let config = match update.origin {
            Origin::Control => update.config,
            Origin::Disk => {
                tracing::warn!("the control plane is not reachable; starting from the last configuration");
                moved::to_block(update.config, block)
            }
        };
        let rejections = proxy.apply(config).await;
        let rejections = rejections
            .into_iter()
            .map(|rejection| Rejection {
                kind: match rejection.resource_type {
                    ResourceType::Cluster => ResourceKind::Cluster,
                    ResourceType::Endpoints => ResourceKind::Endpoints,
                    ResourceType::Listener => ResourceKind::Listener,
                    ResourceType::RouteTable => ResourceKind::RouteTable,
                    ResourceType::Scope => ResourceKind::Scope,
                },
                name: rejection.name,
                reason: rejection.reason,
            })
            .collect();
        // The client is gone: we are shutting down.
        let _ = update.reply.send(rejections);
    }
}

/// Closes the stream when the admin interface was asked to drain: no new callers from then on.
async fn leave_when_told(
    client: std::sync::Arc<XdsClient>,
    mut told: watch::Receiver<bool>,
    left: watch::Sender<bool>,
) {
    if told.wait_for(|told| *told).await.is_ok() {
        tracing::info!("asked to leave the mesh");
        client.close().await;
        left.send_replace(true);
    }
}

fn labels(node: &Node) -> WorkloadLabels {
    WorkloadLabels {
        workload: node.workload.clone(),
        namespace: node.namespace.clone(),
        service: node.service.clone().unwrap_or_default(),
        version: node.labels.get("version").cloned().unwrap_or_default(),
        cluster: String::new(),
    }
}

fn addresses(proxy: &ProxyHandle, node: &Node, dns: SocketAddr, own: String) -> BTreeMap<String, String> {
    let mut addresses = BTreeMap::from([("dns".to_owned(), dns.to_string()), ("app".to_owned(), own)]);
    if let Some(admin) = proxy.admin_address() {
        addresses.insert("admin".to_owned(), admin.to_string());
    }
    if let Some(http_proxy) = node.http_proxy {
        addresses.insert("http_proxy".to_owned(), http_proxy.to_string());
    }
    for port in &node.ports {
        if let Some(address) = node.address {
            addresses.insert(format!("inbound:{}", port.app), SocketAddr::new(address, port.inbound).to_string());
        }
    }
    addresses
}

/// Services by the name the application would use: short in its own namespace; the lowest port of each.
fn upstreams(config: &Config, namespace: &str) -> BTreeMap<String, String> {
    let mut upstreams: BTreeMap<String, SocketAddr> = BTreeMap::new();
    for listener in config.listeners.values().filter(|listener| listener.direction == Direction::Outbound) {
        // `outbound|9080||reviews.default.svc.cluster.local`
        let Some(host) = listener.name.strip_prefix("outbound|").and_then(|rest| rest.rsplit('|').next()) else {
            continue;
        };
        let name = match host.split_once(".svc.").and_then(|(own, _)| own.split_once('.')) {
            Some((service, service_namespace)) if service_namespace == namespace => service.to_owned(),
            Some((service, service_namespace)) => format!("{service}.{service_namespace}"),
            None => host.to_owned(),
        };
        let address = upstreams.entry(name).or_insert(listener.address);
        if listener.address.port() < address.port() {
            *address = listener.address;
        }
    }
    upstreams.into_iter().map(|(name, address)| (name, address.to_string())).collect()
}

/// The first name server of the system: who answers what the mesh does not know.
fn system_resolver() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let server = text.lines().find_map(|line| line.strip_prefix("nameserver ")?.trim().parse().ok())?;
    Some(SocketAddr::new(server, 53))
}

const BLOCK_FILE: &str = "block";

/// The block of the last run: the saved configuration has its addresses.
fn saved_block(state: &Path) -> Option<[u8; 2]> {
    let text = std::fs::read_to_string(state.join(BLOCK_FILE)).ok()?;
    parse_block(text.trim()).ok()
}

fn parse_block(text: &str) -> Result<[u8; 2], String> {
    let second = text.strip_prefix("127.").and_then(|second| second.parse().ok());
    second.map(|second| [127, second]).ok_or_else(|| "a block is 127. and a number up to 255".to_owned())
}

fn save_block(state: &Path, [first, second]: [u8; 2]) {
    if let Err(error) = std::fs::write(state.join(BLOCK_FILE), format!("{first}.{second}\n")) {
        tracing::warn!(%error, "the claimed block cannot be saved; the next start may get another");
    }
}
