use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use leno_ir::{CidrRange, FilterChain, FilterChainMatch, NetworkFilter, SourceType, TransportProtocol};

use super::ActiveListener;
use crate::connection_filter::ConnectionFilters;
use crate::detect::{ClientHello, Verdict};
use crate::drain::DrainSignal;
use crate::http::HttpManager;
use crate::stats::ListenerStats;
use crate::tcp::TcpManager;
use crate::tls::ChainTls;
use crate::worker::Worker;

/// A filter chain on one worker.
#[derive(Debug)]
pub(super) struct Chain {
    config: FilterChain,
    place: String,
    matches: FilterChainMatch,
    pub(super) tls: Option<ChainTls>,
    pub(super) connection_filters: ConnectionFilters,
    pub(super) filter: Filter,
    /// Started when no version of the listener has it any more, or the worker drains.
    pub(super) drain: Rc<DrainSignal>,
}

#[derive(Clone, Debug)]
pub(super) enum Filter {
    Http(Rc<HttpManager>),
    Tcp(Rc<TcpManager>),
}

impl Chain {
    /// `place` names it among all of the configuration.
    pub(super) fn new(
        config: &FilterChain,
        place: String,
        listener: (&ListenerStats, Option<u32>),
        worker: &Worker,
    ) -> Self {
        let filter = match &config.filter {
            NetworkFilter::Http(http) => Filter::Http(Rc::new(HttpManager::new(http, &place, listener, worker))),
            NetworkFilter::Tcp(tcp) => Filter::Tcp(Rc::new(TcpManager::new(tcp, worker))),
        };
        let tls = config.tls.as_ref().map(|tls| worker.tls().of_chain(tls));
        let connection_filters = ConnectionFilters::new(&config.connection_filters, &place, worker);
        let (matches, drain) = (config.matches.clone(), Rc::default());
        Self { config: config.clone(), place, matches, tls, connection_filters, filter, drain }
    }

    pub(super) fn is(&self, config: &FilterChain, place: &str) -> bool {
        self.place == place && self.config == *config
    }
}

/// What a connection is matched by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// Where the client went, and where it is: what a PROXY header or the kernel says of it.
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Where the connection itself comes from.
    pub(super) direct_remote: SocketAddr,
    pub(super) verdict: &'a Verdict,
}

impl Facts<'_> {
    fn hello(&self) -> Option<&ClientHello> {
        match self.verdict {
            Verdict::Tls(hello) => Some(hello),
            _ => None,
        }
    }

    fn transport(&self) -> TransportProtocol {
        if self.hello().is_some() { TransportProtocol::Tls } else { TransportProtocol::RawBuffer }
    }

    /// The client's first choice among `protocols` is the best.
    fn protocol_rank(&self, protocols: &[String]) -> Option<usize> {
        let place = match self.verdict {
            Verdict::Http(version) => protocols.iter().any(|name| version.application_protocol() == name).then_some(0),
            Verdict::Tls(hello) => {
                hello.alpn.iter().position(|offered| protocols.iter().any(|name| name.as_bytes() == offered))
            }
            Verdict::More | Verdict::Other => None,
        };
        place.map(|place| usize::MAX - place)
    }

    fn source_type(&self) -> SourceType {
        // Of the loopback block only its one address, as in Envoy.
        let is_loopback = |ip| ip == IpAddr::V4(Ipv4Addr::LOCALHOST) || ip == IpAddr::V6(Ipv6Addr::LOCALHOST);
        let is_local = self.remote.ip() == self.local.ip() || is_loopback(self.remote.ip());
        if is_local { SourceType::SameIpOrLoopback } else { SourceType::External }
    }
}

impl ActiveListener {
    /// The most specific chain, criterion by criterion in Envoy's order: at each, chains that name a fitting value beat
    /// chains that name none, and there is no way back to a chain that lost.
    pub(super) fn chain(&self, facts: Facts<'_>) -> Option<&Rc<Chain>> {
        if let ([only], true) = (self.chains.as_slice(), self.only_chain_takes_all) {
            return Some(only);
        }
        most_specific(&self.chains, |chain| &chain.matches, facts).or(self.default_chain.as_ref())
    }

