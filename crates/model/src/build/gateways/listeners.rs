//! Listeners of gateways: which may be served, and why others may not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{
    FromNamespaces, FrontendValidation, FrontendValidationMode, Gateway as Written, GatewayListener as WrittenListener,
    Kind, LabelSelector, ListenerTlsMode, Resource, ResourceKey,
};

use super::certificates::{From, RefError};
use super::{GROUP, World, accounts};
use crate::gateway::{AttachedRoute, Certificate, ClientValidation, Gateway, GatewayListener, ListenerProtocol};
use crate::status::{Condition, GatewayStatus, ListenerStatus, Status, SupportedKind};

/// A gateway in the making.
pub(super) struct Draft<'a> {
    pub(super) object: &'a Written,
    pub(super) key: ResourceKey,
    pub(super) listeners: Vec<DraftListener<'a>>,
    /// ListenerSets that name it: allowed, and why not.
    sets: Vec<(ResourceKey, Option<Condition>)>,
    /// What is wrong with the whole.
    accepted: Condition,
    client_certificate: Option<Result<Arc<Certificate>, RefError>>,
}

pub(super) struct DraftListener<'a> {
    pub(super) owner: ResourceKey,
    pub(super) written: &'a WrittenListener,
    pub(super) hostname: Option<String>,
    /// `None`: a protocol that is not known.
    pub(super) protocol: Option<Spoken>,
    /// Kinds of route that may be attached.
    pub(super) kinds: Vec<Kind>,
    pub(super) routes: Vec<AttachedRoute>,
    /// Also those that cannot be served, such as UDP.
    pub(super) attached: usize,
    resolved: Condition,
    conflict: Option<Condition>,
    certificates: Vec<Arc<Certificate>>,
    client_validation: Option<ClientValidation>,
    /// Clients cannot be checked as they should be.
    closed: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spoken {
    Served(ListenerProtocol),
    Udp,
}

impl DraftListener<'_> {
    pub(super) fn is_accepted(&self) -> bool {
        self.protocol.is_some() && self.conflict.is_none()
    }

    fn is_programmed(&self) -> bool {
        let resolved = self.resolved.is_true() || self.resolved.reason == "InvalidRouteKinds" && !self.kinds.is_empty();
        let has_key = match self.protocol {
            Some(Spoken::Served(ListenerProtocol::Https | ListenerProtocol::TlsTerminate)) => {
                !self.certificates.is_empty()
            }
            Some(Spoken::Served(_)) => true,
            Some(Spoken::Udp) | None => false,
        };
        self.is_accepted() && resolved && has_key && !self.closed
    }

    fn conditions(&self) -> Vec<Condition> {
        let accepted = match (&self.conflict, self.protocol) {
            (Some(conflict), _) => Condition::fails("Accepted", conflict.reason, conflict.message.clone()),
            (None, None) => Condition::fails(
                "Accepted",
                "UnsupportedProtocol",
                format!("{} is not spoken here; valid are HTTP, HTTPS, TLS, TCP and UDP", self.written.protocol),
            ),
            (None, Some(_)) if self.closed => {
                Condition::fails("Accepted", "NoValidCACertificate", self.resolved.message.clone())
            }
            (None, Some(_)) => Condition::holds("Accepted", "Accepted"),
        };
        let conflicted = self
            .conflict
            .clone()
            .unwrap_or_else(|| Condition { status: "False", ..Condition::holds("Conflicted", "NoConflicts") });
        let programmed = if self.is_programmed() {
            Condition::holds("Programmed", "Programmed")
        } else if let Some(conflict) = &self.conflict {
            Condition::fails("Programmed", conflict.reason, conflict.message.clone())
        } else if self.protocol == Some(Spoken::Udp) {
            Condition::fails("Programmed", "Invalid", "UDP is understood, and not served yet")
        } else {
            Condition::fails("Programmed", "Invalid", "the listener is not served; see its other conditions")
        };
        vec![accepted, conflicted, self.resolved.clone(), programmed]
    }

    fn status(&self) -> ListenerStatus {
        ListenerStatus {
            name: self.written.name.clone(),
            attached_routes: self.attached,
            supported_kinds: self
                .kinds
                .iter()
                .map(|kind| SupportedKind { group: GROUP, kind: kind.as_str() })
                .collect(),
            conditions: self.conditions(),
        }
    }

    /// Whether routes of `namespace` may be attached.
    pub(super) fn admits(&self, world: &World<'_>, namespace: &str) -> bool {
        let rule = &self.written.allowed_routes.namespaces;
        allows(
            world,
            rule.from.unwrap_or(FromNamespaces::Same),
            rule.selector.as_ref(),
            &self.owner.namespace,
            namespace,
        )
    }
}

