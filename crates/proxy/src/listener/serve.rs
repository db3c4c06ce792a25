use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::ActiveListener;
use super::addresses::HeaderError;
use super::chain::{Chain, Facts, Filter};
use super::limit::ListenerSlot;
use crate::access_log::AccessLogger;
use crate::connection::{Alpn, Connection, Ends};
use crate::detect::{Question, Sniffer, Verdict};
use crate::exchange::{Exchange, NoHeaders, Protocol};
use crate::flags::ResponseFlags;
use crate::overload::ConnectionSlot;
use crate::proxy_protocol::ProxyAddresses;
use crate::stats::{HandshakeResult, ListenerCounter, ListenerGauge, ListenerHistogram, TlsSide};
use crate::stream::Stream;
use crate::tcp::{self, DialError, Dialled, Line, TcpManager, dial};
use crate::tls::{AcceptError, ChainTls};
use crate::worker::Worker;

/// Where clients speak first, a client gets this long before its TCP upstream is dialled on suspicion. Chosen: most clients
/// need less, a server-first client on such a port would not notice more.
const GRACE: Duration = Duration::from_millis(5);
/// How long a client may stay silent when the upstream it might wait for is not reachable.
const SILENCE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Serves one accepted connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    listener: Rc<ActiveListener>,
    worker: Rc<Worker>,
    _slots: (Option<ConnectionSlot>, Option<ListenerSlot>),
) {
    if !listener.rate_limits.iter().all(|limit| limit.take(worker.now())) {
        return;
    }
    let Ok(local) = stream.local_addr() else { return };
    // Fails only on a socket that is gone already, which the first read reports.
    let _ = stream.set_nodelay(true);
    let _counted = worker.stats.downstream_connection(listener.config.direction);
    let (stats, started) = (listener.stats.clone(), worker.now());
    stats.count(ListenerCounter::CxTotal);
    let _active = stats.hold(ListenerGauge::CxActive);
    let name = listener.name.clone();
    let (local, remote) = match listener.config.options.ipv4_compat {
        true => (canonical(local), canonical(remote)),
        false => (local, remote),
    };
    let stream = Stream::Plain(stream);
    let of_log = listener.clone();
    let accepted = Accepted {
        stream,
        local,
        direct_local: local,
        is_restored: false,
        remote,
        direct_remote: remote,
        listener,
        worker: worker.clone(),
        story: None,
    };
    let (accepted, story) = accepted.with_story();
    let result = accepted.run().await;
    if let Some(story) = &story {
        story.end(&of_log.access_log, &result, &worker);
    }
    if let Err(error) = result {
        match error {
            ServeError::NoChain => stats.count(ListenerCounter::NoFilterChainMatch),
            ServeError::Silent(_) => stats.count(ListenerCounter::PreCxTimeout),
            _ => {}
        }
        tracing::debug!(listener = %name, %remote, %error, "connection closed before it was served");
    }
    stats.count(ListenerCounter::CxDestroy);
    stats.observe(ListenerHistogram::CxLength, worker.now().saturating_duration_since(started));
}

pub(super) struct Accepted {
    pub(super) stream: Stream,
    pub(super) local: SocketAddr,
    /// Of the socket, whatever is said of it.
    direct_local: SocketAddr,
    /// That is not our own address.
    pub(super) is_restored: bool,
    pub(super) remote: SocketAddr,
    /// Of the connection itself, whatever a PROXY header says.
    direct_remote: SocketAddr,
    pub(super) listener: Rc<ActiveListener>,
    pub(super) worker: Rc<Worker>,
    /// `None`: the listener has no access log.
    story: Option<Rc<Story>>,
}

/// What the access log of a listener tells of a connection.
#[derive(Debug)]
struct Story {
    connection: RefCell<Rc<Connection>>,
    exchange: RefCell<Exchange>,
}

