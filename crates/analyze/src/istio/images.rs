//! Images of sidecars.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Object;
use crate::codes::{IST0146, IST0147, IST0158};
use crate::finding::Findings;
use crate::json::{at, labels, list, text, yaml};
use crate::kinds::{CONFIG_MAP, DEPLOYMENT, MUTATING_WEBHOOK, NAMESPACE, POD, PROXY_CONFIG};
use crate::objects::Objects;
use crate::selector::{label_selector, selects};
use crate::workloads::containers;

/// Pods that wait for an injector that never looks at them.
pub(crate) fn auto(objects: &Objects, found: &mut Findings) {
    let waits = |spec: &Value| {
        list(spec, "containers")
            .iter()
            .position(|container| text(container, "name") == "istio-proxy" && text(container, "image") == "auto")
    };
    for pod in objects.of(POD) {
        if let Some(index) = waits(at(&pod.json, "spec")) {
            let message = "`image: auto` is for an injector to fill in, and none has";
            found.report(pod, IST0147, format!("spec.containers[{index}].image"), message);
        }
    }
    let hooks: Vec<_> = objects
        .of(MUTATING_WEBHOOK)
        .flat_map(|configuration| list(&configuration.json, "webhooks"))
        .filter(|hook| text(hook, "name").ends_with("istio.io"))
        .collect();
    for deployment in objects.of(DEPLOYMENT) {
        let template = at(&deployment.json, "spec.template");
        let Some(index) = waits(at(template, "spec")) else { continue };
        let namespace = objects.find(NAMESPACE, "", &deployment.namespace).map(Object::labels).unwrap_or_default();
        let pod = labels(template, "metadata.labels");
        let is_injected = hooks.iter().any(|hook| {
            label_selector(at(hook, "namespaceSelector"), &namespace)
                && label_selector(at(hook, "objectSelector"), &pod)
        });
        if !is_injected {
            let message = "`image: auto` is for an injector to fill in, and no webhook selects these pods";
            found.report(deployment, IST0146, format!("spec.template.spec.containers[{index}].image"), message);
        }
    }
}

/// Pods whose proxy is another than the injector's.
pub(crate) fn outdated(objects: &Objects, found: &mut Findings) {
    let injectors = objects.of(CONFIG_MAP).filter(|map| map.name.starts_with("istio-sidecar-injector"));
    let images: BTreeMap<_, _> = injectors.map(|map| (map.name.as_str(), injected(map))).collect();
    for namespace in objects.of(NAMESPACE) {
        let revision = namespace.label("istio.io/rev");
        if revision.is_none() && namespace.label("istio-injection") != Some("enabled") {
            continue;
        }
        let Some(image) = images.get(injector(revision.unwrap_or_default()).as_str()) else { continue };
        let pods = objects.of(POD).filter(|pod| pod.namespace == namespace.name);
        let mut names: Vec<_> = pods.filter(|pod| is_other(pod, image, objects)).map(|pod| pod.name.as_str()).collect();
        names.sort_unstable();
        if !names.is_empty() {
            let message = format!(
                "pods run another proxy than {image}, which they would be given now: {}; start them again",
                names.join(", ")
            );
            found.report(namespace, IST0158, "", message);
        }
    }
}

/// The ConfigMap of an injector.
pub(crate) fn injector(revision: &str) -> String {
    match revision {
        "" | "default" => "istio-sidecar-injector".to_owned(),
        revision => format!("istio-sidecar-injector-{revision}"),
    }
}

fn is_other(pod: &Object, image: &str, objects: &Objects) -> bool {
    // Who names an image is always given it.
    if pod.annotation("sidecar.istio.io/proxyImage").is_some_and(|image| !image.is_empty()) {
        return false;
    }
    let variant = variant(pod, objects);
    let proxies = containers(at(&pod.json, "spec")).filter(|container| text(container, "name") == "istio-proxy");
    proxies.map(|proxy| text(proxy, "image")).any(|runs| runs != image && runs != format!("{image}-{variant}"))
}

/// The image of an injector's values.
fn injected(map: &Object) -> String {
    let values = yaml(text(&map.json, "data.values"));
    match text(&values, "global.proxy.image") {
        whole if whole.contains('/') => whole.to_owned(),
        name => format!("{}/{name}:{}", text(&values, "global.hub"), text(&values, "global.tag")),
    }
}

/// `imageType`: of the pod, of its ProxyConfig, of its namespace, of the root namespace, of the mesh.
fn variant(pod: &Object, objects: &Objects) -> String {
    let mut variant = text(&objects.mesh, "defaultConfig.image.imageType").to_owned();
    let mut take = |found: &str| {
        if !found.is_empty() {
            found.clone_into(&mut variant);
        }
    };
    let of = |object: &Object| text(&object.json, "spec.image.imageType").to_owned();
    let configs = || objects.of(PROXY_CONFIG);
    let has_selector = |object: &Object| !at(&object.json, "spec.selector").is_null();
    configs().filter(|config| config.namespace == objects.root_namespace()).for_each(|config| take(&of(config)));
    let own = || configs().filter(|config| config.namespace == pod.namespace);
    own().filter(|config| !has_selector(config)).for_each(|config| take(&of(config)));
    let selected = |config: &&Object| {
        has_selector(config) && selects(&labels(&config.json, "spec.selector.matchLabels"), &pod.labels())
    };
    own().filter(selected).for_each(|config| take(&of(config)));
    if let Some(annotation) = pod.annotation("proxy.istio.io/config") {
        take(text(&yaml(annotation), "image.imageType"));
    }
    if variant == "default" { String::new() } else { variant }
}
