use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use leno_api::{Kind, ResourceKey};

use crate::mesh::ApiObject;
use crate::view::Entry;
use crate::{ApiError, MeshApi};

/// Older events are forgotten. Chosen: a reader who is away for a moment misses nothing, and the memory is bounded.
const LOG_LENGTH: usize = 2048;

/// All objects of one kind.
pub(crate) struct KindView {
    kind: Kind,
    entries: BTreeMap<ResourceKey, Arc<Entry>>,
    log: VecDeque<Event>,
    /// Events after this one are in the log.
    forgotten: u64,
    /// Of the last event.
    revision: u64,
    /// What the API said when everything was looked at last; `None` before the first time.
    seen: Option<(u64, u64)>,
}

#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) revision: u64,
    pub(crate) kind: EventKind,
    /// As it is now, or was last.
    pub(crate) entry: Arc<Entry>,
    pub(crate) before: Option<Arc<Entry>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum EventKind {
    Added,
    Deleted,
    Modified,
}

impl KindView {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, entries: BTreeMap::new(), log: VecDeque::new(), forgotten: 0, revision: 0, seen: None }
    }

    /// Of the whole list.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn entry(&self, key: &ResourceKey) -> Option<Arc<Entry>> {
        self.entries.get(key).cloned()
    }

    /// In the order of namespace and name.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// What happened after `revision`, in order.
    ///
    /// # Errors
    /// That is no longer known.
    pub(crate) fn since(&self, revision: u64) -> Result<impl Iterator<Item = &Event>, ApiError> {
        if revision < self.forgotten {
            return Err(ApiError::expired(format!("too old resource version: {revision} ({})", self.forgotten)));
        }
        let from = self.log.partition_point(|event| event.revision <= revision);
        Ok(self.log.range(from..))
    }

    /// Looks at every object; `true` when one reads differently.
    pub(crate) fn refresh(&mut self, api: &dyn MeshApi) -> bool {
        let seen = api.version();
        if self.seen == Some(seen) {
            return false;
        }
        let found: BTreeMap<_, _> =
            api.objects(self.kind).into_iter().map(|object| (object.key.clone(), object)).collect();
        if self.seen.replace(seen).is_none() {
            self.fill(found, api);
            return true;
        }
        let gone: Vec<_> = self.entries.keys().filter(|key| !found.contains_key(*key)).cloned().collect();
        let changed: Vec<_> = found.into_values().filter(|object| self.differs(object)).collect();
        if gone.is_empty() && changed.is_empty() {
            return false;
        }
        // Versions of written objects are older than those that are drawn now: they come first.
        let (written, others): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|object| self.own_revision(object).is_some());
        let mut written: Vec<_> = written.into_iter().map(|object| (self.own_revision(&object), object)).collect();
        written.sort_by_key(|(revision, _)| *revision);
        let mut next = api.draw((written.len() + others.len() + gone.len()) as u64);
        let mut draw = || {
            next += 1;
            next - 1
        };
        for (revision, object) in written {
            // Not after what is drawn: nobody else writes objects of this kind meanwhile.
            self.put(object, revision.filter(|revision| *revision > self.revision).unwrap_or_else(&mut draw));
        }
        for object in others {
            self.put(object, draw());
        }
        for key in gone {
            self.remove(&key, draw());
        }
        true
    }

    /// The same for one object.
    pub(crate) fn refresh_one(&mut self, api: &dyn MeshApi, key: &ResourceKey) -> bool {
        if self.seen.is_none() {
            return self.refresh(api);
        }
        match api.object(key) {
            Some(object) if self.differs(&object) => {
                let revision = self.own_revision(&object).unwrap_or_else(|| api.draw(1));
                self.put(object, revision);
                true
            }
            None if self.entries.contains_key(key) => {
                self.remove(key, api.draw(1));
                true
            }
            _ => false,
        }
    }

    /// Whatever readers knew before a restart, they learn a newer version now: times of conditions are new.
    fn fill(&mut self, found: BTreeMap<ResourceKey, ApiObject>, api: &dyn MeshApi) {
        let now = SystemTime::now();
        let first = api.draw(found.len() as u64 + 1);
        let mut next = first;
        for (key, object) in found {
            self.entries.insert(key, Arc::new(Entry::new(object, next, None, now).written_before(first)));
            next += 1;
        }
        (self.revision, self.forgotten) = (next, next);
    }

    fn differs(&self, object: &ApiObject) -> bool {
        self.entries.get(&object.key).is_none_or(|entry| !entry.is(object))
    }

    /// Of an object that was written since the last event.
    fn own_revision(&self, object: &ApiObject) -> Option<u64> {
        object.content.revision().filter(|revision| *revision > self.revision)
    }

    fn put(&mut self, object: ApiObject, revision: u64) {
        let before = self.entries.get(&object.key).cloned();
        let entry = Arc::new(Entry::new(object, revision, before.as_deref(), SystemTime::now()));
        let kind = if before.is_some() { EventKind::Modified } else { EventKind::Added };
        self.entries.insert(entry.key().clone(), entry.clone());
        self.note(Event { revision, kind, entry, before });
    }

    fn remove(&mut self, key: &ResourceKey, revision: u64) {
        if let Some(entry) = self.entries.remove(key) {
            let before = Some(entry.clone());
            let entry = Arc::new(entry.with_revision(revision));
            self.note(Event { revision, kind: EventKind::Deleted, entry, before });
        }
    }

    fn note(&mut self, event: Event) {
        self.revision = self.revision.max(event.revision);
        self.log.push_back(event);
        if self.log.len() > LOG_LENGTH
            && let Some(oldest) = self.log.pop_front()
        {
            self.forgotten = oldest.revision;
        }
    }
}
