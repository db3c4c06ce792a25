//! Endless answers: what there is, then what changes.
//!
//! Shape       1 request -> 1 line of JSON for each event
//! Invariants  between two events of one watch nothing is left out but states that were replaced within a moment; versions
//!             grow
//! Errors      a version that is too old: one `ERROR` event with a `Status` of code 410, and the end
//! Source      Kubernetes "API Concepts": watch, bookmarks, streaming lists

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::ApiError;
use crate::accept::Form;
use crate::parameters::Parameters;
use crate::place::Place;
use crate::selector::Selector;
use crate::serve::App;
use crate::table::{RowObject, metadata_of, table};
use crate::view::{Entry, Event, EventKind, KindView};

/// Between two looks at all objects of a kind.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Who wants to know how far he is, and has heard nothing, is told. As in Kubernetes.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Who does not say how long he wants to watch. Longer than anything.
const FOREVER: u64 = 365 * 24 * 3600;

const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

pub(crate) fn stream(app: App, place: Place, parameters: &Parameters, form: Form) -> Result<Response, ApiError> {
    let mut selector = parameters.selector()?;
    if let Some(name) = &place.name {
        selector = Selector::of_name(name).and(selector);
    }
    let seconds = parameters.number("timeoutSeconds")?.unwrap_or(FOREVER).min(FOREVER);
    let version = parameters.number("resourceVersion")?;
    let wants_list = parameters.flag("sendInitialEvents")?;
    let watch = Watch {
        changes: app.api.changes(),
        grown: app.view.grown(),
        filter: Filter { carried: RowObject::parse(parameters.text("includeObject")), form, place, selector },
        position: version.filter(|_| !wants_list),
        ends_list: wants_list,
        bookmarks: parameters.flag("allowWatchBookmarks")?,
        told: Instant::now(),
        looked: None,
        look_took: Duration::ZERO,
        changed: true,
        deadline: Instant::now() + Duration::from_secs(seconds),
        lines: VecDeque::new(),
        is_over: false,
        app,
    };
    let body = Body::from_stream(futures_util::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, Infallible>(line), watch))
    }));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Which objects a caller watches, and how he wants to see them.
#[derive(Clone)]
struct Filter {
    place: Place,
    selector: Selector,
    form: Form,
    carried: RowObject,
}

