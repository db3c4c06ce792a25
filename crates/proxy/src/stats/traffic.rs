use std::sync::Arc;

use leno_ir::{Cluster, Direction, WorkloadLabels};
use leno_names::{ServiceKey, SpiffeId};
use rustc_hash::FxHashMap;

use crate::connection::Connection;
use crate::exchange::{Exchange, Protocol};
use crate::flags::ResponseFlags;

use super::cells::{Cell64, DURATION_BOUNDS, HistogramCells, SIZE_BOUNDS};
use super::labels::{Peer, Reporter, SeriesLabels, Service, WorkloadId, request_protocol};
use super::{Shard, lock, milliseconds};

/// Istio's metrics of one label set.
#[derive(Debug)]
pub(super) struct HttpCells {
    pub(super) labels: SeriesLabels,
    pub(super) requests: Cell64,
    pub(super) duration: HistogramCells,
    pub(super) request_bytes: HistogramCells,
    pub(super) response_bytes: HistogramCells,
}

#[derive(Debug)]
pub(super) struct TcpCells {
    pub(super) labels: SeriesLabels,
    pub(super) opened: Cell64,
    pub(super) closed: Cell64,
    pub(super) sent_bytes: Cell64,
    pub(super) received_bytes: Cell64,
}

impl HttpCells {
    fn new(labels: SeriesLabels) -> Self {
        Self {
            labels,
            requests: Cell64::default(),
            duration: HistogramCells::new(DURATION_BOUNDS),
            request_bytes: HistogramCells::new(SIZE_BOUNDS),
            response_bytes: HistogramCells::new(SIZE_BOUNDS),
        }
    }

    pub(super) fn record(&self, exchange: &Exchange) {
        self.requests.add(1);
        self.duration.observe(milliseconds(exchange.duration));
        self.request_bytes.observe((exchange.bytes_received + exchange.request_header_bytes) as f64);
        self.response_bytes.observe((exchange.bytes_sent + exchange.response_header_bytes) as f64);
    }
}

impl TcpCells {
    fn new(labels: SeriesLabels) -> Self {
        Self {
            labels,
            opened: Cell64::default(),
            closed: Cell64::default(),
            sent_bytes: Cell64::default(),
            received_bytes: Cell64::default(),
        }
    }
}

/// Finds the cells of an exchange.
#[derive(Debug)]
pub(super) struct Traffic {
    max_series: usize,
    workloads: FxHashMap<WorkloadLabels, WorkloadId>,
    /// Endpoint's labels by `WorkloadId`; 0 is the unknown one.
    peers: Vec<Arc<Peer>>,
    identities: FxHashMap<SpiffeId, u32>,
    /// By number of an identity.
    identity_peers: Vec<Arc<Peer>>,
    services: FxHashMap<ServiceKey, u32>,
    /// Clusters without a service, by name.
    clusters: FxHashMap<String, u32>,
    service_labels: Vec<Arc<Service>>,
    http: FxHashMap<Key, Arc<HttpCells>>,
    /// Where the last exchange was counted; the next one is mostly alike.
    last_http: Option<(Key, Arc<HttpCells>)>,
    tcp: FxHashMap<Key, Arc<TcpCells>>,
}

/// A series, by the small numbers of this worker.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Key {
    reporter: Reporter,
    peer: u32,
    service: u32,
    protocol: &'static str,
    status: u16,
    grpc_status: Option<u32>,
    flags: ResponseFlags,
    mutual_tls: bool,
    is_other: bool,
}

/// The number of what is not known, and of what exceeds the limit.
const UNKNOWN: u32 = 0;
const OTHER: u32 = 1;

impl Traffic {
    pub(super) fn new(max_series: usize) -> Self {
        let peers = || vec![Arc::new(Peer::default()), Arc::new(Peer::other())];
        Self {
            max_series: max_series.max(1),
            workloads: FxHashMap::default(),
            peers: peers(),
            identities: FxHashMap::default(),
            identity_peers: peers(),
            services: FxHashMap::default(),
            clusters: FxHashMap::default(),
            service_labels: vec![Arc::new(Service::default()), Arc::new(Service::other())],
            http: FxHashMap::default(),
            last_http: None,
            tcp: FxHashMap::default(),
        }
    }

    pub(super) fn workload(&mut self, labels: &WorkloadLabels) -> WorkloadId {
        if let Some(id) = self.workloads.get(labels) {
            return *id;
        }
        if self.peers.len() > self.max_series {
            return WorkloadId(OTHER);
        }
        let id = WorkloadId(push(&mut self.peers, Peer::of_workload(labels)));
        self.workloads.insert(labels.clone(), id);
        id
    }

    fn identity(&mut self, identity: Option<&SpiffeId>) -> u32 {
        let Some(identity) = identity else { return UNKNOWN };
        if let Some(number) = self.identities.get(identity) {
            return *number;
        }
        if self.identity_peers.len() > self.max_series {
            return OTHER;
        }
        let number = push(&mut self.identity_peers, Peer::of_identity(identity));
        self.identities.insert(identity.clone(), number);
        number
    }

