use std::borrow::Cow;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::Method;
use leno_balance::Wish;
use leno_ir::{
    Discovery, DynamicHosts, Forward, HostRewrite, Labels, MetadataValue, OriginalDestination, RetryPolicy,
    RoutingPriority, WeightedCluster,
};
use smallvec::SmallVec;

use super::hash::RequestHash;
use super::retry::{
    asked_wait, at_least, back_off, is_grpc_refusal, is_idempotent, is_unprocessed, wants_retry_after_failure,
    wants_retry_after_response,
};
use super::{Forwarder, Route};
use crate::exchange::{LogMoment, Protocol};
use crate::flags::ResponseFlags;
use crate::http::described::wanted_labels;
use crate::http::failure::{Failure, http_status_of};
use crate::http::head::{Frame, Framing, ResponseHead};
use crate::http::header_ops::Levels;
use crate::http::peer::{Peer, PeerError};
use crate::http::replay::Replay;
use crate::proxy_protocol::encode;
use crate::stats::{ClusterCounter, HttpCounter, HttpGauge};
use crate::upstream::{
    Caller, ConnectError, EndpointId, Http1Lease, Http2Lease, HttpLease, Outcome, Overflow, Pick, RetryPermit,
    UpstreamCluster,
};

const ATTEMPT_COUNT: &str = "x-envoy-attempt-count";
/// Most of a body kept for another try or a mirror: Envoy's default (`per_connection_buffer_limit_bytes`).
const REPLAY_BYTES: usize = 1024 * 1024;
/// The same when only a stale connection would be replaced. Chosen: nobody asked for it, so it must stay cheap.
const REPLACE_STALE_BYTES: usize = 64 * 1024;
/// With it an endpoint takes itself out until its health checks pass again.
const IMMEDIATE_FAILURE: &str = "x-envoy-immediate-health-check-fail";

/// Where the tries of one exchange stand.
struct Tries<'f> {
    cluster: Rc<UpstreamCluster>,
    priority: RoutingPriority,
    hash: RequestHash,
    /// Of the endpoints.
    wanted: Cow<'f, Labels>,
    policy: Option<Cow<'f, RetryPolicy>>,
    replay: Replay,
    avoid: SmallVec<[EndpointId; 4]>,
    /// Of the endpoints tried so far.
    past_priorities: SmallVec<[u32; 4]>,
    retries: u32,
    /// A pooled connection was closed under us, and the request was sent again on another.
    has_replaced_stale: bool,
    permit: Option<RetryPermit>,
    /// How long the last response asked us to wait.
    asked_wait: Option<Duration>,
    /// The last try ran out of time.
    was_late: bool,
    /// The host is the endpoint's; `Some(true)`: and the one before goes to `x-forwarded-host`.
    takes_host: Option<bool>,
    has_taken_host: bool,
}

/// A response that has begun.
pub(super) struct Answer {
    pub(super) peer: Peer,
    pub(super) pick: Pick,
    pub(super) framing: Framing,
    pub(super) sent: Instant,
}

/// A try without a response.
enum Miss {
    Failed {
        failure: Failure,
        pick: Option<Pick>,
        was_stale: bool,
    },
    /// It goes on, and the next one shall begin.
    Hedged,
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Self {
        Self::Failed { failure, pick: None, was_stale: false }
    }
}

