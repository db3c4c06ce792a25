use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use leno_ir::Http2Keepalive;
use tokio::time::{Instant, Sleep};

/// Asks the peer of one connection whether it is still there.
#[derive(Debug)]
pub(crate) struct Keepalive {
    pings: PingPong,
    interval: Duration,
    timeout: Duration,
    is_asked: bool,
    timer: Pin<Box<Sleep>>,
}

impl Keepalive {
    /// `pings` can be had once of a connection.
    pub(crate) fn of(config: Option<&Http2Keepalive>, pings: impl FnOnce() -> Option<PingPong>) -> Option<Self> {
        let &Http2Keepalive { interval, timeout } = config?;
        let timer = Box::pin(tokio::time::sleep(interval));
        Some(Self { pings: pings()?, interval, timeout, is_asked: false, timer })
    }

    /// Ready when the peer has not answered in time. The connection must be polled as well.
    pub(crate) fn poll_dead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.is_asked && self.pings.poll_pong(cx).is_ready() {
                self.is_asked = false;
                self.timer.as_mut().reset(Instant::now() + self.interval);
            }
            std::task::ready!(self.timer.as_mut().poll(cx));
            if self.is_asked {
                return Poll::Ready(());
            }
            // Fails only when the connection is over, which its own poll says.
            self.is_asked = self.pings.send_ping(Ping::opaque()).is_ok();
            let patience = if self.is_asked { self.timeout } else { self.interval };
            self.timer.as_mut().reset(Instant::now() + patience);
        }
    }
}
