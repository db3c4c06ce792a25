//! Service Mesh Interface: TrafficSplit, TrafficTarget and the specs that they name.
//!
//! Older versions are read as the newest: what stood beside `spec` moves into it, quantities become numbers.

use std::collections::BTreeMap;

use crate::schema::schema;
use crate::tree::{Place, Tree, Value};
use crate::{IntOrString, Kind};

schema! {
    pub struct TrafficSplitSpec {
        pub backends: Vec<SplitBackend>,
        /// Empty: every request.
        pub matches: Vec<SmiRef>,
        /// The name that clients call.
        pub service: String,
    }
    pub struct SplitBackend {
        pub service: String,
        pub weight: f64,
    }
    /// A group of matches, in the same namespace.
    pub struct SmiRef {
        pub api_group: Option<String>,
        pub kind: String,
        pub name: String,
    }
    pub struct HttpRouteGroupSpec {
        pub matches: Vec<SmiMatch>,
    }
    pub struct SmiMatch {
        /// Names to patterns; all must match.
        pub headers: Vec<BTreeMap<String, String>>,
        /// Any of them; `*` is every method.
        pub methods: Vec<String>,
        pub name: String,
        pub path_regex: Option<String>,
    }
    /// TCPRoute and UDPRoute.
    pub struct SmiPortsSpec {
        pub matches: SmiPorts,
    }
    pub struct SmiPorts {
        pub name: Option<String>,
        /// Empty: every port.
        pub ports: Vec<u16>,
    }
    /// Allows the sources what the rules say, and nobody else anything.
    pub struct TrafficTargetSpec {
        pub destination: SmiAccount,
        pub rules: Vec<TargetRule>,
        pub sources: Vec<SmiAccount>,
    }
    pub struct SmiAccount {
        /// `ServiceAccount`.
        pub kind: String,
        pub name: String,
        pub namespace: Option<String>,
        /// Of older versions; `None`: every port.
        pub port: Option<IntOrString>,
    }
    pub struct TargetRule {
        pub kind: String,
        /// Names of matches; empty: all of the group.
        pub matches: Vec<String>,
        pub name: String,
    }
}

/// The document as the newest version has it; `None` for documents that need no change.
pub(crate) fn modern(kind: Kind, tree: &Tree) -> Option<Tree> {
    match kind {
        Kind::HttpRouteGroup => into_spec(tree, &[("matches", "matches")]),
        Kind::TrafficTarget => into_spec(
            tree,
            &[("destination", "destination"), ("sources", "sources"), ("specs", "rules"), ("rules", "rules")],
        ),
        Kind::TrafficSplit => with_numbers(tree),
        _ => None,
    }
}

fn into_spec(tree: &Tree, fields: &[(&str, &str)]) -> Option<Tree> {
    let Value::Map(entries) = &tree.value else { return None };
    let new_name = |name: &str| fields.iter().find(|(old, _)| *old == name).map(|(_, new)| *new);
    let (moved, kept): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(|(name, ..)| new_name(name).is_some());
    if moved.is_empty() || tree.get("spec").is_some() {
        return None;
    }
    let place = moved.first().map_or(tree.place, |(_, place, _)| *place);
    let renamed =
        moved.into_iter().map(|(name, place, child)| (new_name(&name).unwrap_or_default().to_owned(), place, child));
    let spec = Tree { place, value: Value::Map(renamed.collect()) };
    let all: Vec<(String, Place, Tree)> = kept.into_iter().chain([("spec".to_owned(), place, spec)]).collect();
    Some(Tree { place: tree.place, value: Value::Map(all) })
}

/// v1alpha1 has quantities: `500m` is half of `1`.
fn with_numbers(tree: &Tree) -> Option<Tree> {
    let mut tree = tree.clone();
    let spec = tree.get_mut("spec")?;
    let Value::List(backends) = &mut spec.get_mut("backends")?.value else { return None };
    let weights = backends.iter_mut().filter_map(|backend| backend.get_mut("weight"));
    let mut weights: Vec<_> = weights.collect();
    if !weights.iter().any(|weight| matches!(weight.value, Value::Text(_))) {
        return None;
    }
    for weight in &mut weights {
        let thousandths = match &weight.value {
            Value::Int(number) => number.checked_mul(1000),
            Value::Float(number) => Some((number * 1000.0) as i64),
            Value::Text(text) => match text.strip_suffix('m') {
                Some(thousandths) => thousandths.parse().ok(),
                None => text.parse::<f64>().ok().map(|number| (number * 1000.0) as i64),
            },
            _ => None,
        };
        // What is no quantity stays, to be refused.
        if let Some(thousandths) = thousandths {
            weight.value = Value::Int(thousandths);
        }
    }
    Some(tree)
}
