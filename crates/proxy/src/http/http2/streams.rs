use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};
use leno_runtime::Tasks;

/// The streams of one connection, which its task serves: a task for each would cost more than all else that is done for
/// a stream, and one that has something to send is followed by the connection without another turn.
pub(super) struct Streams<'t, F> {
    running: FuturesUnordered<Seat<'t, F>>,
    /// Room of streams that have ended, for the next ones.
    spare: Vec<Room<F>>,
    tasks: &'t Tasks,
}

/// Chosen: streams at once of a busy connection; it keeps the room while it is idle, too.
pub(super) const MOST_SPARE: usize = 8;

/// Moved neither when it is taken nor when it is left.
type Room<F> = Pin<Box<Option<F>>>;

struct Seat<'t, F> {
    /// `None`: it has ended.
    room: Option<Room<F>>,
    tasks: &'t Tasks,
}

impl<'t, F: Future> Streams<'t, F> {
    /// `tasks` counts panics, of which each ends one stream.
    pub(super) fn new(tasks: &'t Tasks) -> Self {
        Self { running: FuturesUnordered::new(), spare: Vec::new(), tasks }
    }

    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    pub(super) fn start(&mut self, stream: F) {
        let mut room = self.spare.pop().unwrap_or_else(|| Box::pin(None));
        room.as_mut().set(Some(stream));
        self.running.push(Seat { room: Some(room), tasks: self.tasks });
    }

    /// Serves all; ready when one has ended. `None`: by a panic.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        match self.running.poll_next_unpin(cx) {
            Poll::Ready(Some((room, output))) => {
                if self.spare.len() < MOST_SPARE {
                    self.spare.push(room);
                }
                Poll::Ready(output)
            }
            // One without streams is woken by the connection.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl<F: Future> Future for Seat<'_, F> {
    type Output = (Room<F>, Option<F::Output>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let tasks = self.tasks;
        let Some(room) = &mut self.room else { return Poll::Pending };
        let Some(stream) = room.as_mut().as_pin_mut() else { return Poll::Pending };
        let Poll::Ready(output) = tasks.poll_caught("http2-stream", stream, cx) else { return Poll::Pending };
        room.as_mut().set(None);
        match self.room.take() {
            Some(room) => Poll::Ready((room, output)),
            None => Poll::Pending,
        }
    }
}
