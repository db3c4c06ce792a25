use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use leno_balance::Member;
use leno_ir::{Balancing, EndpointSet, Labels};
use leno_names::{Fraction, Locality};

use super::EndpointId;
use super::endpoint::{EndpointSource, EndpointState};
use super::limits::Limits;
use crate::dynamics::{CheckedHealth, HealthMap};

/// The endpoints of a cluster on one worker, found by ID in one step.
///
/// Invariants: an address that stays keeps its state; of several endpoints with one address the first counts.
#[derive(Clone, Debug)]
pub(super) struct Members {
    set: Arc<EndpointSet>,
    /// What active checks say; `None`: nobody is asked.
    health: Option<Arc<HealthMap>>,
    slots: Vec<Option<Rc<EndpointState>>>,
    next_serial: u32,
    /// Where the connections to each endpoint are limited.
    limits: Option<Arc<Limits>>,
}

impl Members {
    pub(super) fn new(set: Arc<EndpointSet>, limits: Option<Arc<Limits>>) -> Self {
        let mut members = Self { set: Arc::default(), health: None, slots: Vec::new(), next_serial: 0, limits };
        members.update(set);
        members
    }

    pub(super) fn set(&self) -> &EndpointSet {
        &self.set
    }

    /// How many take traffic, by locality.
    pub(super) fn healthy(&self, balancing: &Balancing) -> BTreeMap<Locality, u32> {
        let mut localities = BTreeMap::new();
        for state in self.slots.iter().flatten() {
            let member = state.member(balancing);
            let locality = self.set.localities.get(member.locality as usize);
            if let Some(locality) = locality.filter(|_| member.health.takes_traffic()) {
                *localities.entry(locality.locality.clone()).or_default() += 1;
            }
        }
        localities
    }

    pub(super) fn of_first_priority(&self) -> u32 {
        let first = self.set.localities.iter().filter(|locality| locality.priority == 0);
        u32::try_from(first.map(|locality| locality.endpoints.len()).sum::<usize>()).unwrap_or(u32::MAX)
    }

    pub(super) fn are_of(&self, set: &Arc<EndpointSet>) -> bool {
        Arc::ptr_eq(&self.set, set) || self.set == *set
    }

    pub(super) fn drop_overloads(&self) -> &[Fraction] {
        &self.set.policy.drop_overloads
    }

