use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use leno_ir::{Config, Flavor, Node};
use leno_names::SpiffeId;
use leno_runtime::DrainWatch;
use leno_xds::{Pacing, Report, ResourceKind, Verdict, codec};
use prost::Message;
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};

use crate::body::BodyEnd;
use crate::cache::EncodingCache;
use crate::feed::{Feed, apply_secrets};
use crate::metrics::Metrics;
use crate::protocol::Protocol;
use crate::{ConfigSource, Outcome, Secrets, Session, StatusReport, StreamEnd};

/// The first request, with the node, must come this soon.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What a stream needs from its server.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) source: Arc<dyn ConfigSource>,
    pub(crate) cache: Arc<EncodingCache>,
    pub(crate) metrics: Metrics,
    pub(crate) drain: DrainWatch,
}

pub(crate) type Responses<P> = mpsc::Sender<Result<<P as Protocol>::Response, Status>>;

/// One discovery stream, from its first request to its end.
pub(crate) struct Stream<P: Protocol> {
    pub(crate) context: Context,
    pub(crate) peer: SpiffeId,
    /// Where it has reached us.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) requests: Streaming<P::Request>,
    /// At most one response per type is unanswered, so it only fills when the peer does not read; then we stop reading
    /// as well until it does or the connection dies of a missed ping.
    pub(crate) responses: Responses<P>,
    pub(crate) body_end: BodyEnd,
}

impl<P: Protocol> Stream<P> {
    pub(crate) async fn run(mut self) {
        let first = tokio::time::timeout(FIRST_REQUEST_TIMEOUT, self.requests.message()).await;
        let request = match first {
            Ok(Ok(Some(request))) => request,
            Ok(Ok(None) | Err(_)) => return,
            Err(_elapsed) => return self.refuse(Status::deadline_exceeded("no request in time")).await,
        };
        let node = match node_of::<P>(&request) {
            Ok(node) => Node { control: self.local, ..node },
            Err(status) => return self.refuse(status).await,
        };
        let (id, flavor) = (node.id.clone(), node.flavor);
        let session = match self.context.source.connect(node, self.peer.clone()) {
            Ok(session) => session,
            Err(refusal) => {
                tracing::warn!(node = id, peer = %self.peer, reason = %refusal, "discovery stream refused");
                return self.refuse(Status::permission_denied(refusal.to_string())).await;
            }
        };
        tracing::info!(node = id, peer = %self.peer, "discovery stream opened");
        self.context.metrics.streams_active.inc();
        let active = Active { metrics: self.context.metrics.clone() };
        let Session { config, secrets, guard } = session;
        let pacing = if flavor == Flavor::Leno { Pacing::Atomic } else { Pacing::Stepwise };
        let feed = Feed::new(self.context.cache.clone(), flavor);
        let serving = Serving { id: id.clone(), config, secrets, feed, server: P::new(pacing), stream: self };
        let end = serving.run(request).await;
        drop(active);
        guard.close(end);
        tracing::info!(node = id, ?end, "discovery stream closed");
    }

    async fn refuse(self, status: Status) {
        // The peer may be gone; then nobody wants to know.
        let _ = self.responses.send(Err(status)).await;
    }
}

/// Counts a stream for as long as it lives, also when its task is cancelled.
struct Active {
    metrics: Metrics,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.metrics.streams_active.dec();
    }
}

fn node_of<P: Protocol>(request: &P::Request) -> Result<Node, Status> {
    let node = P::node(request).ok_or_else(|| Status::invalid_argument("the first request names no node"))?;
    codec::decode_node(node).map_err(|error| Status::invalid_argument(format!("node: {error}")))
}

struct Serving<P: Protocol> {
    id: String,
    config: watch::Receiver<Arc<Config>>,
    secrets: Option<watch::Receiver<Arc<Secrets>>>,
    feed: Feed,
    server: P,
    stream: Stream<P>,
}

enum Event<R> {
    Config,
    Drain,
    Request(R),
    Secrets,
    Stop(StreamEnd),
}

