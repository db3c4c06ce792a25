use std::sync::LazyLock;

use serde_json::{Value, json};

use super::status::ObjectStatus;
use super::{
    DeadlinePolicySpec, FaultPolicySpec, HedgePolicySpec, MeshConfigSpec, PolicyStatus, RateLimitPolicySpec,
    RetryPolicySpec, TrafficPolicySpec,
};
use crate::described::Described;
use crate::{Kind, Scope};

macro_rules! schemas {
    ($($kind:ident $spec:ident $status:ident $about:literal;)*) => {
        /// The schema of whole objects; `None` for kinds that are not ours.
        pub(crate) fn schema(kind: Kind) -> Option<&'static Value> {
            match kind {
                $(Kind::$kind => {
                    static SCHEMA: LazyLock<Value> =
                        LazyLock::new(|| whole($about, &<$spec>::schema(), &<$status>::schema()));
                    Some(&SCHEMA)
                })*
                _ => None,
            }
        }
    };
}
schemas! {
    DeadlinePolicy DeadlinePolicySpec PolicyStatus "How long requests may take.";
    FaultPolicy FaultPolicySpec PolicyStatus "Delays and errors on purpose, until a moment that is known beforehand.";
    HedgePolicy HedgePolicySpec PolicyStatus "Sends a request a second time when the answer is late.";
    MeshConfig MeshConfigSpec ObjectStatus "What holds for the mesh as a whole.";
    RateLimitPolicy RateLimitPolicySpec PolicyStatus "How often requests may come.";
    RetryPolicy RetryPolicySpec PolicyStatus "Which requests are sent again, and how often.";
    TrafficPolicy TrafficPolicySpec PolicyStatus "How connections to a service are made, balanced and limited.";
}

fn whole(about: &str, spec: &Value, status: &Value) -> Value {
    json!({
        "type": "object",
        "description": about,
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string", "description": "Group and version of the object's schema." },
            "kind": { "type": "string", "description": "What the object is." },
            "metadata": { "type": "object" },
            "spec": spec,
            "status": status,
        },
    })
}

/// The CustomResourceDefinition of a kind of ours, for clusters that keep the objects themselves.
pub fn definition(kind: Kind) -> Option<Value> {
    let schema = schema(kind)?;
    let is_policy = schema["properties"]["status"]["properties"]["ancestors"].is_object();
    let accepted = if is_policy {
        ".status.ancestors[*].conditions[?(@.type==\"Accepted\")].status"
    } else {
        ".status.conditions[?(@.type==\"Accepted\")].status"
    };
    let mut labels = json!({ "app.kubernetes.io/part-of": "leno" });
    if is_policy {
        // GEP-713: how tools find policies.
        labels["gateway.networking.k8s.io/policy"] = json!("Direct");
    }
    let version = |name: &&str| {
        json!({
            "name": name,
            "served": true,
            "storage": *name == kind.versions()[0],
            "subresources": { "status": {} },
            "additionalPrinterColumns": [
                { "name": "Accepted", "type": "string", "jsonPath": accepted },
                { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
            ],
            "schema": { "openAPIV3Schema": schema },
        })
    };
    Some(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{}.{}", kind.plural(), kind.group()), "labels": labels },
        "spec": {
            "group": kind.group(),
            "names": {
                "kind": kind.as_str(),
                "listKind": format!("{kind}List"),
                "plural": kind.plural(),
                "singular": kind.singular(),
                "shortNames": kind.short_names(),
                "categories": ["leno"],
            },
            "scope": match kind.scope() {
                Scope::Cluster => "Cluster",
                Scope::Namespaced => "Namespaced",
            },
            "versions": kind.versions().iter().map(version).collect::<Vec<_>>(),
        },
    }))
}

/// The JSON Schema of a kind's objects, also of other projects' kinds, for editors. Unlike Kubernetes' it knows no other fields.
pub fn json_schema(kind: Kind, version: &str) -> Option<Value> {
    let mut schema = crate::schema(kind, version)?.clone();
    close(&mut schema);
    let entries = schema.as_object_mut()?;
    entries.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    entries.insert("title".to_owned(), json!(kind.as_str()));
    entries.entry("properties").or_insert_with(|| json!({}));
    let properties = entries.get_mut("properties")?;
    let versions: Vec<_> = kind.api_versions().into_iter().filter(|known| known.ends_with(version)).collect();
    properties["apiVersion"] = json!({ "type": "string", "enum": versions });
    properties["kind"] = json!({ "type": "string", "enum": [kind.as_str()] });
    properties["metadata"] = json!({ "type": "object" });
    let mut required: Vec<_> = entries.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    required.extend(["apiVersion", "kind", "metadata"].into_iter().map(Value::from));
    entries.insert("required".to_owned(), Value::Array(required));
    Some(schema)
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            let is_open = entries.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            let is_structure = entries.get("properties").is_some_and(Value::is_object) && entries.contains_key("type");
            if is_structure && !is_open && !entries.contains_key("additionalProperties") {
                entries.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            entries.retain(|key, _| !key.starts_with("x-kubernetes-"));
            entries.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
