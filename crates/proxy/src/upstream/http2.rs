use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use leno_ir::UpstreamHttp;
use tokio::sync::Notify;

use super::cluster::UpstreamCluster;
use super::connect::{ActiveConnection, ApplicationProtocol, Connected, Occupancy, connect};
use super::endpoint::{Age, EndpointState};
use super::limits::ConnectionPermit;
use super::negotiated::chose_http2;
use super::pool_key::PoolKey;
use super::{Caller, ConnectError, Pick};
use crate::cork::Corked;
use crate::http::http2::Keepalive;
use crate::stats::{ClusterCounter, ConnectionGuard, Held, Waiting};
use crate::stream::Stream;
use crate::tls::ClusterTls;
use crate::worker::Worker;

/// Flow-control windows of our HTTP/2 connections, in bytes. Chosen: one stream may fill 1 Gbit/s at 8 ms round trip;
/// the memory a stalled reader can make us hold stays at one window per stream and one per connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Streams at once before the peer's settings are there: a number that no peer says.
const BEFORE_SETTINGS: usize = 97;

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
    key: PoolKey,
    made: Instant,
    active: Cell<u32>,
    started: Cell<u32>,
    most_streams: u32,
    most_requests: u32,
    idle_since: Cell<Instant>,
    closed: Rc<Cell<bool>>,
    settled: Rc<Settled>,
    counted: Rc<ConnectionGuard>,
    _active: ActiveConnection,
    _occupancy: Occupancy,
}

/// Whether the peer has said how it wants the connection, and a bell for when it has.
#[derive(Debug, Default)]
struct Settled {
    is_so: Cell<bool>,
    bell: Notify,
}

/// A connection attempt that everybody who needs the endpoint waits for.
#[derive(Debug, Default)]
struct Dial {
    key: PoolKey,
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
    _active: Held,
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
        connection.counted.set_request(connection.active.get() > 0);
        connection.idle_since.set(self.cluster.coarse_now());
    }
}

