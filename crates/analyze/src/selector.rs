use leno_api::{LabelRequirement, LabelSelector};
use serde_json::Value;

use crate::json::{Labels, labels, list, text, texts};

/// Whether every wanted label is there; nothing wanted selects all.
pub(crate) fn selects(wanted: &Labels, labels: &Labels) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

/// `app=x,version=v1`.
pub(crate) fn shown(wanted: &Labels) -> String {
    wanted.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// A LabelSelector of Kubernetes; an absent one selects all.
pub(crate) fn label_selector(selector: &Value, of: &Labels) -> bool {
    let requirement = |expression: &Value| LabelRequirement {
        key: text(expression, "key").to_owned(),
        operator: text(expression, "operator").to_owned(),
        values: texts(expression, "values").into_iter().map(str::to_owned).collect(),
    };
    let match_expressions = list(selector, "matchExpressions").iter().map(requirement).collect();
    LabelSelector { match_expressions, match_labels: labels(selector, "matchLabels") }.selects(of)
}
