use std::sync::LazyLock;

use leno_api::Kind;
use serde_json::{Value, json};

/// The OpenAPI schema of a kind's objects in one of its versions.
pub(crate) fn of(kind: Kind, version: &str) -> &'static Value {
    leno_api::schema(kind, version).unwrap_or_else(|| match kind {
        Kind::ConfigMap => &CONFIG_MAP,
        Kind::Secret => &SECRET,
        Kind::Service => &SERVICE,
        _ => &ANYTHING,
    })
}

/// Whether objects look the same in both versions, but for `apiVersion`.
pub(crate) fn are_same(kind: Kind, one: &str, other: &str) -> bool {
    std::ptr::eq(of(kind, one), of(kind, other))
}

static ANYTHING: LazyLock<Value> =
    LazyLock::new(|| json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }));

/// Kubernetes' own kinds, whose definitions are no CRDs.
fn core(properties: Value) -> Value {
    json!({ "type": "object", "properties": properties })
}

fn words() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" } })
}

fn texts() -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "atomic" })
}

/// Which of a list's items are the same, for server-side apply and for strategic merge patches.
fn keyed(keys: &[&str], merge_key: &str, properties: Value) -> Value {
    json!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": keys,
        "x-kubernetes-patch-merge-key": merge_key,
        "x-kubernetes-patch-strategy": "merge",
        "items": { "type": "object", "properties": properties },
    })
}

static CONFIG_MAP: LazyLock<Value> =
    LazyLock::new(|| core(json!({ "data": words(), "binaryData": words(), "immutable": { "type": "boolean" } })));

static SECRET: LazyLock<Value> = LazyLock::new(|| {
    core(json!({
        "data": words(), "stringData": words(), "immutable": { "type": "boolean" }, "type": { "type": "string" },
    }))
});

static SERVICE: LazyLock<Value> = LazyLock::new(|| {
    let (text, number, flag) =
        (json!({ "type": "string" }), json!({ "type": "integer" }), json!({ "type": "boolean" }));
    let mut selector = words();
    selector["x-kubernetes-map-type"] = json!("atomic");
    let ports = keyed(
        &["port", "protocol"],
        "port",
        json!({
            "appProtocol": text, "name": text, "nodePort": number, "port": number,
            "protocol": { "type": "string", "default": "TCP" },
            "targetPort": { "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] },
        }),
    );
    let conditions = keyed(
        &["type"],
        "type",
        json!({
            "lastTransitionTime": text, "message": text, "observedGeneration": number, "reason": text, "status": text, "type": text,
        }),
    );
    core(json!({
        "spec": core(json!({
            "allocateLoadBalancerNodePorts": flag, "clusterIP": text, "clusterIPs": texts(), "externalIPs": texts(),
            "externalName": text, "externalTrafficPolicy": text, "healthCheckNodePort": number,
            "internalTrafficPolicy": text, "ipFamilies": texts(), "ipFamilyPolicy": text, "loadBalancerClass": text,
            "loadBalancerIP": text, "loadBalancerSourceRanges": texts(), "ports": ports, "publishNotReadyAddresses": flag,
            "selector": selector, "sessionAffinity": text, "sessionAffinityConfig": { "type": "object" },
            "trafficDistribution": text, "type": text,
        })),
        "status": core(json!({ "conditions": conditions, "loadBalancer": { "type": "object" } })),
    }))
});
