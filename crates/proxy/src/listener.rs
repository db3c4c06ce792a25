//! From an accepted socket to the filter chain that serves it: inspection, chain choice, TLS.
//!
//! Shape       1 listener -> n chains (HTTP or TCP manager each); a binding (one socket) serves one listener at a time
//! Invariants  a protocol in which the server speaks first is never kept waiting: its upstream is dialled while we look
//! Errors      a failed handshake or an unmatched connection is closed, counted and logged; the listener goes on
//! Cost        per connection: without inspection none; with it one more system call (a peek)
//! Source      Envoy listener_components.proto v1.31, FilterChainMatch

mod accept;
mod addresses;
mod chain;
mod limit;
mod serve;

use std::rc::Rc;
use std::sync::Arc;

use leno_ir::{FilterChain, FilterChainMatch, Listener, TransportProtocol};

pub(crate) use accept::{AcceptOutage, Binding};
pub(crate) use limit::ConnectionLimits;

use self::chain::Chain;
use self::limit::ListenerLimit;
use crate::access_log::AccessLogger;
use crate::connection_filter::RateLimitFilter;
use crate::detect::Question;
use crate::stats::ListenerStats;
use crate::worker::Worker;

/// One version of a listener on one worker. Connections keep the filter chain they were given; one that is the same in the
/// next version goes over to it, with its connections.
#[derive(Debug)]
pub(crate) struct ActiveListener {
    pub(crate) config: Arc<Listener>,
    name: Rc<str>,
    stats: ListenerStats,
    access_log: AccessLogger,
    chains: Vec<Rc<Chain>>,
    default_chain: Option<Rc<Chain>>,
    rate_limits: Box<[RateLimitFilter]>,
    /// `None`: it may have any number of connections.
    limit: Option<Arc<ListenerLimit>>,
    /// There is one chain, and it matches everything.
    only_chain_takes_all: bool,
    /// A chain asks for what only a look at the ClientHello tells. Envoy, too, looks without being told to.
    needs_inspection: bool,
    /// Whether the last client whose protocol was found out spoke first; then its successor gets a moment to do the same.
    clients_speak_first: std::cell::Cell<bool>,
}

impl ActiveListener {
    pub(crate) fn new(config: Arc<Listener>, worker: &Worker) -> Self {
        Self::successor(None, config, worker)
    }

    /// What comes after `old`, whose filter chains it takes over where they, and all around them, are the same.
    pub(crate) fn successor(old: Option<&Self>, config: Arc<Listener>, worker: &Worker) -> Self {
        let stats = worker.stats.listener(&config.address.to_string().replace(':', "_"));
        let old = old.filter(|old| differs_in_chains_only(&old.config, &config));
        let metadata = &config.options.metadata;
        let chain = |place: String, chain: &FilterChain| {
            let place = format!("{}.{place}", config.name);
            let kept = old.and_then(|old| old.all_chains().find(|kept| kept.is(chain, &place, metadata)));
            kept.cloned().unwrap_or_else(|| {
                Rc::new(Chain::new(chain, place, (&stats, config.options.buffer_limit_bytes), metadata, worker))
            })
        };
        let rate_limit = |(index, limit)| {
            RateLimitFilter::of_listener(limit, &format!("{}.rate_limits[{index}]", config.name), worker)
        };
        let rate_limits = config.options.rate_limits.iter().enumerate().map(rate_limit).collect();
        let chains = config.filter_chains.iter().enumerate();
        let default_chain = config.default_filter_chain.as_ref();
        Self {
            name: config.name.as_str().into(),
            chains: chains.map(|(at, config)| chain(place_of(at, config), config)).collect(),
            only_chain_takes_all: matches!(config.filter_chains.as_slice(), [only] if only.matches == FilterChainMatch::default()),
            default_chain: default_chain.map(|config| chain("default_filter_chain".to_owned(), config)),
            rate_limits,
            limit: worker.connection_limits().of(&config.name),
            needs_inspection: config.filter_chains.iter().any(|chain| needs_inspection(&chain.matches)),
            clients_speak_first: std::cell::Cell::new(false),
            access_log: AccessLogger::new(&config.options.access_log, worker.access_logs()),
            stats,
            config,
        }
    }

    pub(crate) fn has_config(&self, config: &Arc<Listener>) -> bool {
        Arc::ptr_eq(&self.config, config) || self.config == *config
    }

    fn all_chains(&self) -> impl Iterator<Item = &Rc<Chain>> {
        self.chains.iter().chain(&self.default_chain)
    }

    /// The connections of the chains that `successor` has not finish and close; without one, all.
    pub(crate) fn drain(&self, successor: Option<&Self>) {
        for chain in self.all_chains() {
            let goes_on = successor.is_some_and(|next| next.all_chains().any(|kept| Rc::ptr_eq(kept, chain)));
            if !goes_on {
                chain.drain.start();
            }
        }
    }

    /// What must be known of the first bytes to choose a chain.
    fn question(&self) -> Question {
        Question { tls: self.config.inspect_tls || self.needs_inspection, http: self.config.inspect_http }
    }
}

/// By its name, where it has one, so that a chain is the same wherever it stands.
fn place_of(at: usize, chain: &FilterChain) -> String {
    if chain.name.is_empty() { format!("filter_chains[{at}]") } else { format!("filter_chains[{}]", chain.name) }
}

/// As in Envoy: another change means another listener.
fn differs_in_chains_only(old: &Listener, new: &Listener) -> bool {
    let without =
        |listener: &Listener| Listener { filter_chains: Vec::new(), default_filter_chain: None, ..listener.clone() };
    without(old) == without(new)
}

fn needs_inspection(matches: &FilterChainMatch) -> bool {
    match matches.transport_protocol {
        Some(TransportProtocol::Tls) => true,
        Some(TransportProtocol::RawBuffer) => false,
        None => !matches.server_names.is_empty() || !matches.application_protocols.is_empty(),
    }
}
