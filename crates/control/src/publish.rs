//! From what changed to what each node gets. One task does it, one round at a time.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use leno_api::Kind;
use tokio::time::{Instant, sleep_until};

use crate::control::Shared;
use crate::limits;

/// After a round so long is waited: what comes meanwhile is one round. The first change after a pause goes out at once.
const GATHER: Duration = Duration::from_millis(10);
/// Without anything to wait for, look after this.
const IDLE: Duration = Duration::from_secs(3600);

pub(crate) async fn run(shared: Arc<Shared>) {
    let mut store = shared.store.changed();
    let mut directory = shared.directory.clone();
    loop {
        let due = shared.next_deadline().unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            // An error means that the source is gone with its last content; that stays in force.
            result = store.changed() => if result.is_err() { return },
            Ok(()) = directory.changed() => {}
            () = shared.dirty.notified() => {}
            () = sleep_until(due) => {}
        }
        shared.publish();
        tokio::time::sleep(GATHER).await;
    }
}

impl Shared {
    /// When something is due without anybody asking.
    fn next_deadline(&self) -> Option<Instant> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.lock();
        let secrets = state.sessions.values().filter_map(|session| session.renew_secrets);
        state.registrations.next_deadline().into_iter().chain(secrets).chain(state.next_change).min()
    }

    /// Builds the snapshot and gives every session what it should run now.
    pub(crate) fn publish(&self) {
        let directory = self.directory.borrow().clone();
        // Before the list: what is written in between is published once more, never missed.
        let store_revision = self.store.revision();
        let mut state = self.lock();
        let state = &mut *state;
        let now = Instant::now();
        if !self.stopped.load(Ordering::Relaxed) {
            state.registrations.expire(now, &self.store);
        }
        state.renew_secrets(now, &self.config.issue_secrets);
        let stored = self.store.contents();
        let today = SystemTime::now();
        let changes = state.sources.update(&directory, stored, &mut state.registrations, today);
        let change = state.sources.next_change();
        state.next_change = change.map(|moment| now + moment.duration_since(today).unwrap_or_default());
        if changes.iter().any(|(key, _)| key.kind == Kind::RateLimitPolicy) {
            let policies = Arc::new(limits::of(state.sources.of_kind(Kind::RateLimitPolicy)));
            *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = policies;
        }
        let changed: Vec<_> = changes.iter().filter_map(|(_, resource)| resource.clone()).collect();
        state.indices.allot(leno_model::service_keys(&changed), &self.store);
        state.snapshot = state.builder.update(changes, state.indices.numbers()).clone();
        state.compiler.update(&state.snapshot);
        state.parts = None;
        for session in state.sessions.values() {
            let config = state.compiler.node(&session.node);
            session.config.send_if_modified(|current| {
                let differs = !Arc::ptr_eq(current, &config);
                if differs {
                    *current = config;
                }
                differs
            });
        }
        // After the nodes: only with one it is known what it cannot run.
        let mut problems = state.builder.problems();
        problems.extend(state.sources.problems().cloned());
        problems.extend(state.compiler.problems());
        problems.sort();
        problems.dedup();
        state.problems = problems;
        self.metrics.snapshots.inc();
        self.metrics.services.set(i64::try_from(state.snapshot.services.len()).unwrap_or(i64::MAX));
        self.metrics.nodes.set(i64::try_from(state.sessions.len()).unwrap_or(i64::MAX));
        self.metrics.problems.set(i64::try_from(state.problems.len()).unwrap_or(i64::MAX));
        self.published.send_replace(store_revision);
        self.revision.send_modify(|revision| *revision += 1);
        self.changes.send_modify(|changes| *changes += 1);
    }
}
