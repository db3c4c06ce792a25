use std::collections::BTreeMap;

use leno_names::ServiceKey;

/// Services by the host that clients call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Hosts {
    /// Those of one host in order of precedence.
    keys: BTreeMap<String, Vec<ServiceKey>>,
    domain: String,
}

impl Hosts {
    pub(crate) fn new(domain: &str) -> Self {
        Self { keys: BTreeMap::new(), domain: domain.to_owned() }
    }

    /// Behind those of the same host that are there already.
    pub(crate) fn add(&mut self, host: &str, key: &ServiceKey) {
        let keys = self.keys.entry(host.to_owned()).or_default();
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Vec<ServiceKey>)> {
        self.keys.iter()
    }

    pub(crate) fn of(&self, host: &str) -> &[ServiceKey] {
        self.keys.get(host).map_or(&[], Vec::as_slice)
    }

    /// The whole host that is meant by `host` in `namespace`. Istio: a name without dots is a service of the namespace. Ours:
    /// names that no one has may be the beginning of a service's, as in `/etc/resolv.conf`.
    pub(crate) fn canonical(&self, host: &str, namespace: &str) -> String {
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let of_mesh = resolve(host, namespace, &self.domain).map(|key| key.fqdn(&self.domain));
        match of_mesh {
            Some(fqdn) if !self.keys.contains_key(host) || !host.contains('.') && self.keys.contains_key(&fqdn) => fqdn,
            _ => host.to_owned(),
        }
    }

    /// The service that `host` means when it is said in `namespace`: one of that namespace first.
    pub(crate) fn find(&self, host: &str, namespace: &str) -> Option<&ServiceKey> {
        let keys = self.of(&self.canonical(host, namespace));
        keys.iter().find(|key| key.namespace == namespace).or_else(|| keys.first())
    }
}

/// The service of the mesh that `host` means by its spelling, whether there is one or not.
pub(crate) fn resolve(host: &str, namespace: &str, domain: &str) -> Option<ServiceKey> {
    let host = &*host.to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(host);
    let local = host.strip_suffix(domain).and_then(|rest| rest.strip_suffix(".svc."));
    let short = local.or_else(|| host.strip_suffix(".svc")).unwrap_or(host);
    match short.split_once('.') {
        None if local.is_none() => Some(ServiceKey::new(namespace, short)),
        Some((name, namespace)) if !namespace.contains('.') => Some(ServiceKey::new(namespace, name)),
        _ => None,
    }
}

/// Whether `pattern`, a host or `*` and what hosts end in, means `host`.
pub fn covers(pattern: &str, host: &str) -> bool {
    pattern.strip_prefix('*').map_or(pattern == host, |suffix| host.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_where_they_are_said() {
        let key = |host| resolve(host, "shop", "cluster.local").map(|key| key.to_string());
        assert_eq!(key("reviews").as_deref(), Some("shop/reviews"));
        for host in ["reviews.a", "reviews.a.svc", "reviews.a.svc.cluster.local", "reviews.a.svc.cluster.local."] {
            assert_eq!(key(host).as_deref(), Some("a/reviews"), "{host}");
        }
        assert_eq!(key("www.example.com"), None);
    }

    #[test]
    fn a_host_that_exists_is_meant_before_one_that_is_spelt_so() {
        let mut hosts = Hosts::new("cluster.local");
        let [entry, other, reviews] =
            ["example.com", "example.com", "reviews"].map(|name| ServiceKey::new("shop", name));
        let other = ServiceKey { namespace: "other".to_owned(), ..other };
        hosts.add("example.com", &entry);
        hosts.add("example.com", &other);
        hosts.add("reviews.shop.svc.cluster.local", &reviews);
        assert_eq!(hosts.find("Example.com", "default"), Some(&entry));
        assert_eq!(hosts.find("example.com", "other"), Some(&other));
        assert_eq!(hosts.find("reviews.shop", "default"), Some(&reviews));
        assert_eq!(hosts.find("reviews", "shop"), Some(&reviews));
        assert_eq!(hosts.find("reviews", "default"), None);
    }
}
