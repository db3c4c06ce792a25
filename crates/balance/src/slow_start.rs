use std::time::{Duration, Instant};

use leno_ir::SlowStart;

/// What a member that began at `started` gets of its share (Envoy, "slow start mode").
pub(crate) fn share(config: &SlowStart, started: Instant, now: Instant) -> f64 {
    let passed = now.saturating_duration_since(started);
    if passed >= config.window {
        return 1.0;
    }
    let time = passed.max(Duration::from_millis(1)).as_secs_f64() / config.window.as_secs_f64();
    time.powf(1.0 / config.aggression).max(config.min_weight.as_f64()).min(1.0)
}

#[cfg(test)]
mod tests {
    use leno_names::Fraction;

    use super::*;

    #[test]
    fn a_share_grows_from_the_least_to_the_whole() {
        let config = SlowStart::new(Duration::from_secs(100));
        #[expect(clippy::disallowed_methods, reason = "a start for virtual time, read once")]
        let start = Instant::now();
        let after = |config: &SlowStart, seconds| share(config, start, start + Duration::from_secs(seconds));
        assert!((after(&config, 0) - 0.1).abs() < 1e-9, "10 % at least");
        assert!((after(&config, 50) - 0.5).abs() < 1e-9);
        assert!((after(&config, 100) - 1.0).abs() < 1e-9);
        let fast = SlowStart { aggression: 2.0, min_weight: Fraction::ZERO, ..config };
        assert!((after(&fast, 25) - 0.5).abs() < 1e-9, "the root of a quarter");
    }
}
