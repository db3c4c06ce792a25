use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use leno_ir::{Config, Direction};

/// Names of the mesh's services as an application may write them, lower case without the last dot.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    addresses: HashMap<String, Ipv4Addr>,
}

impl NameTable {
    /// From the names and addresses of the outbound listeners (`outbound|<port>||<service>.<namespace>.svc.<domain>`).
    /// Services of `namespace`, the workload's own, are known by their short name too.
    pub(crate) fn new(config: &Config, namespace: &str) -> Self {
        let mut addresses = HashMap::new();
        let outbound = config.listeners.values().filter(|listener| !listener.api);
        for listener in outbound.filter(|listener| listener.direction == Direction::Outbound) {
            let (Some(fqdn), IpAddr::V4(address)) = (fqdn(&listener.name), listener.address.ip()) else { continue };
            if !address.is_unspecified() {
                for name in spellings(fqdn, namespace) {
                    addresses.insert(name.to_ascii_lowercase(), address);
                }
            }
        }
        Self { addresses }
    }

    #[cfg(fuzzing)]
    pub(super) fn of(name: &str, address: Ipv4Addr) -> Self {
        Self { addresses: HashMap::from([(name.to_owned(), address)]) }
    }

    /// `name` in lower case, without the last dot.
    pub(crate) fn address(&self, name: &str) -> Option<Ipv4Addr> {
        self.addresses.get(name).copied()
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
}
