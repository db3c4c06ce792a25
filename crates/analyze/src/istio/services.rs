use serde_json::Value;

use crate::codes::{IST0118, IST0150};
use crate::finding::Findings;
use crate::json::{at, list, number, text, word};
use crate::kinds::SERVICE;
use crate::objects::Objects;
use crate::workloads::is_of_istio;

/// Ports whose protocol Istio assumes to be TCP, as the server speaks first: SMTP, DNS, MySQL, MongoDB.
const WELL_KNOWN: [i64; 4] = [25, 53, 3306, 27017];

const PROTOCOLS: [&str; 12] =
    ["tcp", "udp", "grpc", "grpc-web", "http", "http_proxy", "http2", "https", "tls", "mongo", "redis", "mysql"];

const MANAGED: [&str; 3] = ["istio.io-gateway-controller", "istio.io-mesh-controller", "istio.io-eastwest-controller"];

/// Ports that do not say what they speak.
pub(crate) fn port_names(objects: &Objects, found: &mut Findings) {
    for service in objects.of(SERVICE) {
        let is_managed = service.label("gateway.istio.io/managed").is_some_and(|by| MANAGED.contains(&by));
        if is_of_istio(service) || is_managed {
            continue;
        }
        let is_external = text(&service.json, "spec.type") == "ExternalName";
        for (index, port) in list(&service.json, "spec.ports").iter().enumerate() {
            let name = text(port, "name");
            let field = format!("spec.ports[{index}]{}", if name.is_empty() { "" } else { ".name" });
            let advice = "begin its name with one (http-web), or set `appProtocol`";
            if is_external && (protocol(port).is_none() || name == "tcp") {
                let message = format!(
                    "port `{name}` of an external name says no protocol, and the proxy may not forward it; {advice}"
                );
                found.report(service, IST0150, field, message);
            } else if protocol(port).is_none() {
                let number = number(port, "port").unwrap_or_default();
                let target =
                    word(at(port, "targetPort")).map(|target| format!(", target {target}")).unwrap_or_default();
                let message = format!("port `{name}` ({number}{target}) says no protocol, so it is guessed; {advice}");
                found.report(service, IST0118, field, message);
            }
        }
    }
}

/// What a port of a Service speaks, as far as it says so.
pub(crate) fn protocol(port: &Value) -> Option<&'static str> {
    if text(port, "protocol") == "UDP" {
        return Some("udp");
    }
    let name = match text(port, "appProtocol") {
        "" => text(port, "name"),
        "kubernetes.io/h2c" => return Some("http2"),
        "kubernetes.io/ws" => return Some("http"),
        "kubernetes.io/wss" => return Some("https"),
        app => app,
    };
    let name = name.to_ascii_lowercase();
    let name = if name.starts_with("grpc-web") { "grpc-web" } else { name.split('-').next().unwrap_or_default() };
    let known = PROTOCOLS.into_iter().find(|known| *known == name);
    known.or_else(|| number(port, "port").filter(|number| WELL_KNOWN.contains(number)).map(|_| "tcp"))
}
