use std::cell::Cell;

use tokio::sync::Notify;

/// Tells the connections of one listener, or of a whole worker, to finish what they have. Stays on one thread.
#[derive(Debug, Default)]
pub(crate) struct DrainSignal {
    started: Cell<bool>,
    notify: Notify,
}

impl DrainSignal {
    /// Idempotent.
    pub(crate) fn start(&self) {
        if !self.started.replace(true) {
            self.notify.notify_waiters();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.started.get()
    }

    /// Resolves once the drain has started.
    pub(crate) async fn draining(&self) {
        // Made before the check, so that a start between the two is not missed.
        let notified = self.notify.notified();
        if !self.started.get() {
            notified.await;
        }
    }
}
