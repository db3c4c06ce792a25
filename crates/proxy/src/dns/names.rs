use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use leno_ir::{Config, Direction};

/// Names of the mesh's services as an application may write them, lower case without the last dot.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    addresses: HashMap<String, Ipv4Addr>,
    /// By what names end in, from a dot on.
    patterns: HashMap<String, Ipv4Addr>,
}

impl NameTable {
    /// From the names and addresses of the outbound listeners (`outbound|<port>||<service>.<namespace>.svc.<domain>`).
    /// Services of `namespace`, the workload's own, are known by their short name too.
    pub(crate) fn new(config: &Config, namespace: &str) -> Self {
        let (mut addresses, mut patterns) = (HashMap::new(), HashMap::new());
        let outbound = config.listeners.values().filter(|listener| !listener.api);
        for listener in outbound.filter(|listener| listener.direction == Direction::Outbound) {
            let (Some(fqdn), IpAddr::V4(address)) = (fqdn(&listener.name), listener.address.ip()) else { continue };
            if let Some(suffix) = fqdn.strip_prefix('*') {
                patterns.insert(suffix.to_ascii_lowercase(), address);
            } else if !address.is_unspecified() {
                for name in spellings(fqdn, namespace) {
                    addresses.insert(name.to_ascii_lowercase(), address);
                }
            }
        }
        Self { addresses, patterns }
    }

    #[cfg(fuzzing)]
    pub(super) fn of(name: &str, address: Ipv4Addr) -> Self {
        Self { addresses: HashMap::from([(name.to_owned(), address)]), patterns: HashMap::new() }
    }

    /// `name` in lower case, without the last dot. Of patterns (`*.example.com`) the longest counts.
    pub(crate) fn address(&self, name: &str) -> Option<Ipv4Addr> {
        let parents = name.match_indices('.').map(|(at, _)| &name[at..]);
        let pattern = || parents.filter_map(|parent| self.patterns.get(parent)).next();
        self.addresses.get(name).or_else(pattern).copied()
    }
}

fn fqdn(listener: &str) -> Option<&str> {
    let mut parts = listener.splitn(4, '|');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("outbound"), Some(_port), Some(""), Some(fqdn)) if !fqdn.is_empty() => Some(fqdn),
        _ => None,
    }
}

fn spellings<'a>(fqdn: &'a str, own_namespace: &str) -> Vec<&'a str> {
    let mut names = vec![fqdn];
    if let Some(at) = fqdn.find(".svc.") {
        names.push(&fqdn[..at + ".svc".len()]);
        names.push(&fqdn[..at]);
        if let Some((service, namespace)) = fqdn[..at].split_once('.')
            && namespace == own_namespace
        {
            names.push(service);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_for_the_own_namespace() {
        assert_eq!(
            spellings("web.shop.svc.cluster.local", "shop"),
            ["web.shop.svc.cluster.local", "web.shop.svc", "web.shop", "web"]
        );
        assert_eq!(spellings("web.shop.svc.cluster.local", "other").len(), 3);
        assert_eq!(fqdn("outbound|80||web.shop.svc.cluster.local"), Some("web.shop.svc.cluster.local"));
        assert_eq!(fqdn("outbound|80|v1|web.shop.svc.cluster.local"), None);
        assert_eq!(fqdn("http_proxy"), None);
    }

    #[test]
    fn the_longest_pattern_answers_for_names_that_nobody_has() {
        let [short, long, exact] = [1, 2, 3].map(|last| Ipv4Addr::new(127, 64, 1, last));
        let table = NameTable {
            addresses: HashMap::from([("a.example.com".to_owned(), exact)]),
            patterns: HashMap::from([(".com".to_owned(), short), (".example.com".to_owned(), long)]),
        };
        assert_eq!(table.address("a.example.com"), Some(exact));
        assert_eq!(table.address("b.c.example.com"), Some(long));
        assert_eq!(table.address("example.com"), Some(short));
        assert_eq!(table.address("example.org"), None);
    }
}