impl Http2Lease {
    /// Whether the peer takes upgrades (RFC 8441 §3), which it says first of all.
    pub(crate) async fn takes_extended_connect(&self) -> bool {
        let settled = &self.slot.connection.settled;
        let rings = settled.bell.notified();
        if !settled.is_so.get() {
            // The limit of the exchange holds; a connection that breaks rings, too.
            rings.await;
        }
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// We have given the stream up.
    pub(crate) fn was_reset(&self) {
        self.slot.cluster.stats().count(ClusterCounter::RqTxReset);
    }

    pub(crate) fn options(&self) -> &UpstreamHttp {
        &self.slot.cluster.config.http
    }

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
    /// Forgets connections that are closed, used up or too old. Streams under way go on.
    pub(super) fn sweep(&self, age: Age) {
        self.connections.borrow_mut().retain(|connection| {
            let is_stale = connection.active.get() == 0 && age.is_stale(connection.idle_since.get());
            if is_stale && connection.is_usable() {
                connection.counted.was_idle();
            }
            connection.is_usable() && !age.is_over(connection.made) && !is_stale
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.borrow().is_empty()
    }

    pub(super) fn clear(&self) {
        self.connections.borrow_mut().clear();
    }

    fn reserve(&self, cluster: &Rc<UpstreamCluster>, key: &PoolKey) -> Option<StreamSlot> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| connection.is_usable());
        // The first with room, so that few connections carry many streams and the rest can age.
        let is_fit = |connection: &&Rc<Http2Connection>| connection.key == *key && connection.has_room();
        let connection = connections.iter().find(is_fit)?.clone();
        connection.active.set(connection.active.get() + 1);
        connection.counted.set_request(true);
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
        caller: &Caller,
    ) -> Result<Http2Lease, ConnectError> {
        let endpoint = pick.state();
        let (key, priority) = (self.pool_key(caller, endpoint), caller.priority);
        let mut reused = true;
        let mut waiting = None;
        loop {
            if let Some(slot) = endpoint.http2.reserve(self, &key) {
                // An error means GOAWAY or a broken connection: not ours to report, another connection will do.
                match slot.connection.sender.clone().ready().await {
                    Ok(sender) => {
                        if let Some(waiting) = waiting {
                            Waiting::end(waiting, true);
                        }
                        return Ok(Http2Lease { sender, reused, slot, _active: self.request_begins(endpoint) });
                    }
                    Err(_) => slot.connection.closed.set(true),
                }
                continue;
            }
            if endpoint.prefers_http1.get()
                && self.offered(ApplicationProtocol::Http2) == ApplicationProtocol::Negotiated
            {
                if let Some(waiting) = waiting {
                    Waiting::end(waiting, true);
                }
                return Err(ConnectError::OtherProtocol { endpoint: endpoint.address });
            }
            reused = false;
            let (usage, most) = self.usage(priority);
            let _pending = self.counted(usage.pending(most))?;
            waiting.get_or_insert_with(|| self.stats().request_waits());
            let fail = |waiting: Option<Waiting>, error| {
                if let Some(waiting) = waiting {
                    waiting.end(false);
                }
                Err(error)
            };
            let under_way = endpoint.http2.dials.borrow().iter().find(|dial| dial.key == key).cloned();
            let dial = match under_way {
                Some(dial) => dial,
                None => match self.start_dial(worker, pick, key.clone()) {
                    Ok(dial) => dial,
                    Err(error) => return fail(waiting, error),
                },
            };
            let done = dial.done.notified();
            if !dial.over.get() {
                done.await;
            }
            if let Some(error) = &*dial.error.borrow() {
                return fail(waiting, error.share());
            }
        }
    }

    /// Connects in a task of its own, so that a request that is given up does not fail the others that wait.
    fn start_dial(self: &Rc<Self>, worker: &Rc<Worker>, pick: &Pick, key: PoolKey) -> Result<Rc<Dial>, ConnectError> {
        let endpoint = pick.state().clone();
        let (usage, most) = self.usage(key.priority);
        let connections = endpoint.connections.as_ref();
        let has_one = || endpoint.http2.connections.borrow().iter().any(|open| open.key.priority == key.priority);
        let permit = match usage.connection(most, connections) {
            Err(_) if !has_one() => usage.first_connection(connections),
            result => self.counted(result)?,
        };
        let dial = Rc::new(Dial { key, ..Dial::default() });
        endpoint.http2.dials.borrow_mut().push(dial.clone());
        let (cluster, of_worker, of_task) = (self.clone(), worker.clone(), dial.clone());
        worker.tasks().spawn_local("http2-connect", async move {
            let result = cluster.open_http2(&of_worker, &endpoint, permit, &of_task.key).await;
            endpoint.http2.dials.borrow_mut().retain(|dial| !Rc::ptr_eq(dial, &of_task));
            match result {
                // Also when the endpoint has left meanwhile: those who wait still get their stream.
                Ok(Some(connection)) => endpoint.http2.connections.borrow_mut().push(connection),
                // It is there for HTTP/1.1.
                Ok(None) => {}
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
        state: &EndpointState,
        permit: ConnectionPermit,
        key: &PoolKey,
    ) -> Result<Option<Rc<Http2Connection>>, ConnectError> {
        let endpoint = state.address;
        let offered = self.offered(ApplicationProtocol::Http2);
        let connected = connect(self, worker, state, offered, key).await?;
        let is_http2 = chose_http2(&connected.stream);
        if offered == ApplicationProtocol::Negotiated {
            if !is_http2 {
                self.keep_http1(connected, state, key.clone(), permit);
                return Ok(None);
            }
            self.stats().count(ClusterCounter::CxHttp2Total);
        }
        let Connected { stream, counted, _active } = connected;
        if let Stream::Tls(_) = &stream
            && self.sockets.of(self.socket_of(state)).is_some_and(ClusterTls::is_of_mesh)
            && !is_http2
        {
            return Err(ConnectError::NoHttp2 { endpoint });
        }
        let local = stream.tcp().local_addr().ok();
        let options = &self.config.http.http2;
        // Its clone is told when the task has had its turn.
        let wire = Corked::new(stream, BytesMut::new());
        let handshake = h2::client::Builder::new()
            .initial_window_size(options.stream_window_bytes.unwrap_or(STREAM_WINDOW_BYTES))
            .initial_connection_window_size(options.connection_window_bytes.unwrap_or(CONNECTION_WINDOW_BYTES))
            .initial_max_send_streams(BEFORE_SETTINGS)
            .max_header_list_size(self.config.http.response_headers.most_bytes)
            .enable_push(false)
            .handshake(wire.clone());
        let after = self.config.connect_timeout;
        let (sender, mut connection) = tokio::time::timeout(after, handshake)
            .await
            .map_err(|_| ConnectError::Timeout { endpoint, after })?
            .map_err(|source| ConnectError::Http2 { endpoint, source })?;
        let closed = Rc::new(Cell::new(false));
        let settled = Rc::new(Settled::default());
        let (closes, settles, watched) = (closed.clone(), settled.clone(), sender.clone());
        let mut keepalive = Keepalive::of(options.keepalive.as_ref(), || connection.ping_pong());
        let counted = Rc::new(counted);
        let of_task = Rc::downgrade(&counted);
        worker.tasks().spawn_local("http2-upstream", async move {
            let ended = poll_fn(|cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                wire.release(cx);
                if !settles.is_so.get() && (polled.is_ready() || watched.current_max_send_streams() != BEFORE_SETTINGS)
                {
                    settles.is_so.set(true);
                    settles.bell.notify_waiters();
                }
                match polled {
                    Poll::Ready(result) => Poll::Ready(Some(result)),
                    Poll::Pending => match &mut keepalive {
                        Some(keepalive) => keepalive.poll_dead(cx).map(|()| None),
                        None => Poll::Pending,
                    },
                }
            });
            // Its error reaches every stream, which reports it.
            match ended.await {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::debug!(%endpoint, %error, "http/2 connection to the upstream ended"),
                None => tracing::debug!(%endpoint, "http/2 connection to the upstream does not answer"),
            }
            closes.set(true);
            // While somebody still wants it, it was the peer who ended it.
            if let Some(counted) = of_task.upgrade() {
                counted.closed_by_remote();
            }
        });
        let http = &self.config.http;
        Ok(Some(Rc::new(Http2Connection {
            sender,
            local,
            key: key.clone(),
            made: self.coarse_now(),
            active: Cell::new(0),
            started: Cell::new(0),
            most_streams: http.max_concurrent_streams.max(1),
            most_requests: http.max_requests_per_connection.unwrap_or(u32::MAX).max(1),
            idle_since: Cell::new(self.coarse_now()),
            closed,
            settled,
            counted,
            _active,
            _occupancy: self.occupy(permit),
        })))
    }
}