impl Forwarder<'_, '_> {
    pub(super) async fn forward(
        &mut self,
        cluster: Rc<UpstreamCluster>,
        route: Route<'_>,
        (forward, chosen): (&Forward, &WeightedCluster),
        response_ops: &Levels<'_>,
    ) -> Result<(), Failure> {
        let _admitted = cluster.admit(forward.priority).map_err(|_| Failure::Overflow)?;
        let policy = self.retry_policy(forward.retry.as_ref());
        let may_retry = policy.as_ref().is_some_and(|policy| policy.attempts > 0);
        let wants_body = may_retry || !forward.mirrors.is_empty() || forward.internal_redirects.is_some();
        let keeps_body = self.raw.is_none() && (wants_body || is_idempotent(&self.request.method));
        let most_bytes = match route.matched.route.request_buffer_limit_bytes.map(usize::try_from) {
            _ if !wants_body => REPLACE_STALE_BYTES,
            Some(limit) => limit.unwrap_or(usize::MAX),
            // In HTTP/2 windows keep bounds.
            None => match self.context.manager.buffer_limit.filter(|_| !self.downstream.is_http2()) {
                Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
                None => REPLAY_BYTES,
            },
        };
        let hash = if cluster.uses_hash(&self.context.worker) {
            RequestHash::of(&forward.hash_policies, self.request, &self.context.connection)
        } else {
            RequestHash::default()
        };
        let mut tries = Tries {
            cluster,
            priority: forward.priority,
            hash,
            wanted: wanted_labels(&chosen.metadata_match, &self.exchange.metadata),
            policy,
            replay: Replay::new(keeps_body, most_bytes),
            avoid: SmallVec::new(),
            past_priorities: SmallVec::new(),
            retries: 0,
            has_replaced_stale: false,
            permit: None,
            asked_wait: None,
            was_late: false,
            takes_host: (forward.host_rewrite == Some(HostRewrite::Auto)).then_some(forward.append_x_forwarded_host),
            has_taken_host: false,
        };
        let answer = self.answer(&mut tries).await;
        self.end_hedging();
        let answer = answer?;
        tries.permit = None;
        self.mirror(forward, &mut tries.replay);
        if !self.exchange.is_health_check {
            tries.cluster.stats().answered(self.response.status, self.origin());
        }
        if let Some(policy) = &forward.internal_redirects
            && self.follow(route, policy, &mut tries.replay)
        {
            let Answer { peer, pick, sent, .. } = answer;
            pick.finish(self.note_head(sent), self.last_activity());
            self.exchange.details = "internal_redirect".into();
            tries.cluster.stats().count(ClusterCounter::InternalRedirectSucceeded);
            peer.cancel(h2::Reason::CANCEL);
            return Ok(());
        }
        for cookie in &tries.hash.set_cookies {
            self.response.headers.append(b"set-cookie", cookie.as_bytes());
        }
        let result = self.relay_answer(answer, &mut tries.replay, response_ops).await;
        match &result {
            Ok(()) => self.count_answer_time(tries.cluster.stats()),
            Err(failure) => Self::count_miss(tries.cluster.stats(), failure),
        }
        result
    }

    /// Tries until there is a response to pass on.
    async fn answer(&mut self, tries: &mut Tries<'_>) -> Result<Answer, Failure> {
        loop {
            match self.attempt(tries).await {
                Ok(answer) => {
                    if !self.may_retry_response(tries) {
                        if !self.waits_for_better() {
                            return Ok(answer);
                        }
                        self.pass_over(answer);
                        return self.hedged_answer(Failure::Hedged).await;
                    }
                    tries.was_late = false;
                    tries.cluster.stats().retried_after(self.response.status);
                    tries.avoid(&answer.pick);
                    self.pass_over(answer);
                }
                Err(Miss::Hedged) => {
                    tries.cluster.stats().count(ClusterCounter::RqPerTryTimeout);
                    tries.was_late = true;
                }
                Err(Miss::Failed { failure, pick, was_stale }) => {
                    Self::count_miss(tries.cluster.stats(), &failure);
                    if let Some(pick) = pick {
                        // A connection that went stale in the pool says nothing about the endpoint.
                        if !was_stale {
                            tries.avoid(&pick);
                        }
                        let outcome = if was_stale { Outcome::Abandoned } else { outcome_of(&failure) };
                        pick.finish(outcome, self.context.worker.now());
                    }
                    let can_replay = tries.replay.is_possible() && self.raw.is_none();
                    // A replacement that the policy would give anyway is one of its retries; another one nobody asked for.
                    let wanting = tries.policy.as_deref().filter(|policy| wants_retry_after_failure(policy, &failure));
                    let (counts, is_left) = (wanting.is_some(), wanting.is_none_or(|one| tries.retries < one.attempts));
                    let may_replace = can_replay && !tries.has_replaced_stale && is_idempotent(&self.request.method);
                    if was_stale && may_replace && is_left {
                        tries.has_replaced_stale = true;
                        if counts {
                            tries.retries += 1;
                        } else {
                            self.exchange.attempts -= 1;
                        }
                        tries.replay.restart();
                        continue;
                    }
                    if matches!(failure, Failure::Hedged)
                        || self.raw.is_some()
                        || !self.may_retry_failure(tries, &failure)
                    {
                        return self.hedged_answer(failure).await;
                    }
                    tries.was_late = matches!(failure, Failure::PerTryIdle | Failure::PerTryTimeout);
                }
            }
            if let Err(failure) = self.wait_before_retry(tries).await {
                return self.hedged_answer(failure).await;
            }
        }
    }

