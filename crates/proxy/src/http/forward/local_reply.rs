use std::borrow::Cow;
use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use http::Method;

use super::Forwarder;
use crate::filter::GrpcReply;
use crate::flags::ResponseFlags;
use crate::http::failure::{Failure, grpc_status_of};
use crate::http::head::{Frame, Framing};
use crate::http::header_ops::Levels;
use crate::http::peer::PeerError;

/// No operations.
pub(super) const NOTHING: &Levels<'static> = &Levels::NONE;

/// What clients are told of, unless Envoy's headers are suppressed.
const OVERLOADS: [(ResponseFlags, &str); 3] = [
    (ResponseFlags::UPSTREAM_OVERFLOW, "x-envoy-overloaded"),
    (ResponseFlags::DROP_OVERLOAD, "x-envoy-drop-overload"),
    (ResponseFlags::UNCONDITIONAL_DROP_OVERLOAD, "x-envoy-unconditional-drop-overload"),
];

/// A response of our own.
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    pub(super) body: Bytes,
    pub(super) location: Option<&'a str>,
    /// Of the route, in order.
    pub(super) ops: &'a Levels<'a>,
    /// Set after those.
    pub(super) headers: &'a [(Cow<'static, str>, Bytes)],
    pub(super) grpc: GrpcReply,
}

impl Reply<'_> {
    pub(super) fn new(status: u16, body: Bytes) -> Self {
        Self { status, body, location: None, ops: NOTHING, headers: &[], grpc: GrpcReply::Mapped }
    }
}

impl Forwarder<'_, '_> {
    /// The one place where failures become responses, or cut ones. `ops` are those of the route's responses; they hold for
    /// what the router says, but not for what its surroundings say (Envoy).
    pub(super) async fn fail(&mut self, failure: Failure, ops: &Levels<'_>) {
        self.count_failure(&failure);
        self.exchange.flags.insert(failure.flag());
        self.exchange.details = failure.details(self.has_responded);
        match &failure {
            Failure::Connect(error) => self.exchange.upstream_failure = Some(error.transport_failure()),
            Failure::Peer(PeerError::Protocol(details)) => self.exchange.upstream_failure = Some((*details).to_owned()),
            _ => {}
        }
        let is_late = matches!(failure, Failure::PerTryIdle | Failure::PerTryTimeout | Failure::Timeout);
        let without_body = is_late && self.answers_timeouts_with_204;
        let status = if without_body { 204 } else { failure.status() };
        if self.has_responded || status == 0 {
            self.downstream.abort(failure.reset_of_client());
            return;
        }
        let body = match failure.body(self.exchange.attempts > 1) {
            _ if without_body => Bytes::new(),
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        };
        if let Failure::DownstreamMalformed(_) = failure {
            self.exchange.is_grpc = false;
        }
        // Fails only when the client has gone meanwhile.
        let of_router = !matches!(
            failure,
            Failure::DownstreamMalformed(_)
                | Failure::Idle { .. }
                | Failure::NoRoute
                | Failure::Overload
                | Failure::Refused { .. }
                | Failure::RequestTimeout
                | Failure::StreamDuration { .. }
        );
        self.exchange.grpc_status = failure.grpc_status();
        let ops = if of_router { ops } else { NOTHING };
        if !of_router {
            self.attempt_count.in_response = false;
        }
        let grpc = failure.grpc_status().map_or(GrpcReply::Mapped, GrpcReply::Status);
        if let Err(failure) = self.reply(Reply { ops, grpc, ..Reply::new(status, body) }).await {
            self.exchange.flags.insert(failure.flag());
            self.downstream.abort(h2::Reason::CANCEL);
        }
    }