fn allows(world: &World<'_>, from: FromNamespaces, selector: Option<&LabelSelector>, own: &str, other: &str) -> bool {
    match from {
        FromNamespaces::All => true,
        FromNamespaces::None => false,
        FromNamespaces::Same => own == other,
        FromNamespaces::Selector => selector.is_some_and(|selector| selector.selects(&world.labels_of(other))),
    }
}

/// The gateways of our classes, oldest first, with all their listeners.
pub(super) fn drafts<'a>(world: &World<'a>, classes: &[&str]) -> BTreeMap<ResourceKey, Draft<'a>> {
    let mut all = BTreeMap::new();
    for resource in world.resources {
        if let Resource::Gateway(object) = &**resource
            && classes.contains(&object.spec.gateway_class_name.as_str())
        {
            all.insert(resource.key(), draft(world, object, resource.key()));
        }
    }
    for resource in world.resources {
        let Resource::ListenerSet(set) = &**resource else { continue };
        let parent = &set.spec.parent_ref;
        let namespace = parent.namespace.as_deref().unwrap_or(set.metadata.namespace());
        let Some(draft) = all.get_mut(&ResourceKey::new(Kind::Gateway, namespace, &parent.name)) else { continue };
        let rule = &draft.object.spec.allowed_listeners.namespaces;
        let from = rule.from.unwrap_or(FromNamespaces::None);
        let own = set.metadata.namespace();
        if allows(world, from, rule.selector.as_ref(), namespace, own) {
            let listeners = set.spec.listeners.iter();
            draft
                .listeners
                .extend(listeners.map(|listener| self::listener(world, draft.object, listener, resource.key())));
            draft.sets.push((resource.key(), None));
        } else {
            let message = format!("Gateway {namespace}/{} takes no listeners of namespace {own}", parent.name);
            draft.sets.push((resource.key(), Some(Condition::fails("Accepted", "NotAllowed", message))));
        }
    }
    all.values_mut().for_each(|draft| conflicts(&mut draft.listeners));
    all
}

