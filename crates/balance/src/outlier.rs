use std::time::Instant;

use leno_ir::OutlierDetection;

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

/// Counts `signal`; `true` when a detector's threshold is reached.
///
/// As in Envoy without `split_external_local_origin_errors`, a local failure also counts as a 5xx and a gateway error.
pub(crate) fn count(load: &Load, signal: Signal, config: &OutlierDetection) -> bool {
    let (is_5xx, is_gateway_error, is_local) = match signal {
        Signal::LocalFailure => (true, true, true),
        Signal::Response { status } => (status >= 500, matches!(status, 502..=504), false),
        Signal::Success => (false, false, false),
    };
    let counters = [
        (&load.consecutive_5xx, is_5xx, config.consecutive_5xx),
        (&load.consecutive_gateway_errors, is_gateway_error, config.consecutive_gateway_errors),
        (&load.consecutive_local_failures, is_local, config.consecutive_local_origin_failures),
    ];
    let mut is_reached = false;
    for (counter, has_failed, threshold) in counters {
        counter.set(if has_failed { counter.get().saturating_add(1) } else { 0 });
        is_reached |= has_failed && threshold.is_some_and(|threshold| counter.get() >= threshold.max(1));
    }
    is_reached
}

/// Whether one more of `total` members may be out, `ejected` being out already.
pub(crate) fn may_eject(config: &OutlierDetection, ejected: usize, total: usize) -> bool {
    ejected == 0 || (ejected as u64) < config.max_ejection.of(total as u64)
}

/// Leaves a member out: the base time times the number of ejections, at most the maximum.
pub(crate) fn eject(load: &Load, config: &OutlierDetection, now: Instant) {
    let times = load.ejections.get().saturating_add(1);
    let longest = config.max_ejection_time.max(config.base_ejection_time);
    let time = config.base_ejection_time.checked_mul(times).unwrap_or(longest).min(longest);
    load.ejections.set(times);
    load.ejected_until.set(now.checked_add(time));
    for counter in [&load.consecutive_5xx, &load.consecutive_gateway_errors, &load.consecutive_local_failures] {
        counter.set(0);
    }
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
