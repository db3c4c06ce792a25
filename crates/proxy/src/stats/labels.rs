use std::fmt;
use std::sync::Arc;

use leno_ir::{Direction, WorkloadLabels};
use leno_names::{ServiceKey, SpiffeId};
use leno_telemetry::metric::{EncodeLabelSet, LabelSetEncoder};

use crate::exchange::Protocol;
use crate::flags::ResponseFlags;

use super::StatsSettings;

/// Names a set of workload labels within one worker.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct WorkloadId(pub(super) u32);

impl WorkloadId {
    pub(crate) const UNKNOWN: Self = Self(0);
}

/// Which proxy tells.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Reporter {
    Destination,
    Source,
}

impl Reporter {
    pub(super) fn new(direction: Direction) -> Self {
        match direction {
            Direction::Inbound => Self::Destination,
            Direction::Outbound | Direction::Unspecified => Self::Source,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Source => "source",
        }
    }
}

/// What distinguishes one series from another, our own side left out.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct SeriesLabels {
    pub(super) reporter: Reporter,
    pub(super) peer: Arc<Peer>,
    pub(super) service: Arc<Service>,
    pub(super) protocol: &'static str,
    /// `None` on TCP.
    pub(super) status: Option<u16>,
    pub(super) grpc_status: Option<u32>,
    pub(super) flags: ResponseFlags,
    pub(super) mutual_tls: bool,
    /// The one series that takes what exceeds the limit.
    pub(super) is_other: bool,
}

/// The other side.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Peer {
    pub(super) workload: String,
    pub(super) namespace: String,
    pub(super) principal: String,
    pub(super) service: String,
    pub(super) version: String,
    pub(super) cluster: String,
}

/// What was called.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Service {
    pub(super) host: String,
    pub(super) name: String,
    pub(super) namespace: String,
    /// The SPIFFE ID its endpoints must have, when it is one.
    pub(super) principal: String,
}

impl Peer {
    pub(super) fn of_workload(labels: &WorkloadLabels) -> Self {
        Self {
            workload: labels.workload.clone(),
            namespace: labels.namespace.clone(),
            principal: String::new(),
            service: labels.service.clone(),
            version: labels.version.clone(),
            cluster: labels.cluster.clone(),
        }
    }

    /// All that a certificate tells: by convention the service account is named as the service.
    pub(super) fn of_identity(identity: &SpiffeId) -> Self {
        Self {
            workload: identity.service_account.clone(),
            namespace: identity.namespace.clone(),
            principal: identity.to_string(),
            service: identity.service_account.clone(),
            version: String::new(),
            cluster: String::new(),
        }
    }

    pub(super) fn other() -> Self {
        let other = || "other".to_owned();
        Self {
            workload: other(),
            namespace: other(),
            principal: other(),
            service: other(),
            version: other(),
            cluster: other(),
        }
    }
}

impl Service {
    /// The host is the last part of `outbound|<port>|<subset>|<host>`.
    pub(super) fn of_cluster(cluster: &leno_ir::Cluster) -> Self {
        let host = cluster.name.rsplit('|').next().unwrap_or_default();
        let ServiceKey { namespace, name } = cluster.service.clone().unwrap_or_else(|| ServiceKey::new("", host));
        Self { host: host.to_owned(), name, namespace, principal: principal(cluster) }
    }

    pub(super) fn other() -> Self {
        let other = || "other".to_owned();
        Self { host: other(), name: other(), namespace: other(), principal: other() }
    }
}

fn principal(cluster: &leno_ir::Cluster) -> String {
    let validation = cluster.tls.as_ref().and_then(|tls| tls.validation.as_ref());
    match validation.map(|validation| validation.subject_alt_names.as_slice()) {
        Some([leno_ir::SubjectAltName { name: leno_ir::StringMatch::Exact { text, .. }, .. }]) => text.clone(),
        _ => String::new(),
    }
}

/// Istio's words.
pub(super) fn request_protocol(protocol: Protocol, is_grpc: bool) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        _ if is_grpc => "grpc",
        Protocol::Http10 | Protocol::Http11 | Protocol::Http2 => "http",
    }
}

/// A label set as it is written, our own side included.
#[derive(Debug)]
pub(super) struct FullLabels<'a> {
    pub(super) series: &'a SeriesLabels,
    pub(super) own: &'a OwnLabels,
}

/// Our own side.
#[derive(Debug)]
pub(super) struct OwnLabels {
    peer: Peer,
    service: Service,
}

impl OwnLabels {
    pub(super) fn new(settings: &StatsSettings) -> Self {
        let labels = &settings.workload;
        let principal = settings.identity.as_ref().map(ToString::to_string).unwrap_or_default();
        let key = ServiceKey::new(labels.namespace.clone(), labels.service.clone());
        let host = if key.name.is_empty() { String::new() } else { key.fqdn(&settings.mesh_domain) };
        let service = Service { host, name: key.name, namespace: key.namespace, principal: principal.clone() };
        Self { peer: Peer { principal, ..Peer::of_workload(labels) }, service }
    }
}

impl EncodeLabelSet for FullLabels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let series = self.series;
        let is_source = series.reporter == Reporter::Source;
        let (source, destination): (&Peer, &Peer) =
            if is_source { (&self.own.peer, &series.peer) } else { (&series.peer, &self.own.peer) };
        let service: &Service = if is_source || series.is_other { &series.service } else { &self.own.service };
        let destination_principal = match destination.principal.as_str() {
            "" => &service.principal,
            principal => principal,
        };
        let mut label = |name: &str, value: &str| -> fmt::Result {
            (name, if value.is_empty() { "unknown" } else { value }).encode_into(encoder)
        };
        label("reporter", series.reporter.as_str())?;
        label("source_workload", &source.workload)?;
        label("source_workload_namespace", &source.namespace)?;
        label("source_principal", &source.principal)?;
        label("source_app", &source.service)?;
        label("source_version", &source.version)?;
        label("source_canonical_service", &source.service)?;
        label("source_canonical_revision", revision(&source.version))?;
        label("source_cluster", &source.cluster)?;
        label("destination_workload", &destination.workload)?;
        label("destination_workload_namespace", &destination.namespace)?;
        label("destination_principal", destination_principal)?;
        label("destination_app", &destination.service)?;
        label("destination_version", &destination.version)?;
        label("destination_service", &service.host)?;
        label("destination_canonical_service", &destination.service)?;
        label("destination_canonical_revision", revision(&destination.version))?;
        label("destination_service_name", &service.name)?;
        label("destination_service_namespace", &service.namespace)?;
        label("destination_cluster", &destination.cluster)?;
        label("request_protocol", series.protocol)?;
        if let Some(status) = series.status {
            label("response_code", itoa::Buffer::new().format(status))?;
            let mut number = itoa::Buffer::new();
            let grpc_status = series.grpc_status.map(|status| number.format(status)).unwrap_or_default();
            ("grpc_response_status", grpc_status).encode_into(encoder)?;
        }
        let flags = if series.is_other { "other".to_owned() } else { series.flags.to_string() };
        ("response_flags", flags.as_str()).encode_into(encoder)?;
        let security = if series.mutual_tls { "mutual_tls" } else { "none" };
        ("connection_security_policy", security).encode_into(encoder)
    }
}

/// Istio calls a workload without a version `latest`.
fn revision(version: &str) -> &str {
    if version.is_empty() { "latest" } else { version }
}

/// One pair into a label set.
trait EncodeInto {
    fn encode_into(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result;
}

impl EncodeInto for (&str, &str) {
    fn encode_into(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [*self].encode(encoder)
    }
}
