use serde_json::Value;

use crate::codes::IST0171;
use crate::finding::Findings;
use crate::json::{list, text};
use crate::kinds::{self, Kind};
use crate::objects::Objects;

/// Kinds, and which of their conditions say that something does not work when they are false.
const WATCHED: [(Kind, &[&str]); 7] = [
    (kinds::SERVICE, &["istio.io/WaypointBound"]),
    (kinds::SERVICE_ENTRY, &["istio.io/WaypointBound"]),
    (kinds::WORKLOAD_ENTRY, &["istio.io/WaypointBound"]),
    (kinds::AUTHORIZATION_POLICY, &["ZtunnelAccepted", "WaypointAccepted"]),
    (kinds::GATEWAY, &["Accepted", "Programmed", "ResolvedRefs"]),
    (kinds::HTTP_ROUTE, &["Accepted", "Programmed", "ResolvedRefs"]),
    (kinds::GRPC_ROUTE, &["Accepted", "Programmed", "ResolvedRefs"]),
];

/// What others wrote into the status.
pub(crate) fn negative(objects: &Objects, found: &mut Findings) {
    for (kind, watched) in WATCHED {
        for object in objects.of(kind) {
            let parents = list(&object.json, "status.parents").iter().enumerate();
            let of_parents = parents.flat_map(|(parent, of)| {
                let at = move |index| format!("status.parents[{parent}].conditions[{index}]");
                list(of, "conditions").iter().enumerate().map(move |(index, condition)| (at(index), condition))
            });
            let own = list(&object.json, "status.conditions").iter().enumerate();
            let own = own.map(|(index, condition)| (format!("status.conditions[{index}]"), condition));
            for (field, condition) in own.chain(of_parents).filter(|(_, condition)| is_negative(condition, watched)) {
                let [name, reason, message] = ["type", "reason", "message"].map(|key| text(condition, key));
                found.report(object, IST0171, field, format!("condition {name}: {reason}: {message}"));
            }
        }
    }
}

fn is_negative(condition: &Value, watched: &[&str]) -> bool {
    let is_false = watched.contains(&text(condition, "type")) && text(condition, "status") == "False";
    // A waypoint that took only part of a policy says so with the status True.
    let in_part = text(condition, "type") == "WaypointAccepted" && text(condition, "reason") == "PartiallyInvalid";
    is_false || (in_part && watched.contains(&"WaypointAccepted"))
}
