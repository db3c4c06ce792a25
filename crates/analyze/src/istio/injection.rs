use std::collections::BTreeSet;

use crate::Object;
use crate::codes::{IST0102, IST0103, IST0123, IST0148};
use crate::finding::Findings;
use crate::istio::images::injector;
use crate::json::{at, text, yaml};
use crate::kinds::{CONFIG_MAP, NAMESPACE, POD};
use crate::objects::Objects;
use crate::workloads::proxy_image;

const LABEL: &str = "istio-injection";
const REVISION: &str = "istio.io/rev";
const MODE: &str = "istio.io/dataplane-mode";

/// Who gets sidecars, who does not, and where that is not clear.
pub(crate) fn sidecars(objects: &Objects, found: &mut Findings) {
    let mut injected = BTreeSet::new();
    for namespace in objects.of(NAMESPACE).filter(|namespace| namespace.name != objects.root_namespace()) {
        let label = namespace.label(LABEL);
        several(namespace, found);
        if namespace.label(MODE) == Some("ambient") {
            continue;
        }
        match (label.unwrap_or_default(), namespace.label(REVISION)) {
            ("", None) if gives_to_all(objects) => {
                found.report(namespace, IST0148, "", "its pods get sidecars, as the installation gives them to all");
            }
            ("", None) => {
                let message = format!(
                    "its pods get no sidecars; the label {LABEL}=enabled gives them, {LABEL}=disabled says that it is meant"
                );
                found.report(namespace, IST0102, "metadata.name", message);
            }
            ("enabled", _) => {
                injected.insert(namespace.name.as_str());
            }
            _ => {}
        }
    }
    for pod in objects.of(POD).filter(|pod| injected.contains(pod.namespace.as_str())) {
        let inject = pod.label("sidecar.istio.io/inject").or_else(|| pod.annotation("sidecar.istio.io/inject"));
        let is_out = inject.is_some_and(|inject| inject.eq_ignore_ascii_case("false"))
            || at(&pod.json, "spec.hostNetwork").as_bool() == Some(true);
        if !is_out && proxy_image(at(&pod.json, "spec")).is_none() {
            let message =
                "it has no sidecar although its namespace gives them; it may be older than the label: start it again";
            found.report(pod, IST0103, "", message);
        }
    }
}

fn several(namespace: &Object, found: &mut Findings) {
    let value = namespace.label(LABEL);
    let mut asks: Vec<_> = value.map(|value| format!("{LABEL}={value}")).into_iter().collect();
    if value.is_none_or(|value| value == "enabled") {
        let others = [REVISION, MODE].into_iter().filter_map(|label| Some((label, namespace.label(label)?)));
        asks.extend(others.map(|(label, value)| format!("{label}={value}")));
    }
    if asks.len() > 1 {
        let message = format!("the labels {} contradict each other; keep one", asks.join(", "));
        found.report(namespace, IST0123, "metadata.labels", message);
    }
}

/// `enableNamespacesByDefault` of the installation.
fn gives_to_all(objects: &Objects) -> bool {
    let map = objects.of(CONFIG_MAP).find(|map| map.name == injector(""));
    let values = map.map(|map| yaml(text(&map.json, "data.values"))).unwrap_or_default();
    at(&values, "sidecarInjectorWebhook.enableNamespacesByDefault").as_bool() == Some(true)
}
