//! A control plane in this process that serves one configuration to one proxy, and backends behind it.
//!
//! Shape       1 mesh -> 1 xDS server with an authority of its own -> 1 `leno proxy` (a child process) -> n backends
//! Invariants  a change is sent when the one before it has been acknowledged, so a version is either in force or on its way
//! Errors      a rejected resource ends the run: what is served here is right

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use leno_identity::{ClientAuth, Identity, PeerNames, ServerTls, Svid};
use leno_ir::{Config, Discovery, NetworkFilter, Node, RouteSource};
use leno_names::SpiffeId;
use leno_runtime::{Drain, Tasks};
use leno_telemetry::Registry;
use leno_xds_server::{ConfigSource, Outcome, Refusal, Session, SessionGuard, StatusReport, StreamEnd, XdsServer};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

const CONTROL: &str = "spiffe://cluster.local/ns/leno-system/sa/leno-control";
const CLIENT: &str = "spiffe://cluster.local/ns/default/sa/client";
/// Of every step: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);

/// Which program is run, and where.
#[derive(clap::Args, Clone, Debug)]
pub struct ProxyArgs {
    /// The `leno` binary.
    #[arg(long)]
    pub leno: PathBuf,
    /// Keep the proxy on this CPU.
    #[arg(long)]
    pub cpu: Option<String>,
    /// Directory for state and log of the proxy; a temporary one unless given.
    #[arg(long)]
    pub directory: Option<PathBuf>,
}

/// The control plane and its proxy; both end with it.
pub struct Mesh {
    config: watch::Sender<Arc<Config>>,
    reports: Receiver<StatusReport>,
    proxy: Child,
    log: PathBuf,
    _drain: Drain,
    _runtime: tokio::runtime::Runtime,
    _directory: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh").field("proxy", &self.proxy.id()).finish_non_exhaustive()
    }
}

struct Source {
    config: watch::Receiver<Arc<Config>>,
    reports: std::sync::Mutex<Sender<StatusReport>>,
}

struct Guard;

impl SessionGuard for Guard {
    fn close(self: Box<Self>, _: StreamEnd) {}
}

impl ConfigSource for Source {
    fn connect(&self, _: Node, _: SpiffeId) -> Result<Session, Refusal> {
        Ok(Session { config: self.config.clone(), secrets: None, guard: Box::new(Guard) })
    }

    fn report(&self, report: StatusReport) {
        if let Ok(reports) = self.reports.lock() {
            // The mesh is ending when nobody listens.
            let _ = reports.send(report);
        }
    }
}

impl Mesh {
    /// Starts both; the proxy has the configuration when this returns.
    ///
    /// # Errors
    /// When the proxy does not start or refuses the configuration.
    pub fn start(args: &ProxyArgs, config: Config) -> anyhow::Result<Self> {
        let temporary = args.directory.is_none().then(|| tempfile::Builder::new().prefix("leno-mesh-").tempdir());
        let temporary = temporary.transpose().context("making a directory")?;
        let directory = args.directory.clone().or_else(|| temporary.as_ref().map(|t| t.path().to_owned()));
        let directory = directory.context("a directory")?;
        let authority = Authority::new()?;
        let state = directory.join("state");
        std::fs::create_dir_all(&state).with_context(|| format!("making {}", state.display()))?;
        authority.save(CLIENT, &state.join("svid.json"))?;

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (config, receiver) = watch::channel(Arc::new(config));
        let (sender, reports) = channel();
        let source = Arc::new(Source { config: receiver, reports: std::sync::Mutex::new(sender) });
        let tls =
            ServerTls { alpn: vec![b"h2".to_vec()], client: ClientAuth::Optional, peers: PeerNames::AnyInTrustDomain };
        let tls = Identity::from_svid(authority.svid(CONTROL)?).server_config(&tls)?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).context("listening for xDS")?;
        let address = listener.local_addr()?;
        let (drain, watch) = Drain::new();
        let (tasks, serving) = (Tasks::new(), Tasks::new());
        runtime.block_on(async {
            tasks.spawn("xds-server", async move {
                let server = XdsServer::new(source, &Registry::new());
                server.serve(listener, tls, tonic::service::Routes::default(), serving, watch).await;
            });
        });

