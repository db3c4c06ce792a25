//! Endpoints that are known by name: they are looked up again and again, beside the workers.
//!
//! Shape       1 cluster -> n names, each with its own rhythm -> 1 endpoint set with addresses -> `Dynamics`
//! Invariants  a failure leaves the last answer standing; that a name does not exist is an answer
//! Source      Envoy strict_dns_cluster.cc, logical_dns_cluster.cc, 1.40

mod hosts;
mod question;
mod resolver;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use leno_ir::{Cluster, Discovery, Dns, DnsLookupFamily, DnsResolver, Endpoint, EndpointSet, LocalityEndpoints};

use self::resolver::{Answer, LookupError, Resolver};
use crate::dynamics::Dynamics;

/// The addresses of a host now, and how long they may be kept; zero where nothing says so. `None`: it has none, or nobody
/// answers.
pub(crate) async fn look_up(host: &str, family: DnsLookupFamily) -> Option<(Vec<IpAddr>, Duration)> {
    let found = Resolver::new(&DnsResolver::default()).look_up(host, family).await;
    match found {
        Ok(answer) => Some((answer.addresses, answer.ttl)).filter(|(addresses, _)| !addresses.is_empty()),
        Err(error) => {
            tracing::debug!(host, %error, "looking up the host of a request");
            None
        }
    }
}

/// Looks up the names of one cluster.
pub(crate) struct Lookups {
    cluster: String,
    dns: Dns,
    resolver: Arc<Resolver>,
    dynamics: Arc<Dynamics>,
    addresses: HashMap<String, Vec<IpAddr>>,
    failures: HashMap<String, u32>,
    /// Names without a first answer or failure.
    unknown: BTreeSet<String>,
    warms: bool,
}

type Asked = (String, Result<Answer, LookupError>);

impl Lookups {
    /// `None`: the cluster has no names.
    pub(crate) fn new(cluster: &Cluster, dynamics: Arc<Dynamics>) -> Option<Self> {
        let Discovery::Dns(dns) = &cluster.discovery else { return None };
        Some(Self {
            cluster: cluster.name.clone(),
            dns: Dns::clone(dns),
            resolver: Arc::new(Resolver::new(&dns.resolver)),
            dynamics,
            addresses: HashMap::new(),
            failures: HashMap::new(),
            unknown: dns.endpoints.endpoints().filter_map(|endpoint| endpoint.resolve.clone()).collect(),
            warms: cluster.health_check.is_none(),
        })
    }

    /// Until the cluster is gone.
    pub(crate) async fn run(mut self) {
        let mut asked: FuturesUnordered<BoxFuture<'static, Asked>> =
            self.unknown.iter().map(|name| self.ask(name.clone(), Duration::ZERO)).collect();
        if asked.is_empty() {
            self.publish();
        }
        while let Some((name, result)) = asked.next().await {
            let wait = self.take(&name, result);
            asked.push(self.ask(name, wait));
        }
    }

