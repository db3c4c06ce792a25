//! What a cluster does with upstream's manifests: a server for each Deployment that is no workload of the mesh, and
//! EndpointSlices for the Services that select it.
//!
//! Shape       1 Deployment -> 1 `Echo` with a port for each that upstream's image has -> n EndpointSlice

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Context;
use leno_e2e::{Echo, Spoken};
use serde_json::Value;

use crate::secrets::Certificates;

#[derive(Default)]
pub(crate) struct Cluster {
    /// By namespace and the label `app`.
    servers: BTreeMap<(String, String), Server>,
    /// Addresses of the workloads of the mesh.
    pods: BTreeMap<(String, String), String>,
}

struct Server {
    echo: Echo,
    /// By the container's port.
    ports: BTreeMap<u64, SocketAddr>,
}

impl Cluster {
    /// Starts what `manifests` deploy, but `meshed`; the value is the slices of their Services.
    pub(crate) fn run(
        &mut self,
        manifests: &str,
        certificates: &Certificates,
        meshed: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(manifests).context("reading manifests")?;
        let of = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
        for object in of("Deployment") {
            let (namespace, app) = place(object, &object["spec"]["template"]["metadata"]["labels"]["app"]);
            let is_meshed = meshed.contains(&(&namespace, &app));
            if !is_meshed && !self.servers.contains_key(&(namespace.clone(), app.clone())) {
                let server = Server::start(object, &namespace, &app, certificates)?;
                self.servers.insert((namespace, app), server);
            }
        }
        let mut slices = String::new();
        for object in of("Service") {
            let key = place(object, &object["spec"]["selector"]["app"]);
            let address = |target: u64| match self.servers.get(&key) {
                Some(server) => server.ports.get(&target).map(|address| (address.ip().to_string(), address.port())),
                None => Some((self.pods.get(&key)?.clone(), u16::try_from(target).ok()?)),
            };
            slices += &slices_of(object, &key.0, address);
        }
        Ok(slices)
    }

    /// Slices name a workload from now on.
    pub(crate) fn add_pod(&mut self, namespace: &str, app: &str, address: &str) {
        self.pods.insert((namespace.to_owned(), app.to_owned()), address.to_owned());
    }

    /// How often one of the servers was asked for a path.
    pub(crate) fn seen(&self, app: &str, path: &str) -> u64 {
        self.servers.iter().filter(|((_, name), _)| name == app).map(|(_, server)| server.echo.seen(path)).sum()
    }
}

fn place(object: &Value, app: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&object["metadata"]["namespace"]), text(app))
}

impl Server {
    /// With what its environment says; other images have nothing here.
    fn start(object: &Value, namespace: &str, app: &str, certificates: &Certificates) -> anyhow::Result<Self> {
        let pod = &object["spec"]["template"]["spec"];
        let environment = pod["containers"][0]["env"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_set = |name: &str| environment.iter().any(|one| one["name"] == name);
        let spoken = if is_set("TCP_ECHO_SERVER") { Spoken::Lines } else { Spoken::Http };
        let echo = Echo::new(app)?;
        let mut ports = BTreeMap::from([(3000, echo.anywhere(spoken, None)?)]);
        let volumes = pod["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let secret = volumes.iter().find_map(|volume| volume["secret"]["secretName"].as_str());
        if let Some(certificate) = secret.and_then(|secret| certificates.get(&format!("{namespace}/{secret}"))) {
            ports.insert(8443, echo.anywhere(spoken, Some(certificate))?);
        }
        Ok(Self { echo, ports })
    }
}

/// One for each port: here each has an address of its own.
fn slices_of(service: &Value, namespace: &str, address: impl Fn(u64) -> Option<(String, u16)>) -> String {
    let service_name = service["metadata"]["name"].as_str().unwrap_or_default();
    let ports = service["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let slice = |(index, port): (usize, &Value)| {
        let (ip, number) = address(port["targetPort"].as_u64().or(port["port"].as_u64())?)?;
        let name = port["name"].as_str().unwrap_or_default();
        Some(format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {service_name}-{index}\n  \
             namespace: {namespace}\n  labels: {{ kubernetes.io/service-name: {service_name} }}\naddressType: IPv4\n\
             ports: [{{ name: \"{name}\", port: {number} }}]\nendpoints: [{{ addresses: [{ip}] }}]\n",
        ))
    };
    ports.iter().enumerate().filter_map(slice).collect()
}
