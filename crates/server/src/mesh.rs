use leno_api::{Kind, ResourceKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::ApiError;

/// What the API shows and changes. Calls may wait for the disk; the server keeps them off its own threads.
pub trait MeshApi: Send + Sync + 'static {
    /// Writes the objects of `text`. One bad object stops no other. `source` is named in problems.
    fn apply(&self, source: &str, text: &str, dry_run: bool) -> Vec<ApplyResult>;
    /// Objects with `status.conditions`; of all namespaces when none is given.
    fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Value>;
    fn read(&self, key: &ResourceKey) -> Option<Value>;
    /// `false` when there is no such object.
    ///
    /// # Errors
    /// Objects that do not live in the store (those of files, for one) cannot be deleted here.
    fn delete(&self, key: &ResourceKey) -> Result<bool, ApiError>;
    fn status(&self) -> Value;
    /// # Errors
    /// The request asks for what is not allowed, or the token cannot be stored.
    fn create_token(&self, request: TokenRequest) -> Result<TokenCreated, ApiError>;
    fn tokens(&self) -> Value;
    /// `false` when there is no such token.
    ///
    /// # Errors
    /// The revocation cannot be stored.
    fn revoke_token(&self, id: &str) -> Result<bool, ApiError>;
    /// Grows whenever a list may read differently.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// What became of one object of an applied text.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyResult {
    /// Empty, as name and namespace, when the text could not be read that far.
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub outcome: Outcome,
    #[serde(default)]
    pub problems: Vec<ApiProblem>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    Configured,
    Created,
    Rejected,
    Unchanged,
}

#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiProblem {
    pub source: String,
    /// From 1; 0 when not known.
    pub line: usize,
    pub column: usize,
    /// `VirtualService default/reviews`.
    pub object: String,
    /// `spec.http[0].route[0].destination.host`; empty for the whole object.
    pub field: String,
    pub message: String,
    /// `error` or `warning`.
    pub severity: String,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// At least one.
    pub service_accounts: Vec<String>,
    /// Default 1.
    #[serde(default = "default_uses")]
    pub uses: u32,
    /// Default one hour.
    #[serde(default = "default_ttl")]
    pub ttl_seconds: u64,
}

fn default_namespace() -> String {
    leno_api::DEFAULT_NAMESPACE.to_owned()
}

const fn default_uses() -> u32 {
    1
}

const fn default_ttl() -> u64 {
    3600
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenCreated {
    /// Shown once; only its hash is stored.
    pub token: String,
    pub id: String,
    /// Seconds since 1970.
    pub expires: u64,
}
