//! Bytes both ways between a client and one endpoint.
//!
//! Invariants  a half-closed side stays open the other way; every byte read is written or counted as lost by a close
//! Errors      no endpoint, or none reachable in three tries: the client's connection is closed (flags UH, UF)
//! Cost        one buffer per worker; a connection holds memory only for what its slower side has not taken yet
//! Source      Envoy tcp_proxy.proto v1.31 (max_connect_attempts, idle_timeout)

mod copy;
mod dial;

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use leno_ir::TcpProxy;

pub(crate) use dial::{Dialled, dial};

use self::copy::{CopyEnd, copy_both};
use crate::access_log::AccessLogger;
use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::flags::ResponseFlags;
use crate::stream::Stream;
use crate::upstream::Outcome;
use crate::worker::Worker;

/// How one filter chain proxies TCP, on one worker.
#[derive(Debug)]
pub(crate) struct TcpManager {
    pub(crate) config: TcpProxy,
    pub(crate) access_log: AccessLogger,
}