    pub(super) fn get(&self, id: EndpointId) -> Option<Rc<EndpointState>> {
        self.slots.get(id.slot as usize)?.as_ref().filter(|state| state.id == id).cloned()
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &Rc<EndpointState>> {
        self.slots.iter().flatten()
    }

    pub(super) fn each(&self, act: impl Fn(&EndpointState)) {
        self.slots.iter().flatten().for_each(|state| act(state));
    }

    pub(super) fn for_balancer(&self, balancing: &Balancing) -> impl Iterator<Item = (Member<EndpointId>, Labels)> {
        let labels = |state: &EndpointState| match balancing.subsets {
            None => Labels::new(),
            Some(_) => state.source().endpoint().labels.clone(),
        };
        self.slots.iter().flatten().map(move |state| (state.member(balancing), labels(state)))
    }

    pub(super) fn has_health(&self, health: &Arc<HealthMap>) -> bool {
        self.health.as_ref().is_some_and(|known| Arc::ptr_eq(known, health))
    }

    /// Takes what checks say of all endpoints; one without an entry was not checked yet.
    /// Those that have passed a check since the last time, where that matters.
    pub(super) fn set_health(&mut self, health: Arc<HealthMap>) -> Vec<EndpointId> {
        let of = |state: &EndpointState| health.get(&state.address).copied().unwrap_or(CheckedHealth::PENDING);
        let passed = self.slots.iter().flatten().filter(|state| state.set_checked(of(state)));
        let passed = passed.map(|state| state.id).collect();
        self.health = Some(health);
        passed
    }

    pub(super) fn forget_health(&mut self) {
        self.health = None;
        self.each(|state| state.checked.set(None));
    }

    /// Takes the endpoints of `set`; those that are not in it are retired. Whether any came or went.
    pub(super) fn update(&mut self, set: Arc<EndpointSet>) -> bool {
        let mut has_changed = false;
        let mut wanted: HashMap<SocketAddr, EndpointSource> = HashMap::new();
        let mut order = Vec::new();
        for (locality, endpoints) in set.localities.iter().enumerate() {
            for (index, endpoint) in endpoints.endpoints.iter().enumerate() {
                wanted.entry(endpoint.address).or_insert_with(|| {
                    order.push(endpoint.address);
                    EndpointSource::new(set.clone(), locality, index)
                });
            }
        }
        for slot in &mut self.slots {
            let Some(state) = slot else { continue };
            match wanted.remove(&state.address) {
                Some(source) if state.keeps_connections(&source) => state.update(source),
                Some(source) => {
                    // What runs on its connections is not what should; it begins anew.
                    wanted.insert(state.address, source);
                    state.retire();
                    *slot = None;
                }
                None => {
                    state.retire();
                    *slot = None;
                    has_changed = true;
                }
            }
        }
        for address in order {
            if let Some(source) = wanted.remove(&address) {
                self.insert(source);
                has_changed = true;
            }
        }
        self.set = set;
        has_changed
    }

    /// Gives every endpoint a new state, without connections.
    pub(super) fn renew(&mut self, limits: Option<Arc<Limits>>) {
        self.limits = limits;
        self.each(EndpointState::retire);
        self.slots.clear();
    }

    fn insert(&mut self, source: EndpointSource) {
        let free = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        self.next_serial = self.next_serial.wrapping_add(1);
        let id = EndpointId::new(u32::try_from(free).unwrap_or(u32::MAX), self.next_serial);
        let connections = self.limits.as_ref().map(|limits| limits.endpoints.of(source.endpoint().address));
        let state = Some(Rc::new(EndpointState::new(id, source, connections)));
        match self.slots.get_mut(free) {
            Some(slot) => *slot = state,
            None => self.slots.push(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use leno_ir::{Endpoint, EndpointHealth, LocalityEndpoints, WorkloadLabels};

    use super::*;

    fn set(ports: &[u16]) -> Arc<EndpointSet> {
        let endpoint = |port: &u16| Endpoint {
            weight: 1,
            health: EndpointHealth::Healthy,
            workload: WorkloadLabels::default(),
            ..Endpoint::new(([127, 0, 0, 1], *port).into())
        };
        let endpoints = ports.iter().map(endpoint).collect();
        let locality = LocalityEndpoints { endpoints, ..LocalityEndpoints::default() };
        Arc::new(EndpointSet { name: "s".into(), localities: vec![locality], ..EndpointSet::default() })
    }

    fn ids(members: &Members) -> HashMap<u16, EndpointId> {
        members.slots.iter().flatten().map(|state| (state.address.port(), state.id)).collect()
    }

    #[test]
    fn an_address_that_stays_keeps_its_state_and_ids_are_never_used_again() {
        let mut members = Members::new(set(&[1, 2, 3]), None);
        let before = ids(&members);
        members.update(set(&[3, 4, 1, 1]));
        let after = ids(&members);
        assert_eq!((after[&1], after[&3], after.len()), (before[&1], before[&3], 3));
        assert!(members.get(before[&2]).is_none() && members.get(after[&4]).is_some());
        assert_ne!(after[&4], before[&2]);
    }

    #[test]
    fn renewed_members_share_nothing_with_the_old() {
        let mut members = Members::new(set(&[1]), None);
        let before = ids(&members);
        members.renew(None);
        members.update(set(&[1]));
        assert_ne!(ids(&members)[&1], before[&1]);
    }
}
