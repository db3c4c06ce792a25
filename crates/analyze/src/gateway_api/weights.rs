use serde_json::Value;

use crate::Object;
use crate::codes::LEN0010;
use crate::finding::Findings;
use crate::json::{list, number};
use crate::kinds::{TRAFFIC_SPLIT, VIRTUAL_SERVICE};
use crate::objects::Objects;
use crate::routes::ROUTES;

/// Sums that were probably meant to be 100. Chosen: wide enough for one slip of ten, narrow enough to leave weights like 1:1
/// alone.
const NEARLY_A_HUNDRED: std::ops::RangeInclusive<i64> = 80..=120;

/// Weights that send nothing, or not what their sum suggests.
pub(crate) fn sums(objects: &Objects, found: &mut Findings) {
    for route in ROUTES.into_iter().flat_map(|(kind, _)| objects.of(kind)) {
        for (index, rule) in list(&route.json, "spec.rules").iter().enumerate() {
            check(route, &format!("spec.rules[{index}].backendRefs"), list(rule, "backendRefs"), 1, found);
        }
    }
    for route in objects.of(VIRTUAL_SERVICE) {
        for protocol in ["http", "tcp", "tls"] {
            for (index, rule) in list(&route.json, &format!("spec.{protocol}")).iter().enumerate() {
                check(route, &format!("spec.{protocol}[{index}].route"), list(rule, "route"), 0, found);
            }
        }
    }
    for split in objects.of(TRAFFIC_SPLIT) {
        check(split, "spec.backends", list(&split.json, "spec.backends"), 0, found);
    }
}

/// `unsaid` is the weight of who says none beside others that do.
fn check(object: &Object, field: &str, targets: &[Value], unsaid: i64, found: &mut Findings) {
    let said: Vec<_> = targets.iter().map(|target| number(target, "weight")).collect();
    if said.iter().all(Option::is_none) {
        return;
    }
    let weights: Vec<_> = said.iter().map(|weight| weight.unwrap_or(unsaid)).collect();
    let sum: i64 = weights.iter().fold(0, |sum, weight| sum.saturating_add(*weight));
    let silent = said.iter().position(Option::is_none).filter(|_| unsaid == 0);
    let message = match silent {
        _ if sum == 0 => "all weights are 0: no request is sent anywhere".to_owned(),
        Some(index) => format!("number {} has no weight beside others that do, and gets no request", index + 1),
        None if targets.len() > 1 && sum != 100 && NEARLY_A_HUNDRED.contains(&sum) => {
            let shares: Vec<_> =
                weights.iter().map(|weight| format!("{:.1} %", *weight as f64 * 100.0 / sum as f64)).collect();
            format!("weights add up to {sum}, not 100: the shares are {}", shares.join(", "))
        }
        None => return,
    };
    found.report(object, LEN0010, field, message);
}
