use std::cell::Cell;
use std::time::{Duration, Instant};

use leno_ir::OutlierDetection;

use super::Outcome;

/// What one worker has seen of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Measures {
    weight: Cell<u32>,
    active: Cell<u32>,
    /// Decaying peak of latencies, in seconds, as of a time.
    latency: Cell<Option<(f64, Instant)>>,
    consecutive_5xx: Cell<u32>,
    consecutive_gateway: Cell<u32>,
    consecutive_local: Cell<u32>,
    ejected_until: Cell<Option<Instant>>,
    /// Ejections that are not forgiven yet; each makes the next one longer.
    ejections: Cell<u32>,
}

impl Measures {
    pub(super) fn set_weight(&self, weight: u32) {
        self.weight.set(weight.max(1));
    }

    pub(super) fn weight(&self) -> u32 {
        self.weight.get().max(1)
    }

    pub(super) fn begin(&self) {
        self.active.set(self.active.get() + 1);
    }

    pub(super) fn end(&self) {
        self.active.set(self.active.get().saturating_sub(1));
    }

    /// Requests under way there if one more came, by weight.
    pub(super) fn load(&self) -> f64 {
        f64::from(self.active.get() + 1) / f64::from(self.weight())
    }

    /// In seconds. An old measurement fades towards `default_rtt`, so that a slow endpoint gets another chance.
    pub(super) fn latency(&self, now: Instant, default_rtt: Duration, decay: Duration) -> f64 {
        let default = default_rtt.as_secs_f64();
        self.latency.get().map_or(default, |(seconds, at)| default + (seconds - default) * fading(at, now, decay))
    }

    /// A higher latency counts at once, a lower one little by little (Finagle's peak EWMA).
    pub(super) fn observe(&self, latency: Duration, now: Instant, default_rtt: Duration, decay: Duration) {
        let sample = latency.as_secs_f64();
        let next = match self.latency.get() {
            Some((seconds, at)) if sample < seconds => {
                let old = fading(at, now, decay);
                seconds * old + sample * (1.0 - old)
            }
            // The first measurement replaces the guess when it is better, too.
            _ => sample.min(default_rtt.as_secs_f64().max(sample)),
        };
        self.latency.set(Some((next, now)));
    }

    /// Counts failures in a row. `true` when a detector's limit is reached.
    pub(super) fn count(&self, outcome: Outcome, limits: &OutlierDetection) -> bool {
        let (is_5xx, is_gateway, is_local) = match outcome {
            Outcome::Abandoned => return false,
            Outcome::Connected { .. } => (false, false, false),
            Outcome::ConnectFailure | Outcome::Reset | Outcome::Timeout => (true, true, true),
            Outcome::Response { status, .. } => (status >= 500, matches!(status, 502..=504), false),
        };
        let reached = |counter: &Cell<u32>, is_failure: bool, limit: Option<u32>| {
            counter.set(if is_failure { counter.get().saturating_add(1) } else { 0 });
            limit.is_some_and(|limit| limit > 0 && counter.get() >= limit)
        };
        let by_5xx = reached(&self.consecutive_5xx, is_5xx, limits.consecutive_5xx);
        let by_gateway = reached(&self.consecutive_gateway, is_gateway, limits.consecutive_gateway_errors);
        let by_local = reached(&self.consecutive_local, is_local, limits.consecutive_local_origin_failures);
        by_5xx || by_gateway || by_local
    }

    /// Whether it is not ejected.
    pub(super) fn is_in(&self, now: Instant) -> bool {
        self.ejected_until.get().is_none_or(|until| now >= until)
    }

    /// Until when. The counters start anew.
    pub(super) fn eject(&self, now: Instant, limits: &OutlierDetection) -> Instant {
        let times = self.ejections.get().saturating_add(1);
        self.ejections.set(times);
        let most = limits.max_ejection_time.max(limits.base_ejection_time);
        let until = now + limits.base_ejection_time.saturating_mul(times).min(most);
        self.ejected_until.set(Some(until));
        self.consecutive_5xx.set(0);
        self.consecutive_gateway.set(0);
        self.consecutive_local.set(0);
        until
    }

    /// Once an interval: an endpoint that is in gets one ejection forgiven.
    pub(super) fn forgive(&self, now: Instant) {
        if self.is_in(now) {
            self.ejections.set(self.ejections.get().saturating_sub(1));
        }
    }
}

/// The share of an old value that still counts.
fn fading(at: Instant, now: Instant, decay: Duration) -> f64 {
    let age = now.saturating_duration_since(at).as_secs_f64();
    (-age / decay.as_secs_f64().max(f64::MIN_POSITIVE)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(30);
    const DECAY: Duration = Duration::from_secs(10);

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let (measures, start) = (Measures::default(), Instant::now());
        measures.observe(Duration::from_millis(10), start, RTT, DECAY);
        measures.observe(Duration::from_secs(1), start, RTT, DECAY);
        assert!(measures.latency(start, RTT, DECAY) > 0.99);
        measures.observe(Duration::from_millis(10), start + Duration::from_secs(10), RTT, DECAY);
        let later = measures.latency(start + Duration::from_secs(10), RTT, DECAY);
        assert!((0.3..0.5).contains(&later), "{later}");
        assert!(measures.latency(start + Duration::from_secs(200), RTT, DECAY) < 0.031);
    }

    #[test]
    fn failures_in_a_row_eject_for_longer_each_time() {
        let (measures, now) = (Measures::default(), Instant::now());
        let limits = OutlierDetection { consecutive_5xx: Some(2), ..OutlierDetection::default() };
        let failure = Outcome::Response { status: 503, latency: RTT };
        let success = Outcome::Response { status: 200, latency: RTT };
        assert!(!measures.count(failure, &limits));
        assert!(!measures.count(success, &limits));
        assert!(!measures.count(failure, &limits));
        assert!(measures.count(Outcome::Reset, &limits));
        let until = measures.eject(now, &limits);
        assert_eq!(until - now, limits.base_ejection_time);
        assert!(!measures.is_in(now) && measures.is_in(until));
        assert_eq!(measures.eject(until, &limits) - until, limits.base_ejection_time * 2);
    }
}
