use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use leno_ir::RoutingPriority;

use super::cluster::UpstreamCluster;
use super::connect::{ActiveConnection, ApplicationProtocol, Connected, Occupancy, connect};
use super::endpoint::EndpointState;
use super::limits::ConnectionPermit;
use super::negotiated::chose_http2;
use super::pool_key::PoolKey;
use super::{Caller, ConnectError, Overflow, Pick};
use leno_ir::UpstreamHttp;

use crate::stats::{ClusterCounter, ConnectionGuard, Held};
use crate::stream::Stream;
use crate::worker::Worker;

/// An HTTP/1 connection and what it counts in. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Http1Connection {
    pub(super) stream: Stream,
    pub(super) counted: ConnectionGuard,
    _active: ActiveConnection,
    local: Option<SocketAddr>,
    pub(super) key: PoolKey,
    pub(super) made: Instant,
    pub(super) idle_since: Instant,
    requests: u32,
    _occupancy: Occupancy,
    _open: OpenGuard,
}

#[derive(Debug)]
struct OpenGuard {
    open: Rc<Cell<u32>>,
}

impl OpenGuard {
    fn new(open: &Rc<Cell<u32>>) -> Self {
        open.set(open.get() + 1);
        Self { open: open.clone() }
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.open.set(self.open.get().saturating_sub(1));
    }
}

/// A connection for one request. Give it back with [`Http1Lease::release`] when the response was read to its end and
/// the connection may carry another request; dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Http1Lease {
    /// Whether it carried requests before: then a close before the first byte of the response may be a race with the
    /// peer's idle time-out.
    pub(crate) reused: bool,
    connection: Option<Box<Http1Connection>>,
    _active: Held,
    endpoint: Rc<EndpointState>,
    cluster: Rc<UpstreamCluster>,
}

impl Http1Lease {
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.connection.as_mut().expect("only release and drop take it").stream
    }

    pub(crate) fn options(&self) -> &UpstreamHttp {
        &self.cluster.config.http
    }

    /// Our side of it.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.connection.as_ref().and_then(|connection| connection.local)
    }

    /// The response has ended: what becomes of the connection cuts nothing.
    pub(crate) fn is_answered(&self) {
        if let Some(connection) = &self.connection {
            connection.counted.set_request(false);
        }
    }

    /// The peer closed the connection.
    pub(crate) fn closed_by_remote(&self) {
        if let Some(connection) = &self.connection {
            connection.counted.closed_by_remote();
        }
    }

    /// Back to the pool, unless it has served its share, or its endpoint is gone.
    pub(crate) fn release(mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        connection.requests = connection.requests.saturating_add(1);
        connection.counted.set_request(false);
        let most = self.cluster.config.http.max_requests_per_connection.unwrap_or(u32::MAX);
        if connection.requests < most {
            connection.idle_since = self.cluster.coarse_now();
            self.endpoint.push_idle(connection);
        } else {
            self.cluster.stats().count(ClusterCounter::CxMaxRequests);
        }
    }
}

impl Drop for Http1Lease {
    fn drop(&mut self) {
        if self.connection.take().is_some() {
            // A place below the limit became free.
            self.endpoint.wake_one();
        }
    }
}

