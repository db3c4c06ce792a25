use std::sync::LazyLock;

use leno_api::Kind;
use serde_json::{Value, json};

/// The OpenAPI schema of a kind's objects.
pub(crate) fn of(kind: Kind) -> &'static Value {
    match kind {
        Kind::Service => &SERVICE,
        _ => &ANYTHING,
    }
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
