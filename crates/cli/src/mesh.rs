use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use leno_api::{Resource, ResourceKey};
use leno_compile::Compiler;
use leno_ir::{Config, Flavor, GatewayRole, Node};
use leno_model::{Client, MeshSettings, Problem, Snapshot};
use leno_names::{Locality, ServiceKey, TrustDomain};

/// What objects make of a mesh, and what its proxies would run.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) problems: Vec<Problem>,
    compiler: Compiler,
}

impl Mesh {
    pub(crate) fn of(resources: &[Arc<Resource>], trust_domain: &TrustDomain) -> Self {
        Self::numbered(resources, trust_domain, &numbers(resources))
    }

    /// With the numbers of services given: meshes that are compared have the same.
    pub(crate) fn numbered(
        resources: &[Arc<Resource>],
        trust_domain: &TrustDomain,
        numbers: &BTreeMap<ServiceKey, u16>,
    ) -> Self {
        let settings = MeshSettings::new(trust_domain.clone());
        let (snapshot, mut problems) = Snapshot::build(resources, &settings, numbers);
        let snapshot = Arc::new(snapshot);
        let mut compiler = Compiler::new();
        compiler.update(&snapshot);
        problems.extend(compiler.problems());
        Self { snapshot, problems, compiler }
    }

    /// The mesh as clients of a namespace with such labels see it.
    pub(crate) fn seen_by(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Snapshot {
        self.snapshot.seen_by(&self.snapshot.scope_of(Client { namespace, labels }))
    }

    /// What the proxy of such a client runs, its own inbound side left out.
    pub(crate) fn config(&mut self, namespace: &str, labels: &BTreeMap<String, String>) -> Arc<Config> {
        self.compiler.node(&node(namespace, labels, None))
    }

    /// What a proxy runs that serves a Gateway.
    pub(crate) fn gateway_config(&mut self, key: &ResourceKey) -> Arc<Config> {
        let (namespace, name) = (key.namespace.clone(), key.name.clone());
        let role = GatewayRole { namespace, name, bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
        self.compiler.node(&node(&key.namespace, &BTreeMap::new(), Some(role)))
    }
}

fn node(namespace: &str, labels: &BTreeMap<String, String>, gateway: Option<GatewayRole>) -> Node {
    let proxy = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15001);
    let what = if gateway.is_some() { "gateway" } else { "client" };
    Node {
        id: format!("{what}.{namespace}"),
        flavor: Flavor::Leno,
        locality: Locality::default(),
        namespace: namespace.to_owned(),
        service_account: String::new(),
        workload: String::new(),
        service: None,
        labels: labels.clone(),
        address: None,
        ports: Vec::new(),
        outbound_prefix: Some([127, 64]),
        http_proxy: Some(proxy),
        gateway,
        access_log: None,
        access_log_format: None,
        control: None,
    }
}

/// Any numbers will do: nothing is bound.
pub(crate) fn numbers<'a>(resources: impl IntoIterator<Item = &'a Arc<Resource>>) -> BTreeMap<ServiceKey, u16> {
    let resources: Vec<_> = resources.into_iter().cloned().collect();
    leno_model::service_keys(&resources).into_iter().zip(256..).collect()
}
