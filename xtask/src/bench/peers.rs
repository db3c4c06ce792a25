//! The programs under test and their configurations, alike in what they do.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, bail};

use super::bootstrap::{Bootstrap, Protocol, Tls};
use super::network::{CLIENT_ADDRESS, SERVER_ADDRESS};
use super::process::{LOAD_CPU, PROXY_CPU, Process};
use super::scenario::Shape;
use super::set_up::SetUp;
use crate::tools::{Tools, on_path};

mod envoy;
mod haproxy;
pub(crate) mod leno;
mod pair;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// No proxy at all.
    Direct,
    Envoy,
    /// Envoy with HTTP/2 between its sidecars.
    EnvoyHttp2,
    /// The byte forwarder: the price of the kernel's work.
    Floor,
    Haproxy,
    Leno,
    /// Leno with HTTP/2 between its sidecars.
    LenoHttp2,
    /// Leno without a control plane, with the bootstraps of `EnvoyHttp2`.
    LenoStatic,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Envoy => "envoy",
            Self::EnvoyHttp2 => "envoy-h2",
            Self::Floor => "floor",
            Self::Haproxy => "haproxy",
            Self::Leno => "leno",
            Self::LenoHttp2 => "leno-h2",
            Self::LenoStatic => "leno-static",
        }
    }
}

/// Paths of the programs.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) bench: String,
    pub(crate) envoy: String,
    pub(crate) leno: String,
}

impl Programs {
    pub(crate) fn find(tools: &Tools, target: &Path) -> anyhow::Result<Self> {
        let missing: Vec<_> = ["curl", "h2load", "haproxy", "ip", "openssl", "taskset", "wrk"]
            .into_iter()
            .filter(|program| !on_path(program))
            .collect();
        if !missing.is_empty() {
            bail!("a benchmark without {} would compare nothing", missing.join(", "));
        }
        let release = |name: &str| target.join("release").join(name).display().to_string();
        let envoy = tools.envoy.as_ref().context("Envoy could not be installed")?.display().to_string();
        Ok(Self { bench: release("leno-bench"), envoy, leno: release("leno") })
    }
}

/// A running peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// Where the load goes.
    pub(crate) address: String,
    pub(crate) host: String,
    /// Measured.
    pub(crate) proxies: Vec<Process>,
    /// Running beside them, not measured.
    others: Vec<Process>,
}

impl Peer {
    pub(crate) fn new(name: &str, address: &str, host: &str, proxies: Vec<Process>) -> Self {
        let (name, address, host) = (name.to_owned(), address.to_owned(), host.to_owned());
        Self { name, address, host, proxies, others: Vec::new() }
    }

    fn beside(mut self, other: Process) -> Self {
        self.others.push(other);
        self
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        self.proxies.iter().map(Process::cpu_us).sum()
    }

    pub(crate) fn rss_mb(&self) -> f64 {
        self.proxies.iter().map(Process::rss_mb).sum()
    }
}

pub(crate) fn start(kind: Kind, set_up: &SetUp<'_>) -> anyhow::Result<Peer> {
    match set_up.scenario.shape {
        Shape::Sidecars | Shape::TcpSidecars => start_sidecars(kind, set_up),
        Shape::Single => match kind {
            Kind::Leno => leno::single(set_up),
            _ => start_single(kind, set_up, &static_bootstrap(set_up)?),
        },
        Shape::Http2Single | Shape::TcpSingle | Shape::TlsSingle | Shape::Static => {
            start_single(kind, set_up, &static_bootstrap(set_up)?)
        }
    }
}

