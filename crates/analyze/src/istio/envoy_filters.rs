use serde_json::Value;

use crate::codes::{IST0151, IST0152, IST0153, IST0154, IST0155};
use crate::finding::Findings;
use crate::json::{at, list, number, text};
use crate::kinds::ENVOY_FILTER;
use crate::objects::Objects;

/// Operations that do nothing where they stand, and those that depend on the order of filters.
pub(crate) fn patches(objects: &Objects, found: &mut Findings) {
    // Filters that some patch before took for certain versions of the proxy only.
    let mut by_version: Vec<String> = Vec::new();
    for filter in objects.of(ENVOY_FILTER) {
        let has_priority = number(&filter.json, "spec.priority").unwrap_or_default() != 0;
        for (index, patch) in list(&filter.json, "spec.configPatches").iter().enumerate() {
            if at(patch, "patch").is_null() {
                break;
            }
            let name = filter_name(patch);
            let field = format!("spec.configPatches[{index}].patch.operation");
            let target = text(patch, "applyTo");
            let is_route = ["ROUTE_CONFIGURATION", "HTTP_ROUTE"].contains(&target);
            let is_relative = match text(patch, "patch.operation") {
                "ADD" if is_route => {
                    found.report(filter, IST0153, &*field, format!("ADD does nothing to {target}"));
                    false
                }
                "REMOVE" if is_route => {
                    found.report(filter, IST0154, &*field, format!("REMOVE does nothing to {target}"));
                    false
                }
                "REPLACE" if !["NETWORK_FILTER", "HTTP_FILTER", "VIRTUAL_HOST"].contains(&target) => {
                    let message = format!("REPLACE does nothing to {target}, only to filters");
                    found.report(filter, IST0152, &*field, message);
                    false
                }
                "REMOVE" | "REPLACE" | "INSERT_BEFORE" | "INSERT_AFTER" => true,
                _ => false,
            };
            if is_relative && !has_priority {
                let advice = "give the EnvoyFilter a `priority`, or use INSERT_FIRST or ADD";
                if by_version.contains(&name) {
                    let message = format!(
                        "it needs another filter to be there first, and that is for some versions of the proxy only; {advice}"
                    );
                    found.report(filter, IST0155, field, message);
                } else {
                    found.report(
                        filter,
                        IST0151,
                        field,
                        format!("it needs another filter to be there first; {advice}"),
                    );
                }
            }
            if !text(patch, "match.proxy.proxyVersion").is_empty() {
                by_version.push(name);
            }
        }
    }
}

/// The filter that a patch brings, or the one that it is put beside.
fn filter_name(patch: &Value) -> String {
    let value = at(patch, "patch.value");
    if !value.is_object() {
        return String::new();
    }
    match text(value, "name") {
        "" => text(patch, "match.listener.filterChain.filter.name").to_owned(),
        name => name.to_owned(),
    }
}
