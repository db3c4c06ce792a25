use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};

use super::convert;
use crate::http::head::Frame;

/// The body that a peer sends on one stream.
#[derive(Debug)]
pub(in crate::http) struct BodySource {
    stream: RecvStream,
    /// Received, but not yet taken by the other side; the peer gets this much credit back when it is.
    held: usize,
    is_at_trailers: bool,
    pub(in crate::http) is_done: bool,
}

impl BodySource {
    pub(in crate::http) fn new(stream: RecvStream) -> Self {
        let is_done = stream.is_end_stream();
        Self { stream, held: 0, is_at_trailers: false, is_done }
    }

    pub(in crate::http) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, h2::Error>> {
        while !self.is_at_trailers {
            match ready!(self.stream.poll_data(cx)) {
                Some(data) => {
                    let bytes = data?;
                    self.held += bytes.len();
                    let last = self.stream.is_end_stream();
                    self.is_done = last;
                    if bytes.is_empty() && !last {
                        continue;
                    }
                    return Poll::Ready(Ok(Frame::Data { bytes, last }));
                }
                None => self.is_at_trailers = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx))?;
        self.is_done = true;
        let trailers = trailers.map(|map| convert::trailers_from(&map)).filter(|trailers| !trailers.is_empty());
        Poll::Ready(Ok(trailers.map_or(Frame::End, Frame::Trailers)))
    }

    /// Gives the peer credit for what was taken.
    pub(in crate::http) fn release(&mut self) {
        if self.held > 0 {
            // Fails only on a stream that is over.
            let _ = self.stream.flow_control().release_capacity(self.held);
            self.held = 0;
        }
    }
}

/// The body that we send on one stream, as fast as the peer's windows allow.
#[derive(Debug)]
pub(in crate::http) struct BodySink {
    stream: SendStream<Bytes>,
    /// Most bodies come in one piece. Empty: there is nothing to send.
    front: Bytes,
    queue: VecDeque<Bytes>,
    backlog: usize,
    end: Option<End>,
    is_done: bool,
}

#[derive(Debug)]
enum End {
    Empty,
    Trailers(Box<http::HeaderMap>),
}

impl BodySink {
    /// `is_done`: the head ended the stream already.
    pub(in crate::http) fn new(stream: SendStream<Bytes>, is_done: bool) -> Self {
        Self { stream, front: Bytes::new(), queue: VecDeque::new(), backlog: 0, end: None, is_done }
    }

    pub(in crate::http) fn backlog(&self) -> usize {
        self.backlog
    }

    pub(in crate::http) fn push(&mut self, frame: Frame) {
        match frame {
            Frame::Data { bytes, last } => {
                self.backlog += bytes.len();
                if self.front.is_empty() {
                    self.front = bytes;
                } else if !bytes.is_empty() {
                    self.queue.push_back(bytes);
                }
                if last {
                    self.end = Some(End::Empty);
                }
            }
            Frame::Trailers(trailers) => self.end = Some(End::Trailers(Box::new(convert::to_map(&trailers)))),
            Frame::End => self.end = Some(End::Empty),
        }
    }

    /// Ready when all that was pushed is with the connection.
    pub(in crate::http) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        if self.is_done {
            return Poll::Ready(Ok(()));
        }
        while !self.front.is_empty() {
            self.stream.reserve_capacity(self.backlog);
            // Only increases are announced, so what is there already must be looked at first.
            let mut capacity = self.stream.capacity();
            if capacity == 0 {
                capacity = match ready!(self.stream.poll_capacity(cx)) {
                    Some(capacity) => capacity?,
                    None => return Poll::Ready(Err(Reason::CANCEL.into())),
                };
            }
            let piece = self.front.split_to(capacity.min(self.front.len()));
            self.backlog -= piece.len();
            if self.front.is_empty() {
                self.front = self.queue.pop_front().unwrap_or_default();
            }
            if piece.is_empty() {
                continue;
            }
            let ends = self.front.is_empty() && matches!(self.end, Some(End::Empty));
            self.stream.send_data(piece, ends)?;
            if ends {
                self.end = None;
                self.is_done = true;
            }
        }
        match self.end.take() {
            Some(End::Empty) => self.stream.send_data(Bytes::new(), true)?,
            Some(End::Trailers(map)) => self.stream.send_trailers(*map)?,
            None => return Poll::Ready(Ok(())),
        }
        self.is_done = true;
        Poll::Ready(Ok(()))
    }

    pub(in crate::http) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Ready when the peer has reset the stream, or its connection is gone: that is the error.
    pub(in crate::http) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, h2::Error>> {
        self.stream.poll_reset(cx)
    }

    pub(in crate::http) fn reset(&mut self, reason: Reason) {
        if !self.is_done {
            self.is_done = true;
            self.front.clear();
            self.queue.clear();
            self.backlog = 0;
        }
        self.stream.send_reset(reason);
    }
}
