use std::collections::{BTreeMap, BTreeSet};

use leno_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as WireResource,
};
use leno_proto::google::rpc::Status;

use super::Value;
use crate::wire_rules::check_rules;
use crate::{Rejection, ResourceKind};

/// `google.rpc.Code.INVALID_ARGUMENT`: the code of a NACK.
const INVALID_ARGUMENT: i32 = 3;
/// A NACK names at most so many bytes of reasons.
const REASON_LIMIT_BYTES: usize = 16 * 1024;

/// One type of resource, as the client sees it.
#[derive(Debug, Default)]
pub(super) struct ClientKind {
    accepted: BTreeMap<String, Held>,
    /// On top of `accepted`; `None` takes away.
    staged: BTreeMap<String, Option<Held>>,
    /// Subscribed by name, and known not to exist.
    absent: BTreeSet<String>,
    /// Sent to us, but unusable: not waited for.
    broken: BTreeSet<String>,
    subscribed: BTreeSet<String>,
    /// A first request was sent on this stream.
    open: bool,
    /// A first response came on this stream.
    synced: bool,
    unanswered: Vec<Unanswered>,
}

/// A resource with what is needed to resume from it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) version: String,
    pub(super) body: Vec<u8>,
    pub(super) value: Value,
}

#[derive(Debug)]
struct Unanswered {
    nonce: String,
    names: BTreeSet<String>,
    problems: Vec<Rejection>,
}

impl ClientKind {
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }

    pub(super) fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }

    pub(super) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    pub(super) fn has_unanswered(&self) -> bool {
        !self.unanswered.is_empty()
    }

    pub(super) fn is_known(&self, name: &str) -> bool {
        let held = self.staged.get(name).map_or_else(|| self.accepted.contains_key(name), Option::is_some);
        held || self.absent.contains(name) || self.broken.contains(name)
    }

    pub(super) fn accepted(&self) -> impl Iterator<Item = (&String, &Held)> {
        self.accepted.iter()
    }

    /// What is accepted, with what is staged on top.
    pub(super) fn view(&self) -> impl Iterator<Item = (&String, &Held)> {
        let kept = self.accepted.iter().filter(|(name, _)| !self.staged.contains_key(*name));
        kept.chain(self.staged.iter().filter_map(|(name, held)| Some((name, held.as_ref()?))))
    }

    pub(super) fn staged_names(&self) -> impl Iterator<Item = &String> {
        self.staged.keys()
    }

    pub(super) fn restore(&mut self, name: String, held: Held) {
        self.accepted.insert(name, held);
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.accepted.remove(name);
    }

    pub(super) fn close(&mut self) {
        self.staged.clear();
        self.absent.clear();
        self.broken.clear();
        self.subscribed.clear();
        self.unanswered.clear();
        self.open = false;
        self.synced = false;
    }

    /// The first request names nothing: everything, also to servers from before "*".
    pub(super) fn open_wildcard(&mut self, kind: ResourceKind) -> DeltaDiscoveryRequest {
        self.open = true;
        let versions = self.accepted.iter().map(|(name, held)| (name.clone(), held.version.clone()));
        DeltaDiscoveryRequest { initial_resource_versions: versions.collect(), ..request(kind) }
    }

    pub(super) fn subscribe_exactly(
        &mut self,
        kind: ResourceKind,
        wanted: BTreeSet<String>,
    ) -> Option<DeltaDiscoveryRequest> {
        let subscribe: Vec<String> = wanted.difference(&self.subscribed).cloned().collect();
        let unsubscribe: Vec<String> = self.subscribed.difference(&wanted).cloned().collect();
        if self.staged.is_empty() {
            self.accepted.retain(|name, _| wanted.contains(name));
        }
        if subscribe.is_empty() && unsubscribe.is_empty() {
            return None;
        }
        for name in &unsubscribe {
            self.absent.remove(name);
            self.broken.remove(name);
            self.staged.remove(name);
        }
        let mut request = request(kind);
        if !self.open {
            self.open = true;
            let held = self.accepted.iter().map(|(name, held)| (name.clone(), held.version.clone()));
            request.initial_resource_versions = held.collect();
        }
        self.subscribed = wanted;
        request.resource_names_subscribe = subscribe;
        request.resource_names_unsubscribe = unsubscribe;
        Some(request)
    }

    /// Puts the good resources of a response on top of the accepted ones; returns the bad ones.
    pub(super) fn stage(&mut self, kind: ResourceKind, response: DeltaDiscoveryResponse) -> Vec<Rejection> {
        let (mut problems, mut names) = (Vec::new(), BTreeSet::new());
        self.synced = true;
        for resource in response.resources {
            let name = resource.name.clone();
            names.insert(name.clone());
            match decode(kind, resource) {
                Ok(held) => self.stage_one(name, held),
                Err(reason) => {
                    self.absent.remove(&name);
                    self.broken.insert(name.clone());
                    problems.push(Rejection { kind, name, reason });
                }
            }
        }
        for name in response.removed_resources {
            if self.subscribed.contains(&name) {
                self.absent.insert(name.clone());
            }
            if self.accepted.contains_key(&name) {
                self.staged.insert(name, None);
            } else {
                self.staged.remove(&name);
            }
        }
        self.unanswered.push(Unanswered { nonce: response.nonce, names, problems: problems.clone() });
        problems
    }

    fn stage_one(&mut self, name: String, held: Held) {
        self.absent.remove(&name);
        self.broken.remove(&name);
        let unchanged = self
            .accepted
            .get(&name)
            .is_some_and(|accepted| accepted.version == held.version && accepted.body == held.body);
        if unchanged {
            self.staged.remove(&name);
        } else {
            self.staged.insert(name, Some(held));
        }
    }

    /// Accepts what is staged and not rejected; answers each response.
    pub(super) fn finish(&mut self, kind: ResourceKind, rejections: &[&Rejection]) -> Vec<DeltaDiscoveryRequest> {
        for (name, staged) in std::mem::take(&mut self.staged) {
            if rejections.iter().any(|rejection| rejection.name == name) {
                self.broken.insert(name);
                continue;
            }
            match staged {
                Some(held) => drop(self.accepted.insert(name, held)),
                None => drop(self.accepted.remove(&name)),
            }
        }
        let unanswered = std::mem::take(&mut self.unanswered);
        unanswered.into_iter().map(|response| answer(kind, response, rejections)).collect()
    }
}

