use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Whether all parts of a process are ready to serve.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pending: Mutex<Vec<&'static str>>,
    changed: watch::Sender<()>,
}

impl Readiness {
    /// Announces a part that is not ready yet.
    pub fn guard(&self, part: &'static str) -> ReadyGuard {
        self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner).push(part);
        ReadyGuard { part, inner: self.inner.clone() }
    }

    pub fn is_ready(&self) -> bool {
        self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Names of the parts that are not ready.
    pub fn pending(&self) -> Vec<&'static str> {
        self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Resolves when every part announced so far is ready.
    pub async fn ready(&self) {
        let mut changed = self.inner.changed.subscribe();
        while !self.is_ready() {
            // The sender lives in `self`, so it cannot be gone.
            let _ = changed.changed().await;
        }
    }
}

/// Stands for one part; only [`ReadyGuard::release`] makes the part ready.
#[derive(Debug)]
#[must_use = "a guard that is dropped keeps the process unready"]
pub struct ReadyGuard {
    part: &'static str,
    inner: Arc<Inner>,
}

impl ReadyGuard {
    pub fn release(self) {
        let mut pending = self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = pending.iter().position(|part| *part == self.part) {
            pending.swap_remove(at);
        }
        drop(pending);
        self.inner.changed.send_replace(());
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the runtime of a test owns its tasks")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_guard_is_a_failure_not_a_success() {
        let readiness = Readiness::default();
        drop(readiness.guard("a"));
        readiness.guard("b").release();
        assert_eq!(readiness.pending(), ["a"]);
        assert!(!readiness.is_ready());
    }

    #[tokio::test]
    async fn ready_resolves_with_the_last_release() {
        let readiness = Readiness::default();
        let (a, b) = (readiness.guard("a"), readiness.guard("b"));
        let waiting = tokio::task::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        a.release();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        b.release();
        waiting.await.expect("no panic");
    }
}
