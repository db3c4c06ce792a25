use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::spare;
use crate::stream::Stream;

/// What is to be written to a connection: small pieces copied together, large ones by reference between them.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    flat: Vec<u8>,
    /// How much of `flat` was written.
    written: usize,
    /// Each goes out before the byte of `flat` at its offset.
    large: VecDeque<(usize, Bytes)>,
    large_bytes: usize,
}

/// Below this a copy is cheaper than one more entry in a vectored write. Chosen; the two are within noise from 4 to 16 KiB.
const COPY_BELOW_BYTES: usize = 8 * 1024;
/// Slices per write.
const MOST_SLICES: usize = 16;
/// A buffer that grew beyond this is not kept for the next message.
const KEEP_BYTES: usize = 64 * 1024;

impl WriteBuffer {
    /// To append small things to.
    pub(crate) fn flat(&mut self) -> &mut Vec<u8> {
        if self.flat.capacity() == 0 {
            self.flat = spare::take();
        }
        &mut self.flat
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < COPY_BELOW_BYTES {
            self.flat().extend_from_slice(&bytes);
        } else {
            self.large_bytes += bytes.len();
            self.large.push_back((self.flat.len(), bytes));
        }
    }

    /// A copy of all that is to be written.
    #[cfg(fuzzing)]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (mut bytes, mut from) = (Vec::with_capacity(self.len()), self.written);
        for (at, large) in &self.large {
            bytes.extend_from_slice(&self.flat[from..*at]);
            bytes.extend_from_slice(large);
            from = *at;
        }
        bytes.extend_from_slice(&self.flat[from..]);
        bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.flat.len() - self.written + self.large_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn clear(&mut self) {
        self.flat.clear();
        self.written = 0;
        self.large.clear();
        self.large_bytes = 0;
        if self.flat.capacity() > KEEP_BYTES {
            self.flat = Vec::new();
        }
    }

    /// Nothing is to be written for a while: holds no buffer.
    pub(crate) fn lend(&mut self) {
        if self.is_empty() {
            self.written = 0;
            spare::give(std::mem::take(&mut self.flat));
        }
    }

    /// Ready when everything is written.
    pub(crate) fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut needs_flush = false;
        while !self.is_empty() {
            let written = if self.large.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, &self.flat[self.written..]))?
            } else {
                let mut slices = [IoSlice::new(&[]); MOST_SLICES];
                let count = self.fill(&mut slices);
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
            needs_flush = true;
        }
        self.clear();
        // Only TLS holds bytes back, and then a later call finds nothing to write but must flush all the same.
        if needs_flush || stream.is_tls() { Pin::new(stream).poll_flush(cx) } else { Poll::Ready(Ok(())) }
    }

    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut count, mut from) = (0, self.written);
        for (at, bytes) in &self.large {
            if count + 3 > slices.len() {
                return count;
            }
            if *at > from {
                slices[count] = IoSlice::new(&self.flat[from..*at]);
                count += 1;
                from = *at;
            }
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        if self.flat.len() > from && count < slices.len() {
            slices[count] = IoSlice::new(&self.flat[from..]);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut written: usize) {
        while written > 0 {
            let flat_end = self.large.front().map_or(self.flat.len(), |(at, _)| *at);
            let from_flat = written.min(flat_end - self.written);
            self.written += from_flat;
            written -= from_flat;
            if let Some((_, bytes)) = self.large.front_mut() {
                let from_large = written.min(bytes.len());
                bytes.advance(from_large);
                self.large_bytes -= from_large;
                written -= from_large;
                if bytes.is_empty() {
                    self.large.pop_front();
                } else {
                    return;
                }
            } else if from_flat == 0 {
                return;
            }
        }
    }
}
