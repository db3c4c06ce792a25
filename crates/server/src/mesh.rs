use std::sync::Arc;

use leno_api::{Kind, Resource, ResourceKey};
use leno_store::{Change, Mode, Stored, Update};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::ApiError;

/// Shown what is stored, says what shall be.
pub type ChangeObject<'a> = dyn FnMut(Option<&Value>) -> Result<Change, ApiError> + 'a;

/// What the API shows and changes. Calls may wait for the disk; the server keeps them off its own threads.
pub trait MeshApi: Send + Sync + 'static {
    /// All objects of a kind.
    fn objects(&self, kind: Kind) -> Vec<ApiObject>;
    fn object(&self, key: &ResourceKey) -> Option<ApiObject>;
    /// All namespaces in which there are objects.
    fn namespaces(&self) -> Vec<String>;
    /// Differs when [`MeshApi::objects`] may.
    fn version(&self) -> (u64, u64);
    /// The last number that was drawn for a version of an object.
    fn drawn(&self) -> u64;
    /// Draws numbers for versions of objects that change without being written; the first of them.
    fn draw(&self, count: u64) -> u64;
    /// Changes one object.
    ///
    /// # Errors
    /// `change` runs while the store is locked, and must not call back. Those of `change`; objects that do not live in the store (those of files, for one) cannot be written; an object that
    /// is not understood.
    fn change(&self, key: &ResourceKey, mode: Mode, change: &mut ChangeObject<'_>) -> Result<Update, ApiError>;
    /// What would be wrong with objects if they were written.
    fn check(&self, objects: &[Resource]) -> Vec<ObjectProblem>;
    /// What is wrong with an object, once what was written so far is in force.
    fn problems(&self, key: &ResourceKey) -> Vec<ObjectProblem>;
    /// Waits until what was written is in force.
    fn settle(&self);
    /// The proxies that run what an object has a part in.
    fn proxies(&self, key: &ResourceKey) -> Value;
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

/// One object of the mesh.
#[derive(Clone, Debug)]
pub struct ApiObject {
    pub key: ResourceKey,
    pub content: Content,
    /// What the control plane says of it: `conditions`, and whatever else. Takes the place of what others have written there.
    pub status: Value,
}

#[derive(Clone, Debug)]
pub enum Content {
    /// From a file, or of a workload that has registered.
    Read {
        resource: Arc<Resource>,
    },
    Stored(Arc<Stored>),
}

impl Content {
    pub(crate) fn resource(&self) -> &Resource {
        match self {
            Self::Read { resource } => resource,
            Self::Stored(stored) => &stored.resource,
        }
    }

    pub(crate) fn revision(&self) -> Option<u64> {
        match self {
            Self::Read { .. } => None,
            Self::Stored(stored) => Some(stored.revision),
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Read { resource: a }, Self::Read { resource: b }) => Arc::ptr_eq(a, b) || a == b,
            (Self::Stored(a), Self::Stored(b)) => a.revision == b.revision,
            _ => false,
        }
    }
}

/// Something about one object that is wrong or odd.
#[derive(Clone, Debug)]
pub struct ObjectProblem {
    pub key: ResourceKey,
    pub field: String,
    pub message: String,
    pub is_error: bool,
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
