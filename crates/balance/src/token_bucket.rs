use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use leno_ir::TokenBucket as Settings;

/// How often something may happen, by all workers together. Tokens come in evenly, not all at the end of an interval.
///
/// What is kept is the time at which the bucket was, or would have been, empty: one number, so that taking a token is one
/// compare-and-swap (Envoy's `AtomicTokenBucket`; the generic cell rate algorithm of ITU-T I.371 read backwards).
#[derive(Debug)]
pub struct TokenBucket {
    origin: Instant,
    nanos_per_token: i64,
    /// Nanoseconds it takes to fill.
    capacity: i64,
    /// Nanoseconds since `origin`.
    empty_at: AtomicI64,
}

impl TokenBucket {
    /// Full.
    pub fn new(settings: &Settings, now: Instant) -> Self {
        let nanos_per_token = (nanos(settings.fill_interval) / i64::from(settings.tokens_per_fill.max(1))).max(1);
        let capacity = nanos_per_token.saturating_mul(settings.max_tokens.into());
        Self { origin: now, nanos_per_token, capacity, empty_at: AtomicI64::new(-capacity) }
    }

    /// Takes a token. `false`: there is none.
    pub fn take(&self, now: Instant) -> bool {
        self.take_many(now, 1)
    }

    /// That many at once, or none.
    pub fn take_many(&self, now: Instant, tokens: u32) -> bool {
        let cost = self.nanos_per_token.saturating_mul(tokens.into());
        let now = self.since_origin(now);
        let mut empty_at = self.empty_at.load(Ordering::Relaxed);
        loop {
            let next = empty_at.max(now.saturating_sub(self.capacity)).saturating_add(cost);
            if next > now {
                return false;
            }
            match self.empty_at.compare_exchange_weak(empty_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(changed) => empty_at = changed,
            }
        }
    }

    /// Whole tokens that are in it.
    pub fn remaining(&self, now: Instant) -> u32 {
        let filled = self.since_origin(now).saturating_sub(self.empty_at.load(Ordering::Relaxed));
        u32::try_from(filled.clamp(0, self.capacity) / self.nanos_per_token).unwrap_or(u32::MAX)
    }

    /// How long until there is a token; zero when there is one.
    pub fn next_token(&self, now: Instant) -> Duration {
        let now = self.since_origin(now);
        let next = self.empty_at.load(Ordering::Relaxed).saturating_add(self.nanos_per_token);
        Duration::from_nanos(u64::try_from(next.saturating_sub(now)).unwrap_or_default())
    }

    /// The most tokens that are in it.
    pub fn max_tokens(&self) -> u32 {
        u32::try_from(self.capacity / self.nanos_per_token).unwrap_or(u32::MAX)
    }

    /// Whether its tokens come in more slowly than those of another.
    pub(crate) fn fill_order(&self, other: &Self) -> std::cmp::Ordering {
        other.nanos_per_token.cmp(&self.nanos_per_token)
    }

    fn since_origin(&self, now: Instant) -> i64 {
        nanos(now.saturating_duration_since(self.origin))
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(max_tokens: u32, tokens_per_fill: u32, fill_interval: Duration) -> (TokenBucket, Instant) {
        #[expect(clippy::disallowed_methods, reason = "a start for virtual time, read once")]
        let start = Instant::now();
        (TokenBucket::new(&Settings { max_tokens, tokens_per_fill, fill_interval }, start), start)
    }

    #[test]
    fn a_bucket_is_full_first_and_then_fills_evenly() {
        let (bucket, start) = bucket(3, 2, Duration::from_secs(1));
        assert_eq!(bucket.remaining(start), 3);
        assert!((0..3).all(|_| bucket.take(start)) && !bucket.take(start));
        assert!(!bucket.take(start + Duration::from_millis(499)));
        assert!(bucket.take(start + Duration::from_millis(500)) && !bucket.take(start + Duration::from_millis(999)));
        assert!(bucket.take(start + Duration::from_millis(1000)));
    }

    #[test]
    fn it_holds_no_more_than_its_size() {
        let (bucket, start) = bucket(2, 1, Duration::from_millis(50));
        let later = start + Duration::from_secs(3600);
        assert_eq!(bucket.remaining(later), 2);
        assert!(bucket.take(later) && bucket.take(later) && !bucket.take(later));
        assert_eq!(bucket.remaining(later), 0);
    }
}
