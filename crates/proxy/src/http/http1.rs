//! An HTTP/1 connection of either side: buffers, where the message under way stands, and the socket calls.
//!
//! Invariants  at most one read buffer and one write buffer of bounded size; a read that fills its buffer makes the next one larger
//! Cost        one read brings head and body, one write takes head and body; a read that would find nothing is not made,
//!             because tokio remembers after a short read that the socket is empty

mod server;
mod spare;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use leno_ir::{HeaderNames, Http1Options};
use tokio::io::AsyncReadExt;

pub(super) use self::server::serve;
use super::codec::{BodyDecoder, BodyEncoder, HeadLimits, HeadScanner, Malformed, Names};
use super::head::{Frame, Framing};
use super::write_buffer::WriteBuffer;
use crate::stream::Stream;

/// First and largest read, in bytes. Chosen: a usual head fits the first; beyond the last a bulk transfer gains nothing.
const FIRST_READ_BYTES: usize = 8 * 1024;
const LARGEST_READ_BYTES: usize = 128 * 1024;

#[derive(Debug)]
pub(super) struct Http1Io {
    pub(super) read: BytesMut,
    pub(super) out: WriteBuffer,
    scanner: HeadScanner,
    pub(super) decoder: BodyDecoder,
    pub(super) encoder: BodyEncoder,
    pub(super) names: HeaderNames,
    /// Those of chunked bodies are passed on.
    pub(super) keeps_trailers: bool,
    read_bytes: usize,
    is_eof: bool,
}

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Http1Io {
    pub(super) fn new(first_bytes: BytesMut) -> Self {
        let nothing = HeadLimits { bytes: 0, fields: 0 };
        Self {
            read: first_bytes,
            out: WriteBuffer::default(),
            scanner: HeadScanner::default(),
            decoder: BodyDecoder::new(Framing::None, nothing),
            encoder: BodyEncoder::new(Framing::None),
            names: HeaderNames::Lower,
            keeps_trailers: false,
            read_bytes: FIRST_READ_BYTES,
            is_eof: false,
        }
    }

    /// Speaks as the side wants it.
    pub(super) fn set_options(&mut self, options: &Http1Options) {
        (self.names, self.keeps_trailers) = (options.names, options.trailers);
    }

    /// The body of a head that was written comes next.
    pub(super) fn start_body(&mut self, framing: Framing, names: Names) {
        self.encoder = BodyEncoder::with_trailers(framing, self.keeps_trailers.then_some(names));
    }

    /// Ready to serve another connection.
    pub(super) fn recycle(&mut self) {
        self.read.clear();
        self.out.clear();
        self.scanner = HeadScanner::default();
        self.is_eof = false;
    }

    /// Nothing has come: an idle connection holds no buffer.
    fn lend(&mut self) {
        if self.read.capacity() > 0 {
            spare::give(std::mem::take(&mut self.read));
        }
        self.out.lend();
    }

    /// One read; 0 bytes means that the peer closed.
    pub(super) fn poll_fill(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.is_eof {
            return Poll::Ready(Ok(0));
        }
        if self.read.capacity() == 0 {
            self.read = spare::take();
        }
        if self.read.capacity() - self.read.len() < self.read_bytes / 4 {
            self.read.reserve(self.read_bytes);
        }
        let room = self.read.capacity() - self.read.len();
        let count = ready!(pin!(stream.read_buf(&mut self.read)).poll(cx))?;
        if count == room {
            self.read_bytes = (self.read_bytes * 2).min(LARGEST_READ_BYTES);
        }
        self.is_eof = count == 0;
        Poll::Ready(Ok(count))
    }

    /// The length of the next head once it is complete; `None` when the peer closed between two messages.
    pub(super) fn poll_head(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        limits: HeadLimits,
    ) -> Poll<Result<Option<usize>, ReadError>> {
        loop {
            if !self.read.is_empty()
                && let Some(length) = self.scanner.find_end(&self.read, limits)?
            {
                self.scanner = HeadScanner::default();
                return Poll::Ready(Ok(Some(length)));
            }
            if ready!(self.poll_fill(stream, cx))? == 0 {
                let is_between = self.read.is_empty();
                return Poll::Ready(if is_between { Ok(None) } else { Err(Malformed::Closed.into()) });
            }
        }
    }

    pub(super) fn poll_frame(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<Frame, ReadError>> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.read)? {
                let is_dropped = !self.keeps_trailers && matches!(frame, Frame::Trailers(_));
                return Poll::Ready(Ok(if is_dropped { Frame::End } else { frame }));
            }
            if ready!(self.poll_fill(stream, cx))? == 0 {
                return Poll::Ready(Ok(self.decoder.close()?));
            }
        }
    }

    pub(super) fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.is_empty() && !stream.is_tls() {
            return Poll::Ready(Ok(()));
        }
        self.out.poll_write(stream, cx)
    }
}
