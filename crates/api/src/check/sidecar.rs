use super::{Checked, host, port, report};
use crate::SidecarSpec;

pub(super) fn check(spec: &SidecarSpec, found: &mut Checked) {
    for (index, listener) in spec.egress.iter().enumerate() {
        for (number, text) in listener.hosts.iter().enumerate() {
            let at = format!("spec.egress[{index}].hosts[{number}]");
            match text.split_once('/') {
                Some((namespace, name)) if !namespace.is_empty() => {
                    if name != "*" {
                        host(found, at, name);
                    }
                }
                _ => report(found, at, format!("\"{text}\" names no namespace; write it like ./{text} or */{text}")),
            }
        }
    }
    for (index, listener) in spec.ingress.iter().enumerate() {
        let at = format!("spec.ingress[{index}]");
        port(found, format!("{at}.port.number"), Some(listener.port.number));
        let endpoint = listener.default_endpoint.as_deref().filter(|text| !text.starts_with("unix://"));
        if let Some(text) = endpoint.filter(|text| text.parse::<std::net::SocketAddr>().is_err()) {
            report(
                found,
                format!("{at}.defaultEndpoint"),
                format!("\"{text}\" is no address; write it like 127.0.0.1:8080"),
            );
        }
    }
}