    /// Of the response that is there the client gets nothing.
    fn pass_over(&self, answer: Answer) {
        let Answer { peer, pick, sent, .. } = answer;
        let now = self.last_activity();
        pick.finish(self.response_outcome(self.grpc_status(), now.saturating_duration_since(sent)), now);
        peer.cancel(h2::Reason::CANCEL);
    }

    async fn wait_before_retry(&mut self, tries: &mut Tries<'_>) -> Result<(), Failure> {
        tries.retries += 1;
        tries.replay.restart();
        self.deadlines.end_try();
        let Some(policy) = &tries.policy else { return Ok(()) };
        let random = self.context.worker.random();
        let (wait, counter) = match tries.asked_wait.take() {
            Some(asked) => (at_least(asked, random), ClusterCounter::RqRetryBackoffRatelimited),
            None => (back_off(policy, tries.retries, random), ClusterCounter::RqRetryBackoffExponential),
        };
        tries.cluster.stats().count(counter);
        self.guard(pin!(tokio::time::sleep(wait))).await?;
        let now = self.touch();
        if self.downstream.request_is_done() {
            self.deadlines.start_try(now);
        }
        self.tell_timeout(now);
        if self.attempt_count.in_request {
            let number = self.exchange.attempts.saturating_add(1);
            self.request.headers.set(ATTEMPT_COUNT, itoa::Buffer::new().format(number).as_bytes());
        }
        if self.attempt_count.timeout_retry {
            self.request.headers.set("x-envoy-is-timeout-retry", if tries.was_late { b"true" } else { b"false" });
        }
        Ok(())
    }

    /// In our response, local ones included; suppressed by nothing but its own switch, as in Envoy.
    pub(super) fn tell_attempts(&mut self) {
        if self.attempt_count.in_response && self.exchange.attempts > 0 {
            let number = itoa::Buffer::new().format(self.exchange.attempts).to_owned();
            self.response.headers.set(ATTEMPT_COUNT, number.as_bytes());
        }
    }

    fn may_retry_failure(&mut self, tries: &mut Tries<'_>, failure: &Failure) -> bool {
        let Some(policy) = &tries.policy else { return false };
        let is_safe = policy.retry_non_idempotent || is_idempotent(&self.request.method) || is_unprocessed(failure);
        is_safe && wants_retry_after_failure(policy, failure) && self.take_retry(tries)
    }

    fn may_retry_response(&mut self, tries: &mut Tries<'_>) -> bool {
        let Some(policy) = &tries.policy else { return false };
        if !wants_retry_after_response(policy, self.response) {
            if tries.retries > 0 {
                tries.cluster.stats().count(ClusterCounter::RqRetrySuccess);
            }
            return false;
        }
        if self.raw.is_some() {
            return false;
        }
        let is_safe =
            policy.retry_non_idempotent || is_idempotent(&self.request.method) || is_grpc_refusal(self.response);
        if !is_safe || !self.take_retry(tries) {
            return false;
        }
        let limited = tries.policy.as_ref().and_then(|policy| policy.rate_limited_back_off.as_ref());
        tries.asked_wait = limited.and_then(|limited| {
            let passed = self.last_activity().saturating_duration_since(self.exchange.started);
            asked_wait(limited, &self.response.headers, self.exchange.started_at + passed)
        });
        true
    }

