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
    selects(&labels(selector, "matchLabels"), of)
        && list(selector, "matchExpressions").iter().all(|expression| {
            let value = of.get(text(expression, "key"));
            let listed = value.is_some_and(|value| texts(expression, "values").contains(&value.as_str()));
            match text(expression, "operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