    fn ask(&self, name: String, wait: Duration) -> BoxFuture<'static, Asked> {
        let (resolver, family) = (self.resolver.clone(), self.dns.lookup_family);
        Box::pin(async move {
            tokio::time::sleep(wait).await;
            let answer = resolver.look_up(&name, family).await;
            (name, answer)
        })
    }

    /// The time until the name is looked up again.
    fn take(&mut self, name: &str, result: Result<Answer, LookupError>) -> Duration {
        let was_unknown = self.unknown.remove(name);
        let wait = match result {
            Ok(answer) => {
                self.failures.remove(name);
                let ttl = Some(answer.ttl).filter(|ttl| self.dns.respect_ttl && !ttl.is_zero());
                // As in Envoy, a logical name keeps its address when there is none any more.
                let keeps = self.dns.is_logical && answer.addresses.is_empty() && self.addresses.contains_key(name);
                if !keeps && self.addresses.get(name) != Some(&answer.addresses) {
                    self.addresses.insert(name.to_owned(), answer.addresses);
                    self.publish();
                }
                ttl.unwrap_or(self.dns.refresh_rate)
            }
            Err(error) => {
                tracing::debug!(cluster = self.cluster, name, %error, "a name cannot be looked up; the last answer stays");
                let failures = self.failures.entry(name.to_owned()).or_default();
                *failures = failures.saturating_add(1);
                match self.dns.failure_refresh_rate {
                    None => self.dns.refresh_rate,
                    Some((base, max)) => {
                        // Envoy's back-off with full jitter.
                        let most = base.saturating_mul(2_u32.saturating_pow((*failures).min(16))).min(max);
                        most.mul_f64(rand::random::<f64>()).max(Duration::from_millis(1))
                    }
                }
            }
        };
        if was_unknown && self.unknown.is_empty() {
            self.publish();
            if self.warms {
                self.dynamics.set_warm();
            }
        }
        wait + self.dns.jitter.mul_f64(rand::random::<f64>())
    }

    fn publish(&self) {
        // Envoy shows a cluster's endpoints once all its names have an answer.
        if self.unknown.is_empty() {
            self.dynamics.set_endpoints(Arc::new(resolved(&self.dns, &self.addresses)));
            if self.warms {
                self.dynamics.set_warm();
            }
        }
    }
}

/// The endpoints at the addresses of their names; an address counts once.
fn resolved(dns: &Dns, addresses: &HashMap<String, Vec<IpAddr>>) -> EndpointSet {
    let most = if dns.is_logical { 1 } else { usize::MAX };
    let mut seen = BTreeSet::new();
    let mut resolve = |endpoint: &Endpoint| -> Vec<Endpoint> {
        let Some(name) = &endpoint.resolve else { return vec![endpoint.clone()] };
        let known = addresses.get(name).map(Vec::as_slice).unwrap_or_default();
        let addresses = known.iter().take(most).map(|ip| SocketAddr::new(*ip, endpoint.address.port()));
        let at = |address| Endpoint {
            address,
            hostname: if endpoint.hostname.is_empty() { name.clone() } else { endpoint.hostname.clone() },
            resolve: None,
            ..endpoint.clone()
        };
        addresses.filter(|address| seen.insert(*address)).map(at).collect()
    };
    let localities = dns.endpoints.localities.iter().map(|locality| LocalityEndpoints {
        endpoints: locality.endpoints.iter().flat_map(&mut resolve).collect(),
        ..locality.clone()
    });
    EndpointSet { localities: localities.collect(), ..EndpointSet::clone(&dns.endpoints) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_once_and_a_logical_name_has_one() {
        let endpoint = |name: &str, port: u16| Endpoint {
            resolve: Some(name.into()),
            ..Endpoint::new(SocketAddr::from(([0, 0, 0, 0], port)))
        };
        let locality = LocalityEndpoints {
            endpoints: vec![endpoint("a.test", 80), endpoint("b.test", 80), endpoint("c.test", 81)],
            ..LocalityEndpoints::default()
        };
        let set = EndpointSet { localities: vec![locality], ..EndpointSet::default() };
        let mut dns = Dns::new(Arc::new(set));
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let addresses = HashMap::from([("a.test".into(), vec![ip(1), ip(2)]), ("b.test".into(), vec![ip(2), ip(3)])]);
        let found = |dns: &Dns| -> Vec<String> {
            resolved(dns, &addresses).endpoints().map(|found| format!("{} {}", found.hostname, found.address)).collect()
        };
        assert_eq!(found(&dns), ["a.test 10.0.0.1:80", "a.test 10.0.0.2:80", "b.test 10.0.0.3:80"]);
        dns.is_logical = true;
        assert_eq!(found(&dns), ["a.test 10.0.0.1:80", "b.test 10.0.0.2:80"]);
    }
}
