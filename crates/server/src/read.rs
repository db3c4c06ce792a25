//! Reading objects: one, or a list page by page.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use leno_api::ResourceKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::accept::{self, Form};
use crate::parameters::Parameters;
use crate::place::{self, Place};
use crate::serve::App;
use crate::table::{RowObject, metadata_of, table};
use crate::view::{Entry, KindView};
use crate::{ApiError, watch};

/// Where a list goes on.
#[derive(Debug, Deserialize, Serialize)]
struct Continue {
    /// Version of the first page: who watches from there misses nothing.
    version: u64,
    /// The last object of the page before.
    namespace: String,
    name: String,
}

impl Continue {
    fn parse(token: &str) -> Result<Option<Self>, ApiError> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
        let found = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        found.map(Some).ok_or_else(|| ApiError::bad_request("continue key is not valid: start the list anew"))
    }

    fn token(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }
}

pub(crate) async fn get(
    app: App,
    place: Place,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let form = accept::form(&headers)?;
    if parameters.flag("watch")? {
        return watch::stream(app, place, &parameters, form);
    }
    let shown = app
        .call(move |app| match place.key() {
            Some(key) if place.subresource == "proxies" => {
                app.api.object(&key).map(|_| app.api.proxies(&key)).ok_or_else(|| place::not_found(&key))
            }
            Some(key) => one(app, &place, &key, &parameters, form),
            None => list(app, &place, &parameters, form),
        })
        .await??;
    Ok(Json(shown).into_response())
}

fn one(app: &App, place: &Place, key: &ResourceKey, parameters: &Parameters, form: Form) -> Result<Value, ApiError> {
    let entry = app.view.read(key).ok_or_else(|| place::not_found(key))?;
    let object = entry.to_json(place.version);
    let carried = RowObject::parse(parameters.text("includeObject"));
    Ok(match form {
        Form::Metadata => metadata_of(&object),
        Form::Object => object,
        Form::Table => {
            let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
            table(key.kind, &[object], metadata, carried, SystemTime::now())
        }
    })
}

fn list(app: &App, place: &Place, parameters: &Parameters, form: Form) -> Result<Value, ApiError> {
    let selector = parameters.selector()?;
    let limit = usize::try_from(parameters.number("limit")?.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let from = Continue::parse(parameters.text("continue"))?;
    let start = from.as_ref().map(|from| ResourceKey::new(place.kind, &from.namespace, &from.name));
    let wanted = |entry: &&Arc<Entry>| {
        let key = entry.key();
        start.as_ref().is_none_or(|start| key > start) && place.holds(key) && selector.matches(entry.resource())
    };
    let collect = |view: &KindView| {
        let all: Vec<_> = view.entries().filter(wanted).cloned().collect();
        (all, view.revision())
    };
    let (mut entries, revision) = app.view.with(place.kind, collect);
    check_version(app, parameters, revision)?;
    let version = from.map_or(revision, |from| from.version);
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if entries.len() > limit {
        let left = entries.len() - limit;
        entries.truncate(limit);
        if let Some(last) = entries.last().map(|entry| entry.key()) {
            let next = Continue { version, namespace: last.namespace.clone(), name: last.name.clone() };
            metadata["continue"] = json!(next.token());
            metadata["remainingItemCount"] = json!(left);
        }
    }
    let objects: Vec<_> = entries.iter().map(|entry| entry.to_json(place.version)).collect();
    let carried = RowObject::parse(parameters.text("includeObject"));
    Ok(match form {
        Form::Metadata => {
            let items: Vec<_> = objects.iter().map(metadata_of).collect();
            json!({ "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items })
        }
        Form::Object => {
            let kind = format!("{}List", place.kind);
            json!({ "kind": kind, "apiVersion": place.api_version(), "metadata": metadata, "items": objects })
        }
        Form::Table => table(place.kind, &objects, metadata, carried, SystemTime::now()),
    })
}

/// A list shows what is: not what was, and not what somebody expects of the future.
fn check_version(app: &App, parameters: &Parameters, current: u64) -> Result<(), ApiError> {
    let Some(wanted) = parameters.number("resourceVersion")? else { return Ok(()) };
    if wanted > app.api.drawn() {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        let causes = json!([{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }]);
        return Err(
            ApiError::new(504, "Timeout", message).with_details(json!({ "causes": causes, "retryAfterSeconds": 1 }))
        );
    }
    if parameters.text("resourceVersionMatch") == "Exact" && wanted != current {
        return Err(ApiError::expired(format!("the list of version {wanted} is no longer there; it is {current} now")));
    }
    Ok(())
}
