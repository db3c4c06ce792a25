use std::sync::Arc;
use std::time::SystemTime;

use leno_ir::{Config, Node};
use leno_names::SpiffeId;
use leno_xds_server::{Secrets, SessionGuard, StreamEnd};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::control::{IssueSecrets, Shared, State};
use crate::status::SyncState;

/// A node with an open stream.
pub(crate) struct NodeSession {
    pub(crate) node: Node,
    pub(crate) peer: SpiffeId,
    pub(crate) config: watch::Sender<Arc<Config>>,
    secrets: Option<watch::Sender<Arc<Secrets>>>,
    pub(crate) renew_secrets: Option<Instant>,
    pub(crate) connected: SystemTime,
    pub(crate) sync: SyncState,
}

impl NodeSession {
    pub(crate) fn new(
        node: Node,
        peer: SpiffeId,
        config: watch::Sender<Arc<Config>>,
        secrets: Option<watch::Sender<Arc<Secrets>>>,
        renew_secrets: Option<Instant>,
    ) -> Self {
        let sync = SyncState::default();
        Self { node, peer, config, secrets, renew_secrets, connected: SystemTime::now(), sync }
    }
}

impl State {
    /// New certificates for guests whose certificates are at half of their life.
    pub(crate) fn renew_secrets(&mut self, now: Instant, issue: &IssueSecrets) {
        for session in self.sessions.values_mut() {
            let (Some(sender), Some(due)) = (&session.secrets, session.renew_secrets) else { continue };
            if due > now {
                continue;
            }
            match issue(&session.peer) {
                Ok((secrets, life)) => {
                    sender.send_replace(Arc::new(secrets));
                    session.renew_secrets = Some(now + life / 2);
                }
                Err(error) => {
                    tracing::warn!(node = session.node.id, error, "the guest's certificate cannot be renewed yet");
                    session.renew_secrets = Some(now + std::time::Duration::from_secs(60));
                }
            }
        }
    }
}

/// Ends a session with its stream.
pub(crate) struct Guard {
    shared: Arc<Shared>,
    session: u64,
    closed: bool,
}

impl Guard {
    pub(crate) fn new(shared: Arc<Shared>, session: u64) -> Self {
        Self { shared, session, closed: false }
    }

    fn end(&mut self, end: StreamEnd) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let until = Instant::now() + self.shared.config.reconnect_grace;
        let mut state = self.shared.lock();
        if let Some(session) = state.sessions.remove(&self.session) {
            tracing::info!(node = session.node.id, ?end, "node disconnected");
            state.registrations.disconnected(&session.node.id, self.session, end, until, &self.shared.store);
            if !state.sessions.values().any(|other| other.node.id == session.node.id) {
                state.compiler.forget(&session.node.id);
            }
        }
        drop(state);
        self.shared.dirty.notify_one();
    }
}

impl SessionGuard for Guard {
    fn close(mut self: Box<Self>, end: StreamEnd) {
        self.end(end);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end(StreamEnd::Broken);
    }
}
