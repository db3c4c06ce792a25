//! Writing objects: POST, PUT, PATCH and DELETE.
//!
//! Invariants  a dry run differs from the real thing only in that nothing is stored; `status` is written only at `/status`, and
//!             nothing else there; the store's own fields are nobody's to write
//! Errors      409 when somebody else was faster, or owns a field; 422 with the fields when the object is wrong; what is odd
//!             about an object that was taken comes as `Warning` headers
//! Source      Kubernetes "API Concepts", "Server-Side Apply", "Finalizers"

use std::time::SystemTime;

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use leno_api::{Kind, ParseProblem, ResourceKey};
use leno_store::{Change, Mode, Written, timestamp};
use serde_json::{Value, json};

use crate::fields::{self, Conflict, Schema, Write};
use crate::parameters::Parameters;
use crate::place::{self, Place};
use crate::serve::App;
use crate::view::{Entry, Outcome};
use crate::{ApiError, ObjectProblem, body, patch, schemas};

/// Everything of a request that writes.
pub(crate) struct Request {
    pub(crate) place: Place,
    pub(crate) parameters: Parameters,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// Who writes: as he says, or what the name of his program begins with.
    fn manager(&self) -> String {
        let said = self.parameters.text("fieldManager");
        if !said.is_empty() {
            return said.to_owned();
        }
        let agent = self.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("unknown");
        agent.split('/').next().unwrap_or_default().to_owned()
    }

    fn key(&self) -> Result<ResourceKey, ApiError> {
        self.place.key().ok_or_else(not_allowed)
    }

    fn is_status(&self) -> bool {
        self.place.subresource == "status"
    }
}

pub(crate) fn not_allowed() -> ApiError {
    ApiError::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
}

pub(crate) async fn create(app: App, request: Request) -> Result<Response, ApiError> {
    if request.place.name.is_some() {
        return Err(not_allowed());
    }
    write(app, request, |app, request, mode| {
        let mut object = body::value(&request.headers, &request.body)?;
        let (kind, wanted) = (request.place.kind, request.place.namespace.as_deref());
        let namespace =
            wanted.or_else(|| object["metadata"]["namespace"].as_str()).unwrap_or(leno_api::DEFAULT_NAMESPACE);
        let key = place::key(kind, namespace, &name_of(&object)?);
        identify(&mut object, &request.place, &key)?;
        let manager = request.manager();
        app.view.write(&key, mode, &mut |known, stored| {
            if stored.is_some() || known.is_some_and(|known| !is_implied(known)) {
                let message = format!("{} \"{}\" already exists", place::resource_name(kind), key.name);
                return Err(ApiError::new(409, "AlreadyExists", message).with_details(place::details(&key)));
            }
            let mut object = object.clone();
            object.as_object_mut().map(|fields| fields.remove("status"));
            own_fields(&mut object, None, kind);
            note(None, &mut object, &manager, "", kind);
            Ok(Change::Put(object))
        })
    })
    .await
}

pub(crate) async fn replace(app: App, request: Request) -> Result<Response, ApiError> {
    write(app, request, |app, request, mode| {
        let key = request.key()?;
        let mut object = body::value(&request.headers, &request.body)?;
        identify(&mut object, &request.place, &key)?;
        app.view.write(&key, mode, &mut |known, stored| {
            let current = current(&key, known, stored)?;
            finish(&request, &key, known, &current, object.clone())
        })
    })
    .await
}

pub(crate) async fn patch(app: App, request: Request) -> Result<Response, ApiError> {
    write(app, request, |app, request, mode| {
        let key = request.key()?;
        let media_type = body::media_type(&request.headers).to_owned();
        if matches!(media_type.as_str(), "application/apply-patch+yaml") {
            return apply(app, &request, &key, mode);
        }
        let patch = body::json(&request.body)?;
        app.view.write(&key, mode, &mut |known, stored| {
            let current = current(&key, known, stored)?;
            let mut changed = match media_type.as_str() {
                "application/json-patch+json" => patch::json_patch(&current, &patch)?,
                "application/merge-patch+json" => patch::merge_patch(&current, &patch),
                "application/strategic-merge-patch+json" if key.kind.group().is_empty() => {
                    patch::strategic_merge_patch(&current, &patch)
                }
                other => return Err(no_such_patch(key.kind, other)),
            };
            identify(&mut changed, &request.place, &key)?;
            finish(&request, &key, known, &current, changed)
        })
    })
    .await
}