fn draft<'a>(world: &World<'a>, object: &'a Written, key: ResourceKey) -> Draft<'a> {
    let spec = &object.spec;
    let unknown = spec
        .addresses
        .iter()
        .find(|address| address.r#type.as_deref().is_some_and(|kind| !matches!(kind, "IPAddress" | "Hostname")));
    let accepted = if spec.infrastructure.as_ref().is_some_and(|part| part.parameters_ref.is_some()) {
        Condition::fails(
            "Accepted",
            "InvalidParameters",
            "spec.infrastructure.parametersRef: no parameters are known here",
        )
    } else if let Some(address) = unknown {
        let kind = address.r#type.as_deref().unwrap_or_default();
        Condition::fails(
            "Accepted",
            "UnsupportedAddress",
            format!("an address of type {kind} is not known; valid are IPAddress and Hostname"),
        )
    } else {
        Condition::holds("Accepted", "Accepted")
    };
    let from = From { kind: "Gateway", namespace: &key.namespace };
    let wanted = spec.tls.backend.as_ref().and_then(|backend| backend.client_certificate_ref.as_ref());
    let client_certificate =
        wanted.map(|to| world.vault.certificate(from, to, world.grants, "InvalidClientCertificateRef"));
    let listeners =
        spec.listeners.iter().map(|listener| self::listener(world, object, listener, key.clone())).collect();
    Draft { object, listeners, sets: Vec::new(), accepted, client_certificate, key }
}

fn listener<'a>(
    world: &World<'a>,
    gateway: &Written,
    written: &'a WrittenListener,
    owner: ResourceKey,
) -> DraftListener<'a> {
    let mode = written.tls.as_ref().and_then(|tls| tls.mode).unwrap_or(ListenerTlsMode::Terminate);
    let protocol = match (written.protocol.as_str(), mode) {
        ("HTTP", _) => Some(Spoken::Served(ListenerProtocol::Http)),
        ("HTTPS", _) => Some(Spoken::Served(ListenerProtocol::Https)),
        ("TCP", _) => Some(Spoken::Served(ListenerProtocol::Tcp)),
        ("TLS", ListenerTlsMode::Passthrough) => Some(Spoken::Served(ListenerProtocol::TlsPassthrough)),
        ("TLS", ListenerTlsMode::Terminate) => Some(Spoken::Served(ListenerProtocol::TlsTerminate)),
        ("UDP", _) => Some(Spoken::Udp),
        _ => None,
    };
    let mut draft = DraftListener {
        hostname: written.hostname.as_deref().filter(|host| !host.is_empty()).map(str::to_ascii_lowercase),
        kinds: Vec::new(),
        routes: Vec::new(),
        attached: 0,
        resolved: Condition::holds("ResolvedRefs", "ResolvedRefs"),
        conflict: None,
        certificates: Vec::new(),
        client_validation: None,
        closed: false,
        owner,
        written,
        protocol,
    };
    draft.read_kinds();
    if matches!(protocol, Some(Spoken::Served(ListenerProtocol::Https | ListenerProtocol::TlsTerminate))) {
        draft.read_certificates(world);
        draft.read_client_validation(world, gateway);
    }
    draft
}

impl DraftListener<'_> {
    fn read_kinds(&mut self) {
        let suitable: &[Kind] = match self.protocol {
            Some(Spoken::Served(ListenerProtocol::Http | ListenerProtocol::Https)) => {
                &[Kind::HttpRoute, Kind::GrpcRoute]
            }
            Some(Spoken::Served(ListenerProtocol::Tcp)) => &[Kind::TcpRoute],
            Some(Spoken::Served(ListenerProtocol::TlsPassthrough | ListenerProtocol::TlsTerminate)) => {
                &[Kind::TlsRoute]
            }
            Some(Spoken::Udp) => &[Kind::UdpRoute],
            None => &[],
        };
        let wanted = &self.written.allowed_routes.kinds;
        if wanted.is_empty() {
            self.kinds = suitable.to_vec();
            return;
        }
        let mut invalid = Vec::new();
        for one in wanted {
            let group = one.group.as_deref().unwrap_or(GROUP);
            match suitable.iter().find(|kind| group == GROUP && kind.as_str() == one.kind) {
                Some(kind) if self.kinds.contains(kind) => {}
                Some(kind) => self.kinds.push(*kind),
                None => invalid.push(one.kind.as_str()),
            }
        }
        if !invalid.is_empty() {
            let message = format!(
                "routes of kind {} cannot be attached to a listener for {}",
                invalid.join(", "),
                self.written.protocol
            );
            self.resolved = Condition::fails("ResolvedRefs", "InvalidRouteKinds", message);
        }
    }

    fn unresolved(&mut self, (reason, message): RefError) {
        if self.resolved.is_true() {
            self.resolved = Condition::fails("ResolvedRefs", reason, message);
        }
    }

    fn read_certificates(&mut self, world: &World<'_>) {
        let kind = self.owner.kind.as_str();
        let namespace = self.owner.namespace.clone();
        let from = From { kind, namespace: &namespace };
        let references = self.written.tls.as_ref().map(|tls| tls.certificate_refs.as_slice()).unwrap_or_default();
        for reference in references {
            match world.vault.certificate(from, reference, world.grants, "InvalidCertificateRef") {
                Ok(certificate) => self.certificates.push(certificate),
                Err(error) => self.unresolved(error),
            }
        }
        if references.is_empty() {
            self.unresolved(("InvalidCertificateRef", "TLS cannot end here without certificateRefs".to_owned()));
        }
    }

    fn read_client_validation(&mut self, world: &World<'_>, gateway: &Written) {
        let Some(frontend) = &gateway.spec.tls.frontend else { return };
        let of_port = frontend.per_port.iter().find(|port| port.port == self.written.port);
        let wanted = of_port.map_or(&frontend.default, |port| &port.tls).validation.as_ref();
        let Some(validation) = wanted else { return };
        let from = From { kind: "Gateway", namespace: gateway.metadata.namespace() };
        let mut roots = String::new();
        for reference in &validation.ca_certificate_refs {
            let namespace = reference.namespace.as_deref().unwrap_or(gateway.metadata.namespace());
            let to = (&*reference.group, &*reference.kind, namespace, &*reference.name);
            match world.vault.roots(from, to, world.grants, ["InvalidCACertificateKind", "InvalidCACertificateRef"]) {
                Ok(text) => {
                    roots.push_str(&text);
                    roots.push('\n');
                }
                Err(error) => self.unresolved(error),
            }
        }
        self.closed = roots.is_empty();
        if !self.closed {
            self.client_validation = Some(ClientValidation { roots, insecure_fallback: falls_back(validation) });
        }
    }
}

