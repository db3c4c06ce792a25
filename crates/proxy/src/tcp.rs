//! Bytes both ways between a client and one endpoint.
//!
//! Invariants  a half-closed side stays open the other way; every byte read is written or counted as lost by a close
//! Errors      no endpoint, or none reachable in as many tries as there may be: the client's connection is closed (flags UH, UF)
//! Cost        one buffer per worker; a connection holds memory only for what its slower side has not taken yet
//! Source      Envoy tcp_proxy.proto v1.31 (max_connect_attempts, idle_timeout, max_downstream_connection_duration)

mod copy;
mod dial;
mod tunnel;

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use leno_ir::TcpProxy;
use tokio::io::AsyncReadExt as _;

pub(crate) use dial::{DialError, Dialled, Line, dial};
use tunnel::Plea;
pub(crate) use tunnel::TunnelRequest;

use self::copy::{CopyEnd, Counts, Wire, copy_both};
use crate::access_log::AccessLogger;
use crate::connection::Connection;
use crate::connection_filter::Refusal;
use crate::exchange::{Exchange, LogMoment, NoHeaders, Protocol};
use crate::flags::ResponseFlags;
use crate::stats::{ClusterCounter, ClusterGauge, TcpCounter, TcpStats};
use crate::stream::Stream;
use crate::upstream::{Connected, Outcome, Pick};
use crate::worker::Worker;

/// Most that a client says before its tunnel is there, in bytes. Chosen: as much as waits for the upstream of an open one.
const MOST_WAITING_BYTES: usize = 64 * 1024;

/// How one filter chain proxies TCP, on one worker.
#[derive(Debug)]
pub(crate) struct TcpManager {
    pub(crate) config: TcpProxy,
    pub(crate) access_log: AccessLogger,
    pub(crate) stats: TcpStats,
    /// `None`: bytes go as they are.
    tunnel: Option<Box<TunnelRequest>>,
}

impl TcpManager {
    pub(crate) fn new(config: &TcpProxy, worker: &Worker) -> Self {
        Self {
            access_log: AccessLogger::new(&config.access_log, worker.access_logs()),
            stats: worker.stats.tcp(&config.stat_prefix),
            tunnel: config.tunneling.as_deref().map(|tunneling| Box::new(TunnelRequest::new(tunneling))),
            config: config.clone(),
        }
    }

    /// Whether an upstream may be dialled before everything is known of the client.
    pub(crate) fn allows_early_dial(&self) -> bool {
        self.tunnel.is_none()
    }

    /// There is an upstream.
    fn note_connected(&self, exchange: &mut Exchange, connection: &Connection, worker: &Worker) {
        worker.stats.tcp_opened(exchange, connection);
        if self.config.access_log_moments.when_connected {
            self.log_at(LogMoment::Connected, exchange, connection);
        }
    }

    /// Why the bytes have ended. As in Envoy, no flag tells of a client that left, nor of idleness.
    fn note_end(&self, end: CopyEnd, exchange: &mut Exchange) -> Verdict {
        match end {
            CopyEnd::Closed | CopyEnd::Downstream(_) => {}
            CopyEnd::TooOld => exchange.flags.insert(ResponseFlags::DURATION_TIMEOUT),
            CopyEnd::Idle => self.stats.count(TcpCounter::IdleTimeout),
            CopyEnd::Upstream(error) => {
                exchange.upstream_failure = Some(error.to_string());
                if exchange.bytes_sent == 0 {
                    return Verdict::CutUnheard;
                }
            }
        }
        Verdict::Fine
    }

    /// A line of the access log before the end.
    fn log_at(&self, moment: LogMoment, exchange: &mut Exchange, connection: &Connection) {
        exchange.log_moment = moment;
        self.access_log.log(exchange, connection, &NoHeaders, &NoHeaders);
        exchange.log_moment = LogMoment::End;
    }
}

