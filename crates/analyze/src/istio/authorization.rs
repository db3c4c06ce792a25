use crate::Object;
use crate::codes::{IST0101, IST0127, IST0175};
use crate::finding::Findings;
use crate::json::{at, labels, list, text, texts};
use crate::kinds::{AUTHORIZATION_POLICY, DEPLOYMENT, NAMESPACE, POD, REQUEST_AUTHENTICATION};
use crate::objects::Objects;
use crate::selector::{selects, shown};
use crate::workloads::{is_ambient, is_in_mesh};

/// Policies for nobody, and namespaces that do not exist.
pub(crate) fn policies(objects: &Objects, found: &mut Findings) {
    let pods: Vec<_> = objects.of(POD).filter(|pod| is_in_mesh(pod, objects) || is_ambient(pod)).collect();
    for policy in objects.of(AUTHORIZATION_POLICY) {
        selects_nobody(policy, &pods, objects, found);
        for (index, rule) in list(&policy.json, "spec.rules").iter().enumerate() {
            for (from_index, from) in list(rule, "from").iter().enumerate() {
                for field in ["namespaces", "notNamespaces"] {
                    for (place, name) in texts(at(from, "source"), field).into_iter().enumerate() {
                        if !objects.of(NAMESPACE).any(|namespace| is_meant(&namespace.name, name)) {
                            let field = format!("spec.rules[{index}].from[{from_index}].source.{field}[{place}]");
                            found.report(policy, IST0101, field, format!("there is no namespace `{name}`"));
                        }
                    }
                }
            }
        }
    }
}

fn selects_nobody(policy: &Object, pods: &[&Object], objects: &Objects, found: &mut Findings) {
    // Those with targetRefs do not select by labels.
    if !at(&policy.json, "spec.targetRef").is_null() || !at(&policy.json, "spec.targetRefs").is_null() {
        return;
    }
    let has_selector = !at(&policy.json, "spec.selector").is_null();
    let is_mesh_wide = policy.namespace == objects.root_namespace();
    if is_mesh_wide && !has_selector {
        return;
    }
    let wanted = labels(&policy.json, "spec.selector.matchLabels");
    let reaches = |pod: &&&Object| is_mesh_wide || pod.namespace == policy.namespace;
    if !pods.iter().filter(reaches).any(|pod| selects(&wanted, &pod.labels())) {
        let (field, message) = if has_selector {
            ("spec.selector", format!("no pod with a sidecar has the labels {}", shown(&wanted)))
        } else {
            ("", format!("no pod of the namespace {} has a sidecar", policy.namespace))
        };
        found.report(policy, IST0127, field, message);
    }
}

/// `*`, `prefix*`, `*suffix` or a name.
fn is_meant(namespace: &str, pattern: &str) -> bool {
    if let Some(suffix) = pattern.strip_prefix('*') {
        return namespace.ends_with(suffix);
    }
    match pattern.strip_suffix('*') {
        Some(prefix) => namespace.starts_with(prefix),
        None => namespace.eq_ignore_ascii_case(pattern),
    }
}

/// A control plane that fetches key sets from wherever it is told.
pub(crate) fn key_sets(objects: &Objects, found: &mut Findings) {
    let names: Vec<_> = objects.of(REQUEST_AUTHENTICATION).map(Object::full_name).collect();
    if names.is_empty() {
        return;
    }
    for deployment in objects.of(DEPLOYMENT).filter(|deployment| deployment.label("app") == Some("istiod")) {
        let containers = list(&deployment.json, "spec.template.spec.containers");
        let is_set = containers.iter().flat_map(|container| list(container, "env")).any(|variable| {
            text(variable, "name") == "BLOCKED_CIDRS_IN_JWKS_URIS" && !text(variable, "value").is_empty()
        });
        if !is_set {
            let message = format!(
                "RequestAuthentications ({}) make it fetch key sets, and BLOCKED_CIDRS_IN_JWKS_URIS keeps it from no address",
                names.join(", ")
            );
            found.report(deployment, IST0175, "", message);
        }
    }
}
