use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use leno_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as WireResource,
};

use super::order::{Phase, Readiness, next_push};
use super::report::Outstanding;
use super::{Pacing, Report, Verdict};
use crate::{Resource, ResourceKind};

/// The server's half of a delta stream.
#[derive(Debug)]
pub struct DeltaServer {
    kinds: BTreeMap<ResourceKind, DeltaKind>,
    pacing: Pacing,
    last_nonce: u64,
    /// Answers to requests for types we do not have.
    foreign: VecDeque<DeltaDiscoveryResponse>,
}

#[derive(Debug, Default)]
struct DeltaKind {
    current: BTreeMap<String, Arc<Resource>>,
    /// `None` until the client asked for the type.
    subscription: Option<Subscription>,
    /// Name to version of what the client has, by what it said and what it was sent.
    held: BTreeMap<String, String>,
    /// Subscribed by name, and told that they do not exist.
    absent: BTreeSet<String>,
    /// Names to look at; superset of those where `held` and `current` differ.
    dirty: BTreeSet<String>,
    /// Asked for again: to be sent although nothing changed.
    resend: BTreeSet<String>,
    /// The first wildcard request is answered even when there is nothing to say.
    owes_answer: bool,
    /// Oldest first. More than one only of [`Pacing::Atomic`], when the client asked for more before it answered.
    outstanding: Vec<Outstanding>,
}

#[derive(Debug, Default)]
struct Subscription {
    wildcard: bool,
    names: BTreeSet<String>,
}

impl DeltaServer {
    pub fn new(pacing: Pacing) -> Self {
        let kinds = ResourceKind::ALL.into_iter().map(|kind| (kind, DeltaKind::default())).collect();
        Self { kinds, pacing, last_nonce: 0, foreign: VecDeque::new() }
    }

    /// Adds or replaces a resource.
    pub fn set(&mut self, kind: ResourceKind, resource: Arc<Resource>) {
        let state = self.kinds.entry(kind).or_default();
        state.dirty.insert(resource.name.clone());
        state.current.insert(resource.name.clone(), resource);
    }

    pub fn remove(&mut self, kind: ResourceKind, name: &str) {
        let state = self.kinds.entry(kind).or_default();
        if state.current.remove(name).is_some() {
            state.dirty.insert(name.to_owned());
        }
    }

    /// Takes in a request; returns what it accepts or rejects.
    pub fn handle(&mut self, request: &DeltaDiscoveryRequest) -> Vec<Report> {
        let Some(kind) = ResourceKind::from_type_url(&request.type_url) else {
            self.handle_foreign(request);
            return Vec::new();
        };
        let state = self.kinds.entry(kind).or_default();
        let mut reports: Vec<_> = state.handle_subscription(kind, request).into_iter().collect();
        reports.extend(state.handle_answer(kind, request));
        reports
    }

    /// The next response, and its `Sent` report. Call until `None` after every other call.
    pub fn poll_response(&mut self) -> Option<(DeltaDiscoveryResponse, Option<Report>)> {
        if let Some(response) = self.foreign.pop_front() {
            return Some((response, None));
        }
        let (kind, phase) = next_push(|kind| self.readiness(kind), self.pacing)?;
        self.last_nonce += 1;
        let nonce = self.last_nonce.to_string();
        let state = self.kinds.get_mut(&kind)?;
        let response = match phase {
            Phase::Add => state.push_adds(kind, nonce),
            Phase::Remove => state.push_removals(kind, nonce),
        };
        let report = state.outstanding.last().map(|outstanding| outstanding.sent(kind));
        Some((response, report))
    }

    fn readiness(&self, kind: ResourceKind) -> Readiness {
        self.kinds.get(&kind).map(DeltaKind::readiness).unwrap_or_default()
    }

    /// A type we do not have has no resources: names do not exist, a wildcard is empty.
    fn handle_foreign(&mut self, request: &DeltaDiscoveryRequest) {
        if !request.response_nonce.is_empty() && request.resource_names_subscribe.is_empty() {
            return;
        }
        self.last_nonce += 1;
        self.foreign.push_back(DeltaDiscoveryResponse {
            type_url: request.type_url.clone(),
            removed_resources: request.resource_names_subscribe.iter().filter(|name| *name != "*").cloned().collect(),
            nonce: self.last_nonce.to_string(),
            ..DeltaDiscoveryResponse::default()
        });
    }
}

impl DeltaKind {
    /// Subscriptions count whatever the nonce: each request carries a change, not a state. Reports as accepted what a
    /// client that comes back has already: it is not sent again, so no ACK will say so.
    fn handle_subscription(&mut self, kind: ResourceKind, request: &DeltaDiscoveryRequest) -> Option<Report> {
        let first = self.subscription.is_none();
        let mut subscription = self.subscription.take().unwrap_or_default();
        if first {
            self.held = request.initial_resource_versions.clone().into_iter().collect();
            self.dirty = self.held.keys().cloned().collect();
            // Clients from before "*" existed ask for everything by naming nothing, and may name more later.
            subscription.wildcard = kind.is_root() && request.resource_names_subscribe.is_empty();
        }
        for name in &request.resource_names_subscribe {
            if name == "*" {
                subscription.wildcard = true;
                continue;
            }
            if !first && self.held.contains_key(name) {
                self.resend.insert(name.clone());
            }
            self.absent.remove(name);
            self.dirty.insert(name.clone());
            subscription.names.insert(name.clone());
        }
        if subscription.wildcard && (first || request.resource_names_subscribe.iter().any(|name| name == "*")) {
            self.dirty.extend(self.current.keys().cloned());
            self.owes_answer = true;
        }
        for name in &request.resource_names_unsubscribe {
            self.unsubscribe(&mut subscription, name);
        }
        self.subscription = Some(subscription);
        let is_current =
            |(name, version): &(&String, &String)| self.current.get(*name).is_some_and(|now| now.version == **version);
        let had: Vec<_> = if first { self.held.iter().filter(is_current).collect() } else { Vec::new() };
        let resources: Vec<_> = had.into_iter().map(|(name, version)| (name.clone(), version.clone())).collect();
        (!resources.is_empty()).then(|| Report { kind, resources, removed: Vec::new(), verdict: Verdict::Acked })
    }

