//! How long an exchange and each of its tries may take: what the route says, and what a trusted client says instead.
//!
//! Shape       `Forward` + request headers -> `Timeouts` (spans) -> `Deadlines` (moments, set as the exchange moves on)
//! Units       headers: whole milliseconds, 0 = unbounded; `grpc-timeout`: a number of up to 8 digits and its unit
//! Source      Envoy router filter (`x-envoy-upstream-rq-timeout-ms` and its like), route_components.proto; gRPC over HTTP/2, "Timeout"

use std::time::{Duration, Instant};

use leno_ir::{Forward, StreamDuration};

use super::Forwarder;
use crate::http::failure::Failure;
use crate::http::headers::Headers;

pub(super) const EXPECTED: &str = "x-envoy-expected-rq-timeout-ms";
pub(super) const TIMEOUT: &str = "x-envoy-upstream-rq-timeout-ms";
pub(super) const PER_TRY_TIMEOUT: &str = "x-envoy-upstream-rq-per-try-timeout-ms";
pub(super) const ALT_RESPONSE: &str = "x-envoy-upstream-rq-timeout-alt-response";
const GRPC_TIMEOUT: &str = "grpc-timeout";

#[derive(Debug, Default)]
pub(super) struct Timeouts {
    route: Option<Duration>,
    per_try: Option<Duration>,
    per_try_idle: Option<Duration>,
    idle: Option<Duration>,
    flush: Option<Duration>,
    /// gRPC upstreams are told in their own way too.
    tells_grpc: bool,
}

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    pub(super) timeouts: Timeouts,
    /// Of the whole exchange and of the present try; run from the end of the request, as in Envoy.
    pub(super) route: Option<Instant>,
    pub(super) per_try: Option<Instant>,
    /// Of the request's end.
    pub(super) request: Option<Instant>,
    /// Runs from the beginning of the request.
    stream: Option<Instant>,
    /// A try is under way and the request complete: the time without progress of the try counts.
    watches_try: bool,
    pub(super) last_activity: Option<Instant>,
}

impl Deadlines {
    pub(super) fn new(started: Instant, idle: Option<Duration>) -> Self {
        let timeouts = Timeouts { idle, ..Timeouts::default() };
        Self { timeouts, last_activity: Some(started), ..Self::default() }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        [self.route, self.per_try, self.request, self.stream, self.per_try_idle(), self.idle()]
            .into_iter()
            .flatten()
            .min()
    }

    fn idle(&self) -> Option<Instant> {
        self.last_activity?.checked_add(self.timeouts.idle?)
    }

    fn per_try_idle(&self) -> Option<Instant> {
        let limit = self.timeouts.per_try_idle.filter(|_| self.watches_try)?;
        self.last_activity?.checked_add(limit)
    }

    pub(super) fn failure(&self, now: Instant, request_was_complete: bool) -> Failure {
        let has_passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if has_passed(self.stream) {
            Failure::StreamDuration { request_was_complete }
        } else if has_passed(self.request) {
            Failure::RequestTimeout
        } else if has_passed(self.route) {
            Failure::Timeout
        } else if has_passed(self.per_try) {
            Failure::PerTryTimeout
        } else if has_passed(self.per_try_idle()) {
            Failure::PerTryIdle
        } else {
            Failure::Idle { request_was_complete }
        }
    }

    /// Of a request that is complete.
    pub(super) fn start_try(&mut self, now: Instant) {
        self.per_try = self.timeouts.per_try.and_then(|timeout| now.checked_add(timeout));
        self.watches_try = true;
    }

    pub(super) fn end_try(&mut self) {
        self.per_try = None;
        self.watches_try = false;
    }

    pub(super) fn start_route(&mut self, now: Instant) {
        self.route = self.timeouts.route.and_then(|timeout| now.checked_add(timeout));
        self.start_try(now);
    }

    /// A response of our own, or a tunnel: only idleness ends it.
    pub(super) fn stop(&mut self) {
        self.route = None;
        self.end_try();
    }

