use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use leno_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use xxhash_rust::xxh64::Xxh64;

use super::order::{Phase, Readiness, next_push};
use super::report::Outstanding;
use super::{Pacing, Report};
use crate::{Resource, ResourceKind};

/// The server's half of a state-of-the-world stream.
#[derive(Debug)]
pub struct FullServer {
    kinds: BTreeMap<ResourceKind, FullKind>,
    pacing: Pacing,
    last_nonce: u64,
    foreign: VecDeque<DiscoveryResponse>,
}

#[derive(Debug, Default)]
struct FullKind {
    current: BTreeMap<String, Arc<Resource>>,
    /// `None` until the client asked for the type.
    subscription: Option<Names>,
    /// What the client has been sent and not told to drop.
    held: BTreeMap<String, Arc<Resource>>,
    dirty: BTreeSet<String>,
    /// The first request, and every change of the names of a root kind, is answered.
    owes_answer: bool,
    /// Nonce of the newest response; a request with another one is stale.
    nonce: String,
    outstanding: Option<Outstanding>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Names {
    All,
    Only(BTreeSet<String>),
}

impl FullServer {
    pub fn new(pacing: Pacing) -> Self {
        let kinds = ResourceKind::ALL.into_iter().map(|kind| (kind, FullKind::default())).collect();
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
    pub fn handle(&mut self, request: &DiscoveryRequest) -> Vec<Report> {
        let Some(kind) = ResourceKind::from_type_url(&request.type_url) else {
            self.handle_foreign(request);
            return Vec::new();
        };
        let state = self.kinds.entry(kind).or_default();
        // A nonce names one response. An older one was sent before our newest response arrived: the client repeats what
        // it wants in its answer to that (xDS protocol, "ACK and NACK").
        if state.subscription.is_some() && request.response_nonce != state.nonce {
            return Vec::new();
        }
        state.handle_names(kind, request);
        let Some(outstanding) = state.outstanding.take() else { return Vec::new() };
        match &request.error_detail {
            None => outstanding.acked(kind),
            Some(error) => outstanding.rejected(kind, &error.message),
        }
    }

    /// The next response, and its `Sent` report. Call until `None` after every other call.
    pub fn poll_response(&mut self) -> Option<(DiscoveryResponse, Option<Report>)> {
        if let Some(response) = self.foreign.pop_front() {
            return Some((response, None));
        }
        let (kind, phase) = next_push(|kind| self.readiness(kind), self.pacing)?;
        self.last_nonce += 1;
        let state = self.kinds.get_mut(&kind)?;
        state.nonce = self.last_nonce.to_string();
        let response = state.push(kind, phase);
        let report = state.outstanding.as_ref().map(|outstanding| outstanding.sent(kind));
        Some((response, report))
    }

    fn readiness(&self, kind: ResourceKind) -> Readiness {
        self.kinds.get(&kind).map(|state| state.readiness(kind)).unwrap_or_default()
    }

    /// A type we do not have is empty. Answers to that answer carry a nonce and get none.
    fn handle_foreign(&mut self, request: &DiscoveryRequest) {
        if !request.response_nonce.is_empty() {
            return;
        }
        self.last_nonce += 1;
        self.foreign.push_back(DiscoveryResponse {
            type_url: request.type_url.clone(),
            version_info: "0".to_owned(),
            nonce: self.last_nonce.to_string(),
            ..DiscoveryResponse::default()
        });
    }
}

impl FullKind {
    fn handle_names(&mut self, kind: ResourceKind, request: &DiscoveryRequest) {
        let asked: BTreeSet<String> = request.resource_names.iter().cloned().collect();
        // No names mean everything for a root kind, unless the client has named something on this stream before.
        let legacy_wildcard = kind.is_root() && asked.is_empty() && !matches!(self.subscription, Some(Names::Only(_)));
        let names = if asked.contains("*") || legacy_wildcard { Names::All } else { Names::Only(asked) };
        let changed = self.subscription.as_ref() != Some(&names);
        if !changed {
            return;
        }
        // A name that comes back is sent again: the client may have forgotten the resource in between.
        self.held.retain(|name, _| names.includes(name));
        match &names {
            Names::All => self.dirty.extend(self.current.keys().cloned()),
            Names::Only(names) => self.dirty.extend(names.iter().cloned()),
        }
        self.owes_answer = kind.is_root();
        self.subscription = Some(names);
    }

    fn readiness(&self, kind: ResourceKind) -> Readiness {
        let Some(names) = &self.subscription else { return Readiness::default() };
        let (mut adds, mut asked, mut removals) = (self.owes_answer, self.owes_answer, false);
        for name in self.dirty.iter().filter(|name| names.includes(name)) {
            adds |= self.is_new(name);
            asked |= *names != Names::All && self.is_new(name) && !self.held.contains_key(name);
            // Only the absence from a whole set says that something is gone.
            removals |= kind.is_root() && self.is_gone(name);
        }
        Readiness { outstanding: self.outstanding.is_some(), adds, asked, removals }
    }

    fn is_new(&self, name: &str) -> bool {
        let held = self.held.get(name);
        self.current.get(name).is_some_and(|current| held.is_none_or(|held| held.version != current.version))
    }

    fn is_gone(&self, name: &str) -> bool {
        self.held.contains_key(name) && !self.current.contains_key(name)
    }

    fn push(&mut self, kind: ResourceKind, phase: Phase) -> DiscoveryResponse {
        self.owes_answer = false;
        let mut outstanding = Outstanding { nonce: self.nonce.clone(), resources: Vec::new(), removed: Vec::new() };
        let mut pushed = Vec::new();
        for name in std::mem::take(&mut self.dirty) {
            if !self.subscription.as_ref().is_some_and(|names| names.includes(&name)) {
                continue;
            }
            if self.is_gone(&name) {
                if phase == Phase::Remove || !kind.is_root() {
                    self.held.remove(&name);
                    outstanding.removed.push(name);
                } else {
                    self.dirty.insert(name);
                }
            } else if self.is_new(&name)
                && let Some(resource) = self.current.get(&name)
            {
                outstanding.resources.push((name.clone(), resource.version.clone()));
                pushed.push(resource.clone());
                self.held.insert(name, resource.clone());
            }
        }
        self.outstanding = Some(outstanding);
        // A root set repeats what did not change, and until the removal phase also what is about to go.
        let resources = if kind.is_root() {
            self.held.values().map(|resource| resource.to_any()).collect()
        } else {
            pushed.iter().map(|resource| resource.to_any()).collect()
        };
        DiscoveryResponse {
            version_info: self.version(),
            resources,
            type_url: kind.type_url().to_owned(),
            nonce: self.nonce.clone(),
            ..DiscoveryResponse::default()
        }
    }

    /// A hash of names and versions: equal sets have equal versions, across streams and restarts.
    fn version(&self) -> String {
        let mut hash = Xxh64::new(0);
        for (name, resource) in &self.held {
            hash.update(name.as_bytes());
            hash.update(&[0]);
            hash.update(resource.version.as_bytes());
            hash.update(&[0]);
        }
        format!("{:016x}", hash.digest())
    }
}

impl Names {
    fn includes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}
