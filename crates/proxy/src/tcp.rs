//! Bytes both ways between a client and one endpoint.
//!
//! Invariants  a half-closed side stays open the other way; every byte read is written or counted as lost by a close
//! Errors      no endpoint, or none reachable in as many tries as there may be: the client's connection is closed (flags UH, UF)
//! Cost        one buffer per worker; a connection holds memory only for what its slower side has not taken yet
//! Source      Envoy tcp_proxy.proto v1.31 (max_connect_attempts, idle_timeout, max_downstream_connection_duration)

mod copy;
mod dial;

use std::borrow::Cow;
use std::rc::Rc;

use bytes::BytesMut;
use leno_ir::TcpProxy;

pub(crate) use dial::{DialError, Dialled, dial};

use self::copy::{CopyEnd, Counts, copy_both};
use crate::access_log::AccessLogger;
use crate::connection::Connection;
use crate::connection_filter::Refusal;
use crate::exchange::{Exchange, LogMoment, NoHeaders, Protocol};
use crate::flags::ResponseFlags;
use crate::stats::{ClusterCounter, ClusterGauge, TcpCounter, TcpStats};
use crate::stream::Stream;
use crate::upstream::{Connected, Outcome, Pick};
use crate::worker::Worker;

/// How one filter chain proxies TCP, on one worker.
#[derive(Debug)]
pub(crate) struct TcpManager {
    pub(crate) config: TcpProxy,
    pub(crate) access_log: AccessLogger,
    pub(crate) stats: TcpStats,
}

impl TcpManager {
    /// A line of the access log before the end.
    fn log_at(&self, moment: LogMoment, exchange: &mut Exchange, connection: &Connection) {
        exchange.log_moment = moment;
        self.access_log.log(exchange, connection, &NoHeaders, &NoHeaders);
        exchange.log_moment = LogMoment::End;
    }
}

/// Carries one connection to its end, and records it.
pub(crate) async fn serve(
    mut downstream: Stream,
    first_bytes: BytesMut,
    upstream: Result<Dialled, DialError>,
    connection: Rc<Connection>,
    manager: &TcpManager,
    worker: &Rc<Worker>,
) {
    let mut exchange = Exchange::begin(Protocol::Tcp, worker);
    manager.stats.count(TcpCounter::CxTotal);
    if manager.config.access_log_moments.at_start {
        manager.log_at(LogMoment::Start, &mut exchange, &connection);
    }
    match upstream {
        Err(error) => {
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
            let Dialled { cluster, pick, connected, first_bytes: answer, connected_in, _permit, _occupancy } = dialled;
            let Connected { stream, counted, .. } = connected;
            cluster.stats().count(ClusterCounter::RqTotal);
            let _active = cluster.stats().hold(ClusterGauge::RqActive);
            counted.set_request(true);
            exchange.cluster = Some(cluster.config.clone());
            exchange.upstream = Some(pick.endpoint().address);
            exchange.host = Some(pick.source());
            exchange.upstream_local = stream.tcp().local_addr().ok();
            exchange.workload = pick.workload(&worker.stats);
            exchange.attempts = 1;
            worker.stats.tcp_opened(&exchange, &connection);
            if manager.config.access_log_moments.when_connected {
                manager.log_at(LogMoment::Connected, &mut exchange, &connection);
            }
            let outcome = match carry(
                &mut downstream,
                (stream, &pick),
                (first_bytes, answer),
                &mut exchange,
                manager,
                &connection,
            )
            .await
            {
                Verdict::CutUnheard => Outcome::Reset,
                Verdict::Fine => Outcome::Connected { latency: connected_in },
            };
            if exchange.flags.contains(ResponseFlags::UPSTREAM_CONNECTION_TERMINATION) {
                counted.closed_by_remote();
            }
            pick.finish(outcome, worker.now());
        }
    }
    drop(downstream);
    manager.stats.add(TcpCounter::CxRxBytes, exchange.bytes_received);
    manager.stats.add(TcpCounter::CxTxBytes, exchange.bytes_sent);
    exchange.finish(worker.now());
    worker.stats.tcp_closed(&exchange, &connection);
    manager.access_log.log(&exchange, &connection, &NoHeaders, &NoHeaders);
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
    (mut upstream, pick): (Stream, &Pick),
    first: (BytesMut, BytesMut),
    exchange: &mut Exchange,
    manager: &TcpManager,
    connection: &Connection,
) -> Verdict {
    let counts = Counts::default();
    let copying = copy_both(downstream, &mut upstream, first, manager.config.idle_timeout, &counts);
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
    match end {
        CopyEnd::Closed => {}
        CopyEnd::Downstream => exchange.flags.insert(ResponseFlags::DOWNSTREAM_TERMINATION),
        CopyEnd::TooOld => {
            exchange.flags.insert(ResponseFlags::DURATION_TIMEOUT);
            exchange.termination_details = Cow::Borrowed("max_connection_duration_reached");
        }
        CopyEnd::Idle => {
            exchange.flags.insert(ResponseFlags::STREAM_IDLE_TIMEOUT);
            manager.stats.count(TcpCounter::IdleTimeout);
            exchange.termination_details = Cow::Borrowed("tcp_idle_timeout");
        }
        CopyEnd::Upstream(error) => {
            exchange.flags.insert(ResponseFlags::UPSTREAM_CONNECTION_TERMINATION);
            exchange.upstream_failure = Some(error.to_string());
            if exchange.bytes_sent == 0 {
                return Verdict::CutUnheard;
            }
        }
    }
    Verdict::Fine
}
