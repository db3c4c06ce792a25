use std::io;

use leno_xds::Rejection;
use tokio::time::{Instant, sleep_until};

use super::link::{LinkError, LinkEvent, Response};
use super::{Driver, Link};
use crate::connect::Connection;

/// What can happen next.
pub(super) enum Event {
    Broken(LinkError),
    Connect,
    Connected(Box<Connection>),
    EmitFromControl,
    EmitFromDisk,
    /// `None`: the proxy dropped the update.
    Judged(Option<Vec<Rejection>>),
    Response(Response),
    Save,
    Saved(io::Result<()>),
    /// Nobody takes updates any more.
    Stop,
}

impl Driver {
    /// Waits for the next event; loses nothing when it is dropped. Responses that are there come before an update, so
    /// that what arrived together is emitted together.
    pub(super) async fn next_event(&mut self) -> Event {
        let idle = self.judging.is_none();
        let emits = self.emits();
        let save_at = self.saver.due();
        let judging = self.judging.as_mut();
        tokio::select! {
            biased;
            judgement = async { match judging {
                Some((_, judgement)) => judgement.await.ok(),
                None => std::future::pending().await,
            } } => Event::Judged(judgement),
            event = self.link.next_event(idle) => match event {
                LinkEvent::Broken(error) => Event::Broken(error),
                LinkEvent::Connect => Event::Connect,
                LinkEvent::Connected(connection) => Event::Connected(connection),
                LinkEvent::Response(response) => Event::Response(*response),
            },
            () = at(emits) => Event::EmitFromControl,
            () = at(self.disk_at.filter(|_| idle)) => Event::EmitFromDisk,
            saved = self.saver.writing() => Event::Saved(saved),
            () = at(save_at) => Event::Save,
            () = self.updates.closed() => Event::Stop,
        }
    }

    /// When what the stream has brought may go to the proxy.
    fn emits(&self) -> Option<Instant> {
        let has_news = self.client.has_news() || self.must_emit;
        if self.judging.is_some() || !has_news || !matches!(self.link, Link::Open { .. }) {
            None
        } else if self.is_whole() {
            Some(Instant::now())
        } else {
            self.emit_at
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