fn falls_back(validation: &FrontendValidation) -> bool {
    validation.mode == Some(FrontendValidationMode::AllowInsecureFallback)
}

/// What listeners of one port have to agree on.
fn family(protocol: Spoken) -> u8 {
    match protocol {
        Spoken::Served(ListenerProtocol::Http) => 0,
        // Chosen by server name.
        Spoken::Served(ListenerProtocol::Https | ListenerProtocol::TlsPassthrough | ListenerProtocol::TlsTerminate) => {
            1
        }
        Spoken::Served(ListenerProtocol::Tcp) => 2,
        Spoken::Udp => 3,
    }
}

/// The first of those that exclude each other stays.
fn conflicts(listeners: &mut [DraftListener<'_>]) {
    let mut families: BTreeMap<u16, u8> = BTreeMap::new();
    let mut hosts = BTreeSet::new();
    for listener in listeners {
        let Some(protocol) = listener.protocol else { continue };
        let (port, family) = (listener.written.port, family(protocol));
        // UDP has ports of its own.
        let taken = if family == 3 { None } else { families.get(&port).copied().filter(|other| *other != family) };
        let host = listener.hostname.clone();
        let (reason, message) = if taken.is_some() {
            ("ProtocolConflict", format!("port {port} is taken for another protocol"))
        } else if !hosts.insert((port, family, host.clone())) {
            let host = host.as_deref().unwrap_or("every host");
            ("HostnameConflict", format!("port {port} has a listener for {host} already"))
        } else {
            if family != 3 {
                families.insert(port, family);
            }
            continue;
        };
        listener.conflict = Some(Condition { message, ..Condition::holds("Conflicted", reason) });
    }
}

impl Draft<'_> {
    pub(super) fn statuses(&self) -> Vec<(ResourceKey, Status)> {
        let mut all = vec![(self.key.clone(), Status::Gateway(self.status()))];
        for (key, refusal) in &self.sets {
            let own: Vec<_> = self.listeners.iter().filter(|listener| listener.owner == *key).collect();
            let conditions = match refusal {
                Some(refusal) => {
                    vec![refusal.clone(), Condition::fails("Programmed", "NotAllowed", refusal.message.clone())]
                }
                None => of_set(&own),
            };
            let listeners = own.iter().map(|listener| listener.status()).collect();
            let status = GatewayStatus { attached_listener_sets: None, conditions, listeners };
            all.push((key.clone(), Status::Gateway(status)));
        }
        all
    }

    fn status(&self) -> GatewayStatus {
        let own: Vec<_> = self.listeners.iter().filter(|listener| listener.owner == self.key).collect();
        let mut conditions = if self.accepted.is_true() {
            of_all(&own)
        } else {
            let programmed = Condition::fails("Programmed", "Invalid", self.accepted.message.clone());
            vec![self.accepted.clone(), programmed]
        };
        match &self.client_certificate {
            Some(Err((reason, message))) => conditions.push(Condition::fails("ResolvedRefs", reason, message.clone())),
            Some(Ok(_)) => conditions.push(Condition::holds("ResolvedRefs", "ResolvedRefs")),
            None => {}
        }
        let insecure = |listener: &&DraftListener<'_>| {
            listener.client_validation.as_ref().is_some_and(|validation| validation.insecure_fallback)
        };
        if self.listeners.iter().any(|listener| insecure(&listener)) {
            conditions.push(Condition {
                message: "clients without a valid certificate are served, too".to_owned(),
                ..Condition::holds("InsecureFrontendValidationMode", "ConfigurationChanged")
            });
        }
        let sets = self.sets.iter().filter(|(key, refusal)| {
            refusal.is_none() && self.listeners.iter().any(|listener| listener.owner == *key && listener.is_accepted())
        });
        GatewayStatus {
            attached_listener_sets: Some(sets.count()),
            conditions,
            listeners: own.iter().map(|listener| listener.status()).collect(),
        }
    }

    pub(super) fn finish(self) -> Gateway {
        let accepted = self.accepted.is_true();
        let served = self.listeners.into_iter().filter(|listener| accepted && listener.is_programmed());
        let mut listeners: Vec<_> = served
            .filter_map(|listener| {
                let Some(Spoken::Served(protocol)) = listener.protocol else { return None };
                Some(GatewayListener {
                    name: listener.written.name.clone(),
                    port: listener.written.port,
                    protocol,
                    owner: listener.owner,
                    hostname: listener.hostname,
                    certificates: listener.certificates,
                    client_validation: listener.client_validation,
                    routes: listener.routes,
                })
            })
            .collect();
        listeners.sort_by(|a, b| (a.port, &a.owner, &a.name).cmp(&(b.port, &b.owner, &b.name)));
        Gateway {
            service_accounts: accounts(self.object),
            client_certificate: self.client_certificate.and_then(Result::ok),
            key: self.key,
            listeners,
        }
    }
}

