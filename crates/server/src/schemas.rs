use std::sync::LazyLock;

use leno_api::Kind;
use serde_json::{Value, json};

/// The OpenAPI schema of a kind's objects in one of its versions.
pub(crate) fn of(kind: Kind, version: &str) -> &'static Value {
    let own = || if kind == Kind::Service { &*SERVICE } else { &*ANYTHING };
    leno_api::schema(kind, version).unwrap_or_else(own)
}

/// Whether objects look the same in both versions, but for `apiVersion`.
pub(crate) fn are_same(kind: Kind, one: &str, other: &str) -> bool {
    std::ptr::eq(of(kind, one), of(kind, other))
}

static ANYTHING: LazyLock<Value> =
    LazyLock::new(|| json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }));

static SERVICE: LazyLock<Value> = LazyLock::new(|| {
    json!({ "type": "object", "properties": {
        "spec": { "type": "object", "properties": {
            "ports": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": { "type": "object", "properties": { "protocol": { "type": "string", "default": "TCP" } } },
            },
            "selector": { "type": "object", "additionalProperties": { "type": "string" }, "x-kubernetes-map-type": "atomic" },
        }},
        "status": { "type": "object", "properties": {
            "conditions": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] },
        }},
    }})
});
