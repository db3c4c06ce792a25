//! What a scenario is made of: peers, work, the figures that goals are about.

use super::peers::Kind;
use super::result::Sample;
use super::set_up::SetUp;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) peers: &'static [Kind],
    pub(crate) shape: Shape,
    pub(crate) work: Work,
    pub(crate) figures: &'static [Figure],
}

/// A number of a round, and what it should be.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Without it: the value of the sample that has the figure's name.
    pub(crate) of: Option<fn(&Sample) -> f64>,
    /// Compare what each adds to the bare connection (`direct`).
    pub(crate) added_to_direct: bool,
    pub(crate) goals: &'static [Goal],
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// Ours in the figure's unit.
    AtMost(f64),
    /// Ours over this peer's.
    Times(f64, &'static str),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// One proxy in plaintext on loopback; Leno as a sidecar of a mesh.
    Single,
    /// One proxy, HTTP/2 without TLS on both sides.
    Http2Single,
    /// One proxy from a bootstrap file.
    Static,
    /// One TCP proxy on the loopback of a network namespace.
    TcpSingle,
    /// One proxy that terminates mutual TLS.
    TlsSingle,
    /// Two sidecars with mutual TLS, routing, metrics and access log, on two hosts.
    Sidecars,
    /// Two sidecars with mutual TLS that copy bytes, on two hosts.
    TcpSidecars,
}

pub(crate) enum Work {
    /// Peers are started once; rounds are seconds under load.
    Load(Load),
    /// A round starts what it needs and measures it.
    Trial(fn(&SetUp<'_>, Kind) -> anyhow::Result<Sample>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Load {
    /// One connection, bytes in one direction.
    Bulk,
    /// A connection per request; TLS as the shape says.
    Connect { resume: bool },
    /// 64 keep-alive HTTP/1.1 connections.
    Http1,
    /// 4 connections with 16 streams each.
    Http2Get,
    /// The same, 128 bytes as gRPC frames them.
    Http2Post,
    /// 1,000 requests a second on their own schedule.
    OpenLoop,
}

impl Shape {
    pub(crate) fn needs_hosts(self) -> bool {
        matches!(self, Self::Sidecars | Self::TcpSidecars | Self::TcpSingle)
    }

    pub(crate) fn is_pair(self) -> bool {
        matches!(self, Self::Sidecars | Self::TcpSidecars)
    }
}

pub(crate) const CPU: Figure = Figure {
    name: "CPU",
    unit: "us/req",
    of: Some(|sample| sample.cpu_us_per_request),
    added_to_direct: false,
    goals: &[],
};

impl Figure {
    /// A figure that a trial gives by name.
    pub(crate) const fn named(name: &'static str, unit: &'static str, goals: &'static [Goal]) -> Self {
        Self { name, unit, of: None, added_to_direct: false, goals }
    }

    pub(crate) fn measured(&self, sample: &Sample) -> f64 {
        self.of.map_or_else(|| sample.values.get(self.name).copied().unwrap_or(0.0), |of| of(sample))
    }

    pub(crate) const fn with(self, goals: &'static [Goal]) -> Self {
        Self { name: self.name, unit: self.unit, of: self.of, added_to_direct: self.added_to_direct, goals }
    }
}
