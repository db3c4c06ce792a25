//! Credentials of gateways.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::Object;
use crate::codes::{IST0101, IST0138, IST0161};
use crate::finding::Findings;
use crate::json::{at, labels, list, text};
use crate::kinds::{ISTIO_GATEWAY, POD, SECRET};
use crate::objects::Objects;
use crate::selector::{selects, shown};

/// Secrets that are missing or hold no usable certificate.
pub(crate) fn secrets(objects: &Objects, found: &mut Findings) {
    for gateway in objects.of(ISTIO_GATEWAY) {
        let wanted = labels(&gateway.json, "spec.selector");
        // Credentials are read where the gateway's pods are.
        let Some(pod) = objects.of(POD).find(|pod| selects(&wanted, &pod.labels())) else {
            let message = format!("no pod has the labels {}", shown(&wanted));
            found.report(gateway, IST0101, "spec.selector", message);
            continue;
        };
        for (index, server) in list(&gateway.json, "spec.servers").iter().enumerate() {
            let name = text(server, "tls.credentialName");
            if name.is_empty() {
                continue;
            }
            let field = format!("spec.servers[{index}].tls.credentialName");
            match objects.find_named(SECRET, &pod.namespace, name) {
                None => {
                    let message = format!("there is no Secret {}/{name}, where the gateway's pods are", pod.namespace);
                    found.report(gateway, IST0101, field, message);
                }
                Some(secret) => {
                    if let Err(problem) = usable(secret, objects.now) {
                        found.report(gateway, IST0161, field, format!("Secret {}: {problem}", secret.full_name()));
                    }
                }
            }
        }
    }
}

/// Whether a Secret holds a certificate that is valid now.
pub(crate) fn usable(secret: &Object, now: i64) -> Result<(), String> {
    let value = |key: &str| {
        let named = |map: &str| at(&secret.json, map).get(key).and_then(Value::as_str);
        let plain = named("stringData").map(|text| text.as_bytes().to_vec());
        plain.or_else(|| STANDARD.decode(named("data")?.split_whitespace().collect::<String>()).ok())
    };
    // Kubernetes' names, and Istio's own.
    let pair = [("tls.crt", "tls.key"), ("cert", "key")]
        .into_iter()
        .find_map(|(certificate, key)| Some((value(certificate)?, value(key)?)));
    let Some((certificate, key)) = pair else { return Err("it has no tls.crt and tls.key".to_owned()) };
    if key.is_empty() {
        return Err("its key is empty".to_owned());
    }
    let (_, pem) =
        x509_parser::pem::parse_x509_pem(&certificate).map_err(|_| "its certificate is no PEM".to_owned())?;
    let parsed = pem.parse_x509().map_err(|_| "its certificate is none of X.509".to_owned())?;
    let validity = parsed.validity();
    match () {
        () if validity.not_after.timestamp() < now => Err(format!("its certificate ended at {}", validity.not_after)),
        () if validity.not_before.timestamp() > now => {
            Err(format!("its certificate begins at {}", validity.not_before))
        }
        () => Ok(()),
    }
}

/// One certificate on several gateways.
pub(crate) fn shared(objects: &Objects, found: &mut Findings) {
    for gateway in objects.of(ISTIO_GATEWAY) {
        let wanted = labels(&gateway.json, "spec.selector");
        for other in objects.of(ISTIO_GATEWAY).filter(|other| other.index != gateway.index) {
            if !selects(&wanted, &labels(&other.json, "spec.selector")) {
                continue;
            }
            for (index, server) in list(&gateway.json, "spec.servers").iter().enumerate() {
                let twins = list(&other.json, "spec.servers").iter();
                for _ in twins.filter(|twin| is_same(at(server, "tls"), at(twin, "tls"))) {
                    let message = format!(
                        "it shares its certificate with {}: a client that reuses a connection for both may get 404",
                        other.describe()
                    );
                    found.report(gateway, IST0138, format!("spec.servers[{index}].tls"), message);
                }
            }
        }
    }
}

fn is_same(a: &Value, b: &Value) -> bool {
    let both = |field: &str| !text(a, field).is_empty() && text(a, field) == text(b, field);
    let neither = |field: &str| text(a, field).is_empty() && text(b, field).is_empty();
    both("credentialName") || (neither("credentialName") && both("serverCertificate") && both("privateKey"))
}
