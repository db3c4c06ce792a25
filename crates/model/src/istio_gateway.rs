//! Istio's Gateways: what listens at the edge, for whom, and the VirtualServices bound to it. Which proxy serves which of
//! them is known when a proxy asks: by its labels.
//!
//! Shape       1 gateway proxy -> n Gateways that select it -> n servers; 1 Gateway -> n VirtualServices bound to it
//! Invariants  a credential is one of the proxy's namespace, and goes only to whom the Gateway means for sure
//!             ([`IstioGateway::trusts`])
//! Source      Istio Gateway, VirtualService.gateways; labels of gateway proxies as in Istio's Helm chart `gateway`

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use leno_api::{ResourceKey, ServerTls};

use crate::gateway::intersection;
use crate::{Credential, ListenerProtocol, VirtualRoutes, Visibility};

#[derive(Clone, Debug, PartialEq)]
pub struct IstioGateway {
    pub key: ResourceKey,
    /// Labels of the proxies that serve it; empty: all gateway proxies.
    pub selector: BTreeMap<String, String>,
    /// Who gets its keys in any case.
    pub service_accounts: Vec<String>,
    pub servers: Vec<IstioServer>,
    /// Oldest first.
    pub routes: Vec<BoundRoutes>,
}

/// A server that can be served.
#[derive(Clone, Debug, PartialEq)]
pub struct IstioServer {
    /// In `spec.servers`.
    pub index: usize,
    pub bind: Option<IpAddr>,
    pub port: u16,
    pub protocol: ListenerProtocol,
    pub hosts: Vec<ServerHost>,
    /// Requests without TLS are told to come back with it.
    pub redirects: bool,
    pub tls: Option<ServerTls>,
    /// By name, and by the namespace of the proxy.
    pub credentials: BTreeMap<String, BTreeMap<String, Credential>>,
    pub client_checks: ClientChecks,
}

/// SHA-256 of what certificates of clients must be, any one; none: whatever the roots vouch for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientChecks {
    pub certificate_hashes: Vec<[u8; 32]>,
    pub key_hashes: Vec<[u8; 32]>,
}

/// Whose VirtualServices may speak for which hosts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerHost {
    /// `None`: of all namespaces.
    pub namespace: Option<String>,
    /// In lower case, `*`, or `*.` and what hosts end in.
    pub host: String,
}

/// A VirtualService at a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundRoutes {
    pub routes: Arc<VirtualRoutes>,
    /// Whole names and patterns.
    pub hosts: Vec<String>,
    pub visibility: Visibility,
}

/// A gateway proxy, as it has proved to be, and what it says of itself.
#[derive(Clone, Copy, Debug)]
pub struct GatewayProxy<'a> {
    pub namespace: &'a str,
    pub service_account: &'a str,
    /// What it was started for.
    pub name: &'a str,
    pub labels: &'a BTreeMap<String, String>,
}

impl IstioGateway {
    /// By its labels; ours: also one that is called as the object is.
    pub fn selects(&self, proxy: GatewayProxy<'_>) -> bool {
        self.is_namesake(proxy) || self.selector.iter().all(|(name, value)| proxy.labels.get(name) == Some(value))
    }

    fn is_namesake(&self, proxy: GatewayProxy<'_>) -> bool {
        proxy.namespace == self.key.namespace && proxy.name == self.key.name
    }

    /// Whether a proxy may have keys. Labels are what a proxy says of itself; only its service account is proved. So those
    /// are trusted that the object names, or whose account makes the labels `app` or `istio` that the selector wants.
    pub fn trusts(&self, proxy: GatewayProxy<'_>) -> bool {
        let account = proxy.service_account;
        let proved = [("app", account), ("istio", istio_label(account))];
        let is_wanted = |(label, _): &(&str, &str)| self.selector.contains_key(*label);
        let holds = |(label, value): &(&str, &str)| self.selector.get(*label).is_none_or(|wanted| wanted == value);
        self.service_accounts.iter().any(|name| name == account)
            || self.is_namesake(proxy) && account == self.key.name
            || proved.iter().any(is_wanted) && proved.iter().all(holds)
    }
}

