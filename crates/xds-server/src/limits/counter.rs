use std::time::Duration;

use tokio::time::Instant;

/// So many requests in a time, and so many at once after a pause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SharedLimit {
    /// 0: none ever.
    pub requests: u32,
    /// Above zero.
    pub per: Duration,
    /// At least 1.
    pub burst: u32,
}

/// A bucket, as the moment at which it will be full again (the generic cell rate algorithm): nothing has to be filled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counter {
    /// `None`: it is full.
    full_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Verdict {
    pub(super) allowed: bool,
    /// Tokens that are left.
    pub(super) left: u32,
    /// Until the bucket is full; for who is refused, until enough has come in.
    pub(super) full_in: Duration,
}

impl Counter {
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|full| full <= now)
    }

    /// A refused request takes nothing.
    pub(super) fn take(&mut self, limit: SharedLimit, hits: u32, now: Instant) -> Verdict {
        if limit.requests == 0 || hits > limit.burst {
            return Verdict { allowed: false, left: 0, full_in: limit.per };
        }
        let each = limit.per.as_secs_f64() / f64::from(limit.requests);
        let missing = self.full_at.map_or(0.0, |full| full.saturating_duration_since(now).as_secs_f64());
        let (after, most) = (missing + each * f64::from(hits), each * f64::from(limit.burst));
        // The sum of many small times is not exact.
        if after > most + each / 1000.0 {
            let wait = Duration::from_secs_f64((after - most).min(limit.per.as_secs_f64()));
            return Verdict { allowed: false, left: 0, full_in: wait };
        }
        self.full_at = now.checked_add(Duration::from_secs_f64(after));
        let left = ((most - after) / each + 1e-3) as u32;
        Verdict { allowed: true, left, full_in: Duration::from_secs_f64(after) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: SharedLimit = SharedLimit { requests: 10, per: Duration::from_secs(1), burst: 3 };

    #[test]
    fn a_burst_then_as_tokens_come_in() {
        let (mut counter, start) = (Counter::default(), Instant::now());
        let taken: Vec<_> = (0..4).map(|_| counter.take(LIMIT, 1, start)).map(|v| (v.allowed, v.left)).collect();
        assert_eq!(taken, [(true, 2), (true, 1), (true, 0), (false, 0)]);
        let soon = start + Duration::from_millis(99);
        assert!(!counter.take(LIMIT, 1, soon).allowed, "a token is there after 100 ms");
        assert!(counter.take(LIMIT, 1, start + Duration::from_millis(100)).allowed);
        assert!(!counter.is_full(soon));
        assert!(counter.is_full(start + Duration::from_secs(1)));
    }

    #[test]
    fn over_a_long_time_the_rate_holds() {
        let (mut counter, start) = (Counter::default(), Instant::now());
        let asked = (0..10_000).map(|step| start + Duration::from_millis(step));
        let allowed = asked.filter(|now| counter.take(LIMIT, 1, *now).allowed).count();
        assert!((102..=103).contains(&allowed), "{allowed} in 10 s: a burst of 3 and 10 a second");
    }

    #[test]
    fn nothing_and_too_much_at_once_are_refused() {
        let now = Instant::now();
        assert!(!Counter::default().take(SharedLimit { requests: 0, ..LIMIT }, 1, now).allowed);
        let mut counter = Counter::default();
        assert!(!counter.take(LIMIT, 4, now).allowed);
        assert!(counter.take(LIMIT, 3, now).allowed, "a refused request takes nothing");
    }
}
