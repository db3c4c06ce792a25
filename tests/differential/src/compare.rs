//! Differences between two outcomes, leaf by leaf, and which of them are accepted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A leaf that differs; `None` where a side does not have it.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) path: String,
    pub(crate) leno: Option<Value>,
    pub(crate) envoy: Option<Value>,
}

pub(crate) fn differences(leno: &Value, envoy: &Value) -> Vec<Difference> {
    let (mut of_leno, mut of_envoy) = (BTreeMap::new(), BTreeMap::new());
    flatten("", leno, &mut of_leno);
    flatten("", envoy, &mut of_envoy);
    let paths: BTreeSet<_> = of_leno.keys().chain(of_envoy.keys()).cloned().collect();
    let differs = |path: String| {
        let (leno, envoy) = (of_leno.get(&path).cloned(), of_envoy.get(&path).cloned());
        (leno != envoy).then_some(Difference { path, leno, envoy })
    };
    paths.into_iter().filter_map(differs).collect()
}

/// Counts that may differ by chance: 4 standard deviations of the difference of two binomial counts.
pub(crate) fn are_alike(leno: &Value, envoy: &Value) -> bool {
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap_or(0.0);
    let total = |value: &Value| value.as_object().map_or(0.0, |map| map.values().filter_map(Value::as_f64).sum());
    let (n, m) = (total(leno), total(envoy));
    let keys: BTreeSet<_> = [leno, envoy].into_iter().filter_map(Value::as_object).flat_map(|map| map.keys()).collect();
    n == m
        && keys.into_iter().all(|key| {
            let (one, other) = (number(leno, key), number(envoy, key));
            let share = (one + other) / (n + m);
            let deviation = ((n + m) * share * (1.0 - share)).sqrt();
            (one - other).abs() <= 4.0 * deviation
        })
}

fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, Value>) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(name, value)| flatten(&join(name), value, out));
        }
        Value::Array(values) if !values.is_empty() => {
            values.iter().enumerate().for_each(|(at, value)| flatten(&join(&at.to_string()), value, out));
        }
        // Nothing in it is the same as none of it.
        Value::Array(_) | Value::Object(_) => {}
        leaf => {
            out.insert(path.to_owned(), leaf.clone());
        }
    }
}

/// Whether `pattern` names `path`: itself or something above it; `*` is any one part, a leading `**` any number of them.
pub(crate) fn names(pattern: &str, path: &str) -> bool {
    let parts: Vec<_> = path.split('.').collect();
    let starts = |pattern: &str, parts: &[&str]| {
        let mut parts = parts.iter();
        pattern.split('.').all(|wanted| parts.next().is_some_and(|part| wanted == *part || wanted == "*"))
    };
    match pattern.strip_prefix("**.") {
        Some(rest) => (0..parts.len()).any(|at| parts.get(at..).is_some_and(|parts| starts(rest, parts))),
        None => starts(pattern, &parts),
    }
}
