//! Who is in the mesh.

use serde_json::Value;

use crate::Object;
use crate::json::{Labels, labels, list, text};
use crate::kinds::NAMESPACE;
use crate::objects::Objects;

const INJECT: &str = "sidecar.istio.io/inject";

/// Containers, also those that start before the others.
pub(crate) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    list(spec, "containers").iter().chain(list(spec, "initContainers"))
}

pub(crate) fn proxy_image(spec: &Value) -> Option<&str> {
    let proxy = containers(spec).find(|container| text(container, "name") == "istio-proxy")?;
    Some(text(proxy, "image")).filter(|image| !image.is_empty())
}

/// Whether a pod has a sidecar, or would get one.
pub(crate) fn is_in_mesh(pod: &Object, objects: &Objects) -> bool {
    template_is_in_mesh(&pod.json, &pod.namespace, objects)
}

/// The same for the template of pods: an object with `metadata` and `spec`.
pub(crate) fn template_is_in_mesh(template: &Value, namespace: &str, objects: &Objects) -> bool {
    if proxy_image(template.get("spec").unwrap_or(&Value::Null)).is_some() {
        return true;
    }
    let says = |labels: Labels| labels.get(INJECT).map(|value| value == "true");
    says(labels(template, "metadata.labels"))
        .or_else(|| says(labels(template, "metadata.annotations")))
        .or_else(|| {
            let namespace = objects.find(NAMESPACE, "", namespace)?;
            Some(namespace.label("istio-injection") == Some("enabled"))
        })
        .unwrap_or(false)
}

pub(crate) fn is_ambient(pod: &Object) -> bool {
    pod.annotation("ambient.istio.io/redirection") == Some("enabled")
}

pub(crate) fn is_ambient_namespace(namespace: &Object) -> bool {
    namespace.label("istio-injection") != Some("enabled")
        && namespace.label("istio.io/rev").is_none_or(str::is_empty)
        && namespace.label("istio.io/dataplane-mode") == Some("ambient")
}

/// Objects that came with Istio.
pub(crate) fn is_of_istio(object: &Object) -> bool {
    object.label("istio").is_some() || object.label("release") == Some("istio")
}