impl Story {
    fn end(&self, log: &AccessLogger, result: &Result<(), ServeError>, worker: &Worker) {
        let exchange = &mut *self.exchange.borrow_mut();
        if let Err(ServeError::NoChain) = result {
            exchange.flags.insert(ResponseFlags::NO_ROUTE);
            exchange.details = "filter_chain_not_found".into();
        }
        exchange.finish(worker.now());
        log.log(exchange, &self.connection.borrow(), &NoHeaders, &NoHeaders);
    }
}

/// An IPv4 client of an IPv6 socket is an IPv4 client.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What was found out, and what was made ready on the way.
#[derive(Debug)]
struct Found {
    verdict: Verdict,
    first_bytes: BytesMut,
    upstream: Upstream,
}

#[derive(Debug)]
enum Upstream {
    Dialled(Box<Dialled>),
    Failed(DialError),
    NotDialled,
}

#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no filter chain matches")]
    NoChain,
    #[error("the PROXY header: {0}")]
    ProxyHeader(#[from] HeaderError),
    #[error("the client said nothing for {0:?}")]
    Silent(Duration),
    #[error("TLS failed")]
    Tls,
}

impl Accepted {
    async fn run(mut self) -> Result<(), ServeError> {
        self.find_addresses().await?;
        let listener = self.listener.clone();
        let fallback = early_dial(self.chain(&Verdict::Other), || self.connection(None));
        let found = self.find_out(listener.question(), fallback).await?;
        let chain = self.chain(&found.verdict).ok_or(ServeError::NoChain)?;
        let Some(tls) = &chain.tls else {
            let mut connection = self.connection(None);
            if let Verdict::Tls(hello) = &found.verdict {
                connection.server_name.clone_from(&hello.server_name);
            }
            self.dispatch(&chain, connection, found).await;
            return Ok(());
        };
        let (mut inner, connection) = self.terminate_tls(tls).await?;
        let (chain, found) = inner.look_inside_tls(&chain, &connection).await?;
        inner.dispatch(&chain, connection, found).await;
        Ok(())
    }

    fn with_story(mut self) -> (Self, Option<Rc<Story>>) {
        if self.listener.access_log.is_empty() {
            return (self, None);
        }
        let exchange = Exchange::begin(Protocol::Tcp, &self.worker);
        let connection = RefCell::new(Rc::new(self.connection(None)));
        self.story = Some(Rc::new(Story { connection, exchange: RefCell::new(exchange) }));
        let story = self.story.clone();
        (self, story)
    }

    fn chain(&self, verdict: &Verdict) -> Option<Rc<Chain>> {
        let Self { local, remote, direct_remote, .. } = *self;
        self.listener.chain(Facts { local, remote, direct_remote, verdict }).cloned()
    }

    /// Bytes between two proxies may turn out to be HTTP (`inspect_http`), when ALPN did not say.
    async fn look_inside_tls(
        &mut self,
        chain: &Rc<Chain>,
        connection: &Connection,
    ) -> Result<(Rc<Chain>, Found), ServeError> {
        let listener = self.listener.clone();
        let is_open = matches!(connection.alpn, None | Some(Alpn::Istio | Alpn::Other));
        let http_chain = listener.http_chain(self.local.port(), true);
        match http_chain {
            Some(http_chain) if is_open && listener.config.inspect_http && matches!(chain.filter, Filter::Tcp(_)) => {
                let fallback = early_dial(Some(chain.clone()), || connection);
                let found = self.find_out(Question { tls: false, http: true }, fallback).await?;
                let chain = if matches!(found.verdict, Verdict::Http(_)) { http_chain } else { chain };
                Ok((chain.clone(), found))
            }
            _ => Ok((chain.clone(), Found::nothing())),
        }
    }