    /// A response of our own; to gRPC requests a status without body, as Envoy does.
    pub(super) async fn reply(&mut self, reply: Reply<'_>) -> Result<(), Failure> {
        let Reply { mut status, mut body, location, ops, headers: extra, grpc } = reply;
        let context = self.context;
        self.exchange.local_reply_body = body.clone();
        if status == 400 && !context.config().http1.stream_errors {
            // Who said something wrong may have meant something else with what follows (Envoy).
            self.downstream.takes_no_more();
        }
        let mapped = context.manager.replies.as_ref().map(|replies| {
            self.exchange.status = status;
            let random = &mut || context.worker.random();
            replies.map(self.exchange, &context.connection, self.request, random)
        });
        let (mut content_type, mut edits) = (None, None);
        if let Some(mapped) = mapped {
            (status, body, content_type, edits) = (mapped.status, mapped.body, mapped.content_type, mapped.headers);
        }
        let is_grpc = self.exchange.is_grpc && grpc != GrpcReply::Plain;
        let suppresses = self.router().suppress_envoy_headers;
        let headers = &mut self.response.headers;
        headers.clear();
        self.response.upgrade = None;
        self.response.keeps_names = false;
        let body = if is_grpc {
            let grpc_status = if let GrpcReply::Status(status) = grpc { status } else { grpc_status_of(status) };
            self.response.status = 200;
            headers.append(b"content-type", b"application/grpc");
            headers.append(b"grpc-status", itoa::Buffer::new().format(grpc_status).as_bytes());
            if !body.is_empty() {
                headers.append(b"grpc-message", &percent_encode(&body));
            }
            self.exchange.grpc_status = Some(grpc_status);
            Bytes::new()
        } else {
            self.response.status = status;
            body
        };
        if let Some(location) = location {
            headers.append(b"location", location.as_bytes());
        }
        // Between proxies of the mesh nobody else would say so.
        if self.context.manager.config.edge == leno_ir::HttpEdge::default() {
            headers.append(b"server", b"leno");
        }
        let told = OVERLOADS.iter().find(|(flag, _)| self.exchange.flags.contains(*flag));
        if let Some((_, name)) = told.filter(|_| !suppresses) {
            headers.append(name.as_bytes(), b"true");
        }
        self.tell_attempts();
        self.edit_response(ops);
        let headers = &mut self.response.headers;
        for (name, value) in extra {
            headers.set(name, value);
        }
        // What the route says of the type counts, unless a format has made another body.
        let headers = &mut self.response.headers;
        if !is_grpc && !body.is_empty() && (content_type.is_some() || !headers.contains("content-type")) {
            headers.set("content-type", content_type.unwrap_or("text/plain").as_bytes());
        }
        if let Some(edits) = edits {
            edits.apply_to_response(self.response, self.request, self.exchange, &context.connection);
        }
        let headers = &mut self.response.headers;
        let has_length = !matches!(self.response.status, 100..=199 | 204 | 304);
        // HTTP/2 says with the head that there is no body.
        if has_length && !(body.is_empty() && self.downstream.is_http2()) {
            headers.set("content-length", itoa::Buffer::new().format(body.len()).as_bytes());
        }
        let has_body = has_length && self.request.method != Method::HEAD && !body.is_empty();
        let framing = if has_body { Framing::Length(body.len() as u64) } else { Framing::None };
        self.send_reply(framing, body).await
    }

    async fn send_reply(&mut self, framing: Framing, body: Bytes) -> Result<(), Failure> {
        self.exchange.status = self.response.status;
        self.finish_head();
        let filtered = self.filter_response(framing);
        self.has_responded = true;
        self.count_head();
        self.downstream.respond(self.response, filtered);
        if !framing.is_empty() {
            let frame = Frame::Data { bytes: body, last: true };
            self.push_response(frame).map_err(|_| Failure::DownstreamGone)?;
        }
        self.deadlines.stop();
        self.touch();
        poll_fn(|cx| match self.downstream.poll_flush(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(Failure::from)),
            Poll::Pending => self.timer.poll(cx, self.deadlines.next()).map(|()| Err(Failure::DownstreamGone)),
        })
        .await
    }
}

/// gRPC over HTTP/2, "Status-Message": everything but printable ASCII, and `%`, is escaped.
fn percent_encode(text: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text {
        if matches!(byte, b' '..=b'~') && *byte != b'%' {
            encoded.push(*byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    encoded
}
