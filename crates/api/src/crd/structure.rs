//! A document against a structural schema: types, names, required fields, limits, alternatives.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use regex::Regex;
use serde_json::Value as Schema;

use crate::tree::{Finding, Tree, Value, unknown};

thread_local! {
    /// Patterns of schemas, of which there are a few dozen.
    static PATTERNS: RefCell<HashMap<String, Option<Rc<Regex>>>> = RefCell::default();
}

/// All below `spec`, `status` and so on; `apiVersion`, `kind` and `metadata` are for others to look at.
pub(super) fn check(schema: &Schema, tree: &Tree, found: &mut Vec<Finding>) {
    let Value::Map(entries) = &tree.value else { return };
    let known = properties(schema);
    for (name, _, child) in entries {
        if let Some(schema) = known.get(name).filter(|_| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata")) {
            value(schema, child, name, found);
        }
    }
    for name in required(schema) {
        if tree.get(name).is_none_or(|child| child.value == Value::Null) && known.contains_key(name) {
            report(found, name, "required field is missing".to_owned());
        }
    }
    alternatives(schema, tree, "", found);
}

fn report(found: &mut Vec<Finding>, path: &str, message: String) {
    found.push(Finding { path: path.to_owned(), message });
}

fn properties(schema: &Schema) -> &serde_json::Map<String, Schema> {
    static NONE: std::sync::LazyLock<serde_json::Map<String, Schema>> = std::sync::LazyLock::new(Default::default);
    schema.get("properties").and_then(Schema::as_object).unwrap_or(&NONE)
}

fn required(schema: &Schema) -> impl Iterator<Item = &str> {
    words(schema, "required")
}

fn words<'a>(schema: &'a Schema, key: &str) -> impl Iterator<Item = &'a str> {
    schema.get(key).and_then(Schema::as_array).into_iter().flatten().filter_map(Schema::as_str)
}

fn flag(schema: &Schema, key: &str) -> bool {
    schema.get(key).and_then(Schema::as_bool).unwrap_or_default()
}

fn number(schema: &Schema, key: &str) -> Option<f64> {
    schema.get(key).and_then(Schema::as_f64)
}

fn length(schema: &Schema, key: &str) -> Option<usize> {
    schema.get(key).and_then(Schema::as_u64).and_then(|number| usize::try_from(number).ok())
}

fn value(schema: &Schema, tree: &Tree, path: &str, found: &mut Vec<Finding>) {
    if tree.value == Value::Null {
        return;
    }
    let before = found.len();
    if flag(schema, "x-kubernetes-int-or-string") {
        if !matches!(tree.value, Value::Int(_) | Value::Text(_)) {
            report(found, path, format!("expected a whole number or a text, found {}", tree.value.describe()));
        }
    } else {
        match schema.get("type").and_then(Schema::as_str) {
            Some("object") => object(schema, tree, path, found),
            Some("array") => list(schema, tree, path, found),
            Some("string") => text(schema, tree, path, found),
            Some("integer") => integer(schema, tree, path, found),
            Some("number") => match tree.value {
                Value::Float(number) => range(schema, number, path, found),
                Value::Int(number) => range(schema, number as f64, path, found),
                _ => report(found, path, format!("expected a number, found {}", tree.value.describe())),
            },
            Some("boolean") if !matches!(tree.value, Value::Bool(_)) => {
                report(found, path, format!("expected true or false, found {}", tree.value.describe()));
            }
            _ => {}
        }
    }
    if found.len() == before {
        alternatives(schema, tree, path, found);
    }
}

