use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// Tells the parts of a process to finish what they have and take nothing new.
#[derive(Debug)]
pub struct Drain {
    started: watch::Sender<bool>,
    // Only ever closed: `finished` waits until every `DrainWatch` has dropped its sender.
    alive: mpsc::Receiver<()>,
}

/// Held by a part that has something to finish; dropped when it has finished.
#[derive(Clone, Debug)]
pub struct DrainWatch {
    started: watch::Receiver<bool>,
    _alive: mpsc::Sender<()>,
}

impl Drain {
    pub fn new() -> (Self, DrainWatch) {
        let (started, watch) = watch::channel(false);
        let (sender, alive) = mpsc::channel(1);
        (Self { started, alive }, DrainWatch { started: watch, _alive: sender })
    }

    /// Starts the drain. Idempotent.
    pub fn start(&self) {
        self.started.send_replace(true);
    }

    /// Starts the drain and waits until every watch is dropped. `false` when `deadline` came first.
    pub async fn finish(mut self, deadline: Duration) -> bool {
        self.start();
        tokio::time::timeout(deadline, self.alive.recv()).await.is_ok()
    }
}

impl DrainWatch {
    pub fn is_draining(&self) -> bool {
        *self.started.borrow()
    }

    /// Resolves once the drain has started, or its owner is gone.
    pub async fn draining(&mut self) {
        // An error means that the owner was dropped: nobody is left to wait for us, so stop as well.
        let _ = self.started.wait_for(|started| *started).await;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the runtime of a test owns its tasks")]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn finish_waits_for_every_watch() {
        let (drain, mut watch) = Drain::new();
        let second = watch.clone();
        let finish = tokio::task::spawn(drain.finish(Duration::from_secs(5)));
        watch.draining().await;
        drop(watch);
        tokio::task::yield_now().await;
        assert!(!finish.is_finished() && second.is_draining());
        drop(second);
        assert!(finish.await.expect("no panic"));
    }

    #[tokio::test(start_paused = true)]
    async fn finish_gives_up_at_the_deadline() {
        let (drain, _watch) = Drain::new();
        assert!(!drain.finish(Duration::from_secs(5)).await);
    }
}
