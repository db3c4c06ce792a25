//! Whether a client opens streams only to reset them (CVE-2023-44487): each costs us a request upstream, and none counts
//! against the limit of streams at once. Those that `h2` has not handed out yet it counts by itself.
//!
//! Shape       ended requests -> `Resets` -> `Verdict`, asked after each
//! Source      Envoy's `overload.premature_reset_total_stream_count` and `premature_reset_min_stream_lifetime_seconds`, with its
//!             numbers. Ours first asks the client to leave: the requests of others under way on the same connection (a sidecar's
//!             clients share one) are finished, unless the resets go on.

use std::time::Duration;

use crate::exchange::Exchange;

/// A request that ends later than this was worth its while.
const BRIEF: Duration = Duration::from_secs(1);
/// Nothing is held against a client for less than half of this many.
const FEW: u64 = 500;

/// Over the life of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resets {
    ended: u64,
    premature: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Fine,
    /// As many resets again, and it is a flood.
    Suspicious,
    Flood,
}

impl Resets {
    /// With one more request that has ended.
    #[must_use]
    pub(super) fn and(self, exchange: &Exchange) -> Self {
        let is_premature = exchange.status == 0 && exchange.duration <= BRIEF;
        Self { ended: self.ended.saturating_add(1), premature: self.premature.saturating_add(u64::from(is_premature)) }
    }

    pub(super) fn verdict(self) -> Verdict {
        match self.premature.saturating_mul(2) {
            twice if twice < self.ended.max(FEW) => Verdict::Fine,
            twice if twice < self.ended.max(2 * FEW) => Verdict::Suspicious,
            _ => Verdict::Flood,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::*;
    use crate::exchange::Protocol;

    fn after(resets: Resets, count: u64, status: u16, duration: Duration) -> Resets {
        let mut exchange = Exchange::new(Protocol::Http2, Instant::now(), SystemTime::now());
        (exchange.status, exchange.duration) = (status, duration);
        (0..count).fold(resets, |resets, _| resets.and(&exchange))
    }

    #[test]
    fn a_flood_is_first_suspicious() {
        let resets = after(Resets::default(), FEW / 2 - 1, 0, Duration::ZERO);
        assert_eq!(resets.verdict(), Verdict::Fine);
        let resets = after(resets, 1, 0, Duration::ZERO);
        assert_eq!(resets.verdict(), Verdict::Suspicious);
        assert_eq!(after(resets, FEW / 2, 0, Duration::ZERO).verdict(), Verdict::Flood);
    }

    #[test]
    fn answered_and_long_requests_make_up_for_resets() {
        let resets = after(Resets::default(), 10 * FEW, 200, Duration::ZERO);
        assert_eq!(after(resets, 9 * FEW, 0, Duration::ZERO).verdict(), Verdict::Fine);
        assert_eq!(after(Resets::default(), 10 * FEW, 0, 2 * BRIEF).verdict(), Verdict::Fine);
    }
}
