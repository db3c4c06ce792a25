use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_ir::{Cluster, EndpointSet};

use super::connect::ApplicationProtocol;
use super::endpoint::{EndpointSource, EndpointState};
use super::limits::Limits;
use super::{EndpointId, Overflow, RequestPermit, RetryPermit};
use crate::tls::ConfigCache;
use crate::worker::Worker;

/// A cluster on one worker.
#[derive(Debug)]
pub(crate) struct UpstreamCluster {
    pub(crate) config: Arc<Cluster>,
    limits: Arc<Limits>,
    /// The time of the worker's last tick.
    clock: Rc<Cell<Instant>>,
    endpoints: RefCell<Endpoints>,
    pub(super) tls_cache: [ConfigCache<rustls::ClientConfig>; 3],
}

/// What became of a try, for the balancer and the outlier detector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// Ended for a reason that says nothing about the endpoint: the client went away, a limit of ours.
    Abandoned,
    /// No connection: refused, timed out, TLS failed.
    ConnectFailure,
    /// A TCP connection was made in `latency`.
    Connected { latency: Duration },
    /// Reset, closed before the end of the response, or not the protocol.
    Reset,
    /// The response's head arrived `latency` after the request was sent. A gRPC status counts as the HTTP status it maps to.
    Response { status: u16, latency: Duration },
    /// No response in time.
    Timeout,
}
