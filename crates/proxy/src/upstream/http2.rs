use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use tokio::sync::Notify;

use super::cluster::UpstreamCluster;
use super::connect::{ApplicationProtocol, Occupancy, connect};
use super::limits::ConnectionPermit;
use super::{ConnectError, Pick};
use crate::connection::Alpn;
use crate::cork::Corked;
use crate::proxy_protocol::ProxyAddresses;
use crate::stream::Stream;
use crate::tls::ClusterTls;
use crate::worker::Worker;

/// Flow-control windows of our HTTP/2 connections, in bytes. Chosen: one stream may fill 1 Gbit/s at 8 ms round trip;
/// the memory a stalled reader can make us hold stays at one window per stream and one per connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Largest response head, in bytes (Envoy's default).
const MAX_HEADER_LIST_BYTES: u32 = 60 * 1024;

/// The HTTP/2 connections of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Http2Pool {
    connections: RefCell<Vec<Rc<Http2Connection>>>,
    /// One for each client that connections are kept apart for; at most one where they are not.
    dials: RefCell<Vec<Rc<Dial>>>,
}

#[derive(Debug)]
struct Http2Connection {
    sender: SendRequest<Bytes>,
    local: Option<SocketAddr>,
    /// What its PROXY header says.
    client: Option<ProxyAddresses>,
    active: Cell<u32>,
    started: Cell<u32>,
    most_streams: u32,
    most_requests: u32,
    idle_since: Cell<Instant>,
    closed: Rc<Cell<bool>>,
    _occupancy: Occupancy,
}

/// A connection attempt that everybody who needs the endpoint waits for.
#[derive(Debug, Default)]
struct Dial {
    client: Option<ProxyAddresses>,
    over: Cell<bool>,
    error: RefCell<Option<ConnectError>>,
    done: Notify,
}

/// Room for one stream on a shared connection. Keep it until the stream has ended.
#[derive(Debug)]
pub(crate) struct Http2Lease {
    /// Ready to send one request.
    pub(crate) sender: SendRequest<Bytes>,
    pub(crate) reused: bool,
    slot: StreamSlot,
}

#[derive(Debug)]
struct StreamSlot {
    connection: Rc<Http2Connection>,
    cluster: Rc<UpstreamCluster>,
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.active.set(connection.active.get().saturating_sub(1));
        connection.idle_since.set(self.cluster.coarse_now());
    }
}

impl Http2Lease {
    /// Our side of the connection.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.slot.connection.local
    }
}

impl Http2Connection {
    fn has_room(&self) -> bool {
        let most = (self.most_streams as usize).min(self.sender.current_max_send_streams()).max(1);
        (self.active.get() as usize) < most
    }

    fn is_usable(&self) -> bool {
        !self.closed.get() && self.started.get() < self.most_requests
    }
}

impl Http2Pool {
    /// Forgets connections that are closed or used up, and idle ones from before `oldest`. Streams under way go on.
    pub(super) fn sweep(&self, oldest: Option<Instant>) {
        self.connections.borrow_mut().retain(|connection| {
            let stale = oldest.is_some_and(|oldest| connection.idle_since.get() < oldest);
            connection.is_usable() && (connection.active.get() > 0 || !stale)
        });
    }

    pub(super) fn clear(&self) {
        self.connections.borrow_mut().clear();
    }

    fn reserve(&self, cluster: &Rc<UpstreamCluster>, client: Option<ProxyAddresses>) -> Option<StreamSlot> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| connection.is_usable());
        // The first with room, so that few connections carry many streams and the rest can age.
        let is_fit = |connection: &&Rc<Http2Connection>| connection.client == client && connection.has_room();
        let connection = connections.iter().find(is_fit)?.clone();
        connection.active.set(connection.active.get() + 1);
        connection.started.set(connection.started.get().saturating_add(1));
        Some(StreamSlot { connection, cluster: cluster.clone() })
    }
}

