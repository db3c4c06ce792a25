//! Fields of objects that were read leniently: what is missing or of another type is simply not there.

use std::collections::BTreeMap;

use serde_json::Value;

pub(crate) type Labels = BTreeMap<String, String>;

/// `spec.trafficPolicy.tls`; null where there is none.
pub(crate) fn at<'a>(json: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(json, |json, step| json.get(step).unwrap_or(&Value::Null))
}

/// Empty where there is none.
pub(crate) fn text<'a>(json: &'a Value, path: &str) -> &'a str {
    at(json, path).as_str().unwrap_or_default()
}

pub(crate) fn list<'a>(json: &'a Value, path: &str) -> &'a [Value] {
    at(json, path).as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn texts<'a>(json: &'a Value, path: &str) -> Vec<&'a str> {
    list(json, path).iter().filter_map(Value::as_str).collect()
}

pub(crate) fn number(json: &Value, path: &str) -> Option<i64> {
    at(json, path).as_i64()
}

pub(crate) fn labels(json: &Value, path: &str) -> Labels {
    let entries = at(json, path).as_object().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), word(value)?))).collect()
}

/// A number or a text, as text: ports may be either.
pub(crate) fn word(json: &Value) -> Option<String> {
    match json {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A text of YAML, such as a key of a ConfigMap.
pub(crate) fn yaml(text: &str) -> Value {
    leno_api::documents("", text).into_iter().flatten().next().map(|document| document.to_json()).unwrap_or_default()
}
