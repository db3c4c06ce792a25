//! The API's view of the control plane: store, compiler and authority behind one trait.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_ca::{Ca, CaError, TokenSpec};
use leno_control::Control;
use leno_identity::CONTROL_NAMESPACE;
use leno_model::api::{DEFAULT_NAMESPACE, Kind, Resource, ResourceKey};
use leno_model::{Problem, Severity};
use leno_server::{
    ApiError, ApiObject, ApiProblem, ChangeObject, Content, MeshApi, ObjectProblem, TokenCreated, TokenRequest,
};
use leno_store::{Change, EmbeddedStore, Mode, StoreError, Update};
use leno_telemetry::Chain;
use serde_json::{Value, json};
use tokio::sync::watch;

/// A round of the publisher takes far less. Chosen.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Mesh {
    pub(super) control: Control,
    pub(super) store: Arc<EmbeddedStore>,
    pub(super) ca: Arc<Ca>,
}

impl MeshApi for Mesh {
    fn objects(&self, kind: Kind) -> Vec<ApiObject> {
        let unwritten = self.control.unwritten(kind);
        let found: BTreeSet<_> = unwritten.iter().map(|resource| resource.key()).collect();
        let stored = self.store.stored_of(kind).into_iter().filter(|stored| !found.contains(&stored.resource.key()));
        let read = unwritten.into_iter().map(|resource| Content::Read { resource });
        let mut objects: Vec<_> = read.chain(stored.map(Content::Stored)).map(|content| self.shown(content)).collect();
        if kind == Kind::Namespace {
            let known: BTreeSet<_> = objects.iter().map(|object| object.key.name.clone()).collect();
            let implied = self.implied_namespaces().into_iter().filter(|name| !known.contains(name));
            objects.extend(implied.filter_map(|name| self.namespace(&name)));
        }
        objects
    }

    fn object(&self, key: &ResourceKey) -> Option<ApiObject> {
        let read = || self.control.unwritten_object(key).map(|resource| Content::Read { resource });
        let content = read().or_else(|| self.store.stored(key).map(Content::Stored));
        let implied = || key.kind == Kind::Namespace && self.implied_namespaces().contains(&key.name);
        content.map(|content| self.shown(content)).or_else(|| self.namespace(&key.name).filter(|_| implied()))
    }

    fn namespaces(&self) -> Vec<String> {
        self.control.namespaces().into_iter().filter(|name| !name.is_empty()).collect()
    }

    fn version(&self) -> (u64, u64) {
        (self.store.revision(), *self.control.changes().borrow())
    }

    fn drawn(&self) -> u64 {
        self.store.drawn()
    }

    fn draw(&self, count: u64) -> u64 {
        self.store.draw(count)
    }

    fn change(&self, key: &ResourceKey, mode: Mode, change: &mut ChangeObject<'_>) -> Result<Update, ApiError> {
        if self.store.stored(key).is_none() && self.control.unwritten_object(key).is_some() {
            return Err(ApiError::conflict(match self.control.origin(key) {
                Some(place) => format!("{place} defines {key}; change it there"),
                None => format!("{key} is a workload that is connected; it goes when it leaves"),
            }));
        }
        let place = self.control.origin(key);
        let shadowed = |change: Change| match (&place, change) {
            // What is behind an object of a file may only go.
            (Some(place), Change::Put(_)) => {
                Err(Refused::Asked(ApiError::conflict(format!("{place} defines {key}; change it there"))))
            }
            (_, change) => Ok(change),
        };
        let asked = |stored: Option<&Value>| change(stored).map_err(Refused::Asked).and_then(shadowed);
        self.store.update(key, SystemTime::now(), mode, asked).map_err(|refused| match refused {
            Refused::Asked(error) => error,
            Refused::Stored(StoreError::Invalid { problems }) => leno_server::invalid_object(key, &problems),
            Refused::Stored(error) => store_error(&error),
        })
    }

    fn check(&self, objects: &[Resource]) -> Vec<ObjectProblem> {
        self.control.check(objects).iter().map(object_problem).collect()
    }