fn no_such_patch(kind: Kind, media_type: &str) -> ApiError {
    let mut known = vec!["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
    if kind.group().is_empty() {
        known.push("application/strategic-merge-patch+json");
    }
    let message = format!(
        "the body of the request was in an unknown format ({media_type}) - accepted media types include: {}",
        known.join(", ")
    );
    ApiError::unsupported_media_type(message)
}

/// Server-side apply.
fn apply(app: &App, request: &Request, key: &ResourceKey, mode: Mode) -> Result<Outcome, ApiError> {
    let manager = request.parameters.text("fieldManager");
    if manager.is_empty() {
        return Err(ApiError::bad_request("fieldManager is required for apply patch"));
    }
    let force = request.parameters.flag("force")?;
    let mut config = body::yaml(&request.body)?;
    identify(&mut config, &request.place, key)?;
    if config["metadata"].get("managedFields").is_some_and(|managed| !managed.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    app.view.write(key, mode, &mut |known, stored| {
        if stored.is_none() && request.is_status() {
            return Err(place::not_found(key));
        }
        let current = known.and_then(|_| current(key, known, stored).ok());
        let mut config = config.clone();
        expect_version(key, known, &config)?;
        limit(&mut config, request.is_status());
        own_fields(&mut config, None, key.kind);
        let now = timestamp(SystemTime::now());
        let write = Write { manager, now: &now, subresource: &request.place.subresource };
        let schema = Schema::of(key.kind, &config["apiVersion"]);
        let mut object = fields::apply(current.as_ref(), &config, force, &write, schema)
            .map_err(|conflicts| owned_by_others(key, &conflicts))?;
        own_fields(&mut object, current.as_ref(), key.kind);
        Ok(put_or_remove(object))
    })
}

/// The parts of an object that may be written at the main path, or at `/status`.
fn limit(config: &mut Value, is_status: bool) {
    if let Some(parts) = config.as_object_mut() {
        parts.retain(|name, _| match name.as_str() {
            "apiVersion" | "kind" => true,
            "metadata" => !is_status,
            "status" => is_status,
            _ => !is_status,
        });
    }
}

/// What is there to be changed, with the version that readers know.
fn current(key: &ResourceKey, known: Option<&Entry>, stored: Option<&Value>) -> Result<Value, ApiError> {
    let known = known.ok_or_else(|| place::not_found(key))?;
    let mut current = match stored {
        Some(stored) => stored.clone(),
        // Nobody wrote it so far: a namespace that is in use.
        None if is_implied(known) => known.to_json(known.key().kind.versions().first().copied().unwrap_or_default()),
        None => return Err(place::not_found(key)),
    };
    current["metadata"]["resourceVersion"] = json!(known.version());
    Ok(current)
}

/// There because something else is.
fn is_implied(entry: &Entry) -> bool {
    entry.key().kind.as_str() == "Namespace" && !entry.is_stored()
}

/// From what somebody made of `current` to what is stored.
fn finish(
    request: &Request,
    key: &ResourceKey,
    known: Option<&Entry>,
    current: &Value,
    mut object: Value,
) -> Result<Change, ApiError> {
    expect_version(key, known, &object)?;
    let uid = &object["metadata"]["uid"];
    if uid.is_string() && *uid != current["metadata"]["uid"] {
        let message = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            current["metadata"]["uid"]
        );
        return Err(cannot_be_done(key, &message));
    }
    if request.is_status() {
        let status = object["status"].take();
        object = Value::clone(current);
        object["status"] = status;
    } else if let Some(parts) = object.as_object_mut() {
        parts.shift_remove("status");
        if let Some(status) = current.get("status").filter(|_| known.is_some_and(Entry::is_stored)) {
            parts.insert("status".to_owned(), status.clone());
        }
    }
    own_fields(&mut object, Some(current), key.kind);
    note(Some(current), &mut object, &request.manager(), &request.place.subresource, key.kind);
    Ok(put_or_remove(object))
}

fn note(before: Option<&Value>, object: &mut Value, manager: &str, subresource: &str, kind: Kind) {
    let now = timestamp(SystemTime::now());
    let schema = Schema::of(kind, &object["apiVersion"]);
    fields::update(before, object, &Write { manager, now: &now, subresource }, schema);
}

/// The last finalizer of an object that is to be deleted has gone: so does the object.
fn put_or_remove(object: Value) -> Change {
    let metadata = &object["metadata"];
    let waits = metadata["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
    let ends = metadata.get("deletionTimestamp").is_some_and(|time| !time.is_null());
    if ends && !waits { Change::Remove } else { Change::Put(object) }
}

/// Whoever names a version has read that one.
fn expect_version(key: &ResourceKey, known: Option<&Entry>, object: &Value) -> Result<(), ApiError> {
    let wanted = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if wanted.is_empty() || known.is_some_and(|known| known.is_current(wanted)) {
        return Ok(());
    }
    let message = "the object has been modified; please apply your changes to the latest version and try again";
    Err(cannot_be_done(key, message))
}

fn cannot_be_done(key: &ResourceKey, reason: &str) -> ApiError {
    let message =
        format!("Operation cannot be fulfilled on {} \"{}\": {reason}", place::resource_name(key.kind), key.name);
    ApiError::conflict(message).with_details(place::details(key))
}

fn owned_by_others(key: &ResourceKey, conflicts: &[Conflict]) -> ApiError {
    let with = |conflict: &Conflict| format!("conflict with \"{}\" using {}", conflict.manager, conflict.api_version);
    let causes: Vec<_> = conflicts
        .iter()
        .map(|conflict| json!({ "reason": "FieldManagerConflict", "message": with(conflict), "field": conflict.field }))
        .collect();
    let list: Vec<_> = conflicts.iter().map(|conflict| format!("{}: {}", with(conflict), conflict.field)).collect();
    let plural = if list.len() == 1 { "" } else { "s" };
    let message = format!("Apply failed with {} conflict{plural}: {}", list.len(), list.join("; "));
    let mut details = place::details(key);
    details["causes"] = json!(causes);
    ApiError::conflict(message).with_details(details)
}

/// The object is of the path; what it leaves out of that is filled in.
fn identify(object: &mut Value, place: &Place, key: &ResourceKey) -> Result<(), ApiError> {
    if !object.is_object() {
        return Err(ApiError::bad_request("the body is no object"));
    }
    let kind = key.kind;
    match object["kind"].as_str() {
        None => object["kind"] = json!(kind.as_str()),
        Some(found) if found == kind.as_str() => {}
        Some(found) => {
            return Err(ApiError::bad_request(format!("the path is for {kind}, and the object is of kind {found}")));
        }
    }
    match object["apiVersion"].as_str() {
        None => object["apiVersion"] = json!(place.api_version()),
        Some(found) if kind.api_versions().iter().any(|version| version == found) => {}
        Some(found) => return Err(ApiError::bad_request(format!("there is no {kind} in {found}"))),
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    for (field, wanted) in [("name", &key.name), ("namespace", &key.namespace)] {
        let found = &object["metadata"][field];
        if found.as_str().is_some_and(|found| !found.is_empty() && found != wanted) {
            let message = format!(
                "the {field} of the provided object does not match the {field} sent on the request ({found}, \"{wanted}\")"
            );
            return Err(ApiError::bad_request(message));
        }
        if !wanted.is_empty() {
            object["metadata"][field] = json!(wanted);
        }
    }
    Ok(())
}

/// Random letters behind `generateName`.
fn name_of(object: &Value) -> Result<String, ApiError> {
    let metadata = &object["metadata"];
    match (metadata["name"].as_str().unwrap_or_default(), metadata["generateName"].as_str().unwrap_or_default()) {
        ("", "") => Err(ApiError::invalid("name or generateName is required")),
        ("", prefix) => {
            let random = uuid::Uuid::new_v4().simple().to_string();
            Ok(format!("{prefix}{}", &random[..5]))
        }
        (name, _) => Ok(name.to_owned()),
    }
}

/// The fields that only the server writes are as they were.
fn own_fields(object: &mut Value, current: Option<&Value>, kind: Kind) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.shift_remove(field);
        if let Some(value) = current.and_then(|current| current["metadata"].get(field)) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    for field in ["uid", "creationTimestamp", "generation", "resourceVersion"] {
        metadata.shift_remove(field);
    }
    let version =
        |object: &Value| object["apiVersion"].as_str().and_then(|text| text.rsplit('/').next()).map(str::to_owned);
    if let Some(current) = current
        && let (Some(before), Some(after)) = (version(current), version(object))
        && schemas::are_same(kind, &before, &after)
    {
        // The version it was first written in stays.
        object["apiVersion"] = current["apiVersion"].clone();
    }
}

/// Does `work` where it may wait, and answers with the object as it is then.
async fn write(
    app: App,
    request: Request,
    work: impl FnOnce(&App, Request, Mode) -> Result<Outcome, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let mode = request.parameters.mode()?;
    let version = request.place.version;
    if !matches!(request.place.subresource.as_str(), "" | "status") {
        return Err(not_allowed());
    }
    app.call(move |app| {
        let outcome = work(app, request, mode)?;
        let Some(entry) = outcome.entry else { return Err(ApiError::internal("the object is neither there nor gone")) };
        let (entry, problems) = settle(app, mode, outcome.written, entry);
        let code = if outcome.written == Written::Created { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = (code, Json(entry.to_json(version))).into_response();
        for problem in problems {
            response.headers_mut().extend([(header::WARNING, warning(&problem))]);
        }
        Ok(response)
    })
    .await?
}

/// Waits until a write is in force, and says what is odd about the object.
pub(crate) fn settle(
    app: &App,
    mode: Mode,
    written: Written,
    entry: std::sync::Arc<Entry>,
) -> (std::sync::Arc<Entry>, Vec<ObjectProblem>) {
    match (mode, written) {
        (_, Written::Deleted | Written::Unchanged) => (entry, Vec::new()),
        (Mode::DryRun, _) => {
            let problems = app.api.check(std::slice::from_ref(entry.resource()));
            (entry, problems)
        }
        (Mode::Write, _) => {
            app.api.settle();
            let problems = app.api.problems(entry.key());
            let settled = app.view.read(entry.key()).filter(|settled| settled.is_same_writing(&entry));
            (settled.unwrap_or(entry), problems)
        }
    }
}

/// RFC 9111 §5.5, as Kubernetes uses it: code 299, no agent.
fn warning(problem: &ObjectProblem) -> HeaderValue {
    let text = if problem.field.is_empty() {
        problem.message.clone()
    } else {
        format!("{}: {}", problem.field, problem.message)
    };
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { ' ' };
    let quoted = text.chars().map(plain).collect::<String>().replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::try_from(format!("299 - \"{quoted}\"")).unwrap_or_else(|_| HeaderValue::from_static("299 - \"\""))
}

/// What is wrong with an object, for those who wrote it.
pub fn invalid_object(key: &ResourceKey, problems: &[ParseProblem]) -> ApiError {
    let shown = |problem: &ParseProblem| match problem.field.as_str() {
        "" => problem.message.clone(),
        field => format!("{field}: {}", problem.message),
    };
    let list = problems.iter().map(shown).collect::<Vec<_>>().join(", ");
    let list = if problems.len() == 1 { list } else { format!("[{list}]") };
    let group = if key.kind.group().is_empty() { String::new() } else { format!(".{}", key.kind.group()) };
    let cause = |problem: &ParseProblem| json!({ "reason": "FieldValueInvalid", "message": problem.message, "field": problem.field });
    let mut details = json!({ "name": key.name, "group": key.kind.group(), "kind": key.kind.as_str() });
    details["causes"] = problems.iter().map(cause).collect();
    ApiError::invalid(format!("{}{group} \"{}\" is invalid: {list}", key.kind, key.name)).with_details(details)
}
