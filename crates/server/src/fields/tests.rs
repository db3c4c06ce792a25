use proptest::prelude::*;
use serde_json::{Value, json};

use super::walk::fields_of;
use super::*;

fn schema() -> Value {
    json!({ "properties": { "spec": { "properties": {
        "ports": {
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": { "properties": { "protocol": { "default": "TCP" } } },
        },
        "selector": { "x-kubernetes-map-type": "atomic" },
        "set": { "x-kubernetes-list-type": "set" },
    }}}})
}

fn by(manager: &str) -> Write<'_> {
    Write { manager, now: "2026-01-01T00:00:00Z", subresource: "" }
}

fn applied(live: Option<&Value>, manager: &str, spec: Value) -> Result<Value, Vec<Conflict>> {
    let config = json!({ "apiVersion": "v1", "kind": "K", "metadata": { "name": "a" }, "spec": spec });
    apply(live, &config, false, &by(manager), Schema::new(&schema()))
}

fn owners(object: &Value) -> Vec<(String, Vec<String>)> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let paths = |entry: &Value| set::FieldSet::from_json(&entry["fieldsV1"]).paths();
    entries.iter().map(|entry| (entry["manager"].as_str().unwrap().to_owned(), paths(entry))).collect()
}

fn owner(manager: &str, paths: &[&str]) -> (String, Vec<String>) {
    (manager.to_owned(), paths.iter().map(|path| (*path).to_owned()).collect())
}

#[test]
fn what_its_only_owner_stops_to_name_goes() {
    let one = applied(None, "a", json!({ "x": 1, "y": { "z": 2 } })).unwrap();
    assert_eq!(owners(&one), [owner("a", &[".spec.x", ".spec.y.z"])]);
    let two = applied(Some(&one), "a", json!({ "x": 1 })).unwrap();
    assert_eq!(two["spec"], json!({ "x": 1 }));
    assert_eq!(owners(&two), [owner("a", &[".spec.x"])]);
}

#[test]
fn what_another_owns_stays_and_is_no_others_to_change() {
    let one = applied(None, "a", json!({ "x": 1 })).unwrap();
    let both = applied(Some(&one), "b", json!({ "x": 1, "y": 2 })).unwrap();
    assert_eq!(applied(Some(&both), "a", json!({})).unwrap()["spec"], json!({ "x": 1, "y": 2 }));
    let conflicts = applied(Some(&both), "b", json!({ "x": 3, "y": 2 })).unwrap_err();
    let conflict = Conflict { manager: "a".to_owned(), api_version: "v1".to_owned(), field: ".spec.x".to_owned() };
    assert_eq!(conflicts, [conflict]);
    let config = json!({ "apiVersion": "v1", "kind": "K", "metadata": { "name": "a" }, "spec": { "x": 3 } });
    let forced = apply(Some(&both), &config, true, &by("b"), Schema::new(&schema())).unwrap();
    assert_eq!(owners(&forced), [owner("b", &[".spec.x"])]);
    assert_eq!(forced["spec"], json!({ "x": 3 }));
}