impl<P: Protocol> Serving<P> {
    async fn run(mut self, first: P::Request) -> StreamEnd {
        let mut began = Instant::now();
        self.take_config();
        self.take_secrets();
        self.handle(&first);
        loop {
            // Requests that arrived together are taken together: a subscription that follows an ACK belongs to it.
            if let Some(end) = self.take_ready_requests() {
                return end;
            }
            if self.push(began).await.is_err() {
                return StreamEnd::Broken;
            }
            let event = self.next_event().await;
            began = Instant::now();
            match event {
                Event::Config => self.take_config(),
                Event::Drain => {
                    let _ = self.stream.responses.send(Err(Status::unavailable("control plane is stopping"))).await;
                    return StreamEnd::Broken;
                }
                Event::Request(request) => self.handle(&request),
                Event::Secrets => self.take_secrets(),
                Event::Stop(end) => return end,
            }
        }
    }

    async fn next_event(&mut self) -> Event<P::Request> {
        let secrets = async {
            match &mut self.secrets {
                Some(secrets) => secrets.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stream.context.drain.draining() => Event::Drain,
            // Before the end of the response, so that a peer that closed its side and went is not taken for broken.
            message = self.stream.requests.message() => self.stream.body_end.event(message),
            changed = self.config.changed() => if changed.is_ok() { Event::Config } else { Event::Stop(StreamEnd::Broken) },
            changed = secrets => if changed.is_ok() { Event::Secrets } else { Event::Stop(StreamEnd::Broken) },
            () = self.stream.responses.closed() => Event::Stop(StreamEnd::Broken),
        }
    }

    fn take_ready_requests(&mut self) -> Option<StreamEnd> {
        while let Some(message) = self.stream.requests.message().now_or_never() {
            match self.stream.body_end.event(message) {
                Event::Request(request) => self.handle(&request),
                Event::Stop(end) => return Some(end),
                Event::Config | Event::Drain | Event::Secrets => {}
            }
        }
        None
    }

    fn take_config(&mut self) {
        let config = self.config.borrow_and_update().clone();
        self.feed.apply(config, &mut self.server);
    }

    fn take_secrets(&mut self) {
        let secrets = self.secrets.as_mut().map(|secrets| secrets.borrow_and_update().clone());
        if let Some(secrets) = secrets {
            apply_secrets(&secrets, &mut self.server);
        }
    }

    fn handle(&mut self, request: &P::Request) {
        for report in self.server.handle(request) {
            self.report(report);
        }
    }

    async fn push(&mut self, began: Instant) -> Result<(), mpsc::error::SendError<Result<P::Response, Status>>> {
        let mut pushed = false;
        while let Some((response, report)) = self.server.poll_response() {
            pushed = true;
            self.stream.context.metrics.pushed(P::type_url(&response), response.encoded_len());
            if let Some(report) = report {
                self.report(report);
            }
            self.stream.responses.send(Ok(response)).await?;
        }
        if pushed {
            self.stream.context.metrics.push_took(began.elapsed());
        }
        Ok(())
    }

    fn report(&self, report: Report) {
        let Report { kind, resources, removed, verdict } = report;
        let outcome = match verdict {
            Verdict::Acked => Outcome::Acked,
            Verdict::Rejected { reason } => {
                self.log_rejection(kind, &resources, &reason);
                Outcome::Rejected { reason }
            }
            Verdict::Sent => Outcome::Sent,
        };
        if resources.is_empty() && removed.is_empty() && !matches!(outcome, Outcome::Rejected { .. }) {
            return;
        }
        let (node_id, type_url) = (self.id.clone(), kind.type_url().to_owned());
        self.stream.context.source.report(StatusReport { node_id, type_url, resources, removed, outcome });
    }

    fn log_rejection(&self, kind: ResourceKind, resources: &[(String, String)], reason: &str) {
        self.stream.context.metrics.rejected(kind, resources.len().max(1));
        let names: Vec<&str> = resources.iter().map(|(name, _)| name.as_str()).collect();
        tracing::warn!(node = self.id, %kind, ?names, reason, "node rejected resources");
    }
}

impl BodyEnd {
    fn event<R>(&self, message: Result<Option<R>, Status>) -> Event<R> {
        match message {
            Ok(Some(request)) => Event::Request(request),
            Ok(None) if self.is_in_order() => Event::Stop(StreamEnd::Clean),
            Ok(None) | Err(_) => Event::Stop(StreamEnd::Broken),
        }
    }
}
