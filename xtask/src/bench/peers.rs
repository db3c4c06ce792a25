//! The programs under test and their configurations, alike in what they do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::network::{CLIENT_ADDRESS, SERVER_ADDRESS};
use super::pki::Pki;
use super::process::{LOAD_CPU, PROXY_CPU, Process, pinned};
use super::scenarios::SetUp;
use super::{START_LIMIT, median};
use crate::command::output;
use crate::tools::{Tools, on_path};

mod envoy;
mod haproxy;
mod leno;

pub(crate) use leno::measure_singles;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// No proxy at all.
    Direct,
    Envoy,
    /// Envoy with HTTP/2 between its sidecars.
    EnvoyHttp2,
    Haproxy,
    Leno,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Envoy => "envoy",
            Self::EnvoyHttp2 => "envoy-h2",
            Self::Haproxy => "haproxy",
            Self::Leno => "leno",
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
        let missing: Vec<_> = ["curl", "haproxy", "ip", "openssl", "taskset", "wrk"]
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
    proxies: Vec<Process>,
    /// Running beside them, not measured.
    _others: Vec<Process>,
}

impl Peer {
    pub(crate) fn cpu_us(&self) -> f64 {
        self.proxies.iter().map(Process::cpu_us).sum()
    }
}

/// A figure that is no comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Single {
    pub(crate) measured: f64,
    pub(crate) unit: &'static str,
    pub(crate) goal: f64,
    samples: Vec<f64>,
}

impl Single {
    fn new(samples: Vec<f64>, unit: &'static str, goal: f64) -> Self {
        Self { measured: median(samples.iter().copied()), unit, goal, samples }
    }

    pub(crate) fn met(&self) -> bool {
        self.measured <= self.goal
    }
}

pub(crate) fn start_single(kind: Kind, set_up: &SetUp<'_>, programs: &Programs) -> anyhow::Result<Peer> {
    match kind {
        Kind::Direct => Ok(direct(&format!("127.0.0.1:{}", set_up.origin_port))),
        Kind::Envoy | Kind::EnvoyHttp2 => envoy::single(set_up, programs),
        Kind::Haproxy => haproxy::single(set_up),
        Kind::Leno => leno::single(set_up, programs),
    }
}

pub(crate) fn start_sidecars(kind: Kind, set_up: &SetUp<'_>, programs: &Programs) -> anyhow::Result<Peer> {
    match kind {
        Kind::Direct => Ok(direct(&format!("{SERVER_ADDRESS}:{}", set_up.origin_port))),
        Kind::Envoy => envoy::sidecars(set_up, programs, envoy::Between::Http1),
        Kind::EnvoyHttp2 => envoy::sidecars(set_up, programs, envoy::Between::Http2),
        Kind::Haproxy => bail!("HAProxy has no part in this scenario"),
        Kind::Leno => leno::sidecars(set_up, programs),
    }
}

fn direct(address: &str) -> Peer {
    Peer {
        name: "direct".to_owned(),
        address: address.to_owned(),
        host: "origin".to_owned(),
        proxies: Vec::new(),
        _others: Vec::new(),
    }
}

pub(crate) fn wait_until_answering(peer: &Peer, namespace: Option<&str>) -> anyhow::Result<()> {
    let limit = START_LIMIT.as_secs().to_string();
    let url = format!("http://{}/bench", peer.address);
    let host = format!("Host: {}", peer.host);
    let command = [
        "curl",
        "-sf",
        "-o",
        "/dev/null",
        "--retry",
        "100",
        "--retry-delay",
        "1",
        "--retry-all-errors",
        "--retry-max-time",
        &limit,
        "-H",
        &host,
        &url,
    ];
    output(&mut pinned(&command.map(str::to_owned), LOAD_CPU, namespace)).map(|_| ())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener.local_addr().context("reading the port")?.port())
}

/// CPU time of children that have ended, in seconds (`cutime` and `cstime`, ticks of 10 ms).
pub(crate) fn children_cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let Some((_, fields)) = text.rsplit_once(')') else { return 0.0 };
    // After the name: state is field 3, cutime 16, cstime 17.
    fields.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}