    /// All of the response is there; only the client is waited for.
    pub(super) fn start_flush(&mut self) {
        if let Some(limit) = self.timeouts.flush {
            self.timeouts.idle = Some(limit).filter(|limit| !limit.is_zero());
        }
    }
}

impl Forwarder<'_, '_> {
    /// Reads the route and the client's own wishes, and takes these out of the request.
    pub(super) fn start_deadlines(&mut self, forward: &Forward) {
        let respects_expected = self.router().respect_expected_timeout;
        let headers = &mut self.request.headers;
        let has_wishes = self.has_envoy_headers;
        let is_grpc = self.exchange.is_grpc;
        let mut route = if forward.stream_duration.is_some() {
            None
        } else if let Some(grpc) = forward.grpc_timeout.filter(|_| is_grpc) {
            let wanted = grpc_timeout(headers).map(|wanted| match grpc.offset {
                Some(offset) if offset < wanted => wanted.saturating_sub(offset),
                _ => wanted,
            });
            let wanted = wanted.filter(|wanted| !wanted.is_zero());
            wanted.into_iter().chain(grpc.max).min()
        } else {
            forward.timeout
        };
        let mut per_try = forward.retry.as_ref().and_then(|policy| policy.per_try_timeout);
        if has_wishes {
            let expected = headers.get_str(EXPECTED).filter(|_| respects_expected).map(str::to_owned);
            let wanted = match expected {
                Some(expected) => Some(expected),
                None => take(headers, TIMEOUT),
            };
            if let Some(limit) = wanted.and_then(|text| milliseconds(&text)) {
                route = Some(limit);
            }
            if let Some(limit) = take(headers, PER_TRY_TIMEOUT).and_then(|text| milliseconds(&text)) {
                per_try = Some(limit);
            }
            self.answers_timeouts_with_204 = headers.remove(ALT_RESPONSE);
        }
        let route = route.filter(|limit| !limit.is_zero());
        // One that the route's time-out always comes before says nothing.
        let per_try = per_try.filter(|limit| !limit.is_zero() && route.is_none_or(|route| *limit < route));
        let of_all = self.context.config().limits.max_stream_duration;
        let says_itself = forward.stream_duration.as_ref().is_some_and(|limits| limits.max.is_some());
        let stream =
            stream_limit(forward.stream_duration.as_ref(), headers, is_grpc).or(of_all.filter(|_| !says_itself));
        let timeouts = &mut self.deadlines.timeouts;
        timeouts.route = route.filter(|_| !self.is_tunnel);
        timeouts.per_try = per_try;
        timeouts.per_try_idle = forward.retry.as_ref().and_then(|policy| policy.per_try_idle_timeout);
        timeouts.tells_grpc = is_grpc && forward.grpc_timeout.is_some() && forward.stream_duration.is_none();
        timeouts.flush = forward.flush_timeout;
        if let Some(idle) = forward.idle_timeout {
            timeouts.idle = Some(idle).filter(|idle| !idle.is_zero());
        }
        self.read_hedging(forward);
        self.deadlines.stream = stream.and_then(|limit| self.exchange.started.checked_add(limit));
        self.tell_timeout(self.exchange.started);
        if self.framing.is_empty() || self.downstream.request_is_done() {
            self.request_is_complete();
        }
    }

    /// Tells the upstream how long its answer to the next try is waited for.
    pub(super) fn tell_timeout(&mut self, now: Instant) {
        let timeouts = &self.deadlines.timeouts;
        // A try that is hedged may use all of the route's time, which may be without bounds.
        let per_try = timeouts.per_try.filter(|_| self.hedge.is_none());
        let Some(mut expected) = per_try.or(timeouts.route) else { return };
        if let Some(deadline) = self.deadlines.route {
            // Zero would say that there is no limit.
            let left = deadline.saturating_duration_since(now).max(Duration::from_millis(1));
            expected = expected.min(left);
        }
        let millis = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(millis);
        if !self.router().suppress_envoy_headers {
            self.request.headers.set(EXPECTED, text.as_bytes());
        }
        if timeouts.tells_grpc {
            tell_grpc(&mut self.request.headers, expected);
        }
    }
}