/// Carries one connection to its end, and records it. `upstream`: `None` when nobody was dialled yet.
pub(crate) async fn serve(
    mut downstream: Stream,
    mut first_bytes: BytesMut,
    upstream: Option<Result<Dialled, DialError>>,
    connection: Rc<Connection>,
    manager: &TcpManager,
    worker: &Rc<Worker>,
) -> Exchange {
    let mut exchange = Exchange::begin(Protocol::Tcp, worker);
    manager.stats.count(TcpCounter::CxTotal);
    if manager.config.access_log_moments.at_start {
        manager.log_at(LogMoment::Start, &mut exchange, &connection);
    }
    let client = connection.ends();
    let upstream = match upstream {
        Some(upstream) => upstream.map_err(NoLine::from),
        None => match &manager.tunnel {
            None => dial(&manager.config, &client, None, worker).await.map_err(NoLine::from),
            Some(tunnel) => {
                let plea = Plea::new(tunnel.head(&exchange, &connection));
                let dialling = Box::pin(dial(&manager.config, &client, Some(&plea), worker));
                let dialled = patiently(dialling, (&mut downstream, &mut first_bytes), &manager.config).await;
                if let Some((cluster, endpoint)) = plea.asked.take() {
                    (exchange.cluster, exchange.upstream) = (Some(cluster), Some(endpoint));
                }
                dialled
            }
        },
    };
    match upstream {
        Err(NoLine::Ended(end)) => {
            worker.stats.tcp_opened(&exchange, &connection);
            let client_left = matches!(end, CopyEnd::Downstream(_));
            manager.note_end(end, &mut exchange);
            if !client_left {
                exchange.flags.insert(ResponseFlags::UPSTREAM_CONNECTION_FAILURE);
            }
        }
        Err(NoLine::Dial(error)) => {
            tracing::debug!(listener = %connection.listener, client = %connection.remote, %error, "no upstream");
            exchange.flags.insert(error.flag());
            if let DialError::NoCluster { .. } = &error {
                manager.stats.count(TcpCounter::CxNoRoute);
            }
            if let DialError::Unreachable { cluster, last, .. } = &error {
                exchange.cluster = worker.cluster(cluster).map(|cluster| cluster.config.clone());
                exchange.upstream = Some(*last);
            }
            exchange.upstream_failure = Some(error.to_string());
            worker.stats.tcp_opened(&exchange, &connection);
        }
        Ok(dialled) => {
            let Dialled { cluster, pick, line, first_bytes: answer, connected_in, tries, _permit } = dialled;
            if tries > 1 {
                exchange.flags.insert(ResponseFlags::UPSTREAM_CONNECTION_FAILURE);
            }
            exchange.cluster = Some(cluster.config.clone());
            exchange.upstream = Some(pick.endpoint().address);
            exchange.host = Some(pick.source());
            exchange.workload = pick.workload(&worker.stats);
            exchange.attempts = tries;
            let first = (first_bytes, answer);
            let (exchange, connection) = (&mut exchange, &*connection);
            let verdict = match line {
                Line::Socket { connected, _occupancy } => {
                    let Connected { mut stream, counted, session, .. } = connected;
                    cluster.stats().count(ClusterCounter::RqTotal);
                    let _active = cluster.stats().hold(ClusterGauge::RqActive);
                    counted.set_request(true);
                    exchange.upstream_local = stream.tcp().local_addr().ok();
                    exchange.upstream_session = session;
                    manager.note_connected(exchange, connection, worker);
                    let verdict =
                        carry(&mut downstream, (&mut stream, &pick), first, exchange, manager, connection).await;
                    if exchange.upstream_failure.is_some() {
                        counted.closed_by_remote();
                    }
                    verdict
                }
                Line::Tunnel(mut tunnel) => {
                    (exchange.upstream_local, exchange.upstream_protocol) = (tunnel.local, Some(tunnel.protocol));
                    manager.note_connected(exchange, connection, worker);
                    let verdict =
                        carry(&mut downstream, (&mut *tunnel, &pick), first, exchange, manager, connection).await;
                    tunnel.finish();
                    verdict
                }
            };
            let outcome = match verdict {
                Verdict::CutUnheard => Outcome::Reset,
                Verdict::Fine => Outcome::Connected { latency: connected_in },
            };
            pick.finish(outcome, worker.now());
        }
    }
    drop(downstream);
    manager.stats.add(TcpCounter::CxRxBytes, exchange.bytes_received);
    manager.stats.add(TcpCounter::CxTxBytes, exchange.bytes_sent);
    exchange.finish(worker.now());
    worker.stats.tcp_closed(&exchange, &connection);
    manager.access_log.log(&exchange, &connection, &NoHeaders, &NoHeaders);
    exchange
}

