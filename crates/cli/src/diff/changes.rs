use std::collections::BTreeMap;

use leno_api::ResourceKey;
use leno_ir::{Config, Resources};
use leno_model::Snapshot;
use serde::Serialize;

use super::fields::{FieldChange, differences};
use crate::loaded::Loaded;

/// One resource of a proxy that comes, goes or becomes another.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    /// `listener`, `routes`, `cluster` or `endpoints`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) what: What,
    /// Of one that becomes another.
    pub(crate) fields: Vec<FieldChange>,
    /// Who is behind it: objects that change, and have to do with it.
    pub(crate) objects: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Added,
    Changed,
    Removed,
}

impl Change {
    pub(crate) const fn sign(&self) -> char {
        match self.what {
            What::Added => '+',
            What::Changed => '~',
            What::Removed => '-',
        }
    }
}

/// The forward proxy's table repeats those of the services.
const REPEATED: &str = "http_proxy";

pub(crate) fn changes(old: &Config, new: &Config, seen: [&Snapshot; 2], objects: &Objects) -> Vec<Change> {
    let mut found = Vec::new();
    compare("listener", &old.listeners, &new.listeners, &mut found);
    compare("routes", &old.route_tables, &new.route_tables, &mut found);
    compare("cluster", &old.clusters, &new.clusters, &mut found);
    compare("endpoints", &old.endpoints, &new.endpoints, &mut found);
    found.retain(|change| change.name != REPEATED);
    for change in &mut found {
        change.objects = objects.behind(&change.name, seen);
    }
    found
}

fn compare<T: PartialEq + Serialize>(
    kind: &'static str,
    old: &Resources<T>,
    new: &Resources<T>,
    found: &mut Vec<Change>,
) {
    let change = |name: &str, what, fields| Change { kind, name: name.to_owned(), what, fields, objects: Vec::new() };
    for (name, before) in old.iter() {
        match new.get(name) {
            None => found.push(change(name, What::Removed, Vec::new())),
            Some(after) if after != before => {
                let [before, after] = [before, after].map(|side| serde_json::to_value(&**side).unwrap_or_default());
                found.push(change(name, What::Changed, differences(&before, &after)));
            }
            Some(_) => {}
        }
    }
    for name in new.keys().filter(|name| !old.contains_key(name)) {
        found.push(change(name, What::Added, Vec::new()));
    }
}

/// Objects that differ between the two sides, and how they are told.
#[derive(Debug)]
pub(crate) struct Objects(BTreeMap<ResourceKey, String>);

impl Objects {
    pub(crate) fn new(before: &Loaded, after: &Loaded) -> Self {
        let place = |side: &Loaded, key: &ResourceKey| {
            let document = side.document(key);
            document.map(|document| format!(", {}:{}", document.source(), document.start().line)).unwrap_or_default()
        };
        let mut told = BTreeMap::new();
        for resource in &after.resources {
            let key = resource.key();
            let what = match before.resource(&key) {
                None => "added",
                Some(old) if old != resource => "changed",
                Some(_) => continue,
            };
            told.insert(key.clone(), format!("{key} ({what}{})", place(after, &key)));
        }
        for resource in &before.resources {
            let key = resource.key();
            if after.resource(&key).is_none() {
                told.insert(key.clone(), format!("{key} (removed{})", place(before, &key)));
            }
        }
        Self(told)
    }

    /// Those that have to do with a resource, by the service in its name (`outbound|80||reviews…`); all that change where none
    /// has.
    fn behind(&self, name: &str, seen: [&Snapshot; 2]) -> Vec<String> {
        let host = name.rsplit('|').next().unwrap_or(name);
        let services = seen.into_iter().flat_map(|side| side.services.values().filter(|service| service.fqdn == host));
        let mut keys: Vec<ResourceKey> = services
            .flat_map(|service| {
                let workloads = service.workloads.iter().map(|workload| workload.key.clone());
                service.origins.iter().cloned().chain(service.rules_keys()).chain(workloads)
            })
            .collect();
        keys.sort();
        keys.dedup();
        let found: Vec<_> = keys.iter().filter_map(|key| self.0.get(key)).cloned().collect();
        if found.is_empty() { self.0.values().cloned().collect() } else { found }
    }
}
