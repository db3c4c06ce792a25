//! All rules that may hold for a service, and which of them do for whom.
//!
//! Shape       DestinationRules by namespace, then by host; VirtualServices by host; patterns (`*.shop`) apart
//! Invariants  a longer pattern is before a shorter one, a name before all; otherwise the oldest object is first

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{DestinationRule, ResourceKey, Subset, TrafficPolicy};
use leno_names::ServiceKey;

use crate::client::Differences;
use crate::hosts::{Hosts, covers};
use crate::sidecar::{Egress, Sidecars};
use crate::{
    Credential, MeshRoute, Policies, PolicyPart, PolicySubset, Problem, Rules, Scope, Service, VirtualRoutes,
    Visibility,
};

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rulebook {
    /// By namespace.
    pub destination_rules: BTreeMap<String, ByHost<DestinationRuleEntry>>,
    pub virtual_services: ByHost<VirtualServiceEntry>,
    /// What holds where no VirtualService does.
    pub routes: BTreeMap<ServiceKey, Vec<MeshRoute>>,
    pub sidecars: Sidecars,
    pub differences: Differences,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DestinationRuleEntry {
    pub key: ResourceKey,
    pub object: Arc<DestinationRule>,
    pub visibility: Visibility,
    pub credentials: BTreeMap<String, Credential>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VirtualServiceEntry {
    pub key: ResourceKey,
    pub routes: Arc<VirtualRoutes>,
    pub visibility: Visibility,
}

/// Rules by the host they are for, as it is called everywhere; those of one host oldest first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ByHost<T> {
    exact: BTreeMap<String, Vec<T>>,
    patterns: BTreeMap<String, Vec<T>>,
}

impl<T> Default for ByHost<T> {
    fn default() -> Self {
        Self { exact: BTreeMap::new(), patterns: BTreeMap::new() }
    }
}

impl<T> ByHost<T> {
    pub(crate) fn add(&mut self, host: &str, rule: T) {
        let map = if host.starts_with('*') { &mut self.patterns } else { &mut self.exact };
        map.entry(host.to_owned()).or_default().push(rule);
    }

    /// The rules that mean `host`, the most specific first; each list is of one pattern.
    pub(crate) fn of(&self, host: &str) -> Vec<&[T]> {
        let mut patterns: Vec<_> = self.patterns.iter().filter(|(pattern, _)| covers(pattern, host)).collect();
        patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.len()));
        let patterns = patterns.into_iter().map(|(_, rules)| rules);
        self.exact.get(host).into_iter().chain(patterns).map(Vec::as_slice).collect()
    }

    /// Those that are for just this host or pattern.
    pub(crate) fn exactly(&self, host: &str) -> &[T] {
        let map = if host.starts_with('*') { &self.patterns } else { &self.exact };
        map.get(host).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// The rules of each host and pattern.
    pub(crate) fn lists(&self) -> impl Iterator<Item = &[T]> {
        self.exact.values().chain(self.patterns.values()).map(Vec::as_slice)
    }
}

impl Rulebook {
    /// What DestinationRules say of `service` to clients of a scope. Istio: those of the client's own namespace, or else of
    /// the service's, or else of the root namespace.
    pub(crate) fn policies(&self, service: &Service, scope: &Scope, root: &str) -> Option<Policies> {
        let namespaces = [&*scope.namespace, &*service.key.namespace, root];
        let mut asked = BTreeSet::new();
        for namespace in namespaces.into_iter().filter(|namespace| asked.insert(*namespace)) {
            let Some(rules) = self.destination_rules.get(namespace) else { continue };
            for same in rules.of(&service.fqdn) {
                let seen = |rule: &&DestinationRuleEntry| {
                    namespace == scope.namespace || rule.visibility.includes(&scope.namespace)
                };
                let found: Vec<_> = same.iter().filter(seen).filter(|rule| rule.selects(namespace, scope)).collect();
                // Those for chosen workloads stand alone.
                let chosen: Vec<_> = found.iter().copied().filter(|rule| rule.selector().is_some()).collect();
                let found = if chosen.is_empty() { found } else { chosen };
                if !found.is_empty() {
                    return Some(merge(&found, &mut Vec::new()));
                }
            }
        }
        None
    }

    /// The VirtualService that holds for a host. Of several those come first that only the client's namespace sees.
    pub(crate) fn virtual_service(
        &self,
        host: &str,
        namespace: &str,
        egress: Option<&Egress>,
    ) -> Option<&Arc<VirtualRoutes>> {
        if self.virtual_services.is_empty() {
            return None;
        }
        for same in self.virtual_services.of(host) {
            let imported = |entry: &&VirtualServiceEntry| egress.is_none_or(|egress| egress.sees(&entry.routes, host));
            let seen = || same.iter().filter(|entry| entry.visibility.includes(namespace)).filter(imported);
            let own = seen().find(|entry| entry.visibility != Visibility::Everywhere);
            if let Some(entry) = own.or_else(|| seen().next()) {
                return Some(&entry.routes);
            }
        }
        None
    }
}

