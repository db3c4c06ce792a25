use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::exchange::Protocol;
use crate::flags::ResponseFlags;
use crate::http::Tunnel;
use crate::stream::Stream;

/// Chosen: above this a bulk copy gains nothing measurable. Pages that are never filled are never touched.
const SCRATCH_BYTES: usize = 256 * 1024;
/// Reads per turn of one direction. Chosen: 8 MiB of a bulk copy at most before others get their turn.
const MAX_ROUNDS: usize = 32;

thread_local! {
    /// One buffer for all copies of a worker: bytes stay in it only within one poll.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// One side of a copy.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// What was written may not be on its way before a flush.
    fn holds_bytes(&self) -> bool;

    /// Makes its end a reset, so that the peer does not take what it got for all there is.
    fn resets(&self);

    /// What an upstream that ends so says of itself.
    fn flag(&self, error: &io::Error) -> ResponseFlags;
}

impl Wire for Stream {
    fn holds_bytes(&self) -> bool {
        self.is_tls()
    }

    fn resets(&self) {
        Self::resets(self);
    }

    fn flag(&self, error: &io::Error) -> ResponseFlags {
        match error.kind() {
            io::ErrorKind::ConnectionReset => ResponseFlags::UPSTREAM_RESET,
            _ => ResponseFlags::UPSTREAM_CONNECTION_TERMINATION,
        }
    }
}

impl Wire for Tunnel {
    fn holds_bytes(&self) -> bool {
        true
    }

    /// A request that is given up is one.
    fn resets(&self) {}

    fn flag(&self, _: &io::Error) -> ResponseFlags {
        // As in Envoy.
        if self.protocol == Protocol::Http2 { ResponseFlags::UPSTREAM_RESET } else { ResponseFlags::NONE }
    }
}

/// Bytes copied so far, readable while the copy runs.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) to_upstream: Cell<u64>,
    pub(crate) to_downstream: Cell<u64>,
}

/// Why a copy ended.
#[derive(Debug)]
pub(super) enum CopyEnd {
    /// Both sides closed in order.
    Closed,
    Downstream(io::Error),
    Idle,
    /// The connection is as old as it may be.
    TooOld,
    Upstream(io::Error),
}

/// Copies until both sides have closed, one fails, or no byte moved for `idle`.
pub(super) async fn copy_both(
    downstream: &mut Stream,
    upstream: &mut impl Wire,
    (to_upstream, to_downstream): (BytesMut, BytesMut),
    idle: Option<Duration>,
    counts: &Counts,
) -> CopyEnd {
    let mut up = Direction::new(to_upstream);
    let mut down = Direction::new(to_downstream);
    let copying = poll_fn(|cx| {
        // Each direction fails on reading one side or on writing the other.
        let up = up.poll(cx, downstream, upstream, &counts.to_upstream).map_err(|error| match error {
            CopyError::Read(error) => CopyEnd::Downstream(error),
            CopyError::Write(error) => CopyEnd::Upstream(error),
        })?;
        let down = down.poll(cx, upstream, downstream, &counts.to_downstream).map_err(|error| match error {
            CopyError::Read(error) => CopyEnd::Upstream(error),
            CopyError::Write(error) => CopyEnd::Downstream(error),
        })?;
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    });
    let ended = |result: Result<(), CopyEnd>| result.err().unwrap_or(CopyEnd::Closed);
    match idle {
        None => ended(copying.await),
        Some(idle) => tokio::select! {
            result = copying => ended(result),
            () = quiet_for(idle, counts) => CopyEnd::Idle,
        },
    }
}

/// Resolves when the counts have not changed for `idle`, at the latest `2 × idle` after the last change: one timer per
/// period instead of one per byte.
async fn quiet_for(idle: Duration, counts: &Counts) {
    let mut seen = u64::MAX;
    loop {
        let now = counts.to_upstream.get().wrapping_add(counts.to_downstream.get());
        if now == seen {
            return;
        }
        seen = now;
        tokio::time::sleep(idle).await;
    }
}

#[derive(Debug)]
enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

/// One way: read, write, and pass the end of the stream on.
#[derive(Debug)]
struct Direction {
    /// Read but not taken by the writer yet; empty while the writer keeps up, so that a connection holds no memory.
    left: BytesMut,
    state: State,
    needs_flush: bool,
}

/// `Copying -> Closing -> Done`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Copying,
    /// The source has ended; its last bytes and the end are being passed on.
    Closing,
    Done,
}

impl Direction {
    fn new(left: BytesMut) -> Self {
        Self { left, state: State::Copying, needs_flush: false }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Wire,
        to: &mut impl Wire,
        count: &Cell<u64>,
    ) -> Poll<Result<(), CopyError>> {
        for _ in 0..MAX_ROUNDS {
            if self.state == State::Done {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_write_left(cx, to, count))?;
            if self.state == State::Closing {
                // A peer that is gone already cannot be told; what it sent us still counts.
                let _ = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                self.state = State::Done;
                continue;
            }
            match SCRATCH.with_borrow_mut(|scratch| self.poll_once(cx, from, to, count, scratch))? {
                Poll::Ready(0) => self.state = State::Closing,
                Poll::Ready(_) => {}
                Poll::Pending => {
                    if self.needs_flush {
                        ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(CopyError::Write)?;
                        self.needs_flush = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        // Enough for one turn: let the other direction and the other connections run.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once and writes what the writer takes at once. Ready with the number of bytes read, 0 at the end.
    fn poll_once(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Wire,
        to: &mut impl Wire,
        count: &Cell<u64>,
        scratch: &mut [u8],
    ) -> Result<Poll<usize>, CopyError> {
        let mut buffer = ReadBuf::new(scratch);
        match Pin::new(from).poll_read(cx, &mut buffer) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(result) => result.map_err(CopyError::Read)?,
        }
        let read = buffer.filled();
        let mut written = 0;
        while written < read.len() {
            match Pin::new(&mut *to).poll_write(cx, &read[written..]) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(CopyError::Write(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(more)) => written += more,
                Poll::Ready(Err(error)) => return Err(CopyError::Write(error)),
            }
        }
        if written > 0 {
            count.set(count.get() + written as u64);
            self.needs_flush = to.holds_bytes();
        }
        self.left.extend_from_slice(&read[written..]);
        Ok(Poll::Ready(read.len()))
    }

    fn poll_write_left(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut impl Wire,
        count: &Cell<u64>,
    ) -> Poll<Result<(), CopyError>> {
        while !self.left.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.left)).map_err(CopyError::Write)?;
            if written == 0 {
                return Poll::Ready(Err(CopyError::Write(io::ErrorKind::WriteZero.into())));
            }
            self.left.advance(written);
            count.set(count.get() + written as u64);
            self.needs_flush = to.holds_bytes();
            if self.left.is_empty() {
                self.left = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}
