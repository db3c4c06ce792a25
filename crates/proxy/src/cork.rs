//! A connection whose small writes wait until its task is done for this turn.
//!
//! `h2` hands over what it has whenever a frame of data comes behind another one, and asks for a flush between them. A turn
//! that answers sixteen requests would so write sixteen times.
//!
//! Shape       `h2` -> `Corked` (its clone stays with the task) -> `Stream`
//! Invariants  order of bytes is kept; at most `MOST_BYTES` wait, then writing waits for the peer as it would without a cork
//! Errors      a write that fails late is told by the next call, for which the task is woken
//! Cost        one copy of what is small; one system call, or TLS record of 16 KiB, per turn

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::spare;
use crate::stream::Stream;

/// From here on bytes are written at once. Chosen: what the socket takes without a wait.
const MOST_BYTES: usize = 64 * 1024;
/// A write of this much is not copied.
const LARGE_BYTES: usize = 8 * 1024;
#[derive(Clone, Debug)]
pub(crate) struct Corked(Rc<RefCell<Wire>>);

#[derive(Debug)]
struct Wire {
    stream: Stream,
    /// Read already, by whoever found out the protocol.
    first_bytes: BytesMut,
    waiting: Vec<u8>,
    /// How much of `waiting` was written.
    written: usize,
    /// The stream may hold bytes that it has taken.
    is_unflushed: bool,
    failure: Option<io::ErrorKind>,
}

impl Corked {
    pub(crate) fn new(stream: Stream, first_bytes: BytesMut) -> Self {
        Self(Rc::new(RefCell::new(Wire {
            stream,
            first_bytes,
            waiting: Vec::new(),
            written: 0,
            is_unflushed: false,
            failure: None,
        })))
    }

    /// Writes what waits, as far as the socket takes it; the rest goes when the task is polled because of it.
    pub(crate) fn release(&self, cx: &mut Context<'_>) {
        let wire = &mut *self.0.borrow_mut();
        if wire.failure.is_some() {
            return;
        }
        if let Poll::Ready(Err(error)) = wire.poll_release(cx) {
            wire.failure = Some(error.kind());
            cx.waker().wake_by_ref();
        }
    }
}

impl Wire {
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        if self.is_unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when nothing waits any more.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.waiting.get(self.written..).filter(|rest| !rest.is_empty()) {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            self.note_written(count)?;
        }
        self.forget();
        Poll::Ready(Ok(()))
    }

    fn note_written(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.written += count;
        self.is_unflushed = true;
        Ok(())
    }

    fn forget(&mut self) {
        self.written = 0;
        spare::give(std::mem::take(&mut self.waiting));
    }

    fn check(&self) -> io::Result<()> {
        self.failure.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.check()?;
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length < LARGE_BYTES {
            if self.waiting.len() - self.written + length > MOST_BYTES {
                ready!(self.poll_drain(cx))?;
            }
            if self.waiting.capacity() == 0 {
                self.waiting = spare::take();
            }
            for piece in pieces {
                self.waiting.extend_from_slice(piece);
            }
            return Poll::Ready(Ok(length));
        }
        loop {
            let before = self.waiting.get(self.written..).unwrap_or_default();
            let mut all: SmallVec<[IoSlice<'_>; 8]> = SmallVec::new();
            if !before.is_empty() {
                all.push(IoSlice::new(before));
            }
            all.extend(pieces.iter().copied());
            let ahead = before.len();
            let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &all))?;
            drop(all);
            self.note_written(count)?;
            if let Some(taken) = count.checked_sub(ahead) {
                self.forget();
                if taken > 0 {
                    return Poll::Ready(Ok(taken));
                }
            }
        }
    }
}

impl AsyncRead for Corked {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        wire.check()?;
        if wire.first_bytes.is_empty() {
            return Pin::new(&mut wire.stream).poll_read(cx, buffer);
        }
        let count = wire.first_bytes.len().min(buffer.remaining());
        buffer.put_slice(&wire.first_bytes[..count]);
        wire.first_bytes.advance(count);
        if wire.first_bytes.is_empty() {
            wire.first_bytes = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Corked {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is written before [`Corked::release`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.borrow().check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        wire.check()?;
        ready!(wire.poll_release(cx))?;
        Pin::new(&mut wire.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (Corked, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        (Corked::new(Stream::Plain(stream), BytesMut::from(&b"first "[..])), peer)
    }

    async fn release(corked: &Corked) {
        poll_fn(|cx| {
            corked.release(cx);
            if corked.0.borrow().waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[tokio::test]
    async fn small_writes_wait_and_keep_their_order() {
        let (corked, mut peer) = pair().await;
        let mut writer = corked.clone();
        for piece in ["a", "b", "c"] {
            writer.write_all(piece.as_bytes()).await.unwrap();
            writer.flush().await.unwrap();
        }
        assert_eq!(corked.0.borrow().waiting, b"abc");
        release(&corked).await;
        writer.write_all(b"d").await.unwrap();
        let large = vec![b'e'; 3 * MOST_BYTES];
        let reading = async {
            let mut seen = Vec::new();
            peer.read_to_end(&mut seen).await.unwrap();
            seen
        };
        let writing = async {
            writer.write_all(&large).await.unwrap();
            writer.write_all(b"f").await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let ((), seen) = tokio::join!(writing, reading);
        assert_eq!(seen, [&b"abcd"[..], &large, b"f"].concat());
    }

    #[tokio::test]
    async fn a_socket_that_takes_nothing_stops_the_writer_at_the_limit() {
        let (corked, peer) = pair().await;
        let mut writer = corked.clone();
        let piece = [b'x'; 1024];
        let is_full = poll_fn(|cx| {
            for _ in 0..64 * 1024 {
                if Pin::new(&mut writer).poll_write(cx, &piece).is_pending() {
                    return Poll::Ready(true);
                }
            }
            Poll::Ready(false)
        });
        assert!(is_full.await && corked.0.borrow().waiting.len() <= MOST_BYTES);
        drop(peer);
    }

    #[tokio::test]
    async fn what_was_read_before_comes_first() {
        let (mut corked, mut peer) = pair().await;
        peer.write_all(b"second").await.unwrap();
        peer.shutdown().await.unwrap();
        let mut seen = String::new();
        corked.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "first second");
    }
}
