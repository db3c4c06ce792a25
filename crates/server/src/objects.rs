use std::collections::HashMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use leno_api::{Kind, ResourceKey};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::serve::App;
use crate::watch::{self, Filter};
use crate::{ApiError, Outcome};

/// The parts of an object's path that it has.
pub(crate) type Parts = HashMap<String, String>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ApplyQuery {
    dry_run: bool,
    source: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ReadQuery {
    watch: bool,
}

pub(crate) async fn list(
    State(app): State<App>,
    Path(parts): Path<Parts>,
    query: Result<Query<ReadQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let query = query_of(query)?;
    let kind = kind(&parts)?;
    let namespace = parts.get("namespace").cloned();
    if query.watch {
        return Ok(watch::stream(app, Filter { kind, namespace, name: None }));
    }
    let items = app.call(move |api| api.list(kind, namespace.as_deref())).await?;
    let api_version = kind.api_versions().swap_remove(0);
    Ok(Json(json!({ "apiVersion": api_version, "kind": format!("{kind}List"), "items": items })).into_response())
}

pub(crate) async fn read(
    State(app): State<App>,
    Path(parts): Path<Parts>,
    query: Result<Query<ReadQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let query = query_of(query)?;
    let key = key(&parts)?;
    if query.watch {
        return Ok(watch::stream(app, Filter { kind: key.kind, namespace: Some(key.namespace), name: Some(key.name) }));
    }
    let name = key.to_string();
    let object = app.call(move |api| api.read(&key)).await?;
    object.map(|object| Json(object).into_response()).ok_or_else(|| ApiError::not_found(format!("no {name}")))
}

/// Writes the one object of the body, which must be the object of the path.
pub(crate) async fn put(
    State(app): State<App>,
    Path(parts): Path<Parts>,
    query: Result<Query<ApplyQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let query = query_of(query)?;
    let key = key(&parts)?;
    let text = text(body)?;
    let parsed = leno_api::parse(&query.source, &text);
    if !parsed.problems.is_empty() {
        let details = json!({ "problems": parsed.problems });
        return Err(ApiError::invalid(parsed.problems[0].to_string()).with_details(details));
    }
    let keys: Vec<_> = parsed.resources.iter().map(|located| located.value.key()).collect();
    if keys != [key.clone()] {
        let found = keys.first().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        return Err(ApiError::bad_request(format!("the path names {key}, and the body holds {found}")));
    }
    let results = app.call(move |api| api.apply(&query.source, &text, query.dry_run)).await?;
    let Some(result) = results.into_iter().next() else {
        return Err(ApiError::internal(format!("{key} was neither taken nor refused")));
    };
    match result.outcome {
        Outcome::Rejected => {
            let message = result.problems.first().map_or("refused", |problem| &problem.message);
            let message = format!("{key}: {message}");
            Err(ApiError::invalid(message).with_details(json!({ "problems": result.problems })))
        }
        Outcome::Created => Ok((StatusCode::CREATED, Json(result)).into_response()),
        Outcome::Configured | Outcome::Unchanged => Ok(Json(result).into_response()),
    }
}

pub(crate) async fn delete(State(app): State<App>, Path(parts): Path<Parts>) -> Result<Json<Value>, ApiError> {
    let key = key(&parts)?;
    let deleted = json!({ "deleted": { "kind": key.kind, "namespace": key.namespace, "name": key.name } });
    let name = key.to_string();
    if app.call(move |api| api.delete(&key)).await?? {
        Ok(Json(deleted))
    } else {
        Err(ApiError::not_found(format!("no {name}")))
    }
}

/// Always 200 when the text could be looked at: each result says what became of its object.
pub(crate) async fn apply(
    State(app): State<App>,
    query: Result<Query<ApplyQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let query = query_of(query)?;
    let text = text(body)?;
    let results = app.call(move |api| api.apply(&query.source, &text, query.dry_run)).await?;
    Ok(Json(json!({ "results": results })))
}

pub(crate) fn body(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| {
        let code = rejection.status().as_u16();
        let reason = if code == 413 { "TooLarge" } else { "BadRequest" };
        ApiError::new(code, reason, format!("the body cannot be read: {}", rejection.body_text()))
    })
}

fn query_of<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    query.map(|Query(query)| query).map_err(|rejection| ApiError::bad_request(rejection.body_text()))
}

fn text(bytes: Result<Bytes, BytesRejection>) -> Result<String, ApiError> {
    String::from_utf8(body(bytes)?.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        ApiError::bad_request(format!("the body is not UTF-8: byte {at}"))
    })
}

fn key(parts: &Parts) -> Result<ResourceKey, ApiError> {
    Ok(ResourceKey::new(kind(parts)?, part(parts, "namespace"), part(parts, "name")))
}

fn part<'a>(parts: &'a Parts, name: &str) -> &'a str {
    parts.get(name).map_or("", String::as_str)
}

/// `/api/v1` knows every kind; `/apis/...` wants the kind's own group and a version of it.
fn kind(parts: &Parts) -> Result<Kind, ApiError> {
    let plural = part(parts, "plural");
    let group = parts.get("group");
    // Two groups may have a word in common: TCPRoutes are Gateway API's and SMI's.
    let mut named = Kind::ALL.into_iter().filter(|kind| kind.plural() == plural).collect::<Vec<_>>();
    named.sort_by_key(|kind| group.is_some_and(|group| *group != kind.group()));
    let kind = named.first().copied().ok_or_else(|| {
        let known: Vec<_> = Kind::ALL.into_iter().map(Kind::plural).collect();
        ApiError::not_found(format!("no kind \"{plural}\"; there are {}", known.join(", ")))
    })?;
    let Some(group) = group else { return Ok(kind) };
    let version = part(parts, "version");
    if *group == kind.group() && kind.versions().contains(&version) {
        Ok(kind)
    } else {
        let right = kind.api_versions().join(", ");
        Err(ApiError::not_found(format!("{plural} are not in {group}/{version}, but in {right}")))
    }
}