    fn take_retry(&mut self, tries: &mut Tries<'_>) -> bool {
        if tries.policy.as_ref().is_none_or(|policy| tries.retries >= policy.attempts) {
            self.exchange.flags.insert(ResponseFlags::RETRY_LIMIT_EXCEEDED);
            tries.cluster.stats().count(ClusterCounter::RqRetryLimitExceeded);
            return false;
        }
        if !tries.replay.is_possible() {
            return false;
        }
        // The permit of the try before ends only when the next has one, so that one request counts once.
        match tries.cluster.admit_retry(tries.priority) {
            Ok(permit) => tries.permit = Some(permit),
            Err(_) => {
                self.exchange.flags.insert(ResponseFlags::UPSTREAM_OVERFLOW);
                return false;
            }
        }
        true
    }

    /// One endpoint, one connection, up to the head of its response.
    async fn attempt(&mut self, tries: &mut Tries<'_>) -> Result<Answer, Miss> {
        self.exchange.attempts += 1;
        let mut pick = match self.pick_of_session(tries)? {
            Some(pick) => pick,
            None => {
                let picked = match &tries.cluster.config.discovery {
                    // Boxed: the look-up would make every request's future larger, which all of them pay for.
                    Discovery::DynamicHosts(config) => Box::pin(self.pick_named(&tries.cluster, config)).await?,
                    _ => self.pick(tries),
                };
                picked.ok_or(Failure::NoHealthyUpstream { status: 503 })?
            }
        };
        tries.past_priorities.push(pick.priority());
        self.exchange.upstream = Some(pick.endpoint().address);
        self.exchange.host = Some(pick.source());
        (self.exchange.upstream_local, self.exchange.upstream_protocol) = (None, None);
        self.exchange.workload = pick.workload(&self.context.worker.stats);
        pick.admit(&tries.cluster, tries.priority).map_err(|_| Failure::Overflow)?;
        if let Some(appends) = tries.takes_host {
            self.take_host(&pick, appends, &mut tries.has_taken_host);
        }
        let mut peer = match self.connect(pick.cluster(), &pick, tries.priority).await {
            Ok(peer) => peer,
            Err(failure) => {
                if matches!(failure, Failure::Connect(ConnectError::Overflow(Overflow::Pending))) {
                    // It waits for nobody.
                    self.exchange.upstream = None;
                }
                return Err(Miss::Failed { failure, pick: Some(pick), was_stale: false });
            }
        };
        let sent = self.context.worker.now();
        if self.raw.is_some() {
            *self.response = ResponseHead::default();
            // What has come of a body goes first: an answer before its end would cost the client its connection.
            poll_fn(|cx| match self.poll_request(cx, &mut peer, &mut tries.replay) {
                Poll::Ready(sent) => Poll::Ready(sent),
                Poll::Pending => Poll::Ready(Ok(())),
            })
            .await?;
            return Ok(Answer { peer, pick, framing: Framing::UntilClose, sent });
        }
        let mut head = self.exchange_heads(&mut peer, &mut tries.replay).await;
        if matches!(head, Err(Failure::PerTryTimeout)) && self.hedge.is_some() {
            // What must not be processed twice is not asked for twice.
            let may_double = |policy: &RetryPolicy| policy.retry_non_idempotent || is_idempotent(&self.request.method);
            // A clone of what is borrowed, but for what the client said.
            let policy = tries.policy.clone().filter(|policy| may_double(policy));
            if let Some(policy) = policy.filter(|_| self.take_retry(tries)) {
                tries.avoid(&pick);
                self.hedge(&policy, (peer, pick, sent), &mut tries.replay);
                return Err(Miss::Hedged);
            }
            // There is no other, so this one may go on.
            self.deadlines.per_try = None;
            head = self.exchange_heads(&mut peer, &mut tries.replay).await;
        }
        match head {
            Ok(framing) => {
                if pick.cluster().is_checked() && self.response.headers.contains(IMMEDIATE_FAILURE) {
                    pick.cluster().report_failed(&pick);
                }
                Ok(Answer { peer, pick, framing, sent })
            }
            Err(failure) => {
                let was_stale = peer.may_be_stale() && matches!(failure, Failure::Peer(PeerError::Closed));
                peer.cancel(failure.reset_code());
                Err(Miss::Failed { failure, pick: Some(pick), was_stale })
            }
        }
    }

