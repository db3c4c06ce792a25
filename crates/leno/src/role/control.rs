//! `leno control`: the control plane, put together.
//!
//! Order       data directory -> CA -> own SVID -> store and files -> control -> xDS and CSR port -> API -> metrics -> ready
//! Shutdown    signal -> streams are told, API finishes -> tasks end; workloads come back to the next start

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Args;
use leno_ca::{Ca, CaConfig};
use leno_control::{Control, ControlConfig, IssueSecrets};
use leno_identity::{CONTROL_NAMESPACE, CONTROL_SERVICE_ACCOUNT, ClientAuth, Identity, PeerNames, ServerTls, Svid};
use leno_names::{SpiffeId, TrustDomain};
use leno_runtime::{Drain, DrainWatch, Tasks};
use leno_store::{DirectoryContent, DirectorySource, EmbeddedStore};
use leno_telemetry::{Chain, Registry};
use leno_xds_server::{SecretText, Secrets, XdsServer};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::notify::{self, Ready};
use crate::parent;

mod api;
mod kubeconfig;
mod names;

/// Open API calls and streams have this long to end.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
/// How often the authority looks whether its intermediate is due.
const RENEWAL_CHECK: Duration = Duration::from_secs(3600);
/// Between two renewals of our own certificate.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// Run the control plane: registry, certificate authority, xDS server and API.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  leno control --data /var/lib/leno --resources ./routes")]
pub(crate) struct ControlArgs {
    /// Where certificate authority, tokens and applied resources are kept.
    #[arg(long, env = "LENO_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// A directory of YAML files; read again whenever one changes.
    #[arg(long, value_name = "DIR")]
    resources: Option<PathBuf>,
    /// The trust domain of all identities.
    #[arg(long, default_value = "cluster.local", value_name = "NAME")]
    trust_domain: TrustDomain,
    /// Where workloads get configuration and certificates (TLS).
    #[arg(long, default_value = "0.0.0.0:15012", value_name = "IP:PORT")]
    xds: SocketAddr,
    /// A host name or IP address under which clients know this control plane, for those that check it (gRPC); may be
    /// repeated. Names and addresses of this host need not be given.
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
    /// Where the API listens.
    #[arg(long, default_value = "127.0.0.1:15010", value_name = "IP:PORT")]
    api: SocketAddr,
    /// Where metrics are served.
    #[arg(long, default_value = "127.0.0.1:15014", value_name = "IP:PORT")]
    metrics: SocketAddr,
    /// Life of workload certificates.
    #[arg(long, default_value = "24h", value_parser = parse_svid_ttl, value_name = "DURATION")]
    svid_ttl: Duration,
    /// Report readiness on this Unix socket, one JSON line.
    #[arg(long, value_name = "SOCKET")]
    notify: Option<PathBuf>,
    /// Stop when standard input ends: the process that started us is gone.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

/// The least is what tests use; the intermediate that signs lives for a year.
fn parse_svid_ttl(text: &str) -> Result<Duration, String> {
    let ttl = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let day = Duration::from_secs(24 * 3600);
    if (Duration::from_secs(1)..=day * 365).contains(&ttl) { Ok(ttl) } else { Err("between 1s and 365d".to_owned()) }
}

pub(crate) fn run(args: ControlArgs) -> anyhow::Result<i32> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(args))?;
    Ok(0)
}

async fn serve(args: ControlArgs) -> anyhow::Result<()> {
    let data = args.data.clone().unwrap_or_else(leno_cli::data_directory);
    std::fs::create_dir_all(&data).with_context(|| format!("making the data directory {}", data.display()))?;
    let (registry, tasks) = (Registry::new(), Tasks::new());
    let (drain, watch) = Drain::new();

    let ca = open_authority(&args, &data)?;
    ca.register_metrics(&registry);
    let names = names::of_server(&[args.xds.ip(), args.api.ip()], &args.names);
    let identity = own_identity(&ca, names, &tasks)?;
    let store = EmbeddedStore::open(&data.join("store.redb")).context("opening the store")?;
    let store = Arc::new(store);
    let files = watch_files(&args, &tasks)?;
    let settings = leno_model::MeshSettings::new(args.trust_domain.clone());
    let config = ControlConfig {
        settings,
        reconnect_grace: Duration::from_secs(3),
        restart_grace: Duration::from_secs(15),
        issue_secrets: issue_secrets(ca.clone()),
    };
    let control = Control::start(config, store.clone(), files, &tasks, &registry);
    report_problems(&control);

    let xds = start_xds(&args, &control, &ca, &identity, &registry, &tasks, watch.clone()).await?;
    let mesh = api::Mesh { control: control.clone(), store, ca: ca.clone() };
    let api = start_api(&args, &data, mesh, &identity, &tasks, watch.clone()).await?;
    let metrics = bind(args.metrics).await?;
    let metrics_address = metrics.local_addr()?;
    serve_task(&tasks, "metrics", leno_server::serve_metrics(metrics, registry, watch));
    tracing::info!(%xds, %api, metrics = %metrics_address, data = %data.display(), "control plane ready");
    if let Some(socket) = &args.notify {
        let addresses = [("xds", xds), ("api", api), ("metrics", metrics_address)];
        let addresses = addresses.into_iter().map(|(name, address)| (name.to_owned(), address.to_string())).collect();
        let ready =
            Ready { name: "control".to_owned(), pid: std::process::id(), addresses, upstreams: Default::default() };
        notify::send(socket, &ready).await;
    }

    parent::shutdown(args.exit_with_parent).await?;
    tracing::info!("shutting down");
    control.stop();
    if !drain.finish(DRAIN_DEADLINE).await {
        tracing::warn!("open requests were cut off at the deadline");
    }
    tasks.stop().await;
    Ok(())
}

