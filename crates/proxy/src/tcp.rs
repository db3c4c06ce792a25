//! Bytes both ways between a client and one endpoint.
//!
//! Invariants  a half-closed side stays open the other way; every byte read is written or counted as lost by a close
//! Errors      no endpoint, or none reachable in three tries: the client's connection is closed (flags UH, UF)
//! Cost        one buffer per worker; a connection holds memory only for what its slower side has not taken yet
//! Source      Envoy tcp_proxy.proto v1.31 (max_connect_attempts, idle_timeout)

mod copy;
mod dial;

use std::borrow::Cow;
use std::rc::Rc;
use std::time::SystemTime;

use bytes::BytesMut;
use leno_ir::TcpProxy;

pub(crate) use dial::{DialError, Dialled, dial};

use self::copy::{CopyEnd, Counts, copy_both};
use crate::access_log::AccessLogger;
use crate::connection::Connection;
use crate::exchange::{Exchange, NoHeaders, Protocol};
use crate::flags::ResponseFlags;
use crate::stream::Stream;
use crate::upstream::{Outcome, Pick};
use crate::worker::Worker;

/// How one filter chain proxies TCP, on one worker.
#[derive(Debug)]
pub(crate) struct TcpManager {
    pub(crate) config: TcpProxy,
    pub(crate) access_log: AccessLogger,
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
    let mut exchange = Exchange::new(Protocol::Tcp, worker.now(), SystemTime::now());
    let mut pick = None;
    match upstream {
        Err(error) => {
            exchange.flags.insert(error.flag());
            exchange.upstream_failure = Some(error.to_string());
        }
        Ok(dialled) => pick = Some(carry(&mut downstream, first_bytes, dialled, &mut exchange, manager).await),
    }
    drop(downstream);
    exchange.finish(worker.now());
    let endpoint = pick.as_ref().map(Pick::endpoint);
    worker.stats.record(&exchange, &connection, exchange.cluster.as_deref(), endpoint);
    manager.access_log.log(&exchange, &connection, &NoHeaders, &NoHeaders);
}

async fn carry(
    downstream: &mut Stream,
    first_bytes: BytesMut,
    dialled: Dialled,
    exchange: &mut Exchange,
    manager: &TcpManager,
) -> Pick {
    let Dialled { cluster, mut pick, stream: mut upstream, first_bytes: first_answer, permit } = dialled;
    exchange.cluster = Some(cluster.config.clone());
    exchange.upstream = Some(pick.endpoint().address);
    exchange.upstream_local = upstream.tcp().local_addr().ok();
    exchange.attempts = 1;
    let counts = Counts::default();
    let end = copy_both(downstream, &mut upstream, (first_bytes, first_answer), manager.config.idle_timeout, &counts).await;
    exchange.bytes_received = counts.to_upstream.get();
    exchange.bytes_sent = counts.to_downstream.get();
    match end {
        CopyEnd::Closed => {}
        CopyEnd::Downstream(_) => exchange.flags.insert(ResponseFlags::DOWNSTREAM_TERMINATION),
        CopyEnd::Idle => {
            exchange.flags.insert(ResponseFlags::STREAM_IDLE_TIMEOUT);
            exchange.termination_details = Cow::Borrowed("tcp_idle_timeout");
        }
        CopyEnd::Upstream(error) => {
            exchange.flags.insert(ResponseFlags::UPSTREAM_CONNECTION_TERMINATION);
            exchange.upstream_failure = Some(error.to_string());
            // An endpoint that cuts connections before it says a word counts against it.
            if counts.to_downstream.get() == 0 {
                pick.report(Outcome::Reset);
            }
        }
    }
    drop(permit);
    pick
}
