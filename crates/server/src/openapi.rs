//! The OpenAPI documents of the kinds, by which clients know fields and what a request may say.
//!
//! Source      OpenAPI 3.0; Kubernetes' extensions `x-kubernetes-group-version-kind` and `x-kubernetes-action`

use axum::Json;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use leno_api::Kind;
use serde_json::{Map, Value, json};

use crate::place::api_version;
use crate::{ApiError, schemas};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// `/openapi/v3`: where the documents are.
pub(crate) fn index() -> Value {
    let mut paths = Map::new();
    for kind in Kind::ALL {
        for version in kind.versions() {
            let path = root(kind, version);
            // It changes only with the program.
            let url = format!("/openapi/v3/{path}?hash={}", env!("CARGO_PKG_VERSION"));
            paths.insert(path, json!({ "serverRelativeURL": url }));
        }
    }
    json!({ "paths": paths })
}

fn root(kind: Kind, version: &str) -> String {
    format!("{}/{}", if kind.group().is_empty() { "api" } else { "apis" }, api_version(kind, version))
}

/// `/openapi/v3/api/v1`, `/openapi/v3/apis/GROUP/VERSION`
///
/// # Errors
/// There is no such group or version.
pub(crate) fn document(path: &str) -> Result<Value, ApiError> {
    let (mut paths, mut components) = (Map::new(), Map::new());
    for kind in Kind::ALL {
        for version in kind.versions().iter().filter(|version| root(kind, version) == path) {
            describe(kind, version, &mut paths, &mut components);
        }
    }
    if paths.is_empty() {
        return Err(ApiError::not_found(format!("no OpenAPI document for {path}")));
    }
    components.insert(format!("{META}.ObjectMeta"), object_meta());
    let list_meta = json!({ "type": "object", "description": "What is said of a list.", "properties": {
        "continue": { "type": "string" }, "remainingItemCount": { "type": "integer", "format": "int64" },
        "resourceVersion": { "type": "string" },
    }});
    components.insert(format!("{META}.ListMeta"), list_meta);
    Ok(json!({
        "openapi": "3.0.0",
        "info": { "title": "Leno", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": components },
    }))
}

/// `/openapi/v2`: for clients that know nothing newer. No more than that there is one, in protobuf for those who want it so.
pub(crate) fn old_document(headers: &HeaderMap) -> Response {
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    if !accept.contains(PROTOBUF) {
        let document = json!({ "swagger": "2.0", "info": { "title": "Leno", "version": version }, "paths": {}, "definitions": {} });
        return Json(document).into_response();
    }
    // OpenAPIv2.proto: Document { swagger = 1, info = 2 { title = 1, version = 2 }, paths = 8 }
    let field = |number: u8, value: &[u8]| {
        let length = u8::try_from(value.len()).unwrap_or(0);
        [&[number << 3 | 2, length], &value[..usize::from(length)]].concat()
    };
    let info = [field(1, b"Leno"), field(2, version.as_bytes())].concat();
    let document = [field(1, b"2.0"), field(2, &info), field(8, b"")].concat();
    ([(header::CONTENT_TYPE, PROTOBUF)], document).into_response()
}

/// `io.istio.networking.v1.VirtualService`
fn schema_name(kind: Kind, version: &str) -> String {
    let group = if kind.group().is_empty() { "core.api.k8s.io" } else { kind.group() };
    let words: Vec<_> = group.split('.').rev().collect();
    format!("{}.{version}.{kind}", words.join("."))
}

fn describe(kind: Kind, version: &str, paths: &mut Map<String, Value>, components: &mut Map<String, Value>) {
    let what = json!([{ "group": kind.group(), "version": version, "kind": kind.as_str() }]);
    let name = schema_name(kind, version);
    components.insert(name.clone(), schema(kind, version, &what));
    let list = format!("{name}List");
    components.insert(list.clone(), json!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "items": { "type": "array", "items": reference(&name) },
            "metadata": reference(&format!("{META}.ListMeta")),
        },
        "x-kubernetes-group-version-kind": [{ "group": kind.group(), "version": version, "kind": format!("{kind}List") }],
    }));
    let root = format!("/{}", root(kind, version));
    let namespaced = format!("{root}/namespaces/{{namespace}}/{}", kind.plural());
    let all = format!("{root}/{}", kind.plural());
    let collection = if kind.is_namespaced() { namespaced } else { all.clone() };
    let operation = |action: &str, answer: &str, parameters: &[(&str, &str)]| {
        json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": what[0],
            "parameters": parameters.iter().map(|(name, kind)| parameter("query", name, kind)).collect::<Vec<_>>(),
            "responses": { "200": { "description": "OK", "content": { "application/json": { "schema": reference(answer) } } } },
        })
    };
    let read = [
        ("resourceVersion", "string"),
        ("labelSelector", "string"),
        ("fieldSelector", "string"),
        ("limit", "integer"),
        ("continue", "string"),
        ("watch", "boolean"),
        ("allowWatchBookmarks", "boolean"),
        ("sendInitialEvents", "boolean"),
        ("timeoutSeconds", "integer"),
    ];
    let write = [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")];
    let delete = [("dryRun", "string"), ("propagationPolicy", "string"), ("gracePeriodSeconds", "integer")];
    let mut of_path = vec![];
    if kind.is_namespaced() {
        paths.insert(all, json!({ "get": operation("list", &list, &read) }));
        of_path.push(parameter("path", "namespace", "string"));
    }
    paths.insert(
        collection.clone(),
        json!({
            "parameters": of_path,
            "get": operation("list", &list, &read),
            "post": with_body(operation("post", &name, &write[..3]), &name, &["application/json", "application/yaml"]),
            "delete": operation("deletecollection", &name, &delete),
        }),
    );
    let mut patches =
        vec!["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
    if kind.group().is_empty() {
        patches.push("application/strategic-merge-patch+json");
    }
    of_path.push(parameter("path", "name", "string"));
    let mut object = json!({
        "parameters": of_path,
        "get": operation("get", &name, &[]),
        "put": with_body(operation("put", &name, &write[..3]), &name, &["application/json", "application/yaml"]),
        "patch": with_body(operation("patch", &name, &write), &name, &patches),
    });
    paths.insert(format!("{collection}/{{name}}/status"), object.clone());
    object["delete"] = operation("delete", &name, &delete);
    paths.insert(format!("{collection}/{{name}}"), object);
}

fn with_body(mut operation: Value, schema: &str, media_types: &[&str]) -> Value {
    let content =
        media_types.iter().map(|media_type| ((*media_type).to_owned(), json!({ "schema": reference(schema) })));
    operation["requestBody"] = json!({ "content": content.collect::<Map<_, _>>() });
    operation
}

fn parameter(place: &str, name: &str, kind: &str) -> Value {
    json!({ "in": place, "name": name, "required": place == "path", "schema": { "type": kind } })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn schema(kind: Kind, version: &str, what: &Value) -> Value {
    let mut schema = schemas::of(kind, version).clone();
    schema["x-kubernetes-group-version-kind"] = what.clone();
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let properties = &mut schema["properties"];
    let words = [("apiVersion", "Group and version of the object's schema."), ("kind", "What the object is.")];
    for (name, description) in words {
        properties[name] = json!({ "type": "string", "description": description });
    }
    properties["metadata"] = json!({ "description": "Name, labels and the like.", "allOf": [reference(&format!("{META}.ObjectMeta"))], "default": {} });
    schema
}

fn object_meta() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let words = |description: &str| json!({ "type": "object", "additionalProperties": { "type": "string" }, "description": description });
    let object = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({ "type": "object", "description": "What every object has.", "properties": {
        "annotations": words("Notes on the object, by tools or people."),
        "creationTimestamp": text("When the object was made; set by the server."),
        "deletionGracePeriodSeconds": { "type": "integer", "format": "int64" },
        "deletionTimestamp": text("When it was asked to be deleted; it goes with its last finalizer."),
        "finalizers": { "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge", "description": "Who has something to do before the object goes." },
        "generateName": text("What the server makes a unique name of."),
        "generation": { "type": "integer", "format": "int64", "description": "Grows with every change of what is asked for." },
        "labels": words("By which objects are selected."),
        "managedFields": { "type": "array", "items": object, "x-kubernetes-list-type": "atomic", "description": "Who owns which field." },
        "name": text("Unique among the objects of a kind in a namespace."),
        "namespace": text("Where the object lives."),
        "ownerReferences": { "type": "array", "items": object, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"], "x-kubernetes-patch-merge-key": "uid", "x-kubernetes-patch-strategy": "merge" },
        "resourceVersion": text("Another one for each state of the object."),
        "selfLink": text("Not used."),
        "uid": text("Unique in time and space; set by the server."),
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_version_has_a_document_that_knows_it() {
        let index = index();
        for kind in Kind::ALL {
            for version in kind.versions() {
                let path = root(kind, version);
                assert!(index["paths"].get(&path).is_some(), "{path}");
                let document = document(&path).unwrap();
                assert!(
                    document["components"]["schemas"].get(schema_name(kind, version)).is_some(),
                    "{kind} {version}"
                );
                let patches = document["paths"].as_object().unwrap().values().filter_map(|path| path.get("patch"));
                let of_kind = |patch: &&Value| patch["x-kubernetes-group-version-kind"]["kind"] == kind.as_str();
                assert!(patches.clone().any(|patch| of_kind(&patch)), "{kind} {version}");
            }
        }
        assert!(document("apis/nothing/v1").is_err());
    }
}
