use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Owner of the background tasks of a process or of one part. Clones share the tasks.
///
/// A task that panics is logged and counted, and takes nothing else down.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
    panics: Arc<AtomicU64>,
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` on the current runtime until it ends or [`Tasks::stop`] is called.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = self.guarded(name, future);
        // Without a parent: a task that starts another would otherwise prefix all of its lines.
        self.tracker.spawn(task.instrument(tracing::info_span!(parent: None, "task", name)));
    }

    /// Like [`Tasks::spawn`] on the current `LocalSet`, for futures that stay on one worker thread. Adds no span.
    pub fn spawn_local<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        self.tracker.spawn_local(self.guarded(name, future));
    }

    /// Cancels every task at its next await and waits for the end of all.
    pub async fn stop(&self) {
        self.cancel.cancel();
        self.join().await;
    }

    /// Waits until every task has ended by itself.
    pub async fn join(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// How many tasks are under way.
    #[expect(clippy::len_without_is_empty, reason = "a number to compare, not a collection")]
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// How many tasks have panicked so far.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// One turn of a future that another task polls. `None`: it has panicked, which is logged and counted, and it must not be
    /// polled again.
    pub fn poll_caught<F: Future>(
        &self,
        name: &'static str,
        future: Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(payload) => {
                self.panics.fetch_add(1, Ordering::Relaxed);
                let message = panic_message(payload.as_ref());
                tracing::error!(task = name, %message, "task panicked; this is a bug in Leno");
                Poll::Ready(None)
            }
        }
    }

    fn guarded<F: Future<Output = ()>>(&self, name: &'static str, future: F) -> impl Future<Output = ()> + use<F> {
        let tasks = self.clone();
        // Here, not in the block, which would keep room for it twice.
        let mut future = Box::pin(future);
        async move {
            let caught = std::future::poll_fn(|context| tasks.poll_caught(name, future.as_mut(), context));
            tasks.cancel.run_until_cancelled(caught).await;
        }
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_the_others_go_on() {
        let tasks = Tasks::new();
        let (done, wait) = tokio::sync::oneshot::channel();
        tasks.spawn("bad", async { panic!("boom") });
        tasks.spawn("good", async move { done.send(()).expect("receiver waits") });
        wait.await.expect("the good task ran");
        tasks.join().await;
        assert_eq!(tasks.panics(), 1);
    }

    #[tokio::test]
    async fn stop_ends_tasks_that_never_end() {
        let tasks = Tasks::new();
        tasks.spawn("endless", std::future::pending());
        tasks.stop().await;
    }
}
