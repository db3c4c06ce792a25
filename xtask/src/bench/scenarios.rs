//! What is measured: peers, load, the figure a goal is about.

use std::time::Instant;

use anyhow::Context;

use super::network::Hosts;
use super::peers::{Kind, Peer, Programs};
use super::pki::Pki;
use super::process::{LOAD_CPU, Process};
use super::{Sample, load, noise, peers};

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) peers: &'static [Kind],
    /// What the goals and the table are about.
    pub(crate) figure: fn(&Sample) -> f64,
    /// Compare what each adds to the bare connection (`direct`).
    pub(crate) added_to_direct: bool,
    /// Peer and the largest ratio that is good enough.
    pub(crate) goals: &'static [(&'static str, f64)],
    pub(crate) shape: Shape,
    pub(crate) load: LoadKind,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Shape {
    /// One proxy in plaintext, on loopback.
    SingleProxy,
    /// Two sidecars with mutual TLS, routing, metrics and access log, on two hosts.
    TwoSidecars,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum LoadKind {
    ClosedLoop,
    OpenLoop,
}

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "http1",
            about: "HTTP/1.1, plaintext, 1 KB, 64 connections, one worker",
            unit: "CPU us/req",
            peers: &[Kind::Leno, Kind::Envoy, Kind::Haproxy],
            figure: |sample| sample.cpu_us_per_request,
            added_to_direct: false,
            goals: &[("envoy", 0.45), ("haproxy", 1.05)],
            shape: Shape::SingleProxy,
            load: LoadKind::ClosedLoop,
        },
        Scenario {
            name: "mesh",
            about: "two sidecars, mutual TLS 1.3, routing, metrics, access log; 64 connections; CPU of both",
            unit: "CPU us/req",
            peers: &[Kind::Leno, Kind::Envoy, Kind::EnvoyHttp2],
            figure: |sample| sample.cpu_us_per_request,
            added_to_direct: false,
            goals: &[("envoy", 0.5)],
            shape: Shape::TwoSidecars,
            load: LoadKind::ClosedLoop,
        },
        Scenario {
            name: "mesh-latency-p99",
            about: "the same two sidecars at 1,000 requests/s, open loop: p99 added to the bare connection",
            unit: "p99 us",
            peers: &[Kind::Leno, Kind::Envoy, Kind::EnvoyHttp2, Kind::Direct],
            figure: |sample| sample.p99_us.unwrap_or(0.0),
            added_to_direct: true,
            goals: &[("envoy", 0.6)],
            shape: Shape::TwoSidecars,
            load: LoadKind::OpenLoop,
        },
    ]
}

/// The surroundings of one scenario: hosts, certificates, origin.
pub(crate) struct SetUp<'a> {
    scenario: &'a Scenario,
    programs: &'a Programs,
    pub(crate) directory: std::path::PathBuf,
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
        let hosts = match scenario.shape {
            Shape::SingleProxy => None,
            Shape::TwoSidecars => Some(Hosts::make().context("making network namespaces (needs root)")?),
        };
        let pki = Pki::make(directory.join("pki"))?;
        let origin_port = if hosts.is_some() { 9000 } else { peers::free_port()? };
        // Reachable from the client's host too, so that the bare connection can be measured.
        let listen =
            if hosts.is_some() { format!("0.0.0.0:{origin_port}") } else { format!("127.0.0.1:{origin_port}") };
        let command = [programs.bench.as_str(), "origin", "--listen", &listen].map(str::to_owned);
        let server = hosts.as_ref().map(|hosts| hosts.server.as_str());
        let origin = Process::spawn(&command, LOAD_CPU, server, &directory.join("origin.log"))?;
        Ok(Self { scenario, programs, directory, hosts, pki, origin_port, origin })
    }

    pub(crate) fn start(&self, kind: Kind) -> anyhow::Result<Peer> {
        let peer = match self.scenario.shape {
            Shape::SingleProxy => peers::start_single(kind, self, self.programs),
            Shape::TwoSidecars => peers::start_sidecars(kind, self, self.programs),
        }?;
        peers::wait_until_answering(&peer, self.client())?;
        Ok(peer)
    }

    pub(crate) fn client(&self) -> Option<&str> {
        self.hosts.as_ref().map(|hosts| hosts.client.as_str())
    }

    pub(crate) fn round(&self, peer: &Peer, seconds: u32) -> anyhow::Result<Sample> {
        let (busy, proxies, origin) = (noise::busy_seconds(), peer.cpu_us(), self.origin.cpu_us());
        let started = Instant::now();
        let load_before = peers::children_cpu_seconds();
        let load = match self.scenario.load {
            LoadKind::ClosedLoop => load::closed_loop(&peer.address, &peer.host, seconds, self.client()),
            LoadKind::OpenLoop => {
                load::open_loop(&self.programs.bench, &peer.address, &peer.host, seconds, self.client())
            }
        }?;
        let elapsed = started.elapsed().as_secs_f64();
        let ours_us = peer.cpu_us() - proxies;
        let known = (ours_us + self.origin.cpu_us() - origin) / 1e6 + peers::children_cpu_seconds() - load_before;
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get) as f64;
        let foreign = ((noise::busy_seconds() - busy - known) / (elapsed * cpus)).max(0.0);
        Ok(load.sample(ours_us, elapsed, foreign))
    }
}
