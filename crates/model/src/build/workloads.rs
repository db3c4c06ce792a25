//! Workloads by what selects them: every service looks only at those that it may mean.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use leno_api::ResourceKey;

use crate::{Address, Workload};

type List = Vec<Arc<Workload>>;

#[derive(Debug, Default)]
pub(super) struct Workloads {
    all: BTreeMap<ResourceKey, Arc<Workload>>,
    namespaces: BTreeMap<String, Namespace>,
}

/// Lists are in order of name.
#[derive(Debug, Default)]
struct Namespace {
    /// Label, value.
    by_label: BTreeMap<String, BTreeMap<String, List>>,
    by_service: BTreeMap<String, List>,
    by_address: BTreeMap<IpAddr, List>,
}

impl Workloads {
    /// Puts a workload in the place of the one of its key, which is given back; `None` leaves none.
    pub(super) fn replace(&mut self, key: &ResourceKey, new: Option<&Arc<Workload>>) -> Option<Arc<Workload>> {
        let old = match new {
            Some(new) => self.all.insert(key.clone(), new.clone()),
            None => self.all.remove(key),
        };
        if let Some(old) = &old
            && let Some(namespace) = self.namespaces.get_mut(&key.namespace)
        {
            namespace.remove(old);
        }
        if let Some(new) = new {
            slot(&mut self.namespaces, &key.namespace).add(new);
        }
        old
    }

    pub(super) fn of_label(&self, namespace: &str, label: &str, value: &str) -> &[Arc<Workload>] {
        let list = || self.namespaces.get(namespace)?.by_label.get(label)?.get(value);
        list().map_or(&[], Vec::as_slice)
    }

    /// The workload that an address is; of several the last.
    pub(super) fn at(&self, namespace: &str, address: IpAddr) -> Option<&Arc<Workload>> {
        self.namespaces.get(namespace)?.by_address.get(&address)?.last()
    }

    /// Those that say they belong to a service.
    pub(super) fn of_service(&self, namespace: &str, service: &str) -> &[Arc<Workload>] {
        let list = || self.namespaces.get(namespace)?.by_service.get(service);
        list().map_or(&[], Vec::as_slice)
    }
}

impl Namespace {
    fn add(&mut self, workload: &Arc<Workload>) {
        for (label, value) in &workload.labels {
            insert(slot(slot(&mut self.by_label, label), value), workload);
        }
        if let Some(service) = &workload.service {
            insert(slot(&mut self.by_service, service), workload);
        }
        if let Address::Ip(ip) = workload.address {
            insert(self.by_address.entry(ip).or_default(), workload);
        }
    }

    fn remove(&mut self, workload: &Workload) {
        for (label, value) in &workload.labels {
            let Some(values) = self.by_label.get_mut(label) else { continue };
            remove(values, value.as_str(), workload);
            if values.is_empty() {
                self.by_label.remove(label);
            }
        }
        if let Some(service) = &workload.service {
            remove(&mut self.by_service, service.as_str(), workload);
        }
        if let Address::Ip(ip) = &workload.address {
            remove(&mut self.by_address, ip, workload);
        }
    }
}

fn slot<'a, T: Default>(map: &'a mut BTreeMap<String, T>, key: &str) -> &'a mut T {
    map.entry(key.to_owned()).or_default()
}

fn insert(list: &mut List, workload: &Arc<Workload>) {
    match list.binary_search_by(|other| other.key.cmp(&workload.key)) {
        Ok(at) => list[at] = workload.clone(),
        Err(at) => list.insert(at, workload.clone()),
    }
}

fn remove<K: Borrow<Q> + Ord, Q: Ord + ?Sized>(lists: &mut BTreeMap<K, List>, name: &Q, workload: &Workload) {
    let Some(list) = lists.get_mut(name) else { return };
    if let Ok(at) = list.binary_search_by(|other| other.key.cmp(&workload.key)) {
        list.remove(at);
    }
    if list.is_empty() {
        lists.remove(name);
    }
}