    async fn dispatch(self, chain: &Chain, mut connection: Connection, found: Found) {
        let Self { stream, worker, story, .. } = self;
        connection.drain = chain.drain.clone();
        connection.chain = chain.names.clone();
        connection.describe_client(match &chain.filter {
            Filter::Http(manager) => manager.told_of_client(),
            Filter::Tcp(_) => None,
        });
        let connection = Rc::new(connection);
        if let Some(story) = &story {
            story.connection.replace(connection.clone());
        }
        let _admission = match chain.connection_filters.admit(&connection, worker.now()) {
            Ok(admission) => admission,
            Err(refusal) => {
                drop(found);
                return match &chain.filter {
                    Filter::Http(_) => refusal.close(stream, &connection).await,
                    Filter::Tcp(manager) => tcp::refuse(stream, &refusal, &connection, manager, &worker).await,
                };
            }
        };
        match &chain.filter {
            Filter::Http(manager) => {
                // A connection dialled on suspicion closes here.
                drop(found.upstream);
                crate::http::serve(stream, found.first_bytes, connection, manager.clone(), worker).await;
            }
            Filter::Tcp(manager) => {
                let upstream = match found.upstream {
                    Upstream::Dialled(dialled) => Some(Ok(*dialled)),
                    Upstream::Failed(error) => Some(Err(error)),
                    Upstream::NotDialled => None,
                };
                let exchange = tcp::serve(stream, found.first_bytes, upstream, connection, manager, &worker).await;
                if let Some(story) = &story {
                    story.exchange.replace(exchange);
                }
            }
        }
    }

    fn connection(&self, tls: Option<crate::tls::PeerFacts>) -> Connection {
        let is_tls = tls.is_some();
        let tls = tls.unwrap_or_default();
        Connection {
            id: next_connection_id(),
            local: self.local,
            is_restored: self.is_restored,
            remote: self.remote,
            direct_remote: self.direct_remote,
            direction: self.listener.config.direction,
            listener: self.listener.name.clone(),
            is_tls,
            mtls: tls.mtls,
            shown: tls.shown,
            session: tls.session,
            direct_local: self.direct_local,
            chain: Rc::default(),
            client_cert: String::new(),
            peer: tls.peer,
            local_identity: tls.local_identity,
            server_name: tls.server_name,
            alpn: tls.alpn,
            drain: Rc::default(),
            closed_by_client: Cell::new(false),
            rate_limiter: Default::default(),
        }
    }

    async fn terminate_tls(self, tls: &ChainTls) -> Result<(Self, Connection), ServeError> {
        let Self { stream, local, direct_local, is_restored, remote, direct_remote, listener, worker, story } = self;
        let Stream::Plain(socket) = stream else { return Err(ServeError::Tls) };
        match worker.tls().accept(socket, tls).await {
            Ok((stream, facts)) => {
                worker.stats.tls_handshake(TlsSide::Downstream, HandshakeResult::Ok);
                listener.stats.count(ListenerCounter::SslHandshake);
                let inner =
                    Self { stream, local, direct_local, is_restored, remote, direct_remote, listener, worker, story };
                let connection = inner.connection(Some(facts));
                Ok((inner, connection))
            }
            Err(error) => {
                let is_late = matches!(error, AcceptError::Timeout(_));
                let result = if is_late { HandshakeResult::TimedOut } else { HandshakeResult::Failed };
                worker.stats.tls_handshake(TlsSide::Downstream, result);
                listener.stats.count(match is_late {
                    true => ListenerCounter::CxTransportSocketConnectTimeout,
                    false => ListenerCounter::SslConnectionError,
                });
                if error.refusal().is_some() {
                    worker.stats.peer_refused();
                }
                worker.tls().report_downstream_failure(&listener.name, remote, &error);
                Err(ServeError::Tls)
            }
        }
    }