impl UpstreamCluster {
    /// Room for a stream on a connection to the picked endpoint; opens another connection when all are full. `client` is
    /// whose stream it is; `None`: our own.
    ///
    /// # Errors
    /// When the endpoint cannot be reached or does not speak HTTP/2, or a limit is reached.
    pub(crate) async fn http2(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        pick: &Pick,
        client: Option<ProxyAddresses>,
    ) -> Result<Http2Lease, ConnectError> {
        let client = client.and_then(|client| self.announced(client));
        let endpoint = pick.state();
        let mut reused = true;
        loop {
            if let Some(slot) = endpoint.http2.reserve(self, client) {
                // An error means GOAWAY or a broken connection: not ours to report, another connection will do.
                match slot.connection.sender.clone().ready().await {
                    Ok(sender) => return Ok(Http2Lease { sender, reused, slot }),
                    Err(_) => slot.connection.closed.set(true),
                }
                continue;
            }
            reused = false;
            let _pending = self.counted(self.limits().pending(&self.config.circuit_breakers))?;
            let under_way = endpoint.http2.dials.borrow().iter().find(|dial| dial.client == client).cloned();
            let dial = match under_way {
                Some(dial) => dial,
                None => self.start_dial(worker, pick, client)?,
            };
            let done = dial.done.notified();
            if !dial.over.get() {
                done.await;
            }
            if let Some(error) = &*dial.error.borrow() {
                return Err(error.share());
            }
        }
    }

    /// Connects in a task of its own, so that a request that is given up does not fail the others that wait.
    fn start_dial(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        pick: &Pick,
        client: Option<ProxyAddresses>,
    ) -> Result<Rc<Dial>, ConnectError> {
        let endpoint = pick.state().clone();
        let permit = match self.limits().connection(&self.config.circuit_breakers) {
            Err(_) if endpoint.http2.connections.borrow().is_empty() => self.limits().first_connection(),
            result => self.counted(result)?,
        };
        let dial = Rc::new(Dial { client, ..Dial::default() });
        endpoint.http2.dials.borrow_mut().push(dial.clone());
        let (cluster, of_worker, of_task) = (self.clone(), worker.clone(), dial.clone());
        worker.tasks().spawn_local("http2-connect", async move {
            let result = cluster.open_http2(&of_worker, endpoint.address, permit, client).await;
            endpoint.http2.dials.borrow_mut().retain(|dial| !Rc::ptr_eq(dial, &of_task));
            match result {
                // Also when the endpoint has left meanwhile: those who wait still get their stream.
                Ok(connection) => endpoint.http2.connections.borrow_mut().push(connection),
                Err(error) => *of_task.error.borrow_mut() = Some(error),
            }
            of_task.over.set(true);
            of_task.done.notify_waiters();
        });
        Ok(dial)
    }

    async fn open_http2(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        endpoint: SocketAddr,
        permit: ConnectionPermit,
        client: Option<ProxyAddresses>,
    ) -> Result<Rc<Http2Connection>, ConnectError> {
        let stream = connect(self, worker, endpoint, ApplicationProtocol::Http2, client).await?;
        if let Stream::Tls(tls) = &stream
            && self.tls.as_ref().is_some_and(ClusterTls::is_of_mesh)
            && tls.get_ref().1.alpn_protocol().map(Alpn::parse) != Some(Alpn::Http2)
        {
            return Err(ConnectError::NoHttp2 { endpoint });
        }
        let local = stream.tcp().local_addr().ok();
        // Its clone is told when the task has had its turn.
        let wire = Corked::new(stream, BytesMut::new());
        let handshake = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .enable_push(false)
            .handshake(wire.clone());
        let after = self.config.connect_timeout;
        let (sender, connection) = tokio::time::timeout(after, handshake)
            .await
            .map_err(|_| ConnectError::Timeout { endpoint, after })?
            .map_err(|source| ConnectError::Http2 { endpoint, source })?;
        let closed = Rc::new(Cell::new(false));
        let closes = closed.clone();
        worker.tasks().spawn_local("http2-upstream", async move {
            // Its error reaches every stream, which reports it.
            let mut connection = pin!(connection);
            let turn = poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                wire.release(cx);
                polled
            });
            if let Err(error) = turn.await {
                tracing::debug!(%endpoint, %error, "http/2 connection to the upstream ended");
            }
            closes.set(true);
        });
        let http = &self.config.http;
        Ok(Rc::new(Http2Connection {
            sender,
            local,
            client,
            active: Cell::new(0),
            started: Cell::new(0),
            most_streams: http.max_concurrent_streams.max(1),
            most_requests: http.max_requests_per_connection.unwrap_or(u32::MAX).max(1),
            idle_since: Cell::new(self.coarse_now()),
            closed,
            _occupancy: self.occupy(permit),
        }))
    }
}