/// As [`of_all`]; a set is not accepted either when none of its listeners can be served.
fn of_set(listeners: &[&DraftListener<'_>]) -> Vec<Condition> {
    let mut conditions = of_all(listeners);
    if !listeners.iter().any(|listener| listener.is_programmed()) {
        let message = "no listener can be served; see their conditions";
        conditions =
            ["Accepted", "Programmed"].map(|kind| Condition::fails(kind, "ListenersNotValid", message)).to_vec();
    }
    conditions
}

/// Of a Gateway or ListenerSet, from its listeners.
fn of_all(listeners: &[&DraftListener<'_>]) -> Vec<Condition> {
    let accepted = listeners.iter().filter(|listener| listener.is_accepted() && !listener.closed).count();
    let programmed = listeners.iter().filter(|listener| listener.is_programmed()).count();
    let message =
        format!("{} of {} listeners are not valid; see their conditions", listeners.len() - accepted, listeners.len());
    let accepted = match accepted {
        0 => Condition::fails("Accepted", "ListenersNotValid", message),
        count if count < listeners.len() => Condition { message, ..Condition::holds("Accepted", "ListenersNotValid") },
        _ => Condition::holds("Accepted", "Accepted"),
    };
    let programmed = if programmed == 0 {
        Condition::fails("Programmed", "Invalid", "no listener can be served; see their conditions")
    } else {
        Condition::holds("Programmed", "Programmed")
    };
    vec![accepted, programmed]
}
