use std::rc::Rc;

use leno_ir::{Buffer, BufferOverride};

use super::overrides::RouteFilter;
use super::{RequestContext, Resume, Step};
use crate::http::{Frame, Framing};

/// Holds a request back until its whole body is here, which then has a length.
#[derive(Debug)]
pub(crate) struct ActiveBuffer(Rc<Buffer>);

impl ActiveBuffer {
    pub(super) fn new(buffer: Rc<Buffer>) -> Self {
        Self(buffer)
    }

    pub(super) fn on_request(&self, cx: &RequestContext<'_>) -> Step {
        let said = cx.route.and_then(|route| {
            route.configs(cx.name).find_map(|config| match config {
                RouteFilter::Buffer(said) => Some(*said),
                _ => None,
            })
        });
        let most = match said {
            Some(BufferOverride::Disabled) => return Step::Continue,
            Some(BufferOverride::Buffer(buffer)) => buffer.max_request_bytes,
            None => self.0.max_request_bytes,
        };
        // A tunnel has no end to wait for.
        if cx.framing.is_empty() || cx.request.upgrade.is_some() || cx.request.method == http::Method::CONNECT {
            return Step::Continue;
        }
        Step::Buffer { limit_bytes: most.into() }
    }

    pub(super) fn on_resume(&self, resume: Resume, cx: &mut RequestContext<'_>) -> Step {
        let Resume::Body { bytes } = resume else { return Step::Continue };
        if matches!(cx.framing, Framing::Chunked) && !cx.request.headers.contains("content-length") {
            cx.request.headers.set("content-length", itoa::Buffer::new().format(bytes).as_bytes());
            *cx.framing = Framing::Length(bytes);
        }
        Step::Continue
    }
}

/// Bytes of data in a frame.
pub(crate) fn data_bytes(frame: &Frame) -> u64 {
    match frame {
        Frame::Data { bytes, .. } => bytes.len() as u64,
        Frame::Trailers(_) | Frame::End => 0,
    }
}
