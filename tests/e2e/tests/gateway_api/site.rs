//! The mesh that all cases share: upstream's base objects, a workload or a server for each of their backends, and a proxy for
//! each gateway that a case looks at.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use leno_e2e::{EchoTls, GatewayProxy, LIMIT, Mesh, Workload, WorkloadOptions, echo_server, eventually, free_address};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::pods::Pods;
use crate::secrets::{self, Certificates};

const INFRA: &str = "gateway-conformance-infra";
const APP: &str = "gateway-conformance-app-backend";
const WEB: &str = "gateway-conformance-web-backend";
/// Those that have a sidecar; the others are strangers to the mesh.
const MESHED: [(&str, &str); 4] =
    [(INFRA, "infra-backend-v1"), (APP, "app-backend-v1"), (APP, "app-backend-v2"), (WEB, "web-backend")];

pub(crate) struct Site {
    manifests: PathBuf,
    certificates: Certificates,
    cluster: Cluster,
    gateways: BTreeMap<String, GatewayProxy>,
    backends: Vec<Workload>,
    /// Objects of the case went through the API: it changes them.
    applied: Vec<String>,
    /// For requests that are like no other.
    unique: u64,
    /// Of gateways and their listeners, while the case lasts.
    ports: BTreeMap<(String, Option<String>), u64>,
    /// Where a gateway can be that asks for an address.
    usable: Ipv4Addr,
    pods: Pods,
    // Last: the others still talk to it as they end.
    mesh: Mesh,
}

impl Site {
    pub(crate) fn start(manifests: &Path) -> anyhow::Result<Self> {
        let usable = free_address()?;
        let base = filled_in(&std::fs::read_to_string(manifests.join("base/manifests.yaml"))?, usable);
        let mesh = Mesh::start(&base)?;
        let (certificates, objects) = secrets::make()?;
        mesh.write_resources("secrets.yaml", &objects)?;
        let mut cluster = Cluster::default();
        mesh.write_resources("slices.yaml", &cluster.run(&base, &certificates, &MESHED)?)?;
        let mut backends = Vec::new();
        for (namespace, name) in MESHED {
            let token = mesh.token_in(namespace, &[name], 1)?;
            let program = [echo_server().into_os_string()].into_iter();
            let program: Vec<_> = program.chain([name, "3000", "3001"].map(OsString::from)).collect();
            let options = WorkloadOptions {
                port: Some("3000:http"),
                arguments: &["--port", "3001:http2", "-n", namespace],
                ..WorkloadOptions::new(name, name, &token)
            };
            let backend = mesh.run_command(&options, &program)?;
            cluster.add_pod(namespace, name, backend.ready.address("app"));
            backends.push(backend);
        }
        Ok(Self {
            manifests: manifests.to_owned(),
            certificates,
            cluster,
            gateways: BTreeMap::new(),
            backends,
            applied: Vec::new(),
            unique: 0,
            ports: BTreeMap::new(),
            usable,
            pods: Pods::default(),
            mesh,
        })
    }

    /// The objects of a case: files, or written through the API where the case is going to change them.
    pub(crate) fn apply(&mut self, manifests: &[String], changes: bool) -> anyhow::Result<()> {
        for name in manifests {
            let path = self.manifests.join("tests").join(name);
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let text = filled_in(&text, self.usable);
            let slices = self.cluster.run(&text, &self.certificates, &MESHED)?;
            let file = name.replace('/', "-");
            self.mesh.write_resources(&format!("case-slices-{file}"), &slices)?;
            if changes {
                let file = self.mesh.file(&file, &text);
                self.mesh.cli_ok(&["apply", "-f", &file])?;
                self.applied.push(file);
            } else {
                self.mesh.write_resources(&format!("case-{file}"), &text)?;
            }
        }
        Ok(())
    }

