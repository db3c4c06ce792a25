//! Deleting objects: one, or all that a selector names.

use std::time::SystemTime;

use axum::Json;
use axum::response::{IntoResponse, Response};
use leno_api::ResourceKey;
use leno_store::{Change, Mode, Written, timestamp};
use serde_json::{Value, json};

use crate::place;
use crate::serve::App;
use crate::view::{Entry, Outcome};
use crate::write::{Request, not_allowed};
use crate::{ApiError, body};

/// What a caller says about a deletion. `propagationPolicy` and `gracePeriodSeconds` are accepted: nothing here has
/// dependents, and nothing has to end.
struct Options {
    mode: Mode,
    uid: Option<String>,
    version: Option<String>,
}

impl Options {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let mut mode = request.parameters.mode()?;
        let options = if request.body.is_empty() { Value::Null } else { body::value(&request.headers, &request.body)? };
        if options["dryRun"].as_array().is_some_and(|modes| modes.iter().any(|mode| mode == "All")) {
            mode = Mode::DryRun;
        }
        let text = |name: &str| options["preconditions"][name].as_str().map(str::to_owned);
        Ok(Self { mode, uid: text("uid"), version: text("resourceVersion") })
    }
}

pub(crate) async fn delete(app: App, request: Request) -> Result<Response, ApiError> {
    if !request.place.subresource.is_empty() {
        return Err(not_allowed());
    }
    let answer = app
        .call(move |app| {
            let options = Options::of(&request)?;
            match request.place.key() {
                Some(key) => one(app, &request, &key, &options),
                None => all(app, &request, &options),
            }
        })
        .await??;
    Ok(Json(answer).into_response())
}

fn one(app: &App, request: &Request, key: &ResourceKey, options: &Options) -> Result<Value, ApiError> {
    let outcome = remove(app, key, options)?;
    let Some(entry) = outcome.entry else { return Err(place::not_found(key)) };
    if options.mode == Mode::Write {
        app.api.settle();
    }
    let object = entry.to_json(request.place.version);
    if outcome.written != Written::Deleted {
        return Ok(object);
    }
    let mut details = place::details(key);
    details["uid"] = object["metadata"]["uid"].clone();
    Ok(json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details }))
}

/// Objects that cannot be deleted here, those of files for one, are passed over.
fn all(app: &App, request: &Request, options: &Options) -> Result<Value, ApiError> {
    let selector = request.parameters.selector()?;
    let place = &request.place;
    let wanted = |entry: &&std::sync::Arc<Entry>| {
        entry.is_stored() && place.holds(entry.key()) && selector.matches(entry.resource())
    };
    let found: Vec<_> = app.view.with(place.kind, |view| view.entries().filter(wanted).cloned().collect());
    let mut items = Vec::new();
    for entry in found {
        match remove(app, entry.key(), options) {
            Ok(outcome) => items.extend(outcome.entry.map(|entry| entry.to_json(place.version))),
            // Somebody else was faster.
            Err(error) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    if options.mode == Mode::Write {
        app.api.settle();
    }
    let kind = format!("{}List", place.kind);
    Ok(json!({ "kind": kind, "apiVersion": place.api_version(), "metadata": {}, "items": items }))
}

/// An object with finalizers stays until their owners have taken them off.
fn remove(app: &App, key: &ResourceKey, options: &Options) -> Result<Outcome, ApiError> {
    // Before the write: the store is asked nothing while it is written.
    let in_use = check_namespace(app, key);
    app.view.write(key, options.mode, &mut |known, stored| {
        let (Some(known), Some(stored)) = (known, stored) else {
            // A namespace that nobody made is there as long as it is used.
            return Err(in_use.clone().err().filter(|_| known.is_some()).unwrap_or_else(|| place::not_found(key)));
        };
        let metadata = &stored["metadata"];
        if options.uid.as_ref().is_some_and(|uid| metadata["uid"] != **uid) {
            return Err(precondition(key, "uid"));
        }
        if options.version.as_ref().is_some_and(|version| !known.is_current(version)) {
            return Err(precondition(key, "resourceVersion"));
        }
        in_use.clone()?;
        if metadata["finalizers"].as_array().is_none_or(Vec::is_empty) {
            return Ok(Change::Remove);
        }
        if metadata.get("deletionTimestamp").is_some() {
            return Ok(Change::Keep);
        }
        let mut object = stored.clone();
        object["metadata"]["deletionTimestamp"] = json!(timestamp(SystemTime::now()));
        object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        Ok(Change::Put(object))
    })
}

/// A namespace goes when nothing is in it: here nobody cleans up after a slip.
fn check_namespace(app: &App, key: &ResourceKey) -> Result<(), ApiError> {
    if key.kind.as_str() != "Namespace" || !app.api.namespaces().contains(&key.name) {
        return Ok(());
    }
    let message = format!("namespace \"{}\" is in use; delete what is in it first", key.name);
    Err(ApiError::conflict(message).with_details(place::details(key)))
}

fn precondition(key: &ResourceKey, field: &str) -> ApiError {
    let resource = place::resource_name(key.kind);
    let message = format!(
        "Operation cannot be fulfilled on {resource} \"{}\": Precondition failed: {field} is another",
        key.name
    );
    ApiError::conflict(message).with_details(place::details(key))
}
