use std::cell::Cell;
use std::time::{Duration, Instant};

use leno_ir::{Consecutive, OutlierDetection};
use leno_names::Fraction;

use crate::load::Load;

/// What a try told about its endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// No connection, a reset, a time-out: no answer of the endpoint's own.
    LocalFailure,
    /// A response. A gRPC status counts as the HTTP status it maps to.
    Response { status: u16 },
    /// A TCP connection was made.
    Success,
}

impl Signal {
    pub(crate) fn is_failure(self) -> bool {
        match self {
            Self::LocalFailure => true,
            Self::Response { status } => status >= 500,
            Self::Success => false,
        }
    }
}

/// Successes among all of an interval.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    successes: Cell<u32>,
    total: Cell<u32>,
}

impl Rate {
    fn count(&self, is_success: bool) {
        self.total.set(self.total.get().saturating_add(1));
        self.successes.set(self.successes.get().saturating_add(u32::from(is_success)));
    }

    fn reset(&self) {
        self.total.set(0);
        self.successes.set(0);
    }

    /// `None`: too few to tell.
    fn percent(&self, volume: u32) -> Option<f64> {
        let total = self.total.get();
        (total > 0 && total >= volume).then(|| 100.0 * f64::from(self.successes.get()) / f64::from(total))
    }
}

/// What is counted of one member.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    consecutive_5xx: Cell<u32>,
    consecutive_gateway_errors: Cell<u32>,
    consecutive_local_failures: Cell<u32>,
    answers: Rate,
    local_origin: Rate,
}

/// Counts `signal`; the detector whose threshold is reached, which begins anew.
///
/// As in Envoy, without `split_local_origin` a local failure counts as a 503.
pub(crate) fn count(counters: &Counters, signal: Signal, config: &OutlierDetection) -> Option<Consecutive> {
    if config.split_local_origin {
        let is_local = signal == Signal::LocalFailure;
        counters.local_origin.count(!is_local);
        let reached = step(&counters.consecutive_local_failures, is_local, config.consecutive_local_origin_failures);
        if is_local || reached.is_some() {
            return reached;
        }
    }
    let (is_5xx, is_gateway_error) = match signal {
        Signal::LocalFailure => (true, true),
        Signal::Response { status } => (status >= 500, matches!(status, 502..=504)),
        Signal::Success => (false, false),
    };
    counters.answers.count(!is_5xx);
    let gateway = step(&counters.consecutive_gateway_errors, is_gateway_error, config.consecutive_gateway_errors);
    let of_5xx = step(&counters.consecutive_5xx, is_5xx, config.consecutive_5xx);
    gateway.or(of_5xx)
}

fn step(counter: &Cell<u32>, has_failed: bool, detector: Option<Consecutive>) -> Option<Consecutive> {
    counter.set(if has_failed { counter.get().saturating_add(1) } else { 0 });
    let reached = detector.filter(|detector| has_failed && counter.get() >= detector.threshold.max(1))?;
    counter.set(0);
    Some(reached)
}

/// Whether one more of `total` members may be out, `ejected` being out already.
pub(crate) fn may_eject(config: &OutlierDetection, ejected: usize, total: usize) -> bool {
    let most = u64::from(config.max_ejection.parts_per_million()) * total as u64;
    (ejected == 0 && config.always_eject_one) || (ejected as u64 + 1) * 1_000_000 <= most
}

/// Whether a detection with this share of enforcement ejects.
pub(crate) fn is_enforced(enforced: Fraction, random: u64) -> bool {
    random % 1_000_000 < u64::from(enforced.parts_per_million())
}

/// Leaves a member out: the base time times the number of ejections, at most the maximum.
pub(crate) fn eject(load: &Load, config: &OutlierDetection, now: Instant, random: u64) {
    let times = load.ejections.get().saturating_add(1);
    let longest = config.max_ejection_time.max(config.base_ejection_time);
    let time = config.base_ejection_time.checked_mul(times).unwrap_or(longest).min(longest);
    let jitter = u64::try_from(config.max_ejection_time_jitter.as_millis()).unwrap_or(u64::MAX);
    let jitter = Duration::from_millis(random.checked_rem(jitter).unwrap_or(0));
    load.ejections.set(times);
    load.ejected_until.set(now.checked_add(time + jitter));
}

/// One sweep over one member; `true` when it is let back in. A sweep spent in rotation forgives one ejection.
pub(crate) fn sweep(load: &Load, now: Instant) -> bool {
    match load.ejected_until.get() {
        Some(until) if until <= now => {
            load.ejected_until.set(None);
            true
        }
        Some(_) => false,
        None => {
            load.ejections.set(load.ejections.get().saturating_sub(1));
            false
        }
    }
}

/// The members in rotation whose rates of the interval are out of line, each with the share of enforcement; and begins
/// the next interval.
pub(crate) fn judge(loads: &[&Load], config: &OutlierDetection) -> Vec<(usize, Fraction)> {
    let mut found = Vec::new();
    let origins: &[fn(&Counters) -> &Rate] =
        if config.split_local_origin { &[|of| &of.answers, |of| &of.local_origin] } else { &[|of| &of.answers] };
    for (number, rate) in origins.iter().enumerate() {
        let percents = |volume: u32| -> Vec<(usize, f64)> {
            let in_rotation = loads.iter().enumerate().filter(|(_, load)| load.ejected_until.get().is_none());
            in_rotation.filter_map(|(at, load)| Some((at, rate(&load.counters).percent(volume)?))).collect()
        };
        if let Some(config) = &config.success_rate {
            let enforced = if number == 0 { config.enforced } else { config.local_origin_enforced };
            let of = percents(config.request_volume);
            if !of.is_empty() && of.len() >= config.minimum_hosts as usize && enforced > Fraction::ZERO {
                let least = least_rate(&of, f64::from(config.stdev_factor_thousandths) / 1000.0);
                found.extend(of.iter().filter(|(_, percent)| *percent < least).map(|(at, _)| (*at, enforced)));
            }
        }
        if let Some(config) = &config.failure_percentage {
            let enforced = if number == 0 { config.enforced } else { config.local_origin_enforced };
            let of = percents(config.request_volume);
            if !of.is_empty() && of.len() >= config.minimum_hosts as usize && enforced > Fraction::ZERO {
                let most = f64::from(config.threshold_percent);
                found.extend(of.iter().filter(|(_, percent)| 100.0 - percent >= most).map(|(at, _)| (*at, enforced)));
            }
        }
    }
    for load in loads {
        load.counters.answers.reset();
        load.counters.local_origin.reset();
    }
    found
}

/// The mean less some standard deviations.
fn least_rate(percents: &[(usize, f64)], factor: f64) -> f64 {
    let count = percents.len() as f64;
    let mean = percents.iter().map(|(_, percent)| percent).sum::<f64>() / count;
    let variance = percents.iter().map(|(_, percent)| (percent - mean).powi(2)).sum::<f64>() / count;
    mean - factor * variance.sqrt()
}
