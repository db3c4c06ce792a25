use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::time::Sleep;

/// One timer for a whole connection. A deadline that moves away costs nothing: the timer is set again only when it
/// fires early, or when a deadline comes nearer than it is set.
#[derive(Debug)]
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    set_for: Option<Instant>,
    /// Whom it wakes as it is set now; they need not say so again.
    wakes: Option<Waker>,
}

impl Default for Timer {
    fn default() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep_until(tokio::time::Instant::now())), set_for: None, wakes: None }
    }
}

impl Timer {
    /// Ready once `deadline` has passed; never without one.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        if self.set_for.is_some_and(|set_for| set_for <= deadline)
            && self.wakes.as_ref().is_some_and(|wakes| wakes.will_wake(cx.waker()))
            && !self.sleep.is_elapsed()
        {
            return Poll::Pending;
        }
        loop {
            if self.set_for.is_none_or(|set_for| set_for > deadline) {
                self.sleep.as_mut().reset(deadline.into());
                self.set_for = Some(deadline);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                if !self.wakes.as_ref().is_some_and(|wakes| wakes.will_wake(cx.waker())) {
                    self.wakes = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
            if self.set_for.take() >= Some(deadline) {
                return Poll::Ready(());
            }
        }
    }
}