    /// The case is over.
    pub(crate) fn clear(&mut self) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(self.mesh.path().join("resources"))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("case-") {
                std::fs::remove_file(entry.path())?;
            }
        }
        for file in self.applied.drain(..) {
            // What the case has deleted is gone already.
            self.mesh.cli(&["delete", "-f", &file])?;
        }
        self.ports.clear();
        let base = ["same-namespace", "same-namespace-with-https-listener", "all-namespaces", "backend-namespaces"];
        self.gateways.retain(|name, _| base.iter().any(|base| name.ends_with(&format!("/{base}"))));
        Ok(())
    }

    /// Changes an object as a JSON merge patch says (RFC 7396), and sees that its generation is another then.
    pub(crate) fn patch(&mut self, kind: &str, name: &str, patch: &Value) -> anyhow::Result<()> {
        let mut object = self.object(kind, name)?;
        let before = object["metadata"]["generation"].clone();
        merge(&mut object, &serde_json::from_str(&filled_in(&patch.to_string(), self.usable))?);
        self.write(&object)?;
        let after = &self.object(kind, name)?["metadata"]["generation"];
        anyhow::ensure!(*after != before || before.is_null(), "{name} still has generation {before}");
        Ok(())
    }

    /// Makes or overwrites `to` with what `from` holds.
    pub(crate) fn copy(&mut self, kind: &str, from: &str, to: &str) -> anyhow::Result<()> {
        let mut object = self.object(kind, from)?;
        let (namespace, name) = to.split_once('/').context("no namespace")?;
        object["metadata"] = json!({ "name": name, "namespace": namespace });
        self.write(&object)
    }

    pub(crate) fn write(&mut self, object: &Value) -> anyhow::Result<()> {
        let mut object = object.clone();
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        let metadata = &object["metadata"];
        let kept = ["name", "namespace", "labels", "annotations"];
        let kept = kept.iter().filter(|key| !metadata[**key].is_null());
        object["metadata"] =
            kept.map(|key| ((*key).to_owned(), metadata[*key].clone())).collect::<serde_json::Map<_, _>>().into();
        let name = format!("{}-{}", object["kind"], object["metadata"]["name"]).replace('"', "");
        let file = self.mesh.file(&format!("changed-{name}.json"), &object.to_string());
        self.mesh.cli_ok(&["apply", "-f", &file])?;
        self.applied.push(file);
        Ok(())
    }

    pub(crate) fn delete(&self, kind: &str, name: &str) -> anyhow::Result<()> {
        let (namespace, own) = name.split_once('/').context("no namespace")?;
        self.mesh.cli_ok(&["delete", &kind.to_ascii_lowercase(), own, "-n", namespace])?;
        Ok(())
    }

    /// The addresses of a workload, as endpoints of a slice.
    pub(crate) fn endpoints_of(&self, workload: &str) -> anyhow::Result<Value> {
        let backend = self.backends.iter().find(|backend| backend.name == workload).context("no such workload")?;
        let conditions = json!({ "ready": true, "serving": true, "terminating": false });
        Ok(json!([{ "addresses": [backend.ready.address("app")], "conditions": conditions }]))
    }

    /// How often a server that is a stranger to the mesh was asked for a path.
    pub(crate) fn seen(&self, app: &str, path: &str) -> u64 {
        self.cluster.seen(app, path)
    }

    pub(crate) fn certificate(&self, secret: &str) -> anyhow::Result<EchoTls> {
        self.certificates.get(secret).cloned().with_context(|| format!("no certificate {secret}"))
    }

    pub(crate) fn unique(&mut self) -> u64 {
        self.unique += 1;
        self.unique
    }

    /// Where a workload of the mesh reaches `to`: a service by name, or `@NAME`, another workload itself.
    pub(crate) fn seen_from(&mut self, pod: &str, to: &str) -> anyhow::Result<String> {
        self.pods.start(&self.mesh)?;
        self.pods.reach(pod, to)
    }

    /// The features that a class of ours says it supports.
    pub(crate) fn claims(&self) -> anyhow::Result<Vec<String>> {
        let class = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: { name: claims }\n\
                     spec: { controllerName: leno.dev/gateway-controller }\n";
        self.mesh.write_resources("claims.yaml", class)?;
        let said = eventually("the status of a class", LIMIT, || {
            let status = self.status("GatewayClass", "claims").ok()?;
            status["supportedFeatures"].as_array().cloned()
        });
        Ok(said.iter().filter_map(|feature| feature["name"].as_str()).map(str::to_owned).collect())
    }

    pub(crate) fn usable(&self) -> Ipv4Addr {
        self.usable
    }

    /// Where a gateway is; its proxy is started if there is none.
    pub(crate) fn gateway(&mut self, name: &str) -> anyhow::Result<Ipv4Addr> {
        if let Some(gateway) = self.gateways.get(name) {
            return Ok(gateway.address);
        }
        let (namespace, own) = name.split_once('/').context("no namespace")?;
        self.object("Gateway", name)?;
        let token = self.mesh.token_in(namespace, &[own], 1)?;
        let object = self.object("Gateway", name)?;
        let mut wanted = object["spec"]["addresses"].as_array().into_iter().flatten();
        let gateway = if wanted.any(|address| address["value"] == self.usable.to_string()) {
            self.mesh.gateway_at(self.usable, namespace, own, &token, &[])?
        } else {
            self.mesh.gateway(namespace, own, &token)?
        };
        let address = gateway.address;
        self.gateways.insert(name.to_owned(), gateway);
        Ok(address)
    }

    /// Of a listener, or of the first; `@443` is a port itself.
    pub(crate) fn port(&mut self, gateway: &str, listener: Option<&str>) -> anyhow::Result<u64> {
        if let Some(port) = listener.and_then(|name| name.strip_prefix('@')) {
            return Ok(port.parse()?);
        }
        let place = (gateway.to_owned(), listener.map(str::to_owned));
        if let Some(port) = self.ports.get(&place) {
            return Ok(*port);
        }
        let object = self.object("Gateway", gateway)?;
        let listeners = object["spec"]["listeners"].as_array().context("no listeners")?;
        let mut wanted = listeners.iter().filter(|one| listener.is_none_or(|name| one["name"] == name));
        let port = wanted.next().and_then(|one| one["port"].as_u64()).context("no such listener")?;
        self.ports.insert(place, port);
        Ok(port)
    }

    pub(crate) fn status(&self, kind: &str, name: &str) -> anyhow::Result<Value> {
        Ok(self.object(kind, name)?["status"].take())
    }

    pub(crate) fn object(&self, kind: &str, name: &str) -> anyhow::Result<Value> {
        // Of a kind without namespaces any will do.
        let (namespace, own) = name.split_once('/').unwrap_or(("default", name));
        let text = self.mesh.cli_ok(&["get", &kind.to_ascii_lowercase(), own, "-n", namespace, "-o", "json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    #[allow(clippy::disallowed_methods, reason = "polling other processes needs a pause")]
    pub(crate) fn pause(&self) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    for (name, value) in fields {
        merge(&mut object[name.as_str()], value);
    }
}

/// As upstream's suite fills them in.
fn filled_in(manifests: &str, usable: Ipv4Addr) -> String {
    manifests
        .replace("{GATEWAY_CLASS_NAME}", "leno")
        .replace("{GATEWAY_CONTROLLER_NAME}", "leno.dev/gateway-controller")
        .replace("PLACEHOLDER_UNUSABLE_ADDRS", "192.0.2.1")
        .replace("PLACEHOLDER_USABLE_ADDRS", &usable.to_string())
}