        let log = directory.join("leno.log");
        let proxy = start_proxy(args, address, &state, &log)?;
        Ok(Self { config, reports, proxy, log, _drain: drain, _runtime: runtime, _directory: temporary })
    }

    pub fn proxy_id(&self) -> u32 {
        self.proxy.id()
    }

    /// What the proxy said, for errors.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a configuration and waits until the resources of `kinds` (`Cluster`, `RouteConfiguration`, ..) have been
    /// acknowledged. The value is when that was.
    ///
    /// # Errors
    /// When one is rejected or no answer comes.
    pub fn change(&mut self, config: Config, kinds: &[&str]) -> anyhow::Result<Instant> {
        while self.reports.try_recv().is_ok() {}
        self.config.send_replace(Arc::new(config));
        let mut left: Vec<&str> = kinds.to_vec();
        let end = Instant::now() + LIMIT;
        let mut at = Instant::now();
        while !left.is_empty() {
            let wait = end.saturating_duration_since(Instant::now());
            let report = self.reports.recv_timeout(wait).with_context(|| format!("no answer for {left:?}"))?;
            match report.outcome {
                Outcome::Rejected { reason } => bail!("the proxy rejects {:?}: {reason}", report.resources),
                Outcome::Acked => {
                    left.retain(|kind| !report.type_url.ends_with(kind));
                    at = Instant::now();
                }
                Outcome::Sent => {}
            }
        }
        Ok(at)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // It is ours; an error means that it has ended already.
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

fn start_proxy(args: &ProxyArgs, control: SocketAddr, state: &Path, log: &Path) -> anyhow::Result<Child> {
    let mut command = match &args.cpu {
        Some(cpu) => {
            let mut command = Command::new("taskset");
            command.args(["-c", cpu]).arg(&args.leno);
            command
        }
        None => Command::new(&args.leno),
    };
    command.args(["proxy", "--control", &control.to_string(), "--service", "client", "--threads", "1"]);
    command.args(["--service-account", "client"]).arg("--state").arg(state);
    let file = std::fs::File::create(log).with_context(|| format!("making {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    command.spawn().with_context(|| format!("starting {}", args.leno.display()))
}

/// A root that signs everything itself.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// # Errors
    /// When no key can be made.
    pub fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key)?.der().clone();
        Ok(Self { issuer: Issuer::new(params, key), root })
    }

    /// An identity.
    ///
    /// # Errors
    /// When `id` is no SPIFFE ID, or no key can be made.
    pub fn svid(&self, id: &str) -> anyhow::Result<Svid> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::URI(id.try_into()?));
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Svid::new(vec![certificate.der().clone()], key, vec![self.root.clone()])?)
    }

    /// As a proxy keeps its own.
    fn save(&self, id: &str, path: &Path) -> anyhow::Result<()> {
        let svid = self.svid(id)?;
        let stored = serde_json::json!({"chain": svid.chain_pem(), "key": svid.key_pem(), "roots": svid.roots_pem()});
        std::fs::write(path, stored.to_string()).with_context(|| format!("writing {}", path.display()))
    }
}

/// The configuration of a bootstrap, with routes and endpoints as resources of their own.
///
/// # Errors
/// When the text is no bootstrap that Leno can serve.
pub fn configuration(bootstrap: &str) -> anyhow::Result<Config> {
    let bootstrap = leno_xds::read_bootstrap(bootstrap)
        .map_err(|problems| anyhow::anyhow!("the bootstrap is refused: {problems:?}"))?;
    let mut config = bootstrap.config;
    let (endpoints, route_tables) = (&mut config.endpoints, &mut config.route_tables);
    config.clusters.edit(|cluster| {
        let eds = Arc::make_mut(cluster);
        let service_name = eds.name.clone();
        if let Discovery::Static(set) = std::mem::replace(&mut eds.discovery, Discovery::Eds { service_name }) {
            endpoints.insert(set.name.clone(), set);
        }
    });
    config.listeners.edit(|listener| {
        let rds = Arc::make_mut(listener);
        for chain in &mut rds.filter_chains {
            if let NetworkFilter::Http(manager) = &mut chain.filter
                && let RouteSource::Inline(table) = &manager.routes
            {
                let (name, table) = (table.name.clone(), table.clone());
                route_tables.insert(name.clone(), table);
                manager.routes = RouteSource::Rds(name);
            }
        }
    });
    Ok(config)
}

/// Starts an HTTP/1.1 server that says its name in every answer (`x-backend`); it lives as long as this process.
///
/// # Errors
/// When no port is free.
pub fn backend(name: &str) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listening")?;
    let address = listener.local_addr()?;
    let answer = format!("HTTP/1.1 200 OK\r\nx-backend: {name}\r\ncontent-length: 2\r\n\r\nok").into_bytes();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                // A proxy that goes away ends its connection; nothing to report.
                let _ = serve(stream, &answer);
            });
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line == "\r\n" {
            stream.write_all(answer)?;
        }
    }
}

/// What an answer says of how it came about.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub backend: String,
    /// `x-route`, which routes may add.
    pub route: String,
}

/// A keep-alive connection that asks one thing after the other.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// # Errors
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// # Errors
    /// When the connection fails or the answer is none.
    pub fn get(&mut self, path: &str) -> std::io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: mesh\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut answer, mut length, mut line) = (Answer::default(), 0, String::new());
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            } else if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
                answer.status = rest.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(0);
            } else if let Some((name, value)) = text.split_once(": ") {
                match name {
                    "content-length" => length = value.parse().unwrap_or(0),
                    "x-backend" => answer.backend = value.to_owned(),
                    "x-route" => answer.route = value.to_owned(),
                    _ => {}
                }
            }
        }
        std::io::copy(&mut std::io::Read::take(&mut self.stream, length), &mut std::io::sink())?;
        Ok(answer)
    }
}

/// Asks again and again until `wanted` comes; the value is the time at which that answer was there.
///
/// # Errors
/// When it does not come in time.
#[allow(clippy::disallowed_methods, reason = "another program is polled for")]
pub fn until(address: SocketAddr, path: &str, wanted: impl Fn(&Answer) -> bool) -> anyhow::Result<Instant> {
    let end = Instant::now() + LIMIT;
    let mut client = None;
    loop {
        if client.is_none() {
            client = Client::connect(address).ok();
        }
        let answer = client.as_mut().and_then(|client: &mut Client| client.get(path).ok());
        match answer {
            Some(answer) if wanted(&answer) => return Ok(Instant::now()),
            Some(_) => {}
            None => client = None,
        }
        if Instant::now() > end {
            bail!("{path} is not answered as wanted");
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}