    /// Where the request's session is. Only the first try goes there (Envoy).
    fn pick_of_session(&self, tries: &Tries<'_>) -> Result<Option<Pick>, Failure> {
        let wanted = self.run.as_ref().and_then(|run| run.host_override).filter(|_| tries.retries == 0);
        let Some(wanted) = wanted else { return Ok(None) };
        let pick = wanted.address.and_then(|address| tries.cluster.pick_of_session(address));
        match wanted.missing_status {
            Some(status) if pick.is_none() => {
                let is_there = wanted.address.is_some_and(|address| tries.cluster.has_endpoint(address));
                Err(Failure::NoHealthyUpstream { status: if is_there { 503 } else { status } })
            }
            _ => Ok(pick),
        }
    }

    /// Where the next try goes.
    fn pick(&mut self, tries: &mut Tries<'_>) -> Option<Pick> {
        let now = self.last_activity();
        if let Discovery::OriginalDestination(config) = &tries.cluster.config.discovery {
            let address = self.destination(config)?;
            return tries.cluster.pick_destination(config.replaced(address), now);
        }
        let policy = tries.policy.as_deref().filter(|_| tries.retries > 0);
        let mut avoid: SmallVec<[EndpointId; 4]> = SmallVec::new();
        let mut past: &[u32] = &[];
        if let Some(policy) = policy {
            if policy.avoid_previous_hosts {
                avoid.extend(tries.avoid.iter().copied());
            }
            if policy.avoid_canaries || !policy.avoid_labelled.is_empty() {
                tries.cluster.each_endpoint(|id, endpoint| {
                    if is_to_be_avoided(policy, &endpoint.labels) {
                        avoid.push(id);
                    }
                });
            }
            if let Some(frequency) = policy.other_priorities {
                let tried = tries.past_priorities.len();
                let frequency = usize::try_from(frequency.get()).unwrap_or(usize::MAX);
                let looked_at = tried - tried % frequency;
                let worker = &self.context.worker;
                if !tries.cluster.has_other_priority(worker, tries.past_priorities.get(..looked_at).unwrap_or_default())
                {
                    // All were tried: they begin anew.
                    tries.past_priorities.clear();
                }
                past = tries.past_priorities.get(..looked_at).unwrap_or_default();
            }
        }
        let wish = Wish { hash: tries.hash.hash, labels: &tries.wanted, past_priorities: past, ..Wish::default() };
        tries.cluster.pick_for(&self.context.worker, now, wish, &avoid)
    }

    /// Where the host is that the request names.
    async fn pick_named(
        &mut self,
        cluster: &Rc<UpstreamCluster>,
        config: &DynamicHosts,
    ) -> Result<Option<Pick>, Failure> {
        let authority = self.request.authority.clone();
        let Ok(authority) = std::str::from_utf8(&authority) else { return Ok(None) };
        let (came_to, now) = (self.context.connection.addresses().destination, self.last_activity());
        self.guard(pin!(cluster.pick_named(config, authority, came_to, now))).await
    }

