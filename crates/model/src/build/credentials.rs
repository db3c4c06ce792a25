//! Secrets that DestinationRules name.
//!
//! Invariants  a key goes only to clients that a rule chooses by their labels, and it is one of the rule's own namespace
//! Source      Istio ClientTLSSettings.credential_name: keys `cert`, `key`, `cacert`, or those of `kubernetes.io/tls`; roots may be
//!             in a Secret of their own, `<name>-cacert`

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{DestinationRule, Resource, ResourceKey, Secret, TlsSettings, TrafficPolicy};

use super::gateways::secret_value;
use crate::{Certificate, Credential, Problem};

/// By namespace and name.
pub(super) struct Secrets<'a> {
    all: BTreeMap<(&'a str, &'a str), &'a Secret>,
}

impl<'a> Secrets<'a> {
    pub(super) fn new(resources: &'a [Arc<Resource>]) -> Self {
        let secret = |resource: &'a Arc<Resource>| match &**resource {
            Resource::Secret(secret) => Some(((secret.metadata.namespace(), &*secret.metadata.name), &**secret)),
            _ => None,
        };
        Self { all: resources.iter().filter_map(secret).collect() }
    }

    /// Those that a rule names.
    pub(super) fn of(
        &self,
        key: &ResourceKey,
        rule: &DestinationRule,
        problems: &mut Vec<Problem>,
    ) -> BTreeMap<String, Credential> {
        let mut found = BTreeMap::new();
        let names = names(rule);
        if rule.spec.workload_selector.is_none() && !names.is_empty() {
            let message = "credentialName has no effect in sidecars without a workloadSelector, as in Istio";
            problems.push(Problem::warning(key, "spec.workloadSelector", "credential_without_selector", message));
            return found;
        }
        for name in names {
            if let Some(credential) = self.credential(&key.namespace, &name) {
                found.insert(name, credential);
            } else {
                let message = format!("there is no Secret {}/{name} with a certificate or roots", key.namespace);
                problems.push(Problem::error(key, "spec", "unknown_credential", message));
            }
        }
        found
    }

    /// Those of one name, by namespace.
    pub(super) fn everywhere(&self, name: &str) -> BTreeMap<String, Credential> {
        let namespaces = self.all.keys().filter(|(_, own)| *own == name).map(|(namespace, _)| *namespace);
        namespaces.filter_map(|namespace| Some((namespace.to_owned(), self.credential(namespace, name)?))).collect()
    }

    fn credential(&self, namespace: &str, name: &str) -> Option<Credential> {
        let secret = self.all.get(&(namespace, name)).copied();
        let apart = self.all.get(&(namespace, &*format!("{name}-cacert"))).copied();
        let part = |secret: Option<&Secret>, names: [&str; 2], marker: &str| {
            let value = names.into_iter().find_map(|name| secret_value(secret?, name))?;
            (value.contains("-----BEGIN") && value.contains(marker)).then_some(value)
        };
        let (chain, key) =
            (part(secret, ["cert", "tls.crt"], "CERTIFICATE"), part(secret, ["key", "tls.key"], "PRIVATE KEY"));
        let certificate = chain.zip(key).map(|(chain, private_key)| Arc::new(Certificate { chain, private_key }));
        let roots = [secret, apart].into_iter().find_map(|secret| part(secret, ["cacert", "ca.crt"], "CERTIFICATE"));
        (certificate.is_some() || roots.is_some()).then_some(Credential { certificate, roots })
    }
}

fn names(rule: &DestinationRule) -> BTreeSet<String> {
    let of = |policy: &TrafficPolicy| -> Vec<String> {
        let levels = policy.port_level_settings.iter().map(|level| &level.tls);
        let all = std::iter::once(&policy.tls).chain(levels).flatten();
        all.filter_map(|tls: &TlsSettings| tls.credential_name.clone()).filter(|name| !name.is_empty()).collect()
    };
    let subsets = rule.spec.subsets.iter().filter_map(|subset| subset.traffic_policy.as_ref());
    rule.spec.traffic_policy.iter().chain(subsets).flat_map(of).collect()
}
