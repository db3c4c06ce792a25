use std::collections::BTreeMap;

use super::sidecars::{rivals, selecting, several_for_all};
use crate::Object;
use crate::codes::{IST0157, IST0159, IST0160};
use crate::finding::Findings;
use crate::json::{at, list};
use crate::kinds::TELEMETRY;
use crate::objects::Objects;

/// Logs that go nowhere.
pub(crate) fn providers(objects: &Objects, found: &mut Findings) {
    if !list(&objects.mesh, "defaultProviders.accessLogging").is_empty() {
        return;
    }
    for telemetry in objects.of(TELEMETRY) {
        for (index, logging) in list(&telemetry.json, "spec.accessLogging").iter().enumerate() {
            let is_off = at(logging, "disabled").as_bool() == Some(true);
            if !is_off && list(logging, "providers").is_empty() {
                let message = "it names no provider and the mesh has none for access logs: nothing is logged";
                found.report(telemetry, IST0157, format!("spec.accessLogging[{index}]"), message);
            }
        }
    }
}

pub(crate) fn selectors(objects: &Objects, found: &mut Findings) {
    let field = "spec.selector.matchLabels";
    for (pod, selecting) in selecting(TELEMETRY, field, objects, found) {
        rivals(IST0159, field, pod, &selecting, found);
    }
}

pub(crate) fn of_namespaces(objects: &Objects, found: &mut Findings) {
    let mut whole: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
    for telemetry in objects.of(TELEMETRY).filter(|telemetry| at(&telemetry.json, "spec.selector").is_null()) {
        whole.entry(&telemetry.namespace).or_default().push(telemetry);
    }
    whole.into_values().for_each(|telemetries| several_for_all(IST0160, &telemetries, found));
}
