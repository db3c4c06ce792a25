use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use leno_ir::{Forward, RoutingPriority};

use super::Forwarder;
use super::server_name::server_name;
use crate::http::head::{Frame, Framing, RequestHead, ResponseHead};
use crate::http::peer::Peer;
use crate::http::replay::Replay;
use crate::upstream::{Caller, HttpLease, Outcome, UpstreamCluster};
use crate::worker::Worker;

/// A mirrored request nobody waits for is given up after this. Chosen; Envoy uses the route's time-out.
const PATIENCE: Duration = Duration::from_secs(15);

impl Forwarder<'_, '_> {
    /// Sends copies of the request, when all of it was kept; their responses are dropped.
    ///
    /// Bounded by the mirror cluster's own circuit breaker; requests with a body too large to keep are not mirrored.
    pub(super) fn mirror(&mut self, forward: &Forward, replay: &mut Replay) {
        if forward.mirrors.is_empty() || !replay.is_possible() || !self.request_is_done() {
            return;
        }
        let is_http2 = self.downstream.is_http2();
        for mirror in &forward.mirrors {
            let worker = self.context.worker.clone();
            let name = match &mirror.cluster_header {
                None => Some(mirror.cluster.as_str()),
                Some(header) => self.request.headers.get_str(header),
            };
            let Some(cluster) = name.and_then(|name| worker.cluster(name)) else { continue };
            if worker.random() % 1_000_000 >= u64::from(mirror.fraction.parts_per_million()) {
                continue;
            }
            let mut head = self.request.clone();
            match &mirror.host_rewrite {
                Some(host) => head.authority = Bytes::copy_from_slice(host.as_bytes()),
                None if mirror.keeps_host => {}
                None => head.authority = shadow_authority(&head.authority),
            }
            head.upgrade = None;
            head.headers.remove("expect");
            let body = replay.body();
            let framing = self.framing;
            let caller = Caller {
                client: Some(self.context.connection.addresses()),
                priority: RoutingPriority::Default,
                server_name: server_name(&cluster.config, &head),
            };
            let tasks = worker.tasks().clone();
            tasks.spawn_local("mirror", async move {
                // Given up or failed: the copy must not be noticed by anybody.
                let sending = send(worker, cluster, (head, framing, body), caller, is_http2);
                let _ = tokio::time::timeout(PATIENCE, sending).await;
            });
        }
    }
}

/// As Envoy marks mirrored requests: `host-shadow`, before the port.
fn shadow_authority(authority: &[u8]) -> Bytes {
    let host_end = authority.iter().rposition(|byte| *byte == b':').filter(|at| {
        let port = &authority[at + 1..];
        !port.is_empty() && port.iter().all(u8::is_ascii_digit)
    });
    let (host, port) = authority.split_at(host_end.unwrap_or(authority.len()));
    [host, b"-shadow", port].concat().into()
}

async fn send(
    worker: Rc<Worker>,
    cluster: Rc<UpstreamCluster>,
    (head, framing, body): (RequestHead, Framing, Vec<Bytes>),
    caller: Caller,
    is_http2: bool,
) -> Option<()> {
    let _admitted = cluster.admit(RoutingPriority::Default).ok()?;
    let pick = cluster.pick(&worker, worker.now(), &[])?;
    let mut peer = match cluster.http(&worker, &pick, &caller, is_http2).await.ok()? {
        HttpLease::Http1(lease) => Peer::http1(lease, &head, framing),
        HttpLease::Http2(lease) => Peer::http2(lease, &head, framing).ok()?,
    };
    for bytes in body {
        peer.push(Frame::Data { bytes, last: false }).ok()?;
    }
    if !framing.is_empty() {
        peer.push(Frame::End).ok()?;
    }
    let mut response = ResponseHead { status: 100, ..ResponseHead::default() };
    let mut framing = Framing::None;
    while response.is_informational() {
        framing = std::future::poll_fn(|cx| {
            // Ready or not, the response is what ends it.
            let _ = peer.poll_flush(cx);
            peer.poll_head(cx, &mut response)
        })
        .await
        .ok()?;
    }
    while !framing.is_empty() {
        let frame = std::future::poll_fn(|cx| peer.poll_response(cx)).await.ok()?;
        peer.release_credit();
        if !matches!(frame, Frame::Data { last: false, .. }) {
            break;
        }
    }
    pick.finish(Outcome::Abandoned, worker.now());
    peer.finish();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::shadow_authority;

    #[test]
    fn a_mirrored_request_is_marked_before_the_port() {
        assert_eq!(shadow_authority(b"web:80"), "web-shadow:80");
        assert_eq!(shadow_authority(b"web"), "web-shadow");
    }
}
