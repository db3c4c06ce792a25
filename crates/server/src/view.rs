//! All objects as the API shows them, with a version for each state of each.
//!
//! Shape       kind -> n entries, 1 log of what changed; a kind is looked at when somebody asks for it
//! Invariants  versions of a kind's events grow; an object that reads differently has another version; no version is given
//!             out twice, also after a restart
//! Errors      a version that is too old for the log: 410, and the caller lists again
//! Cost        a list or a watch looks at every object of its kind when something has changed, at most every 50 ms; a read
//!             or a write at one. The log holds 2048 events for each kind that was asked for

mod entry;
mod kind_view;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leno_api::{Kind, ResourceKey};
use leno_store::{Change, Mode, Update, Written};
use serde_json::Value;
use tokio::sync::watch;

pub(crate) use entry::Entry;
pub(crate) use kind_view::{Event, EventKind, KindView};

use crate::mesh::ChangeObject;
use crate::{ApiError, MeshApi};

pub(crate) struct View {
    api: Arc<dyn MeshApi>,
    kinds: Mutex<HashMap<Kind, Arc<Mutex<KindView>>>>,
    /// Grows when a log has.
    grown: watch::Sender<u64>,
}

/// Shown what readers know and what is stored, says what shall be.
pub(crate) type ChangeEntry<'a> = dyn FnMut(Option<&Entry>, Option<&Value>) -> Result<Change, ApiError> + 'a;

/// What became of a write.
pub(crate) struct Outcome {
    pub(crate) written: Written,
    /// As it is now, or was last.
    pub(crate) entry: Option<Arc<Entry>>,
}

impl View {
    pub(crate) fn new(api: Arc<dyn MeshApi>) -> Self {
        Self { api, kinds: Mutex::default(), grown: watch::Sender::new(0) }
    }

    pub(crate) fn grown(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// Works with all objects of a kind as they are now.
    pub(crate) fn with<T>(&self, kind: Kind, work: impl FnOnce(&KindView) -> T) -> T {
        let view = self.of(kind);
        let mut view = lock(&view);
        if view.refresh(&*self.api) {
            self.grown.send_modify(|count| *count += 1);
        }
        work(&view)
    }

    /// The same with what is known already: nothing is looked at anew.
    pub(crate) fn with_known<T>(&self, kind: Kind, work: impl FnOnce(&KindView) -> T) -> T {
        let view = self.of(kind);
        let view = lock(&view);
        work(&view)
    }

    /// One object as it is now.
    pub(crate) fn read(&self, key: &ResourceKey) -> Option<Arc<Entry>> {
        let view = self.of(key.kind);
        let mut view = lock(&view);
        if view.refresh_one(&*self.api, key) {
            self.grown.send_modify(|count| *count += 1);
        }
        view.entry(key)
    }

    /// Writes one object; `change` is shown it, and the versions that are the same to a writer.
    ///
    /// # Errors
    /// Those of `change`; the object cannot be written.
    pub(crate) fn write(
        &self,
        key: &ResourceKey,
        mode: Mode,
        change: &mut ChangeEntry<'_>,
    ) -> Result<Outcome, ApiError> {
        let view = self.of(key.kind);
        let mut view = lock(&view);
        view.refresh_one(&*self.api, key);
        let known = view.entry(key);
        let change: &mut ChangeObject<'_> = &mut |stored| change(known.as_deref(), stored);
        let Update { written, stored } = self.api.change(key, mode, change)?;
        if mode == Mode::Write && written != Written::Unchanged && view.refresh_one(&*self.api, key) {
            self.grown.send_modify(|count| *count += 1);
        }
        let entry = match (mode, written) {
            (Mode::Write, Written::Configured | Written::Created | Written::Unchanged) => view.entry(key),
            (Mode::Write, Written::Deleted) => known,
            (Mode::DryRun, Written::Configured | Written::Created) => {
                stored.map(|stored| Arc::new(Entry::preview(stored, known.as_deref())))
            }
            (Mode::DryRun, _) => known,
        };
        Ok(Outcome { written, entry })
    }

    fn of(&self, kind: Kind) -> Arc<Mutex<KindView>> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.entry(kind).or_insert_with(|| Arc::new(Mutex::new(KindView::new(kind)))).clone()
    }
}

fn lock(view: &Mutex<KindView>) -> MutexGuard<'_, KindView> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}