    fn service(&mut self, cluster: Option<&Cluster>) -> u32 {
        let Some(cluster) = cluster else { return UNKNOWN };
        let known = match &cluster.service {
            Some(service) => self.services.get(service),
            None => self.clusters.get(&cluster.name),
        };
        if let Some(number) = known {
            return *number;
        }
        if self.service_labels.len() > self.max_series {
            return OTHER;
        }
        let number = push(&mut self.service_labels, Service::of_cluster(cluster));
        match &cluster.service {
            Some(service) => self.services.insert(service.clone(), number),
            None => self.clusters.insert(cluster.name.clone(), number),
        };
        number
    }

    fn key(&mut self, exchange: &Exchange, connection: &Connection) -> Key {
        let reporter = Reporter::new(connection.direction);
        let cluster = exchange.cluster.as_deref();
        let (peer, service, mutual_tls) = match reporter {
            // Inbound, the service is our own, and so is the endpoint.
            Reporter::Destination => (self.identity(connection.peer.as_ref()), UNKNOWN, connection.mtls),
            Reporter::Source => {
                let mutual_tls = cluster
                    .and_then(|cluster| exchange.upstream_tls(cluster))
                    .is_some_and(|tls| tls.certificate.is_some());
                (exchange.workload.0, self.service(cluster), mutual_tls)
            }
        };
        Key {
            reporter,
            peer,
            service,
            protocol: request_protocol(exchange.protocol, exchange.is_grpc),
            status: exchange.status,
            grpc_status: exchange.grpc_status,
            flags: exchange.flags,
            mutual_tls,
            is_other: false,
        }
    }

    pub(super) fn http(&mut self, exchange: &Exchange, connection: &Connection, shard: &Shard) -> &HttpCells {
        let key = self.key(exchange, connection);
        let last = match self.last_http.take() {
            Some(last) if last.0 == key => last,
            _ => self.http_cells(key, shard),
        };
        &self.last_http.insert(last).1
    }

    /// The cells of a series, or of the others when there are too many.
    fn http_cells(&mut self, mut key: Key, shard: &Shard) -> (Key, Arc<HttpCells>) {
        if !self.http.contains_key(&key) && self.http.len() >= self.max_series {
            shard.overflows.add(1);
            key = key.other();
        }
        if let Some(cells) = self.http.get(&key) {
            return (key, cells.clone());
        }
        let cells = Arc::new(HttpCells::new(self.labels(key)));
        lock(&shard.http).push(cells.clone());
        self.http.insert(key, cells.clone());
        (key, cells)
    }

    pub(super) fn tcp(&mut self, exchange: &Exchange, connection: &Connection, shard: &Shard) -> &TcpCells {
        let key = self.key(exchange, connection);
        let mut key = Key { protocol: request_protocol(Protocol::Tcp, false), status: 0, grpc_status: None, ..key };
        if !self.tcp.contains_key(&key) {
            if self.tcp.len() >= self.max_series {
                shard.overflows.add(1);
                key = key.other();
            }
            if !self.tcp.contains_key(&key) {
                let cells = Arc::new(TcpCells::new(SeriesLabels { status: None, ..self.labels(key) }));
                lock(&shard.tcp).push(cells.clone());
                self.tcp.insert(key, cells);
            }
        }
        // Present: it was found or inserted above.
        &self.tcp[&key]
    }

    fn labels(&self, key: Key) -> SeriesLabels {
        let peers = match key.reporter {
            Reporter::Destination => &self.identity_peers,
            Reporter::Source => &self.peers,
        };
        let peer = usize::try_from(key.peer).ok().and_then(|at| peers.get(at)).or(peers.first());
        let service = usize::try_from(key.service).ok().and_then(|at| self.service_labels.get(at));
        SeriesLabels {
            reporter: key.reporter,
            peer: peer.cloned().unwrap_or_default(),
            service: service.cloned().unwrap_or_default(),
            protocol: key.protocol,
            status: Some(key.status),
            grpc_status: key.grpc_status,
            flags: key.flags,
            mutual_tls: key.mutual_tls,
            is_other: key.is_other,
        }
    }
}

impl Key {
    /// Where this key is counted when there are too many: all but the side, the protocol and the class of status is lost.
    fn other(self) -> Self {
        Self {
            peer: OTHER,
            service: OTHER,
            status: self.status / 100 * 100,
            grpc_status: None,
            flags: ResponseFlags::NONE,
            is_other: true,
            ..self
        }
    }
}

/// Whether requests of this direction come from applications behind this proxy.
pub(super) const fn direction_label(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound | Direction::Unspecified => "outbound",
    }
}

fn push<T>(list: &mut Vec<Arc<T>>, item: T) -> u32 {
    list.push(Arc::new(item));
    // Lists are bounded by `max_series`; beyond u32 the number would be that of the others.
    u32::try_from(list.len() - 1).unwrap_or(OTHER)
}
