//! `/apply`: texts as people keep them in files, many objects at once, with the line of each problem.

use std::time::SystemTime;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::Uri;
use leno_api::{Document, ParseProblem, Resource};
use leno_store::{Change, Mode, Written, timestamp};
use serde_json::{Value, json};

use crate::fields::{self, Schema, Write};
use crate::parameters::Parameters;
use crate::serve::App;
use crate::view::Entry;
use crate::{ApiError, ApiProblem, ApplyResult, ObjectProblem, Outcome, body, place};

const MANAGER: &str = "leno";

/// Always 200 when the text could be looked at: each result says what became of its object.
pub(crate) async fn apply(
    State(app): State<App>,
    uri: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::of(&uri)?;
    let mode = if parameters.flag("dryRun")? { Mode::DryRun } else { Mode::Write };
    let text = body::text(&body::bytes(body)?)?.to_owned();
    let results = app.call(move |app| apply_text(app, parameters.text("source"), &text, mode)).await?;
    Ok(Json(json!({ "results": results })))
}

/// One bad object stops no other.
fn apply_text(app: &App, source: &str, text: &str, mode: Mode) -> Vec<ApplyResult> {
    let (mut results, mut taken) = (Vec::new(), Vec::new());
    for document in leno_api::documents(source, text) {
        match document {
            Ok(document) if leno_api::is_foreign(&document) => {}
            Ok(document) => match leno_api::read(&document) {
                Ok(resource) => taken.push((document, resource)),
                Err(problems) => results.extend(problems.iter().map(unreadable)),
            },
            Err(problem) => results.push(unreadable(&problem)),
        }
    }
    // All at once: they may speak of each other.
    let objects: Vec<_> = taken.iter().map(|(_, resource)| resource.clone()).collect();
    let found = app.api.check(&objects);
    results.extend(taken.iter().map(|(document, resource)| apply_one(app, document, resource, &found, mode)));
    if mode == Mode::Write {
        app.api.settle();
    }
    results
}

fn apply_one(app: &App, document: &Document, resource: &Resource, found: &[ObjectProblem], mode: Mode) -> ApplyResult {
    let key = resource.key();
    let (source, line) = (document.source(), document.start().line);
    let here = |problem: ApiProblem| ApiProblem { source: source.to_string(), line, ..problem };
    let mut problems: Vec<_> =
        found.iter().filter(|problem| problem.key == key).map(|problem| here(ApiProblem::from(problem))).collect();
    let written = document.to_json();
    let outcome = match app.view.write(&key, mode, &mut |known, stored| change(resource, &written, known, stored)) {
        Ok(outcome) => match outcome.written {
            Written::Configured | Written::Deleted => Outcome::Configured,
            Written::Created => Outcome::Created,
            Written::Unchanged => Outcome::Unchanged,
        },
        Err(error) => {
            let (object, severity) = (key.to_string(), "error".to_owned());
            problems.push(here(ApiProblem { object, message: error.message, severity, ..ApiProblem::default() }));
            Outcome::Rejected
        }
    };
    ApplyResult { kind: key.kind.to_string(), namespace: key.namespace, name: key.name, outcome, problems }
}

/// The object becomes what the text says. A version in it must be the one that is stored; one that is not stored is made,
/// whatever version it had, so that what was saved can be put back.
fn change(
    resource: &Resource,
    document: &Value,
    known: Option<&Entry>,
    stored: Option<&Value>,
) -> Result<Change, ApiError> {
    let key = &resource.key();
    let mut object = document.clone();
    object.as_object_mut().map(|parts| parts.shift_remove("status"));
    let version = resource.metadata().resource_version.as_deref();
    if let (Some(stored), Some(known)) = (stored, known) {
        if let Some(version) = version.filter(|version| !known.is_current(version)) {
            let current = known.version();
            return Err(ApiError::conflict(format!(
                "{key} was changed by somebody else meanwhile: its resourceVersion is {current}, not {version}"
            ))
            .with_details(place::details(key)));
        }
        if wish(known.resource().to_json()) == wish(resource.to_json()) {
            return Ok(Change::Keep);
        }
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
            if let Some(value) = stored["metadata"].get(field) {
                object["metadata"][field] = value.clone();
            }
        }
        if let Some(status) = stored.get("status") {
            object["status"] = status.clone();
        }
    }
    let now = timestamp(SystemTime::now());
    object["metadata"].as_object_mut().map(|metadata| metadata.shift_remove("managedFields"));
    let schema = Schema::of(key.kind, &object["apiVersion"]);
    fields::update(stored, &mut object, &Write { manager: MANAGER, now: &now, subresource: "" }, schema);
    Ok(Change::Put(object))
}

/// Without what is not people's to say.
fn wish(mut object: Value) -> Value {
    if let Some(parts) = object.as_object_mut() {
        parts.shift_remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|name, _| {
            matches!(name.as_str(), "name" | "labels" | "annotations" | "finalizers" | "ownerReferences")
        });
    }
    object
}

fn unreadable(problem: &ParseProblem) -> ApplyResult {
    let (kind, name) = problem.object.split_once(' ').unwrap_or_default();
    let (namespace, name) = name.split_once('/').unwrap_or_default();
    ApplyResult {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        outcome: Outcome::Rejected,
        problems: vec![ApiProblem::from(problem)],
    }
}

impl From<&ParseProblem> for ApiProblem {
    fn from(problem: &ParseProblem) -> Self {
        Self {
            source: problem.source.clone(),
            line: problem.line,
            column: problem.column,
            object: problem.object.clone(),
            field: problem.field.clone(),
            message: problem.message.clone(),
            severity: "error".to_owned(),
        }
    }
}

impl From<&ObjectProblem> for ApiProblem {
    fn from(problem: &ObjectProblem) -> Self {
        Self {
            object: problem.key.to_string(),
            field: problem.field.clone(),
            message: problem.message.clone(),
            severity: if problem.is_error { "error" } else { "warning" }.to_owned(),
            ..Self::default()
        }
    }
}
