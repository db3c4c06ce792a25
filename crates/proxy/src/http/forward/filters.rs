use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::Forwarder;
use super::local_reply::Reply;
use crate::filter::{Dice, FilterRun, Filters, LocalReply, Picked, RequestParts, Resume, RouteRules, Step, data_bytes};
use crate::flags::ResponseFlags;
use crate::http::downstream::DownstreamError;
use crate::http::failure::Failure;
use crate::http::head::{Frame, Framing};
use crate::http::peer::{Peer, PeerError};

/// Most of a body that is taken while a filter waits. Chosen: what fits into a window of HTTP/2 at its default.
const MOST_WAITING_BYTES: u64 = 64 * 1024;

/// What the filters made of a request.
pub(super) enum Filtered {
    Answered,
    /// The router's turn, with the route it has now.
    Continue(Option<Picked>),
}

impl Forwarder<'_, '_> {
    /// The request's way through the filters; not to be called without any.
    pub(super) async fn filter_request(
        &mut self,
        filters: &Filters,
        rules: Option<&Arc<RouteRules>>,
        picked: Option<Picked>,
        dice: Dice,
    ) -> Result<Filtered, Failure> {
        let route = rules.zip(picked).map(|(rules, picked)| rules.route_ref(picked));
        let run = FilterRun::new(filters, rules.cloned(), route, dice);
        let count = run.len();
        self.run = Some(Box::new(run));
        self.note_route();
        for at in 0..count {
            let mut step = self.step(at, None);
            loop {
                step = match step {
                    Step::Continue => break,
                    Step::Reply(reply) => {
                        self.reply_of_filter(*reply).await?;
                        return Ok(Filtered::Answered);
                    }
                    Step::Wait(future) => {
                        let resume = self.wait(future).await?;
                        self.step(at, Some(resume))
                    }
                    Step::Discard => {
                        self.discard_request().await?;
                        self.step(at, Some(Resume::Body { bytes: 0 }))
                    }
                    Step::Buffer { limit_bytes } => {
                        let Some(bytes) = self.buffer_request(limit_bytes).await? else {
                            self.reply_of_filter(too_large()).await?;
                            return Ok(Filtered::Answered);
                        };
                        self.step(at, Some(Resume::Body { bytes }))
                    }
                };
            }
        }
        let route = self.run.as_ref().and_then(|run| run.route.as_ref());
        Ok(Filtered::Continue(route.map(|route| route.picked())))
    }

    fn step(&mut self, at: usize, resume: Option<Resume>) -> Step {
        let Some(run) = &mut self.run else { return Step::Continue };
        let parts = RequestParts {
            request: self.request,
            framing: &mut self.framing,
            exchange: self.exchange,
            connection: &self.context.connection,
            worker: &self.context.worker,
        };
        let step = run.step(at, resume, parts);
        self.note_route();
        step
    }

    /// What the record says of an exchange that a filter answers.
    fn note_route(&mut self) {
        let Some(route) = self.run.as_mut().and_then(|run| run.take_new_route()) else { return };
        self.exchange.route_name = route.and_then(|route| route.matched()?.route_name());
        let cluster = route.and_then(|route| self.context.worker.cluster(&route.cluster()?.name));
        self.exchange.cluster = cluster.map(|cluster| cluster.config.clone());
    }

    async fn reply_of_filter(&mut self, reply: LocalReply) -> Result<(), Failure> {
        self.exchange.flags.insert(reply.flags);
        self.exchange.details = reply.details;
        let route = self.run.as_ref().and_then(|run| run.route.clone()).filter(|_| reply.has_route_headers);
        let ops = route.as_ref().and_then(|route| route.response_headers()).unwrap_or_default();
        let headers = &reply.headers;
        self.reply(Reply { headers, grpc: reply.grpc, ops: &ops, ..Reply::new(reply.status, reply.body) }).await
    }

