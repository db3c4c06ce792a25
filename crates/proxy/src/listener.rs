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
mod serve;

use std::rc::Rc;
use std::sync::Arc;

use leno_ir::{FilterChainMatch, Listener, TransportProtocol};

pub(crate) use accept::{AcceptOutage, Binding};

use self::chain::Chain;
use crate::connection_filter::RateLimitFilter;
use crate::detect::Question;
use crate::drain::DrainSignal;
use crate::stats::ListenerStats;
use crate::worker::Worker;

/// One version of a listener on one worker. Connections keep the version they were accepted under.
#[derive(Debug)]
pub(crate) struct ActiveListener {
    pub(crate) config: Arc<Listener>,
    name: Rc<str>,
    stats: ListenerStats,
    chains: Vec<Rc<Chain>>,
    default_chain: Option<Rc<Chain>>,
    rate_limits: Box<[RateLimitFilter]>,
    /// There is one chain, and it matches everything.
    only_chain_takes_all: bool,
    /// A chain asks for what only a look at the ClientHello tells. Envoy, too, looks without being told to.
    needs_inspection: bool,
    /// Started when this version is replaced or removed, or the worker drains.
    pub(crate) drain: Rc<DrainSignal>,
    /// Whether the last client whose protocol was found out spoke first; then its successor gets a moment to do the same.
    clients_speak_first: std::cell::Cell<bool>,
}

impl ActiveListener {
    pub(crate) fn new(config: Arc<Listener>, worker: &Worker) -> Self {
        let stats = worker.stats.listener(&config.address.to_string().replace(':', "_"));
        let chain = |place: &str, chain| {
            let place = format!("{}.{place}", config.name);
            Rc::new(Chain::new(chain, &place, &stats, worker))
        };
        let rate_limit = |(index, limit)| {
            RateLimitFilter::of_listener(limit, &format!("{}.rate_limits[{index}]", config.name), worker)
        };
        let rate_limits = config.options.rate_limits.iter().enumerate().map(rate_limit).collect();
        let chains = config.filter_chains.iter().enumerate();
        let default_chain = config.default_filter_chain.as_ref();
        Self {
            name: config.name.as_str().into(),
            chains: chains.map(|(at, config)| chain(&format!("filter_chains[{at}]"), config)).collect(),
            only_chain_takes_all: matches!(config.filter_chains.as_slice(), [only] if only.matches == FilterChainMatch::default()),
            default_chain: default_chain.map(|config| chain("default_filter_chain", config)),
            rate_limits,
            needs_inspection: config.filter_chains.iter().any(|chain| needs_inspection(&chain.matches)),
            drain: Rc::default(),
            clients_speak_first: std::cell::Cell::new(false),
            stats,
            config,
        }
    }

    pub(crate) fn has_config(&self, config: &Arc<Listener>) -> bool {
        Arc::ptr_eq(&self.config, config) || self.config == *config
    }

    /// What must be known of the first bytes to choose a chain.
    fn question(&self) -> Question {
        Question { tls: self.config.inspect_tls || self.needs_inspection, http: self.config.inspect_http }
    }
}

fn needs_inspection(matches: &FilterChainMatch) -> bool {
    match matches.transport_protocol {
        Some(TransportProtocol::Tls) => true,
        Some(TransportProtocol::RawBuffer) => false,
        None => !matches.server_names.is_empty() || !matches.application_protocols.is_empty(),
    }
}
