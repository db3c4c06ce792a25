use std::cell::RefCell;
use std::sync::Arc;

use super::names::Kind;
use super::scope::{FoundCells, Scope};

/// Counts answers by status and class: `upstream_rq_200`, `upstream_rq_2xx`, `upstream_rq_completed`.
///
/// Cost: a scan of the statuses seen so far, which are few; a lock and strings only for one not seen yet.
#[derive(Debug)]
pub(crate) struct Codes {
    /// What the names begin with: ``, `external.`, `retry.`.
    prefix: &'static str,
    seen: RefCell<Vec<(u16, [Arc<FoundCells>; 3])>>,
}

impl Codes {
    pub(super) const fn new(prefix: &'static str) -> Self {
        Self { prefix, seen: RefCell::new(Vec::new()) }
    }

    pub(super) fn count<K: Kind>(&self, scope: &Scope<K>, status: u16) {
        let mut seen = self.seen.borrow_mut();
        let known = seen.iter().find(|(code, _)| *code == status);
        let cells = match known {
            Some((_, cells)) => cells,
            None => {
                let prefix = self.prefix;
                let names = [
                    format!("{prefix}upstream_rq_{status}"),
                    format!("{prefix}upstream_rq_{}xx", status / 100),
                    format!("{prefix}upstream_rq_completed"),
                ];
                seen.push((status, names.map(|name| scope.found(&name))));
                // Just pushed.
                let Some((_, cells)) = seen.last() else { return };
                cells
            }
        };
        cells.iter().for_each(|cells| cells.total.add(1));
    }
}