fn object(schema: &Schema, tree: &Tree, path: &str, found: &mut Vec<Finding>) {
    let Value::Map(entries) = &tree.value else {
        return report(found, path, format!("expected an object, found {}", tree.value.describe()));
    };
    let known = properties(schema);
    let rest = schema.get("additionalProperties");
    let open = flag(schema, "x-kubernetes-preserve-unknown-fields") || (known.is_empty() && rest.is_none());
    for (name, _, child) in entries {
        let at = format!("{path}.{name}");
        match known.get(name).or(rest.filter(|rest| rest.is_object())) {
            Some(schema) => value(schema, child, &at, found),
            None if open || rest == Some(&Schema::Bool(true)) => {}
            None => {
                let names: Vec<_> = known.keys().map(String::as_str).collect();
                report(found, &at, unknown("field", name, &names));
            }
        }
    }
    for name in required(schema) {
        let missing = entries.iter().all(|(key, _, child)| key != name || child.value == Value::Null);
        if missing {
            report(found, &format!("{path}.{name}"), "required field is missing".to_owned());
        }
    }
    let count = entries.len();
    limits(schema, ["minProperties", "maxProperties"], count, "entries", path, found);
}

fn list(schema: &Schema, tree: &Tree, path: &str, found: &mut Vec<Finding>) {
    let Value::List(items) = &tree.value else {
        return report(found, path, format!("expected a list, found {}", tree.value.describe()));
    };
    limits(schema, ["minItems", "maxItems"], items.len(), "items", path, found);
    if let Some(schema) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            value(schema, item, &format!("{path}[{index}]"), found);
        }
    }
    unique(schema, items, path, found);
}

/// Items of a set, and items of a map by their keys, are there once.
fn unique(schema: &Schema, items: &[Tree], path: &str, found: &mut Vec<Finding>) {
    let keys: Vec<_> = words(schema, "x-kubernetes-list-map-keys").collect();
    let of = |item: &Tree| match schema.get("x-kubernetes-list-type").and_then(Schema::as_str) {
        Some("set") => Some(item.to_json().to_string()),
        Some("map") => {
            let key = |key: &&str| item.get(key).map(|value| value.to_json().to_string()).unwrap_or_default();
            Some(keys.iter().map(key).collect::<Vec<_>>().join(" "))
        }
        _ => None,
    };
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        if let Some(key) = of(item)
            && !seen.insert(key.clone())
        {
            report(found, &format!("{path}[{index}]"), format!("{} is there twice", key.trim_matches('"')));
        }
    }
}

fn text(schema: &Schema, tree: &Tree, path: &str, found: &mut Vec<Finding>) {
    let Value::Text(text) = &tree.value else {
        return report(found, path, format!("expected a text, found {}", quote_hint(&tree.value)));
    };
    if let Some(allowed) = schema.get("enum").and_then(Schema::as_array) {
        let allowed: Vec<_> = allowed.iter().filter_map(Schema::as_str).collect();
        if !allowed.contains(&text.as_str()) {
            return report(found, path, unknown("value", text, &allowed));
        }
    }
    limits(schema, ["minLength", "maxLength"], text.chars().count(), "characters", path, found);
    if let Some(pattern) = schema.get("pattern").and_then(Schema::as_str)
        && compiled(pattern).is_some_and(|regex| !regex.is_match(text))
    {
        report(found, path, format!("\"{text}\" does not look like {pattern}"));
    }
}

fn quote_hint(value: &Value) -> String {
    let hint =
        if matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)) { "; put it in quotes" } else { "" };
    format!("{}{hint}", value.describe())
}

fn compiled(pattern: &str) -> Option<Rc<Regex>> {
    PATTERNS.with_borrow_mut(|all| match all.get(pattern) {
        Some(known) => known.clone(),
        None => {
            let regex = Regex::new(pattern).ok().map(Rc::new);
            all.insert(pattern.to_owned(), regex.clone());
            regex
        }
    })
}

fn integer(schema: &Schema, tree: &Tree, path: &str, found: &mut Vec<Finding>) {
    let Value::Int(whole) = tree.value else {
        return report(found, path, format!("expected a whole number, found {}", tree.value.describe()));
    };
    if schema.get("format").and_then(Schema::as_str) == Some("int32") && i32::try_from(whole).is_err() {
        return report(found, path, format!("{whole} does not fit into 32 bits"));
    }
    range(schema, whole as f64, path, found);
}

fn range(schema: &Schema, value: f64, path: &str, found: &mut Vec<Finding>) {
    match (number(schema, "minimum"), number(schema, "maximum")) {
        (Some(low), _) if value < low => report(found, path, format!("{value} is below the least, {low}")),
        (_, Some(high)) if value > high => report(found, path, format!("{value} is above the most, {high}")),
        _ => {}
    }
}