/// What a scenario with one proxy asks of it.
pub(crate) fn static_bootstrap(set_up: &SetUp<'_>) -> anyhow::Result<Bootstrap> {
    let shape = set_up.scenario.shape;
    Ok(Bootstrap {
        listen: format!("127.0.0.1:{}", free_port()?),
        upstream: format!("127.0.0.1:{}", set_up.origin_port),
        protocol: match shape {
            Shape::Http2Single => Protocol::Http2,
            Shape::TcpSingle => Protocol::Tcp,
            _ => Protocol::Http1,
        },
        downstream_tls: (shape == Shape::TlsSingle).then(|| Tls::new(&set_up.pki, "server", "client", "http/1.1")),
        ..Bootstrap::default()
    })
}

/// One proxy from a file.
pub(crate) fn start_single(kind: Kind, set_up: &SetUp<'_>, bootstrap: &Bootstrap) -> anyhow::Result<Peer> {
    let origin = format!("127.0.0.1:{}", set_up.origin_port);
    match kind {
        Kind::Direct => Ok(Peer::new("direct", &origin, "origin", Vec::new())),
        Kind::Envoy | Kind::EnvoyHttp2 => envoy::single(set_up, bootstrap),
        Kind::Floor => {
            let command = [&set_up.programs.bench, "forward", "--listen", &bootstrap.listen, "--target", &origin];
            let log = set_up.directory.join("floor.log");
            let process = Process::spawn(&command.map(str::to_owned), PROXY_CPU, set_up.near(), &log)?;
            Ok(Peer::new("floor", &bootstrap.listen, "origin", vec![process]))
        }
        Kind::Haproxy => match set_up.scenario.shape {
            Shape::Http2Single => haproxy::single(set_up, &bootstrap.listen, "http", [" proto h2"; 2]),
            Shape::TcpSingle => haproxy::single(set_up, &bootstrap.listen, "tcp", [""; 2]),
            Shape::TlsSingle => haproxy::terminating(set_up, &bootstrap.listen),
            _ => haproxy::single(set_up, &bootstrap.listen, "http", [""; 2]),
        },
        Kind::Leno | Kind::LenoHttp2 | Kind::LenoStatic => leno::from_file(set_up, bootstrap),
    }
}

/// A proxy with a bootstrap of its own, in a network namespace; `command` is the one that reads the file at a path.
fn start_with_file<const WORDS: usize>(
    set_up: &SetUp<'_>,
    name: &str,
    namespace: Option<&str>,
    bootstrap: &Bootstrap,
    command: impl Fn(&str) -> [String; WORDS],
) -> anyhow::Result<Process> {
    let path = set_up.write(&format!("{name}.yaml"), &bootstrap.yaml())?;
    Process::spawn(&command(&path), PROXY_CPU, namespace, &set_up.directory.join(format!("{name}.log")))
}

fn start_sidecars(kind: Kind, set_up: &SetUp<'_>) -> anyhow::Result<Peer> {
    let is_tcp = set_up.scenario.shape == Shape::TcpSidecars;
    match kind {
        Kind::Direct => {
            Ok(Peer::new("direct", &format!("{SERVER_ADDRESS}:{}", set_up.origin_port), "origin", Vec::new()))
        }
        Kind::Envoy if is_tcp => pair::sidecars(set_up, "envoy", Protocol::Tcp, envoy::start),
        Kind::Envoy => pair::sidecars(set_up, "envoy", Protocol::Http1, envoy::start),
        Kind::EnvoyHttp2 => pair::sidecars(set_up, "envoy-h2", Protocol::Http2, envoy::start),
        Kind::Floor => bail!("there is no forwarder with TLS"),
        Kind::Haproxy => haproxy::sidecars(set_up, if is_tcp { "tcp" } else { "http" }),
        Kind::Leno if is_tcp => leno::sidecars(set_up, "leno", leno::Between::Tcp),
        Kind::Leno => leno::sidecars(set_up, "leno", leno::Between::Http1),
        Kind::LenoHttp2 => leno::sidecars(set_up, "leno-h2", leno::Between::Http2),
        Kind::LenoStatic => pair::sidecars(set_up, "leno-static", Protocol::Http2, leno::start_file),
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener.local_addr().context("reading the port")?.port())
}
