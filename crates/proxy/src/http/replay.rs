use std::collections::VecDeque;

use bytes::Bytes;

use super::head::Frame;
use super::headers::Headers;

/// A request's body as far as it was sent, for another try.
#[derive(Debug)]
pub(super) struct Replay {
    frames: Vec<Bytes>,
    trailers: Option<Headers>,
    bytes: usize,
    most_bytes: usize,
    next: usize,
    is_on: bool,
    /// All frames were given to the present try, and the end too when there is one.
    ends: bool,
    end_was_sent: bool,
}

impl Replay {
    pub(super) fn new(is_on: bool, most_bytes: usize) -> Self {
        Self {
            frames: Vec::new(),
            trailers: None,
            bytes: 0,
            most_bytes,
            next: 0,
            is_on,
            ends: false,
            end_was_sent: false,
        }
    }

    /// Whether another try can have the whole request.
    pub(super) fn is_possible(&self) -> bool {
        self.is_on || self.bytes == 0
    }

    pub(super) fn keep(&mut self, frame: &Frame) {
        match frame {
            Frame::Data { bytes, last } => {
                self.bytes += bytes.len();
                self.ends = *last;
                if self.bytes > self.most_bytes {
                    self.is_on = false;
                    self.frames.clear();
                } else if self.is_on {
                    self.frames.push(bytes.clone());
                }
            }
            Frame::Trailers(trailers) => {
                self.trailers = Some(trailers.clone());
                self.ends = true;
            }
            Frame::End => self.ends = true,
        }
        self.next = self.frames.len();
        self.end_was_sent = self.ends;
    }

    pub(super) fn restart(&mut self) {
        self.next = 0;
        self.end_was_sent = false;
    }

    /// What the present try has not had yet, of what was received.
    pub(super) fn next(&mut self) -> Option<Frame> {
        if let Some(bytes) = self.frames.get(self.next) {
            self.next += 1;
            return Some(Frame::Data { bytes: bytes.clone(), last: false });
        }
        if self.ends && !self.end_was_sent {
            self.end_was_sent = true;
            return Some(self.trailers.clone().map_or(Frame::End, Frame::Trailers));
        }
        None
    }

    /// There will be no other try; what is still to be sent of this one is kept.
    pub(super) fn stop(&mut self) {
        if self.next >= self.frames.len() {
            self.frames.clear();
            self.next = 0;
        }
        self.is_on = false;
    }

    /// All that was kept, as it came.
    pub(super) fn frames(&mut self) -> VecDeque<Frame> {
        let data = self.frames.drain(..).map(|bytes| Frame::Data { bytes, last: false });
        let end = self.ends.then(|| self.trailers.take().map_or(Frame::End, Frame::Trailers));
        data.chain(end).collect()
    }

    /// All of the body that was kept.
    pub(super) fn body(&self) -> Vec<Bytes> {
        self.frames.clone()
    }
}