/// The label `istio` of a gateway proxy of that name: `ingressgateway` of `istio-ingressgateway`.
pub fn istio_label(name: &str) -> &str {
    name.strip_prefix("istio-").unwrap_or(name)
}

impl IstioServer {
    /// The hosts that a VirtualService and the server have in common, the narrower of each pair.
    pub fn hosts_of(&self, bound: &BoundRoutes) -> Vec<String> {
        let namespace = &bound.routes.key.namespace;
        let own = self.hosts.iter().filter(|host| host.namespace.as_ref().is_none_or(|own| own == namespace));
        let mut all = Vec::new();
        for own in own {
            for host in &bound.hosts {
                let common = intersection(Some(&own.host), Some(host)).flatten().map(str::to_owned);
                all.extend(common.filter(|host| !all.contains(host)));
            }
        }
        all
    }

    /// Server names that are meant; none: every one.
    pub fn server_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.hosts.iter().map(|host| host.host.clone()).collect();
        names.sort();
        names.dedup();
        if names.iter().any(|name| name == "*") { Vec::new() } else { names }
    }
}

/// The Gateway that a VirtualService in `namespace` means: `name`, `namespace/name`, `./name`, or as in Istio of old
/// `name.namespace.…`. `None`: the word for sidecars.
pub fn gateway_named<'a>(text: &'a str, namespace: &'a str) -> Option<(&'a str, &'a str)> {
    match text.split_once('/') {
        _ if text == "mesh" => None,
        Some((".", name)) => Some((namespace, name)),
        Some((other, name)) => Some((other, name)),
        None => match text.split_once('.') {
            None => Some((namespace, text)),
            Some((name, rest)) => Some((rest.split('.').next().unwrap_or(rest), name)),
        },
    }
}

#[cfg(test)]
mod tests {
    use leno_api::Kind;

    use super::*;

    #[test]
    fn gateways_are_named_as_in_istio() {
        let named = |text| gateway_named(text, "shop");
        assert_eq!(named("entry"), Some(("shop", "entry")));
        assert_eq!(named("./entry"), Some(("shop", "entry")));
        assert_eq!(named("edge/entry"), Some(("edge", "entry")));
        assert_eq!(named("entry.edge.svc.cluster.local"), Some(("edge", "entry")));
        assert_eq!(named("mesh"), None);
    }

    #[test]
    fn keys_go_to_proved_accounts_and_not_to_labels() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut gateway = IstioGateway {
            key: ResourceKey::new(Kind::IstioGateway, "shop", "entry"),
            selector: labels(&[("istio", "ingressgateway")]),
            service_accounts: Vec::new(),
            servers: Vec::new(),
            routes: Vec::new(),
        };
        let said = labels(&[("istio", "ingressgateway"), ("edge", "yes")]);
        let proxy = |account| GatewayProxy {
            namespace: "istio-system",
            service_account: account,
            name: account,
            labels: &said,
        };
        assert!(gateway.selects(proxy("reviews")) && !gateway.trusts(proxy("reviews")));
        assert!(gateway.trusts(proxy("istio-ingressgateway")) && gateway.trusts(proxy("ingressgateway")));
        gateway.selector = labels(&[("edge", "yes")]);
        assert!(gateway.selects(proxy("reviews")) && !gateway.trusts(proxy("ingressgateway")));
        gateway.service_accounts = vec!["reviews".to_owned()];
        assert!(gateway.trusts(proxy("reviews")));
        let namesake =
            GatewayProxy { namespace: "shop", service_account: "entry", name: "entry", labels: &BTreeMap::new() };
        assert!(gateway.selects(namesake) && gateway.trusts(namesake));
    }
}
