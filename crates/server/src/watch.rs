use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use leno_api::Kind;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::serve::App;

/// Which objects a caller watches.
pub(crate) struct Filter {
    pub(crate) kind: Kind,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
}

/// One line of JSON per event: first what there is, as `ADDED`, then what differs at each revision. A reader who is
/// slow misses steps in between, never the last state. Ends at the drain.
pub(crate) fn stream(app: App, filter: Filter) -> Response {
    let changes = app.api.changes();
    let watch = Watch { app, filter, changes, seen: BTreeMap::new(), lines: VecDeque::new(), first: true };
    let body = Body::from_stream(futures_util::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, Infallible>(line), watch))
    }));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

struct Watch {
    app: App,
    filter: Filter,
    changes: watch::Receiver<u64>,
    /// By namespace and name.
    seen: BTreeMap<(String, String), Value>,
    lines: VecDeque<Bytes>,
    first: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            if !std::mem::take(&mut self.first) {
                let drain = &mut self.app.drain;
                tokio::select! {
                    changed = self.changes.changed() => changed.ok()?,
                    () = drain.draining() => return None,
                }
            }
            self.changes.borrow_and_update();
            self.compare().await?;
        }
    }

    async fn compare(&mut self) -> Option<()> {
        let kind = self.filter.kind;
        let namespace = self.filter.namespace.clone();
        let objects = self.app.call(move |api| api.list(kind, namespace.as_deref())).await.ok()?;
        let wanted = |key: &(String, String)| self.filter.name.as_ref().is_none_or(|name| *name == key.1);
        let now: BTreeMap<_, _> =
            objects.into_iter().map(|object| (name_of(&object), object)).filter(|(key, _)| wanted(key)).collect();
        for (key, object) in &now {
            match self.seen.get(key) {
                None => self.lines.push_back(line("ADDED", object)),
                Some(before) if before != object => self.lines.push_back(line("MODIFIED", object)),
                Some(_) => {}
            }
        }
        for (_, object) in self.seen.iter().filter(|(key, _)| !now.contains_key(*key)) {
            self.lines.push_back(line("DELETED", object));
        }
        self.seen = now;
        Some(())
    }
}

fn line(event: &str, object: &Value) -> Bytes {
    format!("{}\n", json!({ "type": event, "object": object })).into()
}

fn name_of(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str();
    (text("namespace").unwrap_or(leno_api::DEFAULT_NAMESPACE).to_owned(), text("name").unwrap_or_default().to_owned())
}
