use std::time::Duration;

/// Waits between tries: exponential with full jitter, so that proxies that lost one control plane do not come back at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, tries: 0 }
    }

    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    /// The next wait; `share` is random in `[0, 1]`.
    pub(crate) fn next(&mut self, share: f64) -> Duration {
        let ceiling = self.base.saturating_mul(2_u32.saturating_pow(self.tries)).min(self.max);
        self.tries = self.tries.saturating_add(1);
        ceiling.mul_f64(share.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_maximum_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(500));
        let waits: Vec<u128> = (0..5).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 500, 500]);
        backoff.reset();
        assert_eq!(backoff.next(0.5), Duration::from_millis(50));
    }

    #[test]
    fn many_tries_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(15));
        backoff.tries = u32::MAX;
        assert_eq!(backoff.next(1.0), Duration::from_secs(15));
    }
}
