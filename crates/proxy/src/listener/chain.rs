use std::rc::Rc;

use leno_ir::{FilterChain, FilterChainMatch, NetworkFilter, TransportProtocol};

use super::ActiveListener;
use crate::access_log::AccessLogger;
use crate::connection_filter::ConnectionFilters;
use crate::detect::{ClientHello, Verdict};
use crate::http::HttpManager;
use crate::tcp::TcpManager;
use crate::tls::ChainTls;
use crate::worker::Worker;

/// A filter chain on one worker.
#[derive(Debug)]
pub(super) struct Chain {
    matches: FilterChainMatch,
    pub(super) tls: Option<ChainTls>,
    pub(super) connection_filters: ConnectionFilters,
    pub(super) filter: Filter,
}

#[derive(Clone, Debug)]
pub(super) enum Filter {
    Http(Rc<HttpManager>),
    Tcp(Rc<TcpManager>),
}

impl Chain {
    /// `place` names it among all of the configuration.
    pub(super) fn new(config: &FilterChain, place: &str, worker: &Worker) -> Self {
        let filter = match &config.filter {
            NetworkFilter::Http(http) => Filter::Http(Rc::new(HttpManager::new(http, place, worker))),
            NetworkFilter::Tcp(tcp) => {
                let access_log = AccessLogger::new(&tcp.access_log, worker.access_logs());
                Filter::Tcp(Rc::new(TcpManager { config: tcp.clone(), access_log }))
            }
        };
        let tls = config.tls.as_ref().map(|tls| worker.tls().of_chain(tls));
        let connection_filters = ConnectionFilters::new(&config.connection_filters, place, worker);
        Self { matches: config.matches.clone(), tls, connection_filters, filter }
    }
}

/// What a connection is matched by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) destination_port: u16,
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

    fn speaks(&self, protocol: &str) -> bool {
        match self.verdict {
            Verdict::Http(version) => version.application_protocol() == protocol,
            Verdict::Tls(hello) => hello.alpn.iter().any(|offered| offered == protocol.as_bytes()),
            Verdict::More | Verdict::Other => false,
        }
    }
}

impl ActiveListener {
    /// The most specific chain, criterion by criterion in Envoy's order: at each, chains that name a fitting value beat
    /// chains that name none, and there is no way back to a chain that lost.
    pub(super) fn chain(&self, facts: Facts<'_>) -> Option<&Rc<Chain>> {
        let mut left: Vec<&Rc<Chain>> = self.chains.iter().collect();
        narrow(&mut left, |matches| rank(matches.destination_port.map(|port| port == facts.destination_port)));
        let name = facts.hello().and_then(|hello| hello.server_name.as_deref());
        narrow(&mut left, |matches| server_name_rank(&matches.server_names, name));
        narrow(&mut left, |matches| rank(matches.transport_protocol.map(|protocol| protocol == facts.transport())));
        narrow(&mut left, |matches| {
            let protocols = &matches.application_protocols;
            rank((!protocols.is_empty()).then(|| protocols.iter().any(|protocol| facts.speaks(protocol))))
        });
        left.first().copied().or(self.default_chain.as_ref())
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

/// How well a criterion fits: `None` not at all, then the higher the more specific. An unset criterion fits everything.
fn rank(fits: Option<bool>) -> Option<usize> {
    match fits {
        Some(true) => Some(1),
        Some(false) => None,
        None => Some(0),
    }
}

/// Exact before the longest `*.suffix` before no name.
fn server_name_rank(names: &[String], name: Option<&str>) -> Option<usize> {
    if names.is_empty() {
        return Some(0);
    }
    let name = name?;
    let fit = |pattern: &String| match pattern.strip_prefix('*') {
        Some(suffix) => (name.len() > suffix.len() && name.ends_with(suffix)).then_some(suffix.len()),
        None => pattern.eq_ignore_ascii_case(name).then_some(usize::MAX),
    };
    names.iter().filter_map(fit).max()
}

fn narrow(left: &mut Vec<&Rc<Chain>>, rank: impl Fn(&FilterChainMatch) -> Option<usize>) {
    let ranks: Vec<_> = left.iter().map(|chain| rank(&chain.matches)).collect();
    let best = ranks.iter().flatten().max().copied();
    let mut ranks = ranks.into_iter();
    left.retain(|_| ranks.next().flatten().is_some_and(|rank| Some(rank) == best));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_server_name_beats_the_longest_suffix() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let exact = server_name_rank(&names(&["a.b.c"]), Some("a.b.c"));
        let long = server_name_rank(&names(&["*.c", "*.b.c"]), Some("a.b.c"));
        let short = server_name_rank(&names(&["*.c"]), Some("a.b.c"));
        assert!(exact > long && long > short && short > server_name_rank(&[], Some("a.b.c")));
        assert_eq!(server_name_rank(&names(&["*.b.c"]), Some("b.c")), None);
        assert_eq!(server_name_rank(&names(&["a"]), None), None);
    }
}