/// Why a connection has no upstream.
enum NoLine {
    Dial(DialError),
    /// It was over before there was one.
    Ended(CopyEnd),
}

impl From<DialError> for NoLine {
    fn from(error: DialError) -> Self {
        Self::Dial(error)
    }
}

/// Somebody who is asked for a tunnel may take any time to agree, so the client is watched, and the connection's own limits hold.
async fn patiently(
    dialling: impl Future<Output = Result<Dialled, DialError>>,
    (downstream, first_bytes): (&mut Stream, &mut BytesMut),
    config: &TcpProxy,
) -> Result<Dialled, NoLine> {
    tokio::select! {
        biased;
        result = dialling => result.map_err(NoLine::from),
        error = leaves(downstream, first_bytes) => Err(NoLine::Ended(CopyEnd::Downstream(error))),
        () = passes(config.idle_timeout) => Err(NoLine::Ended(CopyEnd::Idle)),
        () = passes(config.max_connection_duration) => Err(NoLine::Ended(CopyEnd::TooOld)),
    }
}

/// Resolves when the client's connection breaks. What it says meanwhile is kept, up to a limit; it may well say no more.
async fn leaves(downstream: &mut Stream, said: &mut BytesMut) -> io::Error {
    while said.len() < MOST_WAITING_BYTES {
        match downstream.read_buf(said).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return error,
        }
    }
    std::future::pending().await
}

async fn passes(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Closes a connection that is not served, and records it.
pub(crate) async fn refuse(
    downstream: Stream,
    refusal: &Refusal,
    connection: &Connection,
    manager: &TcpManager,
    worker: &Worker,
) {
    let mut exchange = Exchange::begin(Protocol::Tcp, worker);
    exchange.flags.insert(refusal.flags);
    exchange.termination_details.clone_from(&refusal.termination_details);
    worker.stats.tcp_opened(&exchange, connection);
    refusal.close(downstream, connection).await;
    exchange.finish(worker.now());
    worker.stats.tcp_closed(&exchange, connection);
    manager.access_log.log(&exchange, connection, &NoHeaders, &NoHeaders);
}

/// What the end of a connection says about the endpoint.
#[derive(Debug, Eq, PartialEq)]
enum Verdict {
    /// It cut the connection before it had said a word.
    CutUnheard,
    Fine,
}

async fn carry(
    downstream: &mut Stream,
    (upstream, pick): (&mut impl Wire, &Pick),
    first: (BytesMut, BytesMut),
    exchange: &mut Exchange,
    manager: &TcpManager,
    connection: &Connection,
) -> Verdict {
    let counts = Counts::default();
    let copying = copy_both(downstream, upstream, first, manager.config.idle_timeout, &counts);
    let left = manager.config.max_connection_duration.map(|most| most.saturating_sub(exchange.started.elapsed()));
    let copying = async {
        let ending = async {
            tokio::select! {
                end = copying => end,
                () = pick.must_end() => CopyEnd::Closed,
            }
        };
        match left {
            None => ending.await,
            Some(left) => tokio::time::timeout(left, ending).await.unwrap_or(CopyEnd::TooOld),
        }
    };
    let end = match manager.config.access_log_moments.interval {
        None => copying.await,
        Some(interval) => {
            let mut copying = std::pin::pin!(copying);
            loop {
                tokio::select! {
                    end = &mut copying => break end,
                    () = tokio::time::sleep(interval) => {
                        exchange.bytes_received = counts.to_upstream.get();
                        exchange.bytes_sent = counts.to_downstream.get();
                        manager.log_at(LogMoment::Periodic, exchange, connection);
                    }
                }
            }
        }
    };
    exchange.bytes_received = counts.to_upstream.get();
    exchange.bytes_sent = counts.to_downstream.get();
    let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
    match &end {
        CopyEnd::Downstream(error) if is_reset(error) => upstream.resets(),
        CopyEnd::Upstream(error) => {
            exchange.flags.insert(upstream.flag(error));
            if is_reset(error) {
                downstream.resets();
            }
        }
        _ => {}
    }
    manager.note_end(end, exchange)
}
