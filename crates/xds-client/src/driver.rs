//! The one task of the client: connects, feeds the state machine, hands out configurations, saves what was accepted.
//!
//! ```text
//!   Idle(until) --> Connecting --> Open --broken--> Idle(backoff)
//!   and beside it: news --complete or waited--> Update --reply--> ACK/NACK, save
//! ```
//!
//! Invariants  one update is out at a time, and while it is no response is read: flow control holds the server back
//! Errors      every failed connection is counted; the first of a row, and each that differs, is logged as a warning
mod event;
mod link;
mod saver;

use std::sync::Arc;

use leno_identity::Identity;
use leno_xds::{DeltaClient, Rejection, codec};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::connect::Target;
use crate::metrics::Metrics;
use crate::{Origin, Update, XdsClientConfig};
use event::Event;
use link::{Link, Links};
use saver::Saver;

pub(crate) struct Driver {
    config: XdsClientConfig,
    client: DeltaClient,
    links: Links,
    link: Link,
    saver: Saver,
    updates: mpsc::Sender<Update>,
    connected: watch::Sender<bool>,
    metrics: Metrics,
    /// The update the proxy has and has not judged yet.
    judging: Option<(Origin, oneshot::Receiver<Vec<Rejection>>)>,
    /// The proxy may run something else than what is accepted.
    must_emit: bool,
    /// Start from disk at this time.
    disk_at: Option<Instant>,
    /// Emit at this time although something is missing.
    emit_at: Option<Instant>,
}

impl Driver {
    pub(crate) fn new(
        config: XdsClientConfig,
        identity: Identity,
        updates: mpsc::Sender<Update>,
        connected: watch::Sender<bool>,
        metrics: Metrics,
    ) -> Self {
        let target = Target {
            address: String::new(),
            control_id: config.control_id.clone(),
            identity,
            timeout: config.connect_timeout,
        };
        let links = Links::new(&config, target, metrics.clone());
        let saver = Saver::new(config.persist.clone(), config.node.id.clone(), metrics.clone());
        Self {
            client: DeltaClient::new(),
            links,
            link: Link::Idle { until: Instant::now() },
            saver,
            updates,
            connected,
            metrics,
            judging: None,
            must_emit: true,
            disk_at: None,
            emit_at: None,
            config,
        }
    }

    pub(crate) async fn run(mut self, mut closing: watch::Receiver<bool>) {
        self.saver.load(&mut self.client);
        if !self.client.is_empty() {
            self.disk_at = Some(Instant::now() + self.config.disk_after);
        }
        loop {
            self.answer_what_changes_nothing();
            let event = tokio::select! {
                biased;
                () = asked_to_close(&mut closing) => break,
                event = self.next_event() => event,
            };
            if let Event::Stop = event {
                break;
            }
            self.handle(event);
        }
        self.finish().await;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Broken(reason) => self.lose_link(&reason),
            Event::Connect => self.connect(),
            Event::Connected(connection) => {
                self.metrics.streams.inc();
                self.metrics.connected.set(1);
                self.connected.send_replace(true);
                self.link = self.links.connected(std::mem::replace(&mut self.link, Link::idle()), connection);
            }
            Event::EmitFromControl => self.emit(Origin::Control),
            Event::EmitFromDisk => self.emit(Origin::Disk),
            Event::Judged(rejections) => self.take_judgement(rejections),
            Event::Response(response) => self.take_response(response),
            Event::Save => self.saver.start(&self.client),
            Event::Saved(result) => self.saver.saved(result),
            Event::Stop => {}
        }
    }

    fn connect(&mut self) {
        let mut requests = self.client.open_stream();
        // Only the first request of a stream carries the node.
        if let Some(first) = requests.first_mut() {
            first.node = Some(codec::encode_node(&self.config.node));
        }
        self.link = self.links.connect();
        self.send(requests);
    }

    fn lose_link(&mut self, reason: &link::LinkError) {
        self.links.failed(reason);
        self.metrics.connected.set(0);
        self.connected.send_replace(false);
        // What was staged is dropped and comes again, or has been withdrawn meanwhile.
        self.must_emit |= self.client.has_news();
        self.client.close_stream();
        self.emit_at = None;
        self.link = Link::Idle { until: Instant::now() + self.links.next_wait() };
    }

    fn take_response(&mut self, response: link::Response) {
        self.links.succeeded();
        let (kind, resources, removed) =
            (response.type_url.clone(), response.resources.len(), response.removed_resources.len());
        let (requests, rejections) = self.client.handle(response);
        tracing::debug!(
            kind,
            resources,
            removed,
            asked = requests.len(),
            is_whole = self.is_whole(),
            "discovery response"
        );
        self.log_rejections(&rejections);
        self.send(requests);
        if self.is_whole() {
            self.emit_at = None;
        } else {
            self.emit_at.get_or_insert_with(|| Instant::now() + self.config.complete_within);
        }
    }

    fn is_whole(&self) -> bool {
        self.client.is_synced() && self.client.is_complete()
    }

    /// Responses that bring nothing new need no judgement of the proxy.
    fn answer_what_changes_nothing(&mut self) {
        if self.judging.is_none() && self.client.has_unanswered() && !self.client.has_news() {
            let requests = self.client.finish(&[]);
            self.send(requests);
        }
    }

    fn emit(&mut self, origin: Origin) {
        let config = match origin {
            Origin::Control => self.client.config(),
            Origin::Disk => self.client.accepted_config(),
        };
        self.disk_at = None;
        self.emit_at = None;
        if origin == Origin::Control {
            self.must_emit = false;
        }
        let (reply, judgement) = oneshot::channel();
        tracing::debug!(?origin, is_whole = self.is_whole(), "configuration for the proxy");
        let update = Update { config: Arc::new(config), origin, reply };
        // There is room: the last update was judged, so it was received. A closed channel shows as `Event::Stop`.
        if self.updates.try_send(update).is_ok() {
            self.metrics.updates.inc();
            self.judging = Some((origin, judgement));
        }
    }

    fn take_judgement(&mut self, judgement: Option<Vec<Rejection>>) {
        let Some((origin, _)) = self.judging.take() else { return };
        let rejections = judgement.unwrap_or_else(|| self.client.reject_staged("the proxy did not apply it"));
        self.log_rejections(&rejections);
        match origin {
            Origin::Control => {
                let changed = self.client.has_news();
                let requests = self.client.finish(&rejections);
                self.send(requests);
                if changed {
                    self.saver.mark_changed();
                }
            }
            Origin::Disk => self.client.forget(&rejections),
        }
    }

    fn log_rejections(&self, rejections: &[Rejection]) {
        for Rejection { kind, name, reason } in rejections {
            self.metrics.rejections.inc();
            tracing::warn!(%kind, name, reason, "resource not used; its last good version stays");
        }
    }

    fn send(&mut self, requests: Vec<link::Request>) {
        for request in requests {
            self.link.send(request);
        }
    }

    async fn finish(mut self) {
        self.connected.send_replace(false);
        self.metrics.connected.set(0);
        std::mem::replace(&mut self.link, Link::idle()).close().await;
        self.saver.flush(&self.client).await;
    }
}

async fn asked_to_close(closing: &mut watch::Receiver<bool>) {
    // An error means that nobody holds the handle any more; the receiver of updates decides then.
    if closing.wait_for(|closing| *closing).await.is_err() {
        std::future::pending::<()>().await;
    }
}
