use crate::Object;
use crate::codes::LEN0012;
use crate::finding::Findings;
use crate::json::{Labels, at, labels, list};
use crate::kinds::{
    BACKEND_TLS_POLICY, DEPLOYMENT, PEER_AUTHENTICATION, POD, REQUEST_AUTHENTICATION, SERVICE, WORKLOAD_ENTRY,
    WORKLOAD_GROUP, X_BACKEND_TRAFFIC_POLICY,
};
use crate::objects::Objects;
use crate::routes::Reference;
use crate::selector::{selects, shown};

/// Policies whose target is not there.
pub(crate) fn targets(objects: &Objects, found: &mut Findings) {
    for policy in objects.of(BACKEND_TLS_POLICY).chain(objects.of(X_BACKEND_TRAFFIC_POLICY)) {
        for (index, target) in list(&policy.json, "spec.targetRefs").iter().enumerate() {
            let target = Reference::read(target, format!("spec.targetRefs[{index}]"), SERVICE, policy);
            if target.is(SERVICE) && target.find(objects, SERVICE).is_none() {
                let message = format!("there is no Service {}/{}", target.namespace, target.name);
                found.report(policy, LEN0012, format!("{}.name", target.field), message);
            }
        }
    }
}

/// Policies whose labels no workload has. Without any workload at hand nothing is said.
pub(crate) fn selectors(objects: &Objects, found: &mut Findings) {
    let workloads = workloads(objects);
    if workloads.is_empty() {
        return;
    }
    for policy in objects.of(PEER_AUTHENTICATION).chain(objects.of(REQUEST_AUTHENTICATION)) {
        let wanted = labels(&policy.json, "spec.selector.matchLabels");
        let is_mesh_wide = policy.namespace == objects.root_namespace();
        let reaches = |(namespace, labels): &(&str, Labels)| {
            (is_mesh_wide || *namespace == policy.namespace) && selects(&wanted, labels)
        };
        if !wanted.is_empty() && !workloads.iter().any(reaches) {
            let message = format!("no workload has the labels {}", shown(&wanted));
            found.report(policy, LEN0012, "spec.selector.matchLabels", message);
        }
    }
}

/// Namespace and labels of everything that runs.
fn workloads(objects: &Objects) -> Vec<(&str, Labels)> {
    let of = |object, path| (Object::labels(object), labels(&object.json, path));
    let merged = |object, path| {
        let (mut own, more) = of(object, path);
        own.extend(more);
        own
    };
    let mut all: Vec<_> = objects.of(POD).map(|pod| (pod.namespace.as_str(), pod.labels())).collect();
    let template = |object: &Object| labels(at(&object.json, "spec.template"), "metadata.labels");
    all.extend(objects.of(DEPLOYMENT).map(|deployment| (deployment.namespace.as_str(), template(deployment))));
    all.extend(objects.of(WORKLOAD_ENTRY).map(|entry| (entry.namespace.as_str(), merged(entry, "spec.labels"))));
    let groups = objects.of(WORKLOAD_GROUP);
    all.extend(groups.map(|group| (group.namespace.as_str(), labels(&group.json, "spec.metadata.labels"))));
    all
}