    /// What the client speaks. When it may be waiting for a server that speaks first (`fallback` is a TCP chain), that
    /// server is dialled meanwhile, and heard.
    async fn find_out(&mut self, question: Question, fallback: Option<Rc<Chain>>) -> Result<Found, ServeError> {
        if !question.tls && !question.http {
            return Ok(Found::nothing());
        }
        // Lets the runtime see what has arrived with the connection, so that most clients are known at the first look.
        tokio::task::yield_now().await;
        let fallback = fallback.filter(|chain| chain.tls.is_none() || self.stream.is_tls());
        if let Some(Filter::Tcp(manager)) = fallback.map(|chain| chain.filter.clone()) {
            return self.find_out_and_dial(question, &manager).await;
        }
        let mut sniffer = Sniffer::default();
        let patience = self.worker.handshake_timeout();
        let verdict = tokio::time::timeout(patience, sniffer.verdict(&mut self.stream, question))
            .await
            .map_err(|_| ServeError::Silent(patience))??;
        Ok(Found { verdict, first_bytes: sniffer.into_first_bytes(&self.stream), upstream: Upstream::NotDialled })
    }

    async fn find_out_and_dial(&mut self, question: Question, manager: &TcpManager) -> Result<Found, ServeError> {
        let hint = &self.listener.clients_speak_first;
        let has_started = Cell::new(false);
        let addresses = ProxyAddresses { source: self.remote, destination: self.local };
        let client = Ends { addresses, original_destination: self.is_restored.then_some(self.local) };
        let mut dialling = pin!(async {
            if hint.get() {
                tokio::time::sleep(GRACE).await;
            }
            has_started.set(true);
            dial(&manager.config, &client, None, &self.worker).await
        });
        let mut sniffer = Sniffer::default();
        let mut upstream = Upstream::NotDialled;
        let verdict = {
            let mut looking = pin!(sniffer.verdict(&mut self.stream, question));
            loop {
                tokio::select! {
                    biased;
                    verdict = &mut looking => break verdict?,
                    result = &mut dialling, if matches!(upstream, Upstream::NotDialled) => {
                        upstream = result.map_or_else(Upstream::Failed, |dialled| Upstream::Dialled(Box::new(dialled)));
                    }
                    () = upstream.speaks_or_fails() => break Verdict::Other,
                }
            }
        };
        hint.set(matches!(verdict, Verdict::Http(_)));
        // The client spoke first and wants TCP: the dial under way is the one it needs.
        if verdict == Verdict::Other && matches!(upstream, Upstream::NotDialled) && has_started.get() {
            upstream = dialling.await.map_or_else(Upstream::Failed, |dialled| Upstream::Dialled(Box::new(dialled)));
        }
        Ok(Found { verdict, first_bytes: sniffer.into_first_bytes(&self.stream), upstream })
    }
}

/// The chain, when its upstream may be dialled before the client is admitted.
fn early_dial<C: Borrow<Connection>>(chain: Option<Rc<Chain>>, connection: impl FnOnce() -> C) -> Option<Rc<Chain>> {
    chain.filter(|chain| {
        let filters = &chain.connection_filters;
        let is_ready = matches!(&chain.filter, Filter::Tcp(manager) if manager.allows_early_dial());
        is_ready && (filters.is_empty() || filters.allow_early_dial(connection().borrow()))
    })
}

impl Found {
    fn nothing() -> Self {
        Self { verdict: Verdict::Other, first_bytes: BytesMut::new(), upstream: Upstream::NotDialled }
    }
}

impl Upstream {
    /// Resolves when a dialled upstream has said something or closed, or when a failed one was waited for long enough.
    async fn speaks_or_fails(&mut self) {
        match self {
            // A failed read ends here as well; the copy meets the error again.
            Self::Dialled(dialled) => {
                let Dialled { line, first_bytes, .. } = dialled.as_mut();
                let _ = match line {
                    Line::Socket { connected, .. } => connected.stream.read_buf(first_bytes).await,
                    Line::Tunnel(tunnel) => tunnel.read_buf(first_bytes).await,
                };
            }
            Self::Failed(_) => tokio::time::sleep(SILENCE_AFTER_FAILURE).await,
            Self::NotDialled => std::future::pending().await,
        }
    }
}

fn next_connection_id() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