impl UpstreamCluster {
    /// A pooled connection to the picked endpoint, or a new one.
    ///
    /// # Errors
    /// When the endpoint cannot be reached, or a limit is reached.
    pub(crate) async fn http1(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        pick: &Pick,
        caller: &Caller,
    ) -> Result<Http1Lease, ConnectError> {
        let endpoint = pick.state();
        let (key, priority) = (self.pool_key(caller, endpoint), caller.priority);
        let lease = |connection: Box<Http1Connection>, reused| {
            connection.counted.set_request(true);
            let (_active, cluster) = (self.request_begins(endpoint), self.clone());
            Http1Lease { reused, connection: Some(connection), _active, endpoint: endpoint.clone(), cluster }
        };
        if let Some(connection) = endpoint.pop_idle(&key) {
            return Ok(lease(connection, true));
        }
        let (usage, most) = self.usage(priority);
        let _pending = self.counted(usage.pending(most))?;
        let waiting = self.stats().request_waits();
        if key.is_apart() && self.connection_permit(endpoint, priority).is_err() {
            // The idle connections of other clients are of no use here, and make room.
            endpoint.close_idle();
        }
        let permit = match self.connection_permit(endpoint, priority) {
            Ok(permit) => permit,
            Err(overflow) => match self.wait_for_connection(endpoint, &key, overflow).await {
                Ok(Waited::Idle(connection)) => {
                    waiting.end(true);
                    return Ok(lease(connection, true));
                }
                Ok(Waited::Room(permit)) => permit,
                Err(error) => {
                    waiting.end(false);
                    return Err(error);
                }
            },
        };
        // A place is taken while the connection is being made.
        let open = OpenGuard::new(endpoint.open(priority));
        let connected = connect(self, worker, endpoint, self.offered(ApplicationProtocol::Http1), &key).await;
        waiting.end(connected.is_ok());
        let connected = connected?;
        if chose_http2(&connected.stream) && self.offered(ApplicationProtocol::Http1) == ApplicationProtocol::Negotiated
        {
            endpoint.prefers_http1.set(false);
            return Err(ConnectError::OtherProtocol { endpoint: endpoint.address });
        }
        Ok(lease(self.http1_connection(connected, key, permit, open), false))
    }

    fn http1_connection(
        &self,
        connected: Connected,
        key: PoolKey,
        permit: ConnectionPermit,
        open: OpenGuard,
    ) -> Box<Http1Connection> {
        let Connected { stream, counted, _active } = connected;
        Box::new(Http1Connection {
            local: stream.tcp().local_addr().ok(),
            stream,
            counted,
            _active,
            key,
            made: self.coarse_now(),
            idle_since: self.coarse_now(),
            requests: 0,
            _occupancy: self.occupy(permit),
            _open: open,
        })
    }

    /// Keeps a connection that was made to see what the endpoint chooses, which is HTTP/1.1.
    pub(super) fn keep_http1(
        &self,
        connected: Connected,
        endpoint: &EndpointState,
        key: PoolKey,
        permit: ConnectionPermit,
    ) {
        let open = OpenGuard::new(endpoint.open(key.priority));
        self.stats().count(ClusterCounter::CxHttp1Total);
        endpoint.prefers_http1.set(true);
        endpoint.push_idle(self.http1_connection(connected, key, permit, open));
    }

    fn connection_permit(
        &self,
        endpoint: &EndpointState,
        priority: RoutingPriority,
    ) -> Result<ConnectionPermit, Overflow> {
        let (usage, most) = self.usage(priority);
        let connections = endpoint.connections.as_ref();
        match usage.connection(most, connections) {
            Err(_) if endpoint.open(priority).get() == 0 => Ok(usage.first_connection(connections)),
            result => result,
        }
    }

    async fn wait_for_connection(
        &self,
        endpoint: &EndpointState,
        key: &PoolKey,
        overflow: Overflow,
    ) -> Result<Waited, ConnectError> {
        let waiting = async {
            loop {
                let _counted = WaitGuard::new(&endpoint.waiting);
                endpoint.released.notified().await;
                if let Some(connection) = endpoint.pop_idle(key) {
                    return Waited::Idle(connection);
                }
                if key.is_apart() {
                    endpoint.close_idle();
                }
                if let Ok(permit) = self.connection_permit(endpoint, key.priority) {
                    return Waited::Room(permit);
                }
            }
        };
        let waited = tokio::time::timeout(self.config.connect_timeout, waiting).await;
        self.counted(waited.map_err(|_| overflow)).map_err(ConnectError::from)
    }
}

enum Waited {
    Idle(Box<Http1Connection>),
    Room(ConnectionPermit),
}

struct WaitGuard<'a> {
    waiting: &'a Cell<u32>,
}

impl<'a> WaitGuard<'a> {
    fn new(waiting: &'a Cell<u32>) -> Self {
        waiting.set(waiting.get() + 1);
        Self { waiting }
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
    }
}