    /// The chain that would serve this connection if it spoke HTTP; for bytes found out to be HTTP only inside TLS.
    pub(super) fn http_chain(&self, destination_port: u16, is_tls: bool) -> Option<&Rc<Chain>> {
        self.chains.iter().chain(&self.default_chain).find(|chain| {
            matches!(chain.filter, Filter::Http(_))
                && chain.tls.is_some() == is_tls
                && chain.matches.destination_port.is_none_or(|port| port == destination_port)
        })
    }
}

fn most_specific<'a, C>(chains: &'a [C], matches: impl Fn(&C) -> &FilterChainMatch, facts: Facts<'_>) -> Option<&'a C> {
    let mut left: Vec<&C> = chains.iter().collect();
    let mut narrow =
        |rank: &dyn Fn(&FilterChainMatch) -> Option<usize>| narrow(&mut left, |chain| rank(matches(chain)));
    narrow(&|matches| rank(matches.destination_port.map(|port| port == facts.local.port())));
    narrow(&|matches| range_rank(&matches.prefix_ranges, facts.local.ip()));
    let name = facts.hello().and_then(|hello| hello.server_name.as_deref());
    narrow(&|matches| server_name_rank(&matches.server_names, name));
    narrow(&|matches| rank(matches.transport_protocol.map(|protocol| protocol == facts.transport())));
    narrow(&|matches| match matches.application_protocols.as_slice() {
        [] => Some(0),
        protocols => facts.protocol_rank(protocols),
    });
    narrow(&|matches| range_rank(&matches.direct_source_prefix_ranges, facts.direct_remote.ip()));
    narrow(&|matches| rank(matches.source_type.map(|source_type| source_type == facts.source_type())));
    narrow(&|matches| range_rank(&matches.source_prefix_ranges, facts.remote.ip()));
    narrow(&|matches| {
        let ports = &matches.source_ports;
        rank((!ports.is_empty()).then(|| ports.contains(&facts.remote.port())))
    });
    left.first().copied()
}

/// How well a criterion fits: `None` not at all, then the higher the more specific. An unset criterion fits everything.
fn rank(fits: Option<bool>) -> Option<usize> {
    match fits {
        Some(true) => Some(1),
        Some(false) => None,
        None => Some(0),
    }
}

/// The longest prefix is the best.
fn range_rank(ranges: &[CidrRange], ip: IpAddr) -> Option<usize> {
    if ranges.is_empty() {
        return Some(0);
    }
    let fitting = ranges.iter().filter(|range| range.contains(ip));
    fitting.map(|range| usize::from(range.prefix_bits()) + 1).max()
}

/// Exact before the longest `*.suffix` before no name.
fn server_name_rank(names: &[String], name: Option<&str>) -> Option<usize> {
    if names.is_empty() {
        return Some(0);
    }
    let name = name?;
    let ends_with = |suffix: &str| {
        let start = name.len().checked_sub(suffix.len()).filter(|start| *start > 0);
        start.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    let fit = |pattern: &String| match pattern.strip_prefix('*') {
        Some(suffix) => ends_with(suffix).then_some(suffix.len()),
        None => pattern.eq_ignore_ascii_case(name).then_some(usize::MAX),
    };
    names.iter().filter_map(fit).max()
}

fn narrow<C>(left: &mut Vec<&C>, rank: impl Fn(&C) -> Option<usize>) {
    if left.is_empty() {
        return;
    }
    let ranks: Vec<_> = left.iter().map(|chain| rank(chain)).collect();
    let best = ranks.iter().flatten().max().copied();
    let mut ranks = ranks.into_iter();
    left.retain(|_| ranks.next().flatten().is_some_and(|rank| Some(rank) == best));
}

#[cfg(test)]
mod tests;