    fn unsubscribe(&mut self, subscription: &mut Subscription, name: &str) {
        if name == "*" {
            subscription.wildcard = false;
            self.held.retain(|name, _| subscription.names.contains(name));
            return;
        }
        subscription.names.remove(name);
        self.absent.remove(name);
        self.resend.remove(name);
        if subscription.wildcard {
            // The client may have dropped it, but it still is a part of the wildcard: send it or say that it is gone.
            self.resend.insert(name.to_owned());
            self.dirty.insert(name.to_owned());
        } else {
            self.held.remove(name);
        }
    }

    fn handle_answer(&mut self, kind: ResourceKind, request: &DeltaDiscoveryRequest) -> Vec<Report> {
        // An empty nonce answers nothing; an older one was sent before our newest response arrived.
        let answered = self.outstanding.iter().position(|outstanding| outstanding.nonce == request.response_nonce);
        let Some(answered) = answered else { return Vec::new() };
        let outstanding = self.outstanding.remove(answered);
        match &request.error_detail {
            None => outstanding.acked(kind),
            Some(error) => outstanding.rejected(kind, &error.message),
        }
    }

    fn readiness(&self) -> Readiness {
        let Some(subscription) = &self.subscription else { return Readiness::default() };
        let owes = self.owes_answer;
        let mut ready =
            Readiness { outstanding: !self.outstanding.is_empty(), adds: owes, asked: owes, removals: false };
        for name in &self.dirty {
            match self.step(subscription, name) {
                Some(Step::Add | Step::TellAbsent) => {
                    ready.adds = true;
                    ready.asked |= subscription.names.contains(name) && !self.held.contains_key(name);
                }
                Some(Step::Remove) => ready.removals = true,
                None => {}
            }
        }
        ready
    }

    /// What the client must be told about a name, if anything.
    fn step(&self, subscription: &Subscription, name: &str) -> Option<Step> {
        let by_name = subscription.names.contains(name);
        if !subscription.wildcard && !by_name {
            return None;
        }
        match (self.current.get(name), self.held.get(name)) {
            (Some(current), Some(held)) if *held == current.version && !self.resend.contains(name) => None,
            (Some(_), _) => Some(Step::Add),
            (None, Some(_)) => Some(Step::Remove),
            (None, None) => (by_name && !self.absent.contains(name)).then_some(Step::TellAbsent),
        }
    }

    fn push_adds(&mut self, kind: ResourceKind, nonce: String) -> DeltaDiscoveryResponse {
        let mut response = response(kind, &nonce);
        let mut outstanding = Outstanding { nonce, resources: Vec::new(), removed: Vec::new() };
        self.owes_answer = false;
        for name in std::mem::take(&mut self.dirty) {
            let step = self.subscription.as_ref().and_then(|subscription| self.step(subscription, &name));
            match step {
                Some(Step::Add) => {
                    self.resend.remove(&name);
                    self.absent.remove(&name);
                    let Some(resource) = self.current.get(&name) else { continue };
                    self.held.insert(name.clone(), resource.version.clone());
                    outstanding.resources.push((name, resource.version.clone()));
                    response.resources.push(wire(resource));
                }
                Some(Step::TellAbsent) => {
                    response.removed_resources.push(name.clone());
                    self.absent.insert(name);
                }
                Some(Step::Remove) => {
                    self.dirty.insert(name);
                }
                None => {}
            }
        }
        self.outstanding.push(outstanding);
        response
    }

    fn push_removals(&mut self, kind: ResourceKind, nonce: String) -> DeltaDiscoveryResponse {
        let mut response = response(kind, &nonce);
        for name in std::mem::take(&mut self.dirty) {
            let step = self.subscription.as_ref().and_then(|subscription| self.step(subscription, &name));
            if matches!(step, Some(Step::Remove)) {
                self.held.remove(&name);
                self.resend.remove(&name);
                if self.subscription.as_ref().is_some_and(|subscription| subscription.names.contains(&name)) {
                    self.absent.insert(name.clone());
                }
                response.removed_resources.push(name);
            }
        }
        let removed = response.removed_resources.clone();
        self.outstanding.push(Outstanding { nonce, resources: Vec::new(), removed });
        response
    }
}

enum Step {
    Add,
    Remove,
    TellAbsent,
}

fn response(kind: ResourceKind, nonce: &str) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        type_url: kind.type_url().to_owned(),
        nonce: nonce.to_owned(),
        ..DeltaDiscoveryResponse::default()
    }
}

fn wire(resource: &Resource) -> WireResource {
    WireResource {
        name: resource.name.clone(),
        version: resource.version.clone(),
        resource: Some(resource.to_any()),
        ..WireResource::default()
    }
}