fn limits(schema: &Schema, keys: [&str; 2], count: usize, what: &str, path: &str, found: &mut Vec<Finding>) {
    let [least, most] = keys.map(|key| length(schema, key));
    if let Some(least) = least.filter(|least| count < *least) {
        report(found, path, format!("{count} {what}; at least {least} are required"));
    }
    if let Some(most) = most.filter(|most| count > *most) {
        report(found, path, format!("{count} {what}; at most {most} are allowed"));
    }
}

/// `oneOf`, `anyOf`, `allOf` and `not`, which structural schemas use for fields that exclude each other.
fn alternatives(schema: &Schema, tree: &Tree, path: &str, found: &mut Vec<Finding>) {
    let branches = |key: &str| schema.get(key).and_then(Schema::as_array);
    if let Some(all) = branches("oneOf") {
        let holding = all.iter().filter(|branch| holds(branch, tree)).count();
        if holding != 1 {
            let names = fields_of(all);
            let present = names.iter().filter(|name| tree.get(name).is_some()).count();
            let message = match (present, names.is_empty()) {
                (_, true) => "exactly one of several shapes is allowed, and none or more than one fits".to_owned(),
                (0, _) => format!("one of {} is required", listed(&names)),
                (1, _) => "the field and what is in it do not fit together".to_owned(),
                _ => format!("only one of {} may be set", listed(&names)),
            };
            report(found, path, message);
        }
    }
    if let Some(any) = branches("anyOf")
        && !any.iter().any(|branch| holds(branch, tree))
    {
        report(found, path, format!("one of {} is required", listed(&fields_of(any))));
    }
    if let Some(all) = branches("allOf")
        && !all.iter().all(|branch| holds(branch, tree))
    {
        report(found, path, "the value does not have the required shape".to_owned());
    }
    if let Some(not) = schema.get("not")
        && holds(not, tree)
    {
        report(found, path, "the value has a shape that is not allowed".to_owned());
    }
}

/// Names that branches require, in order.
fn fields_of(branches: &[Schema]) -> Vec<&str> {
    let mut names = Vec::new();
    for branch in branches {
        for name in required(branch) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Whether a branch fits; fields that it does not name may be anything.
fn holds(schema: &Schema, tree: &Tree) -> bool {
    let branches = |key: &str| schema.get(key).and_then(Schema::as_array);
    let set = |name: &str| tree.get(name).is_some_and(|child| child.value != Value::Null);
    let mut found = Vec::new();
    value(&typed(schema), tree, "", &mut found);
    found.is_empty()
        && branches("enum").is_none_or(|words| words.contains(&tree.to_json()))
        && format(schema, tree)
        && properties(schema).iter().all(|(name, schema)| tree.get(name).is_none_or(|child| holds(schema, child)))
        && required(schema).all(set)
        && branches("anyOf").is_none_or(|any| any.iter().any(|branch| holds(branch, tree)))
        && branches("allOf").is_none_or(|all| all.iter().all(|branch| holds(branch, tree)))
        && branches("oneOf").is_none_or(|one| one.iter().filter(|branch| holds(branch, tree)).count() == 1)
        && schema.get("not").is_none_or(|not| !holds(not, tree))
}

/// What the branch says of the value itself; names and alternatives are looked at one by one.
fn typed(schema: &Schema) -> Schema {
    let own = |(key, _): &(&String, &Schema)| {
        !matches!(key.as_str(), "properties" | "required" | "anyOf" | "allOf" | "oneOf" | "not")
    };
    let entries = schema.as_object().into_iter().flatten().filter(own);
    entries.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The formats that branches tell apart.
fn format(schema: &Schema, tree: &Tree) -> bool {
    let Value::Text(text) = &tree.value else { return true };
    match schema.get("format").and_then(Schema::as_str) {
        Some("ipv4") => text.parse::<std::net::Ipv4Addr>().is_ok(),
        Some("ipv6") => text.parse::<std::net::Ipv6Addr>().is_ok(),
        _ => true,
    }
}