impl Rulebook {
    /// What routes say to clients in `namespace`: those of the namespace itself, or else those of the service's (GAMMA).
    pub(crate) fn routes(&self, service: &ServiceKey, namespace: &str) -> Rules {
        let Some(all) = self.routes.get(service) else { return Rules::Default };
        let of = |consumer: Option<&str>| -> Vec<_> {
            all.iter().filter(|route| route.consumer.as_deref() == consumer).cloned().collect()
        };
        let own = of(Some(namespace));
        let found = if own.is_empty() { of(None) } else { own };
        if found.is_empty() { Rules::Default } else { Rules::Routes(found) }
    }
}

/// The services that rules hold for that are not the same as before.
pub(crate) enum Affected {
    All,
    Some(BTreeSet<ServiceKey>),
}

impl Rulebook {
    pub(crate) fn affected(&self, before: &Arc<Self>, hosts: &Hosts) -> Affected {
        if std::ptr::eq(self, Arc::as_ptr(before)) {
            return Affected::Some(BTreeSet::new());
        }
        let mut names = BTreeSet::new();
        let none = ByHost::default();
        let namespaces: BTreeSet<_> = self.destination_rules.keys().chain(before.destination_rules.keys()).collect();
        let same = namespaces.into_iter().all(|namespace| {
            let own = self.destination_rules.get(namespace).unwrap_or(&none);
            own.differences(before.destination_rules.get(namespace).unwrap_or(&none), &mut names)
        });
        if !same
            || !self.virtual_services.differences(&before.virtual_services, &mut names)
            || self.sidecars != before.sidecars
            || self.differences != before.differences
        {
            return Affected::All;
        }
        let mut keys: BTreeSet<_> = names.iter().flat_map(|host| hosts.of(host)).cloned().collect();
        keys.extend(unequal(&self.routes, &before.routes).cloned());
        Affected::Some(keys)
    }
}

impl<T: PartialEq> ByHost<T> {
    /// Adds the hosts whose rules are not the same; `false`: those of patterns differ.
    fn differences(&self, before: &Self, names: &mut BTreeSet<String>) -> bool {
        names.extend(unequal(&self.exact, &before.exact).cloned());
        self.patterns == before.patterns
    }
}

/// Keys of which there is only one value, or two that differ.
pub(crate) fn unequal<'a, K: Ord, V: PartialEq>(
    one: &'a BTreeMap<K, V>,
    other: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    // Side by side: both are in order.
    std::iter::from_fn(move || {
        loop {
            let order = match (one.peek(), other.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            match order {
                Ordering::Less => return one.next().map(|(key, _)| key),
                Ordering::Greater => return other.next().map(|(key, _)| key),
                Ordering::Equal => {
                    let (key, value) = one.next()?;
                    if other.next().is_none_or(|(_, other)| other != value) {
                        return Some(key);
                    }
                }
            }
        }
    })
}

impl DestinationRuleEntry {
    pub(crate) fn selector(&self) -> Option<&BTreeMap<String, String>> {
        self.object.spec.workload_selector.as_ref().map(|selector| &selector.match_labels)
    }

    /// Selectors choose clients of the rule's own namespace.
    fn selects(&self, namespace: &str, scope: &Scope) -> bool {
        self.selector().is_none_or(|labels| namespace == scope.namespace && scope.has(labels))
    }
}

/// Istio: the first traffic policy, the subsets of all, of one name the first.
pub(crate) fn merge(rules: &[&DestinationRuleEntry], problems: &mut Vec<Problem>) -> Policies {
    let mut all = Policies::default();
    for rule in rules {
        let part = |policy: &Option<TrafficPolicy>, at: String| {
            policy.clone().map(|policy| {
                let (object, credentials) = (rule.key.clone(), rule.credentials.clone());
                PolicyPart { object, at, policy, credentials }
            })
        };
        let spec = &rule.object.spec;
        let own = part(&spec.traffic_policy, "spec.trafficPolicy".to_owned());
        match (&all.whole, own) {
            (Some(first), Some(_)) => {
                let message = format!("{} has one already for this host; this one has no effect", first.object);
                problems.push(Problem::error(&rule.key, "spec.trafficPolicy", "conflict", message));
            }
            (None, own) => all.whole = own,
            (Some(_), None) => {}
        }
        for (index, Subset { name, labels, traffic_policy }) in spec.subsets.iter().enumerate() {
            let at = format!("spec.subsets[{index}]");
            if all.subsets.iter().any(|subset| subset.name == *name) {
                let message = format!("another DestinationRule for this host has a subset \"{name}\" already");
                problems.push(Problem::error(&rule.key, at, "conflict", message));
                continue;
            }
            let part = part(traffic_policy, format!("{at}.trafficPolicy"));
            all.subsets.push(PolicySubset { name: name.clone(), labels: labels.clone(), part });
        }
        all.objects.push(rule.key.clone());
    }
    all
}