fn answer(kind: ResourceKind, response: Unanswered, rejections: &[&Rejection]) -> DeltaDiscoveryRequest {
    let by_proxy = rejections.iter().copied().filter(|rejection| response.names.contains(&rejection.name));
    let reasons: Vec<String> = response.problems.iter().chain(by_proxy).map(Rejection::to_string).collect();
    let error_detail = (!reasons.is_empty()).then(|| {
        let mut message = reasons.join("; ");
        let end = message.floor_char_boundary(REASON_LIMIT_BYTES);
        message.truncate(end);
        Status { code: INVALID_ARGUMENT, message, details: Vec::new() }
    });
    DeltaDiscoveryRequest { response_nonce: response.nonce, error_detail, ..request(kind) }
}

pub(super) fn decode(kind: ResourceKind, resource: WireResource) -> Result<Held, String> {
    let Some(any) = resource.resource else { return Err("the resource is empty".to_owned()) };
    if any.type_url != kind.type_url() {
        return Err(format!("the resource is a {}, not a {}", any.type_url, kind.type_url()));
    }
    check_rules(any.type_url.rsplit('/').next().unwrap_or_default(), &any.value).map_err(|error| error.to_string())?;
    let value = match Value::decode(kind, &any.value) {
        Some(decoded) => decoded.map_err(|error| error.to_string())?,
        None => return Err(format!("{kind} is not spoken here")),
    };
    if let Some(problem) = value.problems().into_iter().next() {
        return Err(problem.to_string());
    }
    if value.name() != resource.name {
        return Err(format!("the resource inside is named \"{}\"", value.name()));
    }
    Ok(Held { version: resource.version, body: any.value, value })
}

fn request(kind: ResourceKind) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: kind.type_url().to_owned(), ..DeltaDiscoveryRequest::default() }
}
