//! Objects that select pods, of which each pod may have one: Sidecar and Telemetry.

use std::collections::{BTreeMap, BTreeSet};

use crate::Object;
use crate::codes::{IST0101, IST0110, IST0111, IST0167};
use crate::finding::{Code, Findings};
use crate::json::labels;
use crate::kinds::{Kind, NAMESPACE, POD, SIDECAR};
use crate::objects::Objects;
use crate::selector::{selects, shown};
use crate::workloads::{is_ambient, is_ambient_namespace};

pub(crate) fn sidecars(objects: &Objects, found: &mut Findings) {
    let field = "spec.workloadSelector.labels";
    let mut told = BTreeSet::new();
    for (pod, selecting) in selecting(SIDECAR, field, objects, found) {
        if is_ambient(pod) {
            for sidecar in selecting.into_iter().filter(|sidecar| told.insert(sidecar.index)) {
                let message = format!("pod {} is in ambient mode and has no sidecar", pod.name);
                found.report(sidecar, IST0167, field, message);
            }
        } else {
            rivals(IST0110, field, pod, &selecting, found);
        }
    }
    let mut whole: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
    for sidecar in objects.of(SIDECAR).filter(|sidecar| labels(&sidecar.json, field).is_empty()) {
        whole.entry(&sidecar.namespace).or_default().push(sidecar);
    }
    for (namespace, sidecars) in whole {
        if objects.find(NAMESPACE, "", namespace).is_some_and(is_ambient_namespace) {
            for sidecar in sidecars.into_iter().filter(|sidecar| told.insert(sidecar.index)) {
                found.report(
                    sidecar,
                    IST0167,
                    "",
                    format!("namespace {namespace} is in ambient mode and has no sidecars"),
                );
            }
        } else {
            several_for_all(IST0111, &sidecars, found);
        }
    }
}

/// Each pod that something selects, with all that do. Who selects none is reported.
pub(crate) fn selecting<'a>(
    kind: Kind,
    field: &str,
    objects: &'a Objects,
    found: &mut Findings,
) -> Vec<(&'a Object, Vec<&'a Object>)> {
    let mut by_pod: BTreeMap<usize, (&Object, Vec<&Object>)> = BTreeMap::new();
    for object in objects.of(kind) {
        let wanted = labels(&object.json, field);
        if wanted.is_empty() {
            continue;
        }
        let mut pods = objects
            .of(POD)
            .filter(|pod| pod.namespace == object.namespace && selects(&wanted, &pod.labels()))
            .peekable();
        if pods.peek().is_none() {
            let message = format!("no pod of the namespace has the labels {}", shown(&wanted));
            found.report(object, IST0101, field, message);
        }
        pods.for_each(|pod| by_pod.entry(pod.index).or_insert_with(|| (pod, Vec::new())).1.push(object));
    }
    by_pod.into_values().collect()
}

/// More than one for one pod.
pub(crate) fn rivals(code: Code, field: &str, pod: &Object, selecting: &[&Object], found: &mut Findings) {
    if selecting.len() > 1 {
        for object in selecting {
            let message = format!("pod {} is selected by {}; one of them wins by chance", pod.name, names(selecting));
            found.report(object, code, field, message);
        }
    }
}

/// More than one for a whole namespace.
pub(crate) fn several_for_all(code: Code, all: &[&Object], found: &mut Findings) {
    if all.len() > 1 {
        for object in all {
            let message =
                format!("{} select the whole namespace {}; one of them wins by chance", names(all), object.namespace);
            found.report(object, code, "", message);
        }
    }
}

fn names(objects: &[&Object]) -> String {
    let mut names: Vec<_> = objects.iter().map(|object| object.name.as_str()).collect();
    names.sort_unstable();
    names.join(", ")
}
