//! The surroundings of one scenario: hosts, certificates, origin, files.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};

use super::network::Hosts;
use super::peers::{self, Kind, Peer, Programs};
use super::pki::Pki;
use super::process::{LOAD_CPU, Process, children_cpu_seconds};
use super::result::Sample;
use super::scenario::{Load, Scenario, Shape, Work};
use super::{START_LIMIT, load, noise};

pub(crate) struct SetUp<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) programs: &'a Programs,
    pub(crate) directory: PathBuf,
    pub(crate) hosts: Option<Hosts>,
    pub(crate) pki: Pki,
    pub(crate) origin_port: u16,
    origin: Process,
}

impl<'a> SetUp<'a> {
    pub(crate) fn new(scenario: &'a Scenario, programs: &'a Programs) -> anyhow::Result<Self> {
        let directory = crate::command::target().join("bench").join(scenario.name);
        if directory.exists() {
            std::fs::remove_dir_all(&directory).with_context(|| format!("clearing {}", directory.display()))?;
        }
        std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        // Programs run elsewhere, too.
        let directory = directory.canonicalize().context("finding the directory for files")?;
        let hosts = scenario
            .shape
            .needs_hosts()
            .then(|| Hosts::make().context("making network namespaces (needs root)"))
            .transpose()?;
        let pki = Pki::make(directory.join("pki"))?;
        let origin_port = if hosts.is_some() { 9000 } else { peers::free_port()? };
        // Between hosts reachable from the client's too, so that the bare connection can be measured.
        let address = if scenario.shape.is_pair() { "0.0.0.0" } else { "127.0.0.1" };
        let listen = format!("{address}:{origin_port}");
        let bench = programs.bench.as_str();
        let command: &[&str] = match scenario.shape {
            Shape::TcpSidecars | Shape::TcpSingle => &[bench, "sink", "--listen", &listen],
            Shape::Http2Single => &[bench, "origin", "--http2", "--listen", &listen],
            _ => &[bench, "origin", "--listen", &listen],
        };
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let place =
            hosts.as_ref().map(|h| if scenario.shape.is_pair() { h.server.as_str() } else { h.client.as_str() });
        let origin = Process::spawn(&command, LOAD_CPU, place, &directory.join("origin.log"))?;
        Ok(Self { scenario, programs, directory, hosts, pki, origin_port, origin })
    }

    /// A file of this scenario; the value is its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path.display().to_string())
    }

    /// Where the client and single proxies are.
    pub(crate) fn near(&self) -> Option<&str> {
        self.hosts.as_ref().map(|hosts| hosts.client.as_str())
    }

    /// A peer that has answered.
    pub(crate) fn start(&self, kind: Kind) -> anyhow::Result<Peer> {
        let mut peer = peers::start(kind, self)?;
        self.wait_until_answering(&mut peer)?;
        Ok(peer)
    }

    #[allow(clippy::disallowed_methods, reason = "another program's readiness is polled for")]
    pub(crate) fn wait_until_answering(&self, peer: &mut Peer) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let answered = load::probe(self, peer);
            let Err(error) = answered else { return Ok(()) };
            if let Some(proxy) = peer.proxies.iter_mut().find_map(Process::ended) {
                bail!("{} ended: {}", peer.name, proxy.last_words());
            }
            if started.elapsed() > START_LIMIT {
                return Err(error.context(format!("{} does not answer", peer.name)));
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    pub(crate) fn round(&self, peer: &Peer, seconds: u32) -> anyhow::Result<Sample> {
        let Work::Load(kind) = self.scenario.work else { bail!("{} has no load", self.scenario.name) };
        let (busy, proxies, origin) = (noise::busy_seconds(), peer.cpu_us(), self.origin.cpu_us());
        let started = Instant::now();
        let load_before = children_cpu_seconds();
        let load = self.load(kind, peer, seconds)?;
        let elapsed = started.elapsed().as_secs_f64();
        let ours_us = peer.cpu_us() - proxies;
        let known = (ours_us + self.origin.cpu_us() - origin) / 1e6 + children_cpu_seconds() - load_before;
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get) as f64;
        let foreign = ((noise::busy_seconds() - busy - known) / (elapsed * cpus)).max(0.0);
        Ok(load.sample(ours_us, elapsed, foreign))
    }

    fn load(&self, kind: Load, peer: &Peer, seconds: u32) -> anyhow::Result<load::Seen> {
        match kind {
            Load::Bulk => load::bulk(self, peer, seconds),
            Load::Connect { resume } => load::connect(self, peer, seconds, resume),
            Load::Http1 => load::closed_loop(self, peer, seconds),
            Load::Http2Get => load::http2(self, peer, seconds, None),
            Load::Http2Post => {
                // gRPC's five bytes: not compressed, a length of 123 (an opening brace); then the message.
                let message = String::from("\0\0\0\0{") + &"x".repeat(123);
                let file = self.write("message", &message)?;
                load::http2(self, peer, seconds, Some(&file))
            }
            Load::OpenLoop => load::open_loop(self, peer, seconds),
        }
    }
}
