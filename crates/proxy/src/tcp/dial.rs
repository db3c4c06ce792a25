use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use leno_balance::Wish;
use leno_ir::{Discovery, RoutingPriority, TcpProxy};

use super::tunnel::Plea;
use crate::connection::Ends;
use crate::flags::ResponseFlags;
use crate::http::{RequestHead, Tunnel, TunnelError, hash_of_ip};
use crate::stats::ClusterCounter;
use crate::upstream::{Connected, EndpointId, Occupancy, Outcome, Overflow, Pick, RequestPermit, UpstreamCluster};
use crate::worker::Worker;

/// A connection to an upstream, made for one downstream connection.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) cluster: Rc<UpstreamCluster>,
    pub(crate) pick: Pick,
    pub(crate) line: Line,
    /// What the upstream said while the client's protocol was being found out.
    pub(crate) first_bytes: BytesMut,
    pub(super) connected_in: Duration,
    /// The one that succeeded included.
    pub(super) tries: u32,
    pub(super) _permit: RequestPermit,
}

/// What carries the bytes.
#[derive(Debug)]
pub(crate) enum Line {
    Socket { connected: Connected, _occupancy: Occupancy },
    Tunnel(Box<Tunnel>),
}

/// Why there is no upstream for a TCP connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("the configuration has no cluster \"{name}\"")]
    NoCluster { name: String },
    #[error("cluster {cluster} has no endpoint that takes connections")]
    NoEndpoint { cluster: String },
    #[error(transparent)]
    Overflow(#[from] Overflow),
    #[error("no endpoint of cluster {cluster} could be reached: {source}")]
    Unreachable { cluster: String, last: SocketAddr, source: TunnelError, is_exhausted: bool },
}

impl DialError {
    pub(crate) fn flag(&self) -> ResponseFlags {
        match self {
            Self::NoCluster { .. } => ResponseFlags::NO_CLUSTER,
            Self::NoEndpoint { .. } => ResponseFlags::NO_HEALTHY_UPSTREAM,
            Self::Overflow(_) => ResponseFlags::UPSTREAM_OVERFLOW,
            Self::Unreachable { source, is_exhausted, .. } => {
                let flag = match source {
                    TunnelError::Connect(error) => error.flag(),
                    TunnelError::Broken(_) | TunnelError::Refused(_) => ResponseFlags::UPSTREAM_CONNECTION_FAILURE,
                };
                if *is_exhausted { flag | ResponseFlags::RETRY_LIMIT_EXCEEDED } else { flag }
            }
        }
    }
}

/// Connects to an endpoint of one of the clusters; to another one when that fails.
///
/// `client` is for clusters that balance by its address, or tell it; `plea` is for the tunnel that the configuration wants.
///
/// # Errors
/// When no endpoint can be reached, or agrees to the tunnel, in as many tries as the configuration allows.
pub(crate) async fn dial(
    config: &TcpProxy,
    client: &Ends,
    plea: Option<&Plea>,
    worker: &Rc<Worker>,
) -> Result<Dialled, DialError> {
    let picked = leno_routing::pick_cluster(&config.clusters, worker.random());
    let picked = picked.and_then(|at| config.clusters.get(at));
    let name = &picked.ok_or(DialError::NoCluster { name: String::new() })?.name;
    let cluster = worker.cluster(name).ok_or_else(|| DialError::NoCluster { name: name.clone() })?;
    let permit = cluster.admit(RoutingPriority::Default)?;
    let hashes = config.hash_source_ip && cluster.uses_hash(worker);
    let hash = hashes.then(|| hash_of_ip(client.addresses.source.ip()));
    let mut tried: Vec<EndpointId> = Vec::new();
    loop {
        let now = worker.now();
        let pick = match &cluster.config.discovery {
            Discovery::OriginalDestination(config) => {
                client.original_destination.and_then(|address| cluster.pick_destination(config.replaced(address), now))
            }
            _ => cluster.pick_for(worker, now, Wish { hash, ..Wish::default() }, &tried),
        };
        let mut pick = pick.ok_or_else(|| {
            cluster.stats().count(ClusterCounter::CxNoneHealthy);
            DialError::NoEndpoint { cluster: cluster.config.name.clone() }
        })?;
        pick.admit(&cluster, RoutingPriority::Default)?;
        let of_pick = pick.cluster().clone();
        let started = worker.now();
        let result = match plea {
            None => {
                let occupancy = of_pick.occupy_one(&pick)?;
                let waiting = of_pick.stats().request_waits();
                let result = of_pick.tcp(worker, &pick, client.addresses).await;
                waiting.end(result.is_ok());
                let line = |connected| Line::Socket { connected, _occupancy: occupancy };
                result.map(line).map_err(TunnelError::from)
            }
            Some(plea) => {
                plea.asked.replace(Some((cluster.config.clone(), pick.endpoint().address)));
                let request = RequestHead { is_https: of_pick.config.tls.is_some(), ..plea.request.clone() };
                let result = Box::pin(Tunnel::open(worker, &pick, client.addresses, &request)).await;
                result.map(|tunnel| Line::Tunnel(Box::new(tunnel)))
            }
        };
        match result {
            Ok(line) => {
                return Ok(Dialled {
                    cluster,
                    pick,
                    line,
                    first_bytes: BytesMut::new(),
                    connected_in: started.elapsed(),
                    tries: u32::try_from(tried.len()).unwrap_or(u32::MAX).saturating_add(1),
                    _permit: permit,
                });
            }
            Err(source) => {
                let (id, last) = (pick.id(), pick.endpoint().address);
                let outcome = match &source {
                    TunnelError::Connect(error) if error.blames_endpoint() => Outcome::ConnectFailure,
                    _ => Outcome::Abandoned,
                };
                pick.finish(outcome, worker.now());
                tried.push(id);
                let is_exhausted = tried.len() >= config.max_connect_attempts.get() as usize;
                if is_exhausted {
                    cluster.stats().count(ClusterCounter::CxConnectAttemptsExceeded);
                }
                if is_exhausted || !source.retryable() {
                    let cluster = cluster.config.name.clone();
                    return Err(DialError::Unreachable { cluster, last, source, is_exhausted });
                }
            }
        }
    }
}
