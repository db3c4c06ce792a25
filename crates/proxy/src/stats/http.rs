use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::names::{HttpCounter, OfHttp, OfListener, Slot};
use super::scope::{FoundCells, Scope};

/// Counts of one connection manager, and of the answers of the listener that it serves. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct HttpStats {
    scope: Scope<OfHttp>,
    of_listener: Rc<[Arc<FoundCells>]>,
}

/// What listeners count too, under `http.<stat_prefix>.`.
const OF_LISTENER: [HttpCounter; 6] = [
    HttpCounter::Rq1xx,
    HttpCounter::Rq2xx,
    HttpCounter::Rq3xx,
    HttpCounter::Rq4xx,
    HttpCounter::Rq5xx,
    HttpCounter::RqCompleted,
];

impl Deref for HttpStats {
    type Target = Scope<OfHttp>;

    fn deref(&self) -> &Self::Target {
        &self.scope
    }
}

impl HttpStats {
    pub(super) fn new(scope: Scope<OfHttp>, stat_prefix: &str, listener: &Scope<OfListener>) -> Self {
        let found = |of: HttpCounter| {
            let name = HttpCounter::NAMES.get(of.at()).copied().unwrap_or_default();
            listener.found(&format!("http.{stat_prefix}.{name}"))
        };
        Self { scope, of_listener: OF_LISTENER.into_iter().map(found).collect() }
    }

    /// The head of an answer has gone out.
    pub(crate) fn answered(&self, status: u16) {
        let class = match status {
            100..=599 => Some(usize::from(status / 100) - 1),
            _ => None,
        };
        for at in class.into_iter().chain([OF_LISTENER.len() - 1]) {
            if let (Some(counter), Some(cells)) = (OF_LISTENER.get(at), self.of_listener.get(at)) {
                self.count(*counter);
                cells.total.add(1);
            }
        }
    }
}