#[test]
fn items_of_a_list_are_merged_by_their_keys() {
    let one = applied(None, "a", json!({ "ports": [{ "port": 80, "name": "http" }] })).unwrap();
    let two =
        json!({ "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 80, "protocol": "TCP", "target": 8080 }] });
    let two = applied(Some(&one), "b", two).unwrap();
    let udp = json!({ "port": 53, "protocol": "UDP" });
    let tcp = json!({ "port": 80, "name": "http", "protocol": "TCP", "target": 8080 });
    assert_eq!(two["spec"]["ports"], json!([udp, tcp]));
    let item = ".spec.ports[port=80,protocol=\"TCP\"]";
    assert_eq!(owners(&two)[0].1, [item.to_owned(), format!("{item}.name"), format!("{item}.port")]);
    // Both own the item: what is left of it keeps its keys.
    let three = applied(Some(&two), "a", json!({})).unwrap();
    assert_eq!(three["spec"]["ports"], json!([udp, { "port": 80, "protocol": "TCP", "target": 8080 }]));
    let four = applied(Some(&three), "b", json!({ "ports": [udp] })).unwrap();
    assert_eq!(four["spec"]["ports"], json!([udp]));
}

#[test]
fn sets_are_united_and_atomic_values_are_one() {
    let one = applied(None, "a", json!({ "set": ["x", "y"], "selector": { "app": "a" }, "list": [1] })).unwrap();
    let two = applied(Some(&one), "b", json!({ "set": ["z"] })).unwrap();
    assert_eq!(two["spec"]["set"], json!(["z", "x", "y"]));
    let three = applied(Some(&two), "a", json!({ "set": ["y"], "selector": { "tier": "b" }, "list": [2, 3] })).unwrap();
    assert_eq!(three["spec"], json!({ "set": ["z", "y"], "selector": { "tier": "b" }, "list": [2, 3] }));
    let conflicts = applied(Some(&three), "b", json!({ "list": [2] })).unwrap_err();
    assert_eq!(conflicts[0].field, ".spec.list");
}

#[test]
fn an_update_takes_fields_over_and_removing_takes_them_from_all() {
    let one = applied(None, "a", json!({ "x": 1, "y": 2, "z": 3 })).unwrap();
    let mut two = one.clone();
    two["spec"] = json!({ "x": 1, "y": 5 });
    update(Some(&one), &mut two, &by("edit"), Schema::new(&schema()));
    assert_eq!(owners(&two), [owner("a", &[".spec.x"]), owner("edit", &[".spec.y"])]);
    let conflicts = applied(Some(&two), "a", json!({ "x": 1, "y": 2 })).unwrap_err();
    assert_eq!(conflicts[0].manager, "edit");
    let mut same = two.clone();
    update(Some(&two), &mut same, &by("somebody"), Schema::new(&schema()));
    assert_eq!(same, two);
}

#[test]
fn what_was_there_before_anybody_applied_is_asked_for_too() {
    let live = json!({ "apiVersion": "v1", "kind": "K", "metadata": { "name": "a" }, "spec": { "x": 1 } });
    let conflicts = applied(Some(&live), "a", json!({ "x": 2 })).unwrap_err();
    assert_eq!(conflicts[0].manager, "before-first-apply");
    assert!(applied(Some(&live), "a", json!({ "x": 1 })).is_ok());
}

fn spec() -> impl Strategy<Value = Value> {
    let ports = prop::collection::btree_map((1..4_u16, any::<bool>()), prop::option::of(0..3_u8), 0..3);
    let set = prop::collection::btree_set("[abc]", 0..3);
    (prop::option::of(0..3_u8), prop::option::of(0..3_u8), ports, set).prop_map(|(x, y, ports, set)| {
        let mut spec = json!({});
        if let Some(x) = x {
            spec["x"] = json!(x);
        }
        if let Some(y) = y {
            spec["deep"] = json!({ "y": y });
        }
        let port = |(key, target): (&(u16, bool), &Option<u8>)| {
            let mut item = json!({ "port": key.0, "protocol": if key.1 { "UDP" } else { "TCP" } });
            if let Some(target) = target {
                item["target"] = json!(target);
            }
            item
        };
        if !ports.is_empty() {
            spec["ports"] = ports.iter().map(port).collect();
        }
        if !set.is_empty() {
            spec["set"] = json!(set);
        }
        spec
    })
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(first in spec(), second in spec(), third in spec()) {
        let one = applied(None, "a", first).unwrap();
        let config = json!({ "apiVersion": "v1", "kind": "K", "metadata": { "name": "a" }, "spec": second });
        let schema = schema();
        let two = apply(Some(&one), &config, true, &by("b"), Schema::new(&schema)).unwrap();
        prop_assert_eq!(&apply(Some(&two), &config, false, &by("b"), Schema::new(&schema)).unwrap(), &two);
        let config = json!({ "apiVersion": "v1", "kind": "K", "metadata": { "name": "a" }, "spec": third });
        let three = apply(Some(&two), &config, true, &by("a"), Schema::new(&schema)).unwrap();
        prop_assert_eq!(&apply(Some(&three), &config, false, &by("a"), Schema::new(&schema)).unwrap(), &three);
    }

    /// The fields that are owned are those that are there.
    #[test]
    fn nobody_owns_what_is_not_there(first in spec(), second in spec(), third in spec()) {
        let schema = schema();
        let mut live = applied(None, "a", first).unwrap();
        for (manager, spec) in [("b", second), ("a", third.clone()), ("b", third)] {
            let config = json!({ "apiVersion": "v1", "kind": "K", "metadata": { "name": "a" }, "spec": spec });
            live = apply(Some(&live), &config, true, &by(manager), Schema::new(&schema)).unwrap();
            let there = fields_of(&live, Schema::new(&schema));
            for entry in live["metadata"]["managedFields"].as_array().unwrap() {
                let mut stale = set::FieldSet::from_json(&entry["fieldsV1"]);
                stale.subtract(&there);
                // A map that is empty for one may be full for another.
                let stale: Vec<_> = stale.paths().into_iter().filter(|path| path != ".spec").collect();
                prop_assert!(stale.is_empty(), "{:?} in {}", stale, live);
            }
        }
    }

    #[test]
    fn sets_are_read_as_they_were_written(spec in spec()) {
        let mut set = fields_of(&spec, Schema::new(&schema()).field("spec"));
        set.member = false;
        prop_assert_eq!(set::FieldSet::from_json(&set.to_json()), set);
    }
}
