//! The mesh that all cases share: upstream's base objects, a workload for each of their backends, and a proxy for each
//! gateway that a case looks at.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use leno_e2e::{GatewayProxy, Mesh, Workload, WorkloadOptions};
use serde_json::Value;

use crate::secrets;

const INFRA: &str = "gateway-conformance-infra";
const APP: &str = "gateway-conformance-app-backend";
const WEB: &str = "gateway-conformance-web-backend";
/// Those that speak HTTP/1.1.
const BACKENDS: [(&str, &str); 6] = [
    (INFRA, "infra-backend-v1"),
    (INFRA, "infra-backend-v2"),
    (INFRA, "infra-backend-v3"),
    (APP, "app-backend-v1"),
    (APP, "app-backend-v2"),
    (WEB, "web-backend"),
];

pub(crate) struct Site {
    manifests: PathBuf,
    gateways: BTreeMap<String, GatewayProxy>,
    _backends: Vec<Workload>,
    // Last: the others still talk to it as they end.
    mesh: Mesh,
}

impl Site {
    pub(crate) fn start(manifests: &Path) -> anyhow::Result<Self> {
        let mesh = Mesh::start(&filled_in(&std::fs::read_to_string(manifests.join("base/manifests.yaml"))?))?;
        mesh.write_resources("secrets.yaml", &secrets::make(mesh.path())?)?;
        let mut backends = Vec::new();
        for (namespace, name) in BACKENDS {
            let token = mesh.token_in(namespace, &[name], 1)?;
            backends.push(mesh.run(&WorkloadOptions {
                port: Some("3000:http"),
                app: &["echo", "--name", name],
                arguments: &["-n", namespace],
                ..WorkloadOptions::new(name, name, &token)
            })?);
        }
        Ok(Self { manifests: manifests.to_owned(), gateways: BTreeMap::new(), _backends: backends, mesh })
    }

    /// The objects of a case.
    pub(crate) fn apply(&self, manifests: &[String]) -> anyhow::Result<()> {
        for name in manifests {
            let path = self.manifests.join("tests").join(name);
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            self.mesh.write_resources(&format!("case-{}", name.replace('/', "-")), &filled_in(&text))?;
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
        let base = ["same-namespace", "same-namespace-with-https-listener", "all-namespaces", "backend-namespaces"];
        self.gateways.retain(|name, _| base.iter().any(|base| name.ends_with(&format!("/{base}"))));
        Ok(())
    }

    /// Where a gateway is; its proxy is started if there is none.
    pub(crate) fn gateway(&mut self, name: &str) -> anyhow::Result<Ipv4Addr> {
        if let Some(gateway) = self.gateways.get(name) {
            return Ok(gateway.address);
        }
        let (namespace, own) = name.split_once('/').context("no namespace")?;
        self.object("Gateway", name)?;
        let token = self.mesh.token_in(namespace, &[own], 1)?;
        let gateway = self.mesh.gateway(namespace, own, &token)?;
        let address = gateway.address;
        self.gateways.insert(name.to_owned(), gateway);
        Ok(address)
    }

    /// Of a listener, or of the first.
    pub(crate) fn port(&self, gateway: &str, listener: Option<&str>) -> anyhow::Result<u64> {
        let object = self.object("Gateway", gateway)?;
        let listeners = object["spec"]["listeners"].as_array().context("no listeners")?;
        let mut wanted = listeners.iter().filter(|one| listener.is_none_or(|name| one["name"] == name));
        wanted.next().and_then(|one| one["port"].as_u64()).context("no such listener")
    }

    pub(crate) fn status(&self, kind: &str, name: &str) -> anyhow::Result<Value> {
        Ok(self.object(kind, name)?["status"].take())
    }

    pub(crate) fn object(&self, kind: &str, name: &str) -> anyhow::Result<Value> {
        let (namespace, own) = name.split_once('/').context("no namespace")?;
        let text = self.mesh.cli_ok(&["get", &kind.to_ascii_lowercase(), own, "-n", namespace, "-o", "json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    #[allow(clippy::disallowed_methods, reason = "polling other processes needs a pause")]
    pub(crate) fn pause(&self) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// As upstream's suite fills them in.
fn filled_in(manifests: &str) -> String {
    manifests
        .replace("{GATEWAY_CLASS_NAME}", "leno")
        .replace("{GATEWAY_CONTROLLER_NAME}", "leno.dev/gateway-controller")
        .replace("PLACEHOLDER_UNUSABLE_ADDRS", "192.0.2.1")
        .replace("PLACEHOLDER_USABLE_ADDRS", "127.0.0.1")
}