struct Watch {
    app: App,
    filter: Filter,
    /// Objects may read differently.
    changes: watch::Receiver<u64>,
    /// The log of some kind has grown.
    grown: watch::Receiver<u64>,
    /// The version of the last event; `None` before what there is was told.
    position: Option<u64>,
    /// The end of what there is is told.
    ends_list: bool,
    bookmarks: bool,
    /// When something was told last.
    told: Instant,
    /// When all objects were looked at last, and how long it took.
    looked: Option<Instant>,
    look_took: Duration,
    /// Objects may read differently since then.
    changed: bool,
    deadline: Instant,
    lines: VecDeque<Bytes>,
    is_over: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                self.told = Instant::now();
                return Some(line);
            }
            if self.is_over {
                return None;
            }
            match self.position {
                None => self.begin().await?,
                Some(position) => self.go_on(position).await?,
            }
            if self.lines.is_empty() && !self.is_over {
                self.wait().await?;
            }
        }
    }

    /// Everything there is.
    async fn begin(&mut self) -> Option<()> {
        self.mark();
        let filter = self.filter.clone();
        let work = move |app: &App| {
            let kind = filter.place.kind;
            let (entries, revision) =
                app.view.with(kind, |view| (view.entries().cloned().collect::<Vec<_>>(), view.revision()));
            let wanted = entries.iter().filter(|entry| filter.wants(entry));
            let lines: VecDeque<_> = wanted.map(|entry| filter.line("ADDED", entry)).collect();
            (lines, revision)
        };
        let (lines, revision) = self.app.call(work).await.ok()?;
        (self.lines, self.position) = (lines, Some(revision));
        if self.ends_list {
            self.lines.push_back(self.filter.bookmark(revision, true));
        }
        Some(())
    }

    /// What came after `position`.
    async fn go_on(&mut self, position: u64) -> Option<()> {
        let looks = self.mark();
        let filter = self.filter.clone();
        let work = move |app: &App| {
            if position > app.api.drawn() {
                return Err(ApiError::expired(format!("there is no version {position} yet")));
            }
            let tell = |view: &KindView| {
                let mut last = position;
                let mut lines = VecDeque::new();
                for event in view.since(position)? {
                    last = event.revision;
                    lines.extend(filter.event(event));
                }
                Ok((lines, last))
            };
            let kind = filter.place.kind;
            if looks { app.view.with(kind, tell) } else { app.view.with_known(kind, tell) }
        };
        let told = self.app.call(work).await.ok()?;
        if let Some(looked) = self.looked.filter(|_| looks) {
            self.look_took = looked.elapsed();
        }
        match told {
            Ok((lines, last)) => (self.lines, self.position) = (lines, Some(last)),
            Err(error) => {
                self.lines.push_back(line("ERROR", &error.to_json()));
                self.is_over = true;
            }
        }
        Some(())
    }

    /// Looking takes a tenth of the time at most, however many objects there are.
    fn next_look(&self) -> Instant {
        self.looked.map_or(self.told, |looked| looked + LOOK_EVERY.max(self.look_took * 9))
    }

    /// Whether all objects are to be looked at now; otherwise what others have found is told.
    fn mark(&mut self) -> bool {
        self.grown.borrow_and_update();
        let looks = self.changed && Instant::now() >= self.next_look();
        if looks {
            self.changes.borrow_and_update();
            (self.looked, self.changed) = (Some(Instant::now()), false);
        }
        looks
    }

    /// Until there may be something to tell. `None` at the end.
    async fn wait(&mut self) -> Option<()> {
        let bookmark = self.told + BOOKMARK_EVERY;
        let next_look = self.next_look();
        let drain = &mut self.app.drain;
        let (changes, changed) = (&mut self.changes, &mut self.changed);
        let look = async {
            if !*changed {
                changes.changed().await.ok()?;
                *changed = true;
            }
            sleep_until(next_look).await;
            Some(())
        };
        let woken = async {
            tokio::select! {
                grown = self.grown.changed() => grown.ok(),
                look = look => look,
                () = drain.draining() => None,
            }
        };
        let until = if self.bookmarks { bookmark.min(self.deadline) } else { self.deadline };
        if let Ok(woken) = timeout_at(until, woken).await {
            return woken;
        }
        if let (true, Some(position)) = (self.bookmarks, self.position) {
            self.lines.push_back(self.filter.bookmark(position, false));
        }
        self.is_over = Instant::now() >= self.deadline;
        Some(())
    }
}

impl Filter {
    fn wants(&self, entry: &Arc<Entry>) -> bool {
        self.place.holds(entry.key()) && self.selector.matches(entry.resource())
    }

    /// An object that begins to be wanted is new to the caller; one that is no longer wanted is gone.
    fn event(&self, event: &Event) -> Option<Bytes> {
        let was = event.before.as_ref().is_some_and(|before| self.wants(before));
        let is = event.kind != EventKind::Deleted && self.wants(&event.entry);
        match (was, is) {
            (false, false) => None,
            (false, true) => Some(self.line("ADDED", &event.entry)),
            (true, true) => Some(self.line("MODIFIED", &event.entry)),
            (true, false) => Some(self.line("DELETED", &event.entry)),
        }
    }

    fn line(&self, event: &str, entry: &Entry) -> Bytes {
        let object = entry.to_json(self.place.version);
        let shown = match self.form {
            Form::Metadata => metadata_of(&object),
            Form::Object => object,
            Form::Table => {
                let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
                table(self.place.kind, &[object], metadata, self.carried, SystemTime::now())
            }
        };
        line(event, &shown)
    }

    fn bookmark(&self, version: u64, ends_list: bool) -> Bytes {
        let mut metadata = json!({ "resourceVersion": version.to_string(), "creationTimestamp": null });
        if ends_list {
            metadata["annotations"] = json!({ INITIAL_EVENTS_END: "true" });
        }
        let object = match self.form {
            Form::Metadata => {
                json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata })
            }
            Form::Object => {
                json!({ "kind": self.place.kind.as_str(), "apiVersion": self.place.api_version(), "metadata": metadata })
            }
            Form::Table => json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "rows": [] }),
        };
        line("BOOKMARK", &object)
    }
}

fn line(event: &str, object: &Value) -> Bytes {
    format!("{}\n", json!({ "type": event, "object": object })).into()
}
