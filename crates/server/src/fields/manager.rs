use serde_json::{Map, Value, json};

use super::merge::{merge, prune};
use super::schema::Schema;
use super::set::FieldSet;
use super::walk::{difference, fields_of};

/// Fields that nobody owns: the store's, and those that say which object it is.
const NOBODYS: [&[&str]; 13] = [
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:deletionGracePeriodSeconds"],
    &["f:metadata", "f:deletionTimestamp"],
    &["f:metadata", "f:generateName"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:resourceVersion"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
];

/// Owner of what was there before anybody was asked who he is.
const BEFORE: &str = "before-first-apply";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write<'a> {
    pub(crate) manager: &'a str,
    /// RFC 3339.
    pub(crate) now: &'a str,
    /// `status`, or empty.
    pub(crate) subresource: &'a str,
}

/// A field that somebody else owns and wants otherwise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Conflict {
    pub(crate) manager: String,
    pub(crate) api_version: String,
    /// `.spec.hosts`
    pub(crate) field: String,
}

#[derive(Clone, Debug, PartialEq)]
struct Manager {
    name: String,
    operation: Operation,
    api_version: String,
    time: String,
    subresource: String,
    fields: FieldSet,
}

impl Manager {
    fn is(&self, operation: Operation, write: &Write<'_>) -> bool {
        self.operation == operation && self.name == write.manager && self.subresource == write.subresource
    }

    fn new(operation: Operation, write: &Write<'_>, object: &Value) -> Self {
        Self {
            name: write.manager.to_owned(),
            operation,
            api_version: object["apiVersion"].as_str().unwrap_or_default().to_owned(),
            time: write.now.to_owned(),
            subresource: write.subresource.to_owned(),
            fields: FieldSet::default(),
        }
    }

    /// `None` for what is no entry.
    fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let operation = match value["operation"].as_str()? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        let fields = FieldSet::from_json(value.get("fieldsV1")?);
        let (api_version, time, subresource) = (text("apiVersion"), text("time"), text("subresource"));
        Some(Self { name: text("manager"), operation, api_version, time, subresource, fields })
    }

    fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("apiVersion".to_owned(), json!(self.api_version));
        map.insert("fieldsType".to_owned(), json!("FieldsV1"));
        map.insert("fieldsV1".to_owned(), self.fields.to_json());
        map.insert("manager".to_owned(), json!(self.name));
        map.insert("operation".to_owned(), json!(if self.operation == Operation::Apply { "Apply" } else { "Update" }));
        if !self.subresource.is_empty() {
            map.insert("subresource".to_owned(), json!(self.subresource));
        }
        map.insert("time".to_owned(), json!(self.time));
        Value::Object(map)
    }
}

fn managers(object: &Value) -> Vec<Manager> {
    object["metadata"]["managedFields"].as_array().into_iter().flatten().filter_map(Manager::from_json).collect()
}

fn set_managers(object: &mut Value, mut managers: Vec<Manager>) {
    managers.retain(|manager| !manager.fields.is_empty());
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".to_owned(), managers.iter().map(Manager::to_json).collect());
    }
}

fn owned(mut fields: FieldSet) -> FieldSet {
    for path in NOBODYS {
        fields.remove(path);
    }
    if let Some(metadata) = fields.children.get_mut("f:metadata") {
        metadata.member = false;
        if metadata.is_empty() {
            fields.children.remove("f:metadata");
        }
    }
    fields.member = false;
    fields
}

/// `live` as it is after `config` was applied, with its managers.
///
/// # Errors
/// The fields that others own and that would change; none with `force`.
pub(crate) fn apply(
    live: Option<&Value>,
    config: &Value,
    force: bool,
    write: &Write<'_>,
    schema: Schema<'_>,
) -> Result<Value, Vec<Conflict>> {
    let config = without_nulls(config);
    let empty = json!({});
    let before = live.unwrap_or(&empty);
    let mut managers = managers(before);
    if live.is_some() && managers.is_empty() {
        let first = Write { manager: BEFORE, subresource: "", now: write.now };
        let fields = owned(fields_of(before, schema));
        managers.push(Manager { fields, ..Manager::new(Operation::Update, &first, before) });
    }
    let mut object = merge(before, &config, schema);
    let changed = difference(before, &object, schema);
    let set = owned(changed.set);
    let mut conflicts = Vec::new();
    for manager in managers.iter_mut().filter(|manager| !manager.is(Operation::Apply, write)) {
        let common = manager.fields.intersection(&set);
        conflicts.extend(common.paths().into_iter().map(|field| Conflict {
            manager: manager.name.clone(),
            api_version: manager.api_version.clone(),
            field,
        }));
        manager.fields.subtract(&common);
    }
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    let now_owned = owned(fields_of(&config, schema));
    let mut kept = now_owned.clone();
    for manager in managers.iter().filter(|manager| !manager.is(Operation::Apply, write)) {
        kept.union(&manager.fields);
    }
    let own = managers.iter().position(|manager| manager.is(Operation::Apply, write));
    let mut renewed = Manager { fields: now_owned, ..Manager::new(Operation::Apply, write, &config) };
    match own {
        Some(index) => {
            prune(&mut object, &managers[index].fields, &kept, schema);
            if managers[index].fields == renewed.fields && managers[index].api_version == renewed.api_version {
                renewed.time.clone_from(&managers[index].time);
            }
            managers[index] = renewed;
        }
        None => managers.push(renewed),
    }
    set_managers(&mut object, managers);
    Ok(object)
}

/// Notes in `object` who has changed what since `live`.
pub(crate) fn update(live: Option<&Value>, object: &mut Value, write: &Write<'_>, schema: Schema<'_>) {
    let empty = json!({});
    let before = live.unwrap_or(&empty);
    let said = &object["metadata"]["managedFields"];
    // Who says who owns what is believed; an empty list starts anew.
    let believed = said.is_array() && *said != before["metadata"]["managedFields"];
    let mut managers = managers(if believed { object } else { before });
    let mut changed = difference(before, object, schema);
    changed.set = owned(changed.set);
    changed.removed = owned(changed.removed);
    if !changed.set.is_empty() || !changed.removed.is_empty() {
        for manager in managers.iter_mut().filter(|manager| !manager.is(Operation::Update, write)) {
            manager.fields.subtract(&changed.set);
            manager.fields.subtract(&changed.removed);
        }
        let index = managers.iter().position(|manager| manager.is(Operation::Update, write)).unwrap_or_else(|| {
            managers.push(Manager::new(Operation::Update, write, object));
            managers.len() - 1
        });
        let own = &mut managers[index];
        let known = own.fields.clone();
        own.fields.union(&changed.set);
        own.fields.subtract(&changed.removed);
        if own.fields != known {
            let renewed = Manager::new(Operation::Update, write, object);
            (own.time, own.api_version) = (renewed.time, renewed.api_version);
        }
    }
    set_managers(object, managers);
}

/// A field that is null is not there.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let parts = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(parts.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
