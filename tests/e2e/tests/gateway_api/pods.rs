//! The mesh of upstream's mesh cases: two versions of a server, and a client of another namespace, each with its sidecar.
//!
//! Shape       1 workload -> its sidecar's DNS -> the loopback address of a service -> its sidecar
//! Source      Gateway API v1.6, conformance/mesh: the same services and ports

use std::ffi::OsString;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, ensure};
use leno_e2e::{Mesh, Workload, WorkloadOptions, echo_server};

const NAMESPACE: &str = "gateway-conformance-mesh";
const CONSUMER: &str = "gateway-conformance-mesh-consumer";
/// Namespace and version; the one of the consumer's namespace only calls.
const PODS: [(&str, &str); 3] = [(NAMESPACE, "v1"), (NAMESPACE, "v2"), (CONSUMER, "v1")];

#[derive(Default)]
pub(crate) struct Pods {
    /// With their namespaces.
    running: Vec<(&'static str, Workload)>,
}

impl Pods {
    /// The first time.
    pub(crate) fn start(&mut self, mesh: &Mesh) -> anyhow::Result<()> {
        if !self.running.is_empty() {
            return Ok(());
        }
        mesh.write_resources("mesh-base.yaml", &objects())?;
        for (namespace, version) in PODS {
            let service = format!("echo-{version}");
            let name = if namespace == CONSUMER { "consumer" } else { &service };
            let token = mesh.token_in(namespace, &[&service], 1)?;
            let program = [echo_server().into_os_string(), service.clone().into()].into_iter();
            let program: Vec<_> = program.chain(["8080", "7070", "9090=lines"].map(OsString::from)).collect();
            let options = WorkloadOptions {
                version,
                port: Some("8080:http"),
                arguments: &["--port", "7070:grpc", "--port", "9090:tcp", "--label", "app=echo", "-n", namespace],
                ..WorkloadOptions::new(&service, name, &token)
            };
            self.running.push((namespace, mesh.run_command(&options, &program)?));
        }
        Ok(())
    }

    /// As `namespace/name` sees it.
    pub(crate) fn reach(&self, pod: &str, to: &str) -> anyhow::Result<String> {
        let find = |namespace: &str, name: &str| {
            let name = if namespace == CONSUMER { "consumer" } else { name };
            let found = self.running.iter().find(|(space, pod)| *space == namespace && pod.name == name);
            found.map(|(_, pod)| pod).with_context(|| format!("no workload {namespace}/{name}"))
        };
        let (namespace, name) = pod.split_once('/').context("no namespace")?;
        if let Some(other) = to.strip_prefix('@') {
            return Ok(format!("{}:8080", find(NAMESPACE, other)?.ready.address("app")));
        }
        let (host, port) = to.split_once(':').unwrap_or((to, "80"));
        let host = if host.contains('.') { host.to_owned() } else { format!("{host}.{namespace}") };
        let address = look_up(find(namespace, name)?.ready.address("dns"), &format!("{host}.svc.cluster.local"))?;
        Ok(format!("{address}:{port}"))
    }
}

/// Every pod with the right labels stands behind these services: a cluster asks nobody.
fn objects() -> String {
    let mut text = String::new();
    for namespace in [NAMESPACE, CONSUMER] {
        text += &format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{ name: {namespace} }}\n");
    }
    for (name, version) in [("echo-v1", "version: v1"), ("echo-v2", "version: v2"), ("echo", "app: echo")] {
        text += &format!(
            "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n  \
             annotations: {{ leno.dev/service-accounts: 'echo-v1,echo-v2' }}\nspec:\n  selector: {{ app: echo, {version} }}\n  \
             ports:\n    - {{ name: http, port: 80, appProtocol: http, targetPort: 8080 }}\n    \
             - {{ name: http-alt, port: 8080, appProtocol: http }}\n    - {{ name: https, port: 443, targetPort: 8443 }}\n    \
             - {{ name: tcp, port: 9090 }}\n    - {{ name: grpc, port: 7070 }}\n"
        );
    }
    text.replace("app: echo, app: echo", "app: echo")
}

/// The first address of a name (RFC 1035 §4).
fn look_up(server: &str, name: &str) -> anyhow::Result<Ipv4Addr> {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len())?);
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.send_to(&query, server)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let answer = &answer[..length];
    ensure!(length > query.len() + 4 && answer[7] > 0, "{name} is not known to {server}");
    // An A record ends in its address, and it is the last part of the answer.
    let address: [u8; 4] = answer[length - 4..].try_into()?;
    Ok(address.into())
}