    /// Where the request says it goes, or its connection was going.
    fn destination(&self, config: &OriginalDestination) -> Option<SocketAddr> {
        let named = config.header.as_deref().and_then(|header| self.request.headers.get_str(header));
        named.and_then(|address| address.parse().ok()).or_else(|| self.context.connection.original_destination())
    }

    fn take_host(&mut self, pick: &Pick, appends: bool, has_taken: &mut bool) {
        let name = &pick.endpoint().hostname;
        if name.is_empty() {
            return;
        }
        let host = bytes::Bytes::copy_from_slice(name.as_bytes());
        // What the client asked for was noted by the first try.
        if std::mem::replace(has_taken, true) {
            self.request.authority = host;
        } else {
            self.replace_host(host, appends);
        }
    }

    async fn connect(
        &mut self,
        cluster: &Rc<UpstreamCluster>,
        pick: &Pick,
        priority: RoutingPriority,
    ) -> Result<Peer, Failure> {
        let worker = self.context.worker.clone();
        let client = self.context.connection.addresses();
        if let Some(header) = self.raw {
            let connected = self.guard(pin!(cluster.tcp(&worker, pick, client))).await?.map_err(Failure::Connect)?;
            let mut peer = Peer::raw(connected);
            if let Some(version) = header {
                let bytes = encode(version, Some(client)).into();
                peer.push(Frame::Data { bytes, last: false }).map_err(Failure::Peer)?;
            }
            return Ok(peer);
        }
        let caller = Caller { client: Some(client), priority, server_name: self.server_name.clone() };
        let is_http2 = self.downstream.is_http2();
        match self.guard(pin!(cluster.http(&worker, pick, &caller, is_http2))).await?.map_err(Failure::Connect)? {
            HttpLease::Http1(lease) => Ok(self.send_http1(lease)),
            HttpLease::Http2(lease) => self.send_http2(lease).await,
        }
    }

    fn send_http1(&mut self, lease: Http1Lease) -> Peer {
        self.exchange.upstream_protocol = Some(Protocol::Http11);
        self.exchange.upstream_local = lease.local();
        self.exchange.upstream_session = lease.session();
        Peer::http1(lease, self.request, self.framing)
    }

    async fn send_http2(&mut self, lease: Http2Lease) -> Result<Peer, Failure> {
        self.exchange.upstream_protocol = Some(Protocol::Http2);
        self.exchange.upstream_local = lease.local();
        self.exchange.upstream_session = lease.session();
        self.continue_ourselves().await?;
        if self.request.upgrade.is_some() && !self.guard(pin!(lease.takes_extended_connect())).await? {
            return Err(Failure::Peer(PeerError::Protocol("http2.no_extended_connect")));
        }
        Peer::http2(lease, self.request, self.framing).map_err(Failure::Peer)
    }

    /// `Expect: 100-continue` is answered by us where the upstream's protocol has better means.
    pub(super) async fn continue_ourselves(&mut self) -> Result<(), Failure> {
        let expects =
            self.request.headers.get("expect").is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        if expects && !self.downstream.request_is_done() {
            self.request.headers.remove("expect");
            self.downstream.inform(&ResponseHead { status: 100, ..ResponseHead::default() });
            std::future::poll_fn(|cx| self.downstream.poll_flush(cx)).await?;
        }
        Ok(())
    }

    fn response_outcome(&self, grpc_status: Option<u32>, latency: Duration) -> Outcome {
        let grpc = grpc_status.filter(|_| self.exchange.is_grpc);
        let status = grpc.map_or(self.response.status, http_status_of);
        Outcome::Response { status, latency }
    }

