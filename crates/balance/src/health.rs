//! What a row of health checks says of one endpoint, and when it is asked again.
//!
//! ```text
//!  pending ──any first result──▶ healthy ──`unhealthy_threshold` failures, or one that decides──▶ failed
//!                                   ▲─────────────── `healthy_threshold` successes ────────────────┘
//! ```
//!
//! Invariants  an endpoint is not used before its first success; counts begin anew with every result of the other kind
//! Source      Envoy health_checker_base_impl.cc, 1.40

use std::time::Duration;

use leno_ir::HealthCheck;

/// The state of one endpoint's checks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostCheck {
    is_first: bool,
    is_failed: bool,
    is_degraded: bool,
    has_timed_out: bool,
    successes: u32,
    failures: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CheckResult {
    Failure(CheckFailure),
    /// `degraded`: it works, but wants to be spared.
    Success {
        degraded: bool,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CheckFailure {
    /// An answer that says so: decides at once.
    Answer,
    /// No connection, or one that broke.
    Network,
    /// An answer that counts like a failure of the network.
    Retriable,
    Timeout,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transition {
    /// Whether it takes traffic, or how.
    Changed,
    /// Nothing yet: results in a row are being counted.
    Pending,
    Unchanged,
}

impl Default for HostCheck {
    fn default() -> Self {
        Self { is_first: true, is_failed: true, is_degraded: false, has_timed_out: false, successes: 0, failures: 0 }
    }
}

impl HostCheck {
    /// Not checked so far.
    pub fn is_pending(&self) -> bool {
        self.is_first
    }

    pub fn is_failed(&self) -> bool {
        self.is_failed
    }

    pub fn is_degraded(&self) -> bool {
        self.is_degraded
    }

    /// Whether the last result was no answer in time.
    pub fn has_timed_out(&self) -> bool {
        self.has_timed_out
    }

    /// The endpoint has said itself, in an answer to ordinary traffic, that it fails.
    pub fn fail(&mut self) {
        self.is_first = false;
        self.is_failed = true;
        self.successes = 0;
    }

    pub fn observe(&mut self, result: CheckResult, config: &HealthCheck) -> Transition {
        let was_first = std::mem::replace(&mut self.is_first, false);
        let transition = match result {
            CheckResult::Failure(failure) => self.failed(failure, config),
            CheckResult::Success { degraded } => self.succeeded(was_first, degraded, config),
        };
        // What was pending is not any more.
        if was_first { Transition::Changed } else { transition }
    }

    fn failed(&mut self, failure: CheckFailure, config: &HealthCheck) -> Transition {
        self.successes = 0;
        self.has_timed_out = failure == CheckFailure::Timeout;
        if self.is_failed {
            return Transition::Unchanged;
        }
        self.failures = self.failures.saturating_add(1);
        if failure != CheckFailure::Answer && self.failures != config.unhealthy_threshold {
            return Transition::Pending;
        }
        self.is_failed = true;
        Transition::Changed
    }

    fn succeeded(&mut self, was_first: bool, degraded: bool, config: &HealthCheck) -> Transition {
        self.failures = 0;
        self.has_timed_out = false;
        let was_degraded = std::mem::replace(&mut self.is_degraded, degraded);
        let mut transition = Transition::Unchanged;
        if self.is_failed {
            self.successes = self.successes.saturating_add(1);
            if was_first || self.successes == config.healthy_threshold {
                self.is_failed = false;
                transition = Transition::Changed;
            } else {
                transition = Transition::Pending;
            }
        }
        if was_degraded == degraded { transition } else { Transition::Changed }
    }

    /// The time to the next check after a result that caused `transition`.
    pub fn wait(&self, transition: Transition, has_traffic: bool, config: &HealthCheck, random: u64) -> Duration {
        let unhealthy = config.unhealthy_interval.unwrap_or(config.interval);
        let is_pending = transition == Transition::Pending;
        // As in Envoy, a success that is not enough is waited after like health, a failure like sickness.
        let is_well = self.failures == 0 && (self.successes > 0 || !self.is_failed);
        let base = match (has_traffic, is_well, is_pending) {
            (false, true, false) => config.no_traffic_healthy_interval.unwrap_or(config.no_traffic_interval),
            (false, ..) => config.no_traffic_interval,
            (true, true, false) => config.interval,
            (true, true, true) => config.healthy_edge_interval.unwrap_or(config.interval),
            (true, false, false) => unhealthy,
            (true, false, true) => config.unhealthy_edge_interval.unwrap_or(unhealthy),
        };
        let share = base.mul_f64(f64::from(config.interval_jitter_percent) / 100.0);
        base + part(share, random) + config.interval_jitter.map_or(Duration::ZERO, |most| part(most, random))
    }
}

/// Anything below `most`, in milliseconds.
fn part(most: Duration, random: u64) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random.checked_rem(most).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use leno_ir::{HealthProbe, TcpProbe};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SUCCESS: CheckResult = CheckResult::Success { degraded: false };

    fn config() -> HealthCheck {
        HealthCheck {
            unhealthy_threshold: 3,
            healthy_threshold: 2,
            ..HealthCheck::new(HealthProbe::Tcp(TcpProbe::default()), SECOND, 5 * SECOND)
        }
    }

    fn observe(check: &mut HostCheck, results: &[CheckResult]) -> Vec<Transition> {
        results.iter().map(|result| check.observe(*result, &config())).collect()
    }

    #[test]
    fn the_first_check_decides_at_once() {
        let mut check = HostCheck::default();
        assert!(check.is_pending() && check.is_failed());
        assert_eq!(observe(&mut check, &[SUCCESS]), [Transition::Changed]);
        assert!(!check.is_pending() && !check.is_failed());
        let mut check = HostCheck::default();
        assert_eq!(observe(&mut check, &[CheckResult::Failure(CheckFailure::Network)]), [Transition::Changed]);
        assert!(!check.is_pending() && check.is_failed());
    }

    #[test]
    fn thresholds_count_results_in_a_row() {
        let failure = CheckResult::Failure(CheckFailure::Timeout);
        let mut check = HostCheck::default();
        observe(&mut check, &[SUCCESS]);
        let of = [failure, failure, SUCCESS, failure, failure, failure];
        use Transition::{Changed, Pending, Unchanged};
        assert_eq!(observe(&mut check, &of), [Pending, Pending, Unchanged, Pending, Pending, Changed]);
        assert!(check.is_failed() && check.has_timed_out());
        assert_eq!(observe(&mut check, &[SUCCESS, failure, SUCCESS, SUCCESS]), [Pending, Unchanged, Pending, Changed]);
        assert!(!check.is_failed());
    }

    #[test]
    fn an_answer_that_says_so_decides_at_once_and_a_retriable_one_does_not() {
        let mut check = HostCheck::default();
        observe(&mut check, &[SUCCESS]);
        let retriable = CheckResult::Failure(CheckFailure::Retriable);
        assert_eq!(observe(&mut check, &[retriable]), [Transition::Pending]);
        assert_eq!(observe(&mut check, &[CheckResult::Failure(CheckFailure::Answer)]), [Transition::Changed]);
        assert!(check.is_failed());
    }

    #[test]
    fn degraded_is_a_success_with_a_difference() {
        let mut check = HostCheck::default();
        let degraded = CheckResult::Success { degraded: true };
        use Transition::{Changed, Unchanged};
        assert_eq!(
            observe(&mut check, &[SUCCESS, degraded, degraded, SUCCESS]),
            [Changed, Changed, Unchanged, Changed]
        );
    }

    #[test]
    fn the_wait_depends_on_traffic_and_state() {
        let config = HealthCheck {
            unhealthy_interval: Some(2 * SECOND),
            unhealthy_edge_interval: Some(SECOND),
            healthy_edge_interval: Some(3 * SECOND),
            no_traffic_healthy_interval: Some(90 * SECOND),
            ..config()
        };
        let mut check = HostCheck::default();
        let mut step = |result, has_traffic| {
            let transition = check.observe(result, &config);
            check.wait(transition, has_traffic, &config, 0)
        };
        let failure = CheckResult::Failure(CheckFailure::Network);
        assert_eq!(step(SUCCESS, false), 90 * SECOND);
        assert_eq!(step(SUCCESS, true), 5 * SECOND);
        assert_eq!(step(failure, false), 60 * SECOND);
        assert_eq!(step(failure, true), SECOND);
        assert_eq!(step(failure, true), 2 * SECOND);
        assert_eq!(step(SUCCESS, true), 3 * SECOND);
        assert_eq!(step(SUCCESS, true), 5 * SECOND);
    }

    #[test]
    fn jitter_stays_below_its_bounds() {
        let config = HealthCheck { interval_jitter: Some(SECOND), interval_jitter_percent: 20, ..config() };
        let mut check = HostCheck::default();
        let transition = check.observe(SUCCESS, &config);
        for random in 0..5000 {
            let wait = check.wait(transition, true, &config, random);
            assert!((5 * SECOND..7 * SECOND).contains(&wait), "{wait:?}");
        }
    }
}