    /// For what a filter waits for. Some of what the client sends meanwhile is taken already, so that who listens only after it
    /// has sent all gets its answer, and the connection another request.
    async fn wait(&mut self, mut future: Pin<Box<dyn Future<Output = Resume>>>) -> Result<Resume, Failure> {
        let reads = self.followed.is_none() && !self.request.wants_tunnel();
        let mut bytes: u64 = self.run.as_ref().map_or(0, |run| run.request_frames.iter().map(data_bytes).sum());
        poll_fn(|cx| {
            if let Poll::Ready(resume) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(resume));
            }
            while reads && bytes < MOST_WAITING_BYTES && !self.downstream.request_is_done() {
                let Poll::Ready(frame) = self.downstream.poll_request(cx) else { break };
                let frame = match frame {
                    Ok(frame) => frame,
                    Err(error) => return Poll::Ready(Err(error.into())),
                };
                bytes += data_bytes(&frame);
                self.note_received(&frame);
                self.touch();
                self.downstream.release();
                if let Some(run) = &mut self.run {
                    run.push_request(frame);
                }
            }
            self.poll_interruption(cx).map(Err)
        })
        .await
    }

    /// Reads the whole body, and says how long it is; `None` when that is too long.
    async fn buffer_request(&mut self, limit_bytes: u64) -> Result<Option<u64>, Failure> {
        if let (Some(followed), Some(run)) = (&mut self.followed, &mut self.run) {
            followed.frames.drain(..).for_each(|frame| run.push_request(frame));
        }
        self.continue_ourselves().await?;
        // What another filter wanted before.
        let here = self.run.as_ref().map_or(0, |run| run.request_frames.iter().map(data_bytes).sum());
        let mut bytes: u64 = here;
        while !self.downstream.request_is_done() {
            let frame = self.receive().await?;
            bytes += data_bytes(&frame);
            if bytes > limit_bytes {
                return Ok(None);
            }
            if let Some(run) = &mut self.run {
                run.push_request(frame);
            }
        }
        Ok(Some(bytes).filter(|bytes| *bytes <= limit_bytes))
    }

    async fn discard_request(&mut self) -> Result<(), Failure> {
        self.continue_ourselves().await?;
        if let Some(followed) = &mut self.followed {
            followed.frames.clear();
        }
        while !self.downstream.request_is_done() {
            self.receive().await?;
        }
        Ok(())
    }

    /// A piece of the request's body, as it came.
    async fn receive(&mut self) -> Result<Frame, Failure> {
        let frame = poll_fn(|cx| match self.downstream.poll_request(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map_err(Failure::from)),
            Poll::Pending => self.poll_interruption(cx).map(Err),
        })
        .await?;
        self.note_received(&frame);
        self.touch();
        self.downstream.release();
        Ok(frame)
    }

    /// Whether all of the request was taken, from the client, from the route before and from filters that held it.
    pub(super) fn request_is_done(&self) -> bool {
        self.downstream.request_is_done()
            && self.followed.as_ref().is_none_or(|followed| followed.frames.is_empty())
            && self.run.as_ref().is_none_or(|run| run.request_frames.is_empty())
    }

    /// The next piece of the request's body, through the filters. Not to be called after its end.
    pub(super) fn poll_request_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, DownstreamError>> {
        loop {
            if let Some(run) = &mut self.run
                && let Some(frame) = run.request_frames.pop_front()
            {
                return Poll::Ready(Ok(frame));
            }
            let kept = self.followed.as_mut().and_then(|followed| followed.frames.pop_front());
            let frame = match kept {
                Some(frame) => frame,
                None if self.downstream.request_is_done() => return Poll::Ready(Ok(Frame::End)),
                None => {
                    let frame = ready!(self.downstream.poll_request(cx))?;
                    self.note_received(&frame);
                    frame
                }
            };
            match &mut self.run {
                Some(run) if run.transforms_request() && !self.is_tunnel => run.push_request(frame),
                _ => return Poll::Ready(Ok(frame)),
            }
        }
    }

    /// The response's head on its way through the filters; the value is how its body is sent now.
    pub(super) fn filter_response(&mut self, mut framing: Framing) -> Framing {
        if let Some(run) = &mut self.run {
            let places = (&self.context.connection, &self.context.worker);
            run.on_response(self.request, (self.response, &mut framing), self.exchange, places);
            self.exchange.status = self.response.status;
        }
        framing
    }

    /// The next piece of the upstream's response, when its pace allows.
    pub(super) fn poll_response_frame(
        &mut self,
        cx: &mut Context<'_>,
        peer: &mut Peer,
    ) -> Poll<Result<Frame, PeerError>> {
        match self.run.as_mut().and_then(|run| run.pace.as_mut()).filter(|_| !self.is_tunnel) {
            Some(pace) => pace.poll_frame(cx, |cx| peer.poll_response(cx)),
            None => peer.poll_response(cx),
        }
    }

    /// A piece of the response's body, through the filters to the client.
    pub(super) fn push_response(&mut self, frame: Frame) -> Result<(), DownstreamError> {
        match &mut self.run {
            Some(run) if run.transforms_response() && !self.is_tunnel => {
                for frame in run.response_frames(frame) {
                    self.note_sent(&frame);
                    self.downstream.push(frame)?;
                }
                Ok(())
            }
            _ => {
                self.note_sent(&frame);
                self.downstream.push(frame)
            }
        }
    }
}

fn too_large() -> LocalReply {
    LocalReply {
        body: Bytes::from_static(b"Payload Too Large"),
        flags: ResponseFlags::NONE,
        ..LocalReply::new(413, "request_payload_too_large")
    }
}
