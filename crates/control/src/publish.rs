//! From what changed to what each node gets. One task does it, one round at a time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use leno_api::{Located, Resource, ResourceKey};
use leno_ir::Config;
use leno_model::{Problem, Snapshot};
use tokio::time::{Instant, sleep_until};

use crate::control::{Shared, State};
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
        let (resources, mut problems) = gather(&directory.resources, &self.store.list(), state);
        let today = SystemTime::now();
        let list: Vec<_> = resources.values().map(|located| located.value.at(today)).collect();
        let change = list.iter().filter_map(|resource| resource.changes_at(today)).min();
        state.next_change = change.map(|moment| now + moment.duration_since(today).unwrap_or_default());
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits::of(&list));
        state.indices.allot(leno_model::service_keys(&list), &self.store);
        let (snapshot, found) = Snapshot::build(&list, &self.config.settings, state.indices.numbers());
        state.snapshot = Arc::new(snapshot);
        state.compiler.update(&state.snapshot);
        problems.extend(found);
        state.resources = resources;
        state.parts = None;
        for session in state.sessions.values() {
            let config = state.compiler.node(&session.node);
            session.config.send_if_modified(|current| {
                let differs = !same(current, &config);
                if differs {
                    *current = Arc::new(config);
                }
                differs
            });
        }
        // After the nodes: only with one it is known what it cannot run.
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

/// By identity: the compiler gives what did not change as the same `Arc`.
fn same(old: &Config, new: &Config) -> bool {
    same_map(&old.endpoints, &new.endpoints)
        && same_map(&old.clusters, &new.clusters)
        && same_map(&old.route_tables, &new.route_tables)
        && same_map(&old.listeners, &new.listeners)
}

fn same_map<T>(old: &BTreeMap<String, Arc<T>>, new: &BTreeMap<String, Arc<T>>) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|((a, old), (b, new))| Arc::ptr_eq(old, new) && a == b)
}

type Resources = BTreeMap<ResourceKey, Located<Arc<Resource>>>;

/// Files first, then what was applied, then registrations: who comes first has the name.
fn gather(files: &Resources, stored: &[Arc<Resource>], state: &State) -> (Resources, Vec<Problem>) {
    let mut all = files.clone();
    let mut problems = Vec::new();
    for resource in stored {
        let key = resource.key();
        if let Some(first) = all.get(&key) {
            let message = format!("what was applied has no effect: {}:{} defines it", first.source, first.line);
            problems.push(Problem::error(&key, "", "defined_in_file", message));
        } else {
            all.insert(key, unplaced(resource.clone()));
        }
    }
    for resource in state.registrations.resources() {
        match all.entry(resource.key()) {
            Entry::Occupied(taken) => {
                let message = "a workload of this name has registered, but an object of this name exists already";
                problems.push(Problem::error(taken.key(), "", "name_taken", message));
            }
            Entry::Vacant(free) => {
                free.insert(unplaced(resource));
            }
        }
    }
    (all, problems)
}

fn unplaced(value: Arc<Resource>) -> Located<Arc<Resource>> {
    Located { source: "".into(), line: 0, value }
}