    fn problems(&self, key: &ResourceKey) -> Vec<ObjectProblem> {
        self.control.problems_of(key).iter().map(object_problem).collect()
    }

    /// Who has written reads what was written. Calls come from threads that may wait.
    fn settle(&self) {
        let settled = tokio::time::timeout(SETTLE_LIMIT, self.control.settled());
        if tokio::runtime::Handle::current().block_on(settled).is_err() {
            tracing::warn!("what was written is not in force yet");
        }
    }

    fn proxies(&self, key: &ResourceKey) -> Value {
        json!(self.control.proxies_of(key))
    }

    fn status(&self) -> Value {
        let mut status = serde_json::to_value(self.control.status()).unwrap_or_default();
        let files = self.control.file_problems();
        let objects = self.control.problems();
        let problems: Vec<_> =
            files.iter().map(ApiProblem::from).chain(objects.iter().map(|problem| self.placed(problem))).collect();
        status["problems"] = json!(problems);
        status
    }

    fn create_token(&self, request: TokenRequest) -> Result<TokenCreated, ApiError> {
        let now = SystemTime::now();
        let spec = TokenSpec {
            namespace: request.namespace,
            service_accounts: request.service_accounts,
            uses: request.uses,
            ttl: Duration::from_secs(request.ttl_seconds),
        };
        let expires = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let token = self.ca.create_token(&spec, now).map_err(|error| authority_error(&error))?;
        Ok(TokenCreated {
            token: token.to_string(),
            id: token.id,
            expires: expires.saturating_add(request.ttl_seconds),
        })
    }

    fn tokens(&self) -> Value {
        json!(self.ca.list_tokens())
    }

    fn revoke_token(&self, id: &str) -> Result<bool, ApiError> {
        self.ca.revoke_token(id).map_err(|error| authority_error(&error))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.control.changes()
    }
}

impl Mesh {
    /// With the place of its object, when that came from a file.
    fn placed(&self, problem: &Problem) -> ApiProblem {
        let (source, line) = self.control.place(&problem.object).unwrap_or_default();
        ApiProblem { source: source.to_string(), line, ..ApiProblem::from(&object_problem(problem)) }
    }

    fn shown(&self, content: Content) -> ApiObject {
        let key = match &content {
            Content::Read { resource } => resource.key(),
            Content::Stored(stored) => stored.resource.key(),
        };
        let status = match key.kind {
            Kind::Namespace => json!({ "phase": "Active" }),
            // Data of other objects: whatever is wrong with it is said there.
            Kind::ConfigMap | Kind::EndpointSlice | Kind::Secret => Value::Null,
            _ => self.control.status_of(&key).unwrap_or_else(|| json!({ "conditions": self.control.conditions(&key) })),
        };
        ApiObject { key, content, status }
    }

    /// Nobody has to make them: those that are in use, and those that are always there.
    fn implied_namespaces(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<_> = self.namespaces().into_iter().collect();
        names.extend([DEFAULT_NAMESPACE, CONTROL_NAMESPACE].map(str::to_owned));
        names
    }

    fn namespace(&self, name: &str) -> Option<ApiObject> {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let resource = Arc::new(Resource::from_json(&object).ok()?);
        Some(self.shown(Content::Read { resource }))
    }
}

/// Why an object was not written.
enum Refused {
    /// By those who know what was asked for.
    Asked(ApiError),
    Stored(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Stored(error)
    }
}

fn object_problem(problem: &Problem) -> ObjectProblem {
    ObjectProblem {
        key: problem.object.clone(),
        field: problem.field.clone(),
        message: problem.message.clone(),
        is_error: problem.severity == Severity::Error,
    }
}

fn store_error(error: &StoreError) -> ApiError {
    match error {
        StoreError::Conflict { .. } => ApiError::conflict(error.to_string()),
        error => ApiError::internal(Chain(error).to_string()),
    }
}

fn authority_error(error: &CaError) -> ApiError {
    match error {
        CaError::Refused { reason } => ApiError::invalid(reason.clone()),
        error => ApiError::internal(Chain(error).to_string()),
    }
}
