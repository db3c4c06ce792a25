//! The API's view of the control plane: store, compiler and authority behind one trait.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_ca::{Ca, CaError, TokenSpec};
use leno_control::Control;
use leno_model::api::{Kind, ParseProblem, Resource, ResourceKey, parse};
use leno_model::{Problem, Severity};
use leno_server::{ApiError, ApiProblem, ApplyResult, MeshApi, Outcome, TokenCreated, TokenRequest};
use leno_store::{EmbeddedStore, StoreError, Written};
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
    fn apply(&self, source: &str, text: &str, dry_run: bool) -> Vec<ApplyResult> {
        let parsed = parse(source, text);
        let mut results: Vec<_> = parsed.problems.iter().map(unreadable).collect();
        let places: Vec<_> = parsed.resources.iter().map(|located| (located.source.clone(), located.line)).collect();
        let objects: Vec<_> = parsed.resources.into_iter().map(|located| located.value).collect();
        // All at once: they may speak of each other.
        let found = self.control.check(&objects);
        for (object, (source, line)) in objects.into_iter().zip(places) {
            let mut result = self.apply_one(object, &found, dry_run);
            for problem in &mut result.problems {
                (problem.source, problem.line) = (source.to_string(), line);
            }
            results.push(result);
        }
        self.settle();
        results
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Value> {
        self.control
            .resources()
            .iter()
            .filter(|resource| resource.kind() == kind)
            .filter(|resource| namespace.is_none_or(|namespace| resource.metadata().namespace() == namespace))
            .map(|resource| self.with_status(resource))
            .collect()
    }

    fn read(&self, key: &ResourceKey) -> Option<Value> {
        let mut value = self.with_status(&*self.control.resource(key)?);
        value["status"]["proxies"] = json!(self.control.proxies_of(key));
        Some(value)
    }

    fn delete(&self, key: &ResourceKey) -> Result<bool, ApiError> {
        if self.store.delete(key).map_err(|error| store_error(&error))? {
            self.settle();
            return Ok(true);
        }
        match self.control.origin(key) {
            Some(place) => Err(ApiError::conflict(format!("{} is defined in {place}; remove it there", key))),
            None if self.read(key).is_some() => {
                Err(ApiError::conflict(format!("{} is a workload that is connected; it goes when it leaves", key)))
            }
            None => Ok(false),
        }
    }

    fn status(&self) -> Value {
        let mut status = serde_json::to_value(self.control.status()).unwrap_or_default();
        let files = self.control.file_problems();
        let objects = self.control.problems();
        let problems: Vec<_> =
            files.iter().map(parse_problem).chain(objects.iter().map(|problem| self.placed(problem))).collect();
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
    fn apply_one(&self, resource: Resource, found: &[Problem], dry_run: bool) -> ApplyResult {
        let key = resource.key();
        let mut problems: Vec<_> = found.iter().filter(|problem| problem.object == key).map(object_problem).collect();
        let written = match self.control.origin(&key) {
            Some(place) => Err(format!("{place} defines this object; change it there")),
            None if dry_run => {
                self.store.preview(&resource, SystemTime::now()).map_err(|error| Chain(&error).to_string())
            }
            None => self.store.put(resource, SystemTime::now()).map_err(|error| Chain(&error).to_string()),
        };
        let outcome = match written {
            Ok(Written::Configured) => Outcome::Configured,
            Ok(Written::Created) => Outcome::Created,
            Ok(Written::Unchanged) => Outcome::Unchanged,
            Err(message) => {
                problems.push(failure(&key, message));
                Outcome::Rejected
            }
        };
        ApplyResult { kind: key.kind.to_string(), namespace: key.namespace, name: key.name, outcome, problems }
    }

    /// Who has written reads what was written. Calls come from threads that may wait.
    fn settle(&self) {
        let settled = tokio::time::timeout(SETTLE_LIMIT, self.control.settled());
        if tokio::runtime::Handle::current().block_on(settled).is_err() {
            tracing::warn!("what was written is not in force yet");
        }
    }

    /// With the place of its object, when that came from a file.
    fn placed(&self, problem: &Problem) -> ApiProblem {
        let (source, line) = self.control.place(&problem.object).unwrap_or_default();
        ApiProblem { source: source.to_string(), line, ..object_problem(problem) }
    }

    fn with_status(&self, resource: &Resource) -> Value {
        let mut value = resource.to_json();
        let key = resource.key();
        value["status"] =
            self.control.status_of(&key).unwrap_or_else(|| json!({ "conditions": self.control.conditions(&key) }));
        value
    }
}

fn unreadable(problem: &ParseProblem) -> ApplyResult {
    let (kind, name) = problem.object.split_once(' ').unwrap_or_default();
    let (namespace, name) = name.split_once('/').unwrap_or_default();
    ApplyResult {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        outcome: Outcome::Rejected,
        problems: vec![parse_problem(problem)],
    }
}

fn parse_problem(problem: &ParseProblem) -> ApiProblem {
    ApiProblem {
        source: problem.source.clone(),
        line: problem.line,
        column: problem.column,
        object: problem.object.clone(),
        field: problem.field.clone(),
        message: problem.message.clone(),
        severity: "error".to_owned(),
    }
}

fn object_problem(problem: &Problem) -> ApiProblem {
    ApiProblem {
        object: problem.object.to_string(),
        field: problem.field.clone(),
        message: problem.message.clone(),
        severity: match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
        .to_owned(),
        ..ApiProblem::default()
    }
}

fn failure(key: &ResourceKey, message: String) -> ApiProblem {
    ApiProblem { object: key.to_string(), message, severity: "error".to_owned(), ..ApiProblem::default() }
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
