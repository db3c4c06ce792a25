//! `deploy/crds` and `deploy/schemas` are what the types say (`UPDATE=1` writes them), and what they say is sound.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use leno_api::{Kind, leno, parse};
use serde_json::Value;

fn own() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| kind.group() == "leno.dev")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_committed_definitions_are_those_of_the_types() {
    let mut wanted = BTreeSet::new();
    for kind in own() {
        let definition = serde_saphyr::to_string(&leno::definition(kind).unwrap()).unwrap();
        let schema = leno::json_schema(kind, kind.versions()[0]).unwrap();
        let schema = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let name = format!("leno.dev_{}", kind.plural());
        let files = [(format!("deploy/crds/{name}.yaml"), definition), (format!("deploy/schemas/{name}.json"), schema)];
        for (file, text) in files {
            let path = root().join(&file);
            if std::env::var_os("UPDATE").is_some() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, text).unwrap();
            } else {
                let written = std::fs::read_to_string(&path).unwrap_or_default();
                assert!(written == text, "{file} is not what the types say; run cargo xtask crds");
            }
            wanted.insert(path.file_name().unwrap().to_owned());
        }
    }
    for folder in ["deploy/crds", "deploy/schemas"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap().flatten() {
            assert!(wanted.contains(&entry.file_name()), "{} is of no kind", entry.path().display());
        }
    }
}

/// Kubernetes CustomResourceDefinition v1, "Specifying a structural schema".
fn structural(schema: &Value, path: &str, found: &mut Vec<String>) {
    for key in ["$ref", "nullable", "definitions", "oneOf", "anyOf", "allOf", "not"] {
        if schema.get(key).is_some() {
            found.push(format!("{path}: {key}"));
        }
    }
    let Some(kind) = schema["type"].as_str() else { return found.push(format!("{path}: no type")) };
    match kind {
        "object" if !path.ends_with(".metadata") => {
            let (fields, rest) = (schema["properties"].as_object(), schema.get("additionalProperties"));
            if fields.is_some() == rest.is_some() {
                found.push(format!("{path}: fields or a map, one of them"));
            }
            for (name, schema) in fields.into_iter().flatten() {
                structural(schema, &format!("{path}.{name}"), found);
            }
            rest.into_iter().for_each(|rest| structural(rest, &format!("{path}.*"), found));
            for name in schema["required"].as_array().into_iter().flatten() {
                if fields.is_none_or(|fields| !fields.contains_key(name.as_str().unwrap())) {
                    found.push(format!("{path}: {name} is required and not there"));
                }
            }
        }
        "array" => structural(&schema["items"], &format!("{path}[]"), found),
        "boolean" | "integer" | "number" | "object" | "string" => {}
        other => found.push(format!("{path}: type {other}")),
    }
}

#[test]
fn schemas_are_structural_and_every_field_of_a_wish_is_explained() {
    let mut found = Vec::new();
    for kind in own() {
        let definition = leno::definition(kind).unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        structural(schema, kind.as_str(), &mut found);
        assert!(schema["properties"]["spec"]["description"].is_string(), "{kind}");
        assert_eq!(leno_api::schema(kind, "v1"), Some(schema));
    }
    assert_eq!(found, Vec::<String>::new());
}

/// Every example in the documentation is good; each of these is not.
#[test]
fn examples_are_taken_and_mistakes_are_told() {
    let page = std::fs::read_to_string(root().join("docs/policies.md")).unwrap();
    let examples: Vec<_> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= own().count(), "an example for each kind");
    let mut seen = BTreeSet::new();
    for example in examples {
        let parsed = parse("docs/policies.md", example);
        assert_eq!(parsed.problems, Vec::new());
        seen.extend(parsed.resources.iter().map(|located| located.value.kind()));
    }
    assert_eq!(own().filter(|kind| !seen.contains(kind)).collect::<Vec<_>>(), Vec::<Kind>::new());

    let object = |kind: &str, spec: &str| {
        format!("{{apiVersion: leno.dev/v1, kind: {kind}, metadata: {{name: a}}, spec: {spec}}}")
    };
    let wrong = [
        ("RetryPolicy", "{attempts: 99}", "spec.attempts: 99 is above the most, 10"),
        ("RetryPolicy", "{attemps: 1}", "unknown field `attemps`"),
        ("RetryPolicy", "{backoff: {base: 1s, max: 1ms}}", "max is not less than base"),
        ("RetryPolicy", "{targetRefs: [{kind: Service, name: a, group: gateway.networking.k8s.io}]}", "the group is"),
        ("RetryPolicy", "{targetRefs: [{kind: Pod, name: a}]}", "Pod"),
        ("HedgePolicy", "{}", "spec.after: required field is missing"),
        ("DeadlinePolicy", "{}", "one of request, backendRequest, idle and grpc is required"),
        ("DeadlinePolicy", "{request: 1s, backendRequest: 2s}", "backendRequest is not more than request"),
        ("DeadlinePolicy", "{request: fast}", "fast"),
        ("FaultPolicy", "{abort: {status: 503}}", "spec.until: required field is missing"),
        ("FaultPolicy", "{until: tomorrow, abort: {status: 503}}", "tomorrow"),
        ("FaultPolicy", "{until: 2999-13-01T00:00:00Z, abort: {status: 503}}", "is no moment"),
        ("FaultPolicy", "{until: 2999-01-01T00:00:00Z}", "one of delay and abort is required"),
        ("FaultPolicy", "{until: 2999-01-01T00:00:00Z, abort: {}}", "exactly one of status and grpcStatus"),
        ("RateLimitPolicy", "{limits: []}", "at least 1"),
        ("RateLimitPolicy", "{limits: [{requests: 1, by: [{type: Header}]}]}", "name is for Header"),
        ("MeshConfig", "{accessLog: {}}", "spec.accessLog.path: required field is missing"),
        ("TrafficPolicy", "{loadBalancer: {type: Fastest}}", "Fastest"),
        // What every proxy would refuse.
        ("TrafficPolicy", "{connectTimeout: 0s}", "connectTimeout is more than 0s"),
        ("RetryPolicy", "{backoff: {base: 0s}}", "base is more than 0s"),
        ("FaultPolicy", "{until: 2999-01-01T00:00:00Z, delay: {duration: 0s}}", "duration is more than 0s"),
        (
            "FaultPolicy",
            "{until: 2999-01-01T00:00:00Z, headers: {'': a}, abort: {status: 503}}",
            "headers are not empty",
        ),
        ("RateLimitPolicy", "{limits: [{requests: 1, headers: {'': a}}]}", "headers are not empty"),
        ("MeshConfig", "{dnsRefreshRate: 0s}", "dnsRefreshRate is more than 0s"),
        ("MeshConfig", "{rootNamespace: Not A Name}", "rootNamespace"),
    ];
    for (kind, spec, message) in wrong {
        let problems = parse("a.yaml", &object(kind, spec)).problems;
        let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(told.iter().any(|told| told.contains(message)), "{kind} {spec}: {told:?}");
    }
}