fn open_authority(args: &ControlArgs, data: &Path) -> anyhow::Result<Arc<Ca>> {
    let config = CaConfig { svid_ttl: args.svid_ttl, ..CaConfig::new(args.trust_domain.clone()) };
    let ca = Ca::open(&data.join("ca"), config, SystemTime::now()).context("opening the certificate authority")?;
    Ok(Arc::new(ca))
}

/// The control plane's own SVID, renewed at half life, with the root shown to those who know only its hash.
fn own_identity(ca: &Arc<Ca>, names: Vec<String>, tasks: &Tasks) -> anyhow::Result<Identity> {
    let id = SpiffeId::new(ca.trust_domain().clone(), CONTROL_NAMESPACE, CONTROL_SERVICE_ACCOUNT);
    let issue = {
        let ca = ca.clone();
        move || ca.issue_server(&id, &names, SystemTime::now()).map(Svid::with_roots_shown)
    };
    let identity = Identity::from_svid(issue().context("issuing the control plane's own certificate")?);
    let (renewed, ca) = (identity.clone(), ca.clone());
    tasks.spawn("own-svid", async move {
        loop {
            let half = renewed.current().left(SystemTime::now()) / 2;
            tokio::time::sleep(half.clamp(LEAST_WAIT, RENEWAL_CHECK)).await;
            ca.renew_if_due(SystemTime::now());
            match issue() {
                Ok(svid) => renewed.update(svid),
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "the control plane's own certificate cannot be renewed")
                }
            }
        }
    });
    Ok(identity)
}

fn watch_files(args: &ControlArgs, tasks: &Tasks) -> anyhow::Result<watch::Receiver<Arc<DirectoryContent>>> {
    match &args.resources {
        Some(directory) => {
            let found = directory.is_dir();
            anyhow::ensure!(found, "{} is no directory; --resources takes one with YAML files", directory.display());
            Ok(DirectorySource::start(directory, tasks))
        }
        // The sender is dropped: the content is empty and stays so.
        None => Ok(watch::channel(Arc::default()).1),
    }
}

fn issue_secrets(ca: Arc<Ca>) -> IssueSecrets {
    Arc::new(move |id| {
        let svid = ca.issue(id, SystemTime::now()).map_err(|error| error.to_string())?;
        let secrets = Secrets {
            chain_pem: svid.chain_pem(),
            key_pem: SecretText::new(svid.key_pem()),
            roots_pem: svid.roots_pem(),
        };
        Ok((secrets, svid.left(SystemTime::now())))
    })
}

fn report_problems(control: &Control) {
    for problem in control.file_problems() {
        tracing::warn!(%problem, "a resource file has a problem");
    }
    for problem in control.problems() {
        tracing::warn!(%problem, "an object has a problem");
    }
}

async fn start_xds(
    args: &ControlArgs,
    control: &Control,
    ca: &Arc<Ca>,
    identity: &Identity,
    registry: &Registry,
    tasks: &Tasks,
    drain: DrainWatch,
) -> anyhow::Result<SocketAddr> {
    let tls =
        ServerTls { alpn: vec![b"h2".to_vec()], client: ClientAuth::Optional, peers: PeerNames::AnyInTrustDomain };
    let tls = identity.server_config(&tls).context("making the TLS settings of the xDS port")?;
    let listener = bind(args.xds).await?;
    let address = listener.local_addr()?;
    let server = XdsServer::new(Arc::new(control.clone()), registry);
    let limits = leno_xds_server::rate_limit_service(Arc::new(control.clone()));
    let others = tonic::service::Routes::new(leno_ca::csr_service(ca.clone())).add_service(limits);
    let server_tasks = tasks.clone();
    tasks.spawn("xds-server", async move { server.serve(listener, tls, others, server_tasks, drain).await });
    Ok(address)
}

async fn start_api(
    args: &ControlArgs,
    data: &Path,
    mesh: api::Mesh,
    identity: &Identity,
    tasks: &Tasks,
    drain: DrainWatch,
) -> anyhow::Result<SocketAddr> {
    let token =
        leno_server::load_or_create_admin_token(&data.join("admin-token")).context("preparing the admin token")?;
    let tls =
        ServerTls { alpn: vec![b"http/1.1".to_vec()], client: ClientAuth::None, peers: PeerNames::AnyInTrustDomain };
    let tls = identity.server_config(&tls).context("making the TLS settings of the API")?;
    let listener = bind(args.api).await?;
    let address = listener.local_addr()?;
    let roots = mesh.ca.bundle_pem().to_owned();
    if let Err(error) = kubeconfig::write(&data.join("kubeconfig"), address, &roots, &token) {
        // A directory that is read-only has the last one.
        tracing::warn!(%error, "the kubeconfig cannot be written");
    }
    serve_task(tasks, "api", leno_server::serve(listener, Some(tls), Arc::new(mesh), token, drain));
    Ok(address)
}

fn serve_task(tasks: &Tasks, name: &'static str, server: impl Future<Output = std::io::Result<()>> + Send + 'static) {
    tasks.spawn(name, async move {
        if let Err(error) = server.await {
            tracing::error!(server = name, %error, "a server has ended");
        }
    });
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
}