    async fn relay_answer(&mut self, answer: Answer, replay: &mut Replay, ops: &Levels<'_>) -> Result<(), Failure> {
        let Answer { mut peer, pick, framing, sent } = answer;
        let outcome = self.note_head(sent);
        if self.response.status == 101 && self.request.upgrade.is_none() {
            pick.finish(Outcome::Reset, self.last_activity());
            return Err(Failure::Peer(PeerError::Protocol("unexpected_101")));
        }
        let is_connected = self.request.method == Method::CONNECT && (200..300).contains(&self.response.status);
        if self.response.status == 101 || is_connected {
            self.is_tunnel = true;
            peer.become_tunnel();
        }
        self.tell_attempts();
        let suppresses = self.router().suppress_envoy_headers;
        // Of a request that goes on nothing is known.
        let time = self
            .exchange
            .upstream_service_time
            .filter(|_| self.downstream.request_is_done() && !suppresses && !self.request.wants_tunnel());
        if let Some(time) = time {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            self.response.headers.set("x-envoy-upstream-service-time", itoa::Buffer::new().format(millis).as_bytes());
        }
        self.edit_response(ops);
        replay.stop();
        // As in Envoy, from here on a try ends only when it makes no progress.
        self.deadlines.per_try = None;
        if self.is_tunnel {
            self.deadlines.stop();
            self.downstream.become_tunnel();
        }
        self.finish_head();
        let filtered = self.filter_response(framing);
        self.has_responded = true;
        self.count_head();
        self.downstream.respond(self.response, filtered);
        let stats = &self.context.manager.stats;
        let _upgraded = self.is_tunnel.then(|| {
            stats.count(HttpCounter::CxUpgradesTotal);
            stats.hold(HttpGauge::CxUpgradesActive)
        });
        if self.is_tunnel && self.context.config().access_log_moments.when_connected {
            self.log_at(LogMoment::Connected);
        }
        match self.relay(&mut peer, replay, framing).await {
            Ok(()) => {
                self.ended = Some(self.last_activity()).filter(|_| !self.is_tunnel);
                pick.finish(outcome, self.last_activity());
                peer.finish();
                Ok(())
            }
            Err(failure) => {
                let outcome = if matches!(failure, Failure::Peer(_)) { Outcome::Reset } else { outcome };
                pick.finish(outcome, self.context.worker.now());
                peer.cancel(failure.reset_code());
                Err(failure)
            }
        }
    }

    /// What the head says of the exchange; the value is what it says of the endpoint.
    fn note_head(&mut self, sent: Instant) -> Outcome {
        let now = self.last_activity();
        // The service's time runs from the end of the request; one that answered earlier took none.
        let complete = self.exchange.request_duration.and_then(|took| self.exchange.started.checked_add(took));
        let from = complete.map_or(now, |complete| complete.max(sent));
        self.exchange.upstream_service_time = Some(now.saturating_duration_since(from));
        self.exchange.response_duration = Some(now.saturating_duration_since(self.exchange.started));
        self.exchange.status = self.response.status;
        self.exchange.details = "via_upstream".into();
        self.exchange.grpc_status = self.grpc_status();
        self.response_outcome(self.exchange.grpc_status, now.saturating_duration_since(sent))
    }

    fn grpc_status(&self) -> Option<u32> {
        self.response.headers.get_str("grpc-status").and_then(|status| status.parse().ok())
    }
}

impl Tries<'_> {
    fn avoid(&mut self, pick: &Pick) {
        self.avoid.push(pick.id());
    }
}

/// Whether a retry goes to others while there are any.
fn is_to_be_avoided(policy: &RetryPolicy, labels: &Labels) -> bool {
    let has_all = |wanted: &Labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value));
    let is_canary = labels.get("canary") == Some(&MetadataValue::Bool(true));
    (policy.avoid_canaries && is_canary) || policy.avoid_labelled.iter().any(has_all)
}

fn outcome_of(failure: &Failure) -> Outcome {
    match failure {
        Failure::Connect(error) if error.blames_endpoint() => Outcome::ConnectFailure,
        Failure::Connect(ConnectError::Overflow(_)) => Outcome::Abandoned,
        Failure::Idle { request_was_complete: true }
        | Failure::PerTryIdle
        | Failure::PerTryTimeout
        | Failure::Timeout => Outcome::Timeout,
        Failure::Peer(_) => Outcome::Reset,
        _ => Outcome::Abandoned,
    }
}