/// From the beginning of the request. A gRPC upstream is told what becomes of its client's `grpc-timeout`.
fn stream_limit(limits: Option<&StreamDuration>, headers: &mut Headers, is_grpc: bool) -> Option<Duration> {
    let limits = limits?;
    let wanted = limits.grpc_header_max.and_then(|max| Some((max, grpc_timeout(headers)?)));
    let limit = match wanted {
        None => limits.max.filter(|max| !max.is_zero()),
        Some((max, wanted)) => {
            let limit = if max.is_zero() { wanted } else { wanted.min(max) };
            Some(limit.saturating_sub(limits.grpc_header_offset.unwrap_or_default()))
        }
    };
    if let Some(limit) = limit.filter(|_| is_grpc) {
        tell_grpc(headers, limit);
    }
    limit
}

fn take(headers: &mut Headers, name: &str) -> Option<String> {
    let value = headers.get_str(name).map(str::to_owned)?;
    headers.remove(name);
    Some(value)
}

pub(super) fn milliseconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_millis)
}

/// What cannot be read is as if it were not there. Fractions of a millisecond are rounded up.
fn grpc_timeout(headers: &Headers) -> Option<Duration> {
    let text = headers.get_str(GRPC_TIMEOUT)?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&number.len()) || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    Some(Duration::from_millis(match unit {
        "H" => number * 3_600_000,
        "M" => number * 60_000,
        "S" => number * 1000,
        "m" => number,
        "u" => number.div_ceil(1000),
        "n" => number.div_ceil(1_000_000),
        _ => return None,
    }))
}

fn tell_grpc(headers: &mut Headers, limit: Duration) {
    // The most digits there may be; from there on in a coarser unit.
    const MOST: u64 = 99_999_999;
    let mut number = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let mut unit = b'm';
    for (next, factor) in [(b'S', 1000), (b'M', 60), (b'H', 60)] {
        if number > MOST {
            (number, unit) = (number / factor, next);
        }
    }
    let mut buffer = itoa::Buffer::new();
    let mut value = buffer.format(number.min(MOST)).as_bytes().to_vec();
    value.push(unit);
    headers.set(GRPC_TIMEOUT, &value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Duration> {
        let mut headers = Headers::default();
        headers.append(GRPC_TIMEOUT.as_bytes(), text.as_bytes());
        grpc_timeout(&headers)
    }

    #[test]
    fn grpc_timeouts_have_a_number_and_a_unit() {
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("1500u"), Some(Duration::from_millis(2)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for wrong in ["", "S", "1", "1s", "-1S", "123456789m"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_told_has_at_most_eight_digits() {
        let tell = |limit| {
            let mut headers = Headers::default();
            tell_grpc(&mut headers, limit);
            headers.get_str(GRPC_TIMEOUT).unwrap_or_default().to_owned()
        };
        assert_eq!(tell(Duration::from_millis(99_999_999)), "99999999m");
        assert_eq!(tell(Duration::from_millis(100_000_000)), "100000S");
        assert_eq!(tell(Duration::MAX), "99999999H");
    }

    #[test]
    fn a_stream_may_take_what_its_header_says_within_the_route_s_bounds() {
        let limit = |limits: &StreamDuration, header: Option<&str>| {
            let mut headers = Headers::default();
            if let Some(header) = header {
                headers.append(GRPC_TIMEOUT.as_bytes(), header.as_bytes());
            }
            stream_limit(Some(limits), &mut headers, true)
        };
        let millis = |millis| Some(Duration::from_millis(millis));
        let mut limits = StreamDuration { max: millis(500), ..StreamDuration::default() };
        assert_eq!(limit(&limits, Some("100m")), millis(500));
        limits.grpc_header_max = millis(1000);
        limits.grpc_header_offset = millis(10);
        assert_eq!(limit(&limits, Some("100m")), millis(90));
        assert_eq!(limit(&limits, Some("2S")), millis(990));
        assert_eq!(limit(&limits, Some("5m")), millis(0), "too late already");
        assert_eq!(limit(&limits, None), millis(500));
    }
}
