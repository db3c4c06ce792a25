use std::fmt;
use std::sync::Arc;

use leno_ir::{Config, Node};
use leno_names::SpiffeId;
use tokio::sync::watch;

/// Where the configuration of each node comes from, and where the answers of the nodes go.
pub trait ConfigSource: Send + Sync + 'static {
    /// A node has opened a stream; `peer` is its verified identity. Registers its workload.
    ///
    /// Called once per stream, at its first request, on the stream's task: must not block for long.
    ///
    /// # Errors
    /// When the node may not have a configuration; the stream ends with `PERMISSION_DENIED` and the reason.
    fn connect(&self, node: Node, peer: SpiffeId) -> Result<Session, Refusal>;

    /// What became of resources on one stream. Called in order per stream; must not block.
    fn report(&self, report: StatusReport);
}

/// What a stream is served from while it lives.
pub struct Session {
    /// The configuration to keep the node at. Versions in between may be skipped.
    pub config: watch::Receiver<Arc<Config>>,
    /// What SDS serves; `None` for nodes that hold their own keys.
    pub secrets: Option<watch::Receiver<Arc<Secrets>>>,
    pub guard: Box<dyn SessionGuard>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("serves_secrets", &self.secrets.is_some()).finish_non_exhaustive()
    }
}

/// Lives as long as the stream. Dropped without `close`, the stream counts as [`StreamEnd::Broken`].
pub trait SessionGuard: Send {
    fn close(self: Box<Self>, end: StreamEnd);
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamEnd {
    /// Reset, timed out, or cut off without a word: the node may come back.
    Broken,
    /// The node closed its side in order: it is leaving.
    Clean,
}

/// The SVID, its key and the trust bundle of a node that fetches them over SDS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Secrets {
    /// Leaf first, without the root.
    pub chain_pem: String,
    pub key_pem: SecretText,
    pub roots_pem: String,
}

/// Text that is never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct SecretText(String);

impl SecretText {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; keep it out of logs and errors.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(hidden)")
    }
}

/// Why a node gets no configuration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    pub reason: String,
}

impl Refusal {
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// One step in the life of resources on one stream: first `Sent`, then `Acked` or `Rejected`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusReport {
    pub node_id: String,
    pub type_url: String,
    /// Name and version (a hash of the content) of each.
    pub resources: Vec<(String, String)>,
    /// Names that the response took away.
    pub removed: Vec<String>,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    Acked,
    /// The node keeps what it had under these names.
    Rejected {
        reason: String,
    },
    /// On its way; not answered yet.
    Sent,
}
