/// Tells when so many connections have gone that their memory is worth giving back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crowd {
    /// Most connections at one tick since memory was given back.
    most: usize,
}

/// Below this there is little to give back. Chosen: some megabytes at most.
const WORTH_IT: usize = 256;

impl Crowd {
    /// `now` connections are there; calls `trim` once after a crowd of which at most a quarter is left.
    pub(super) fn seen(self, now: usize, trim: impl FnOnce()) -> Self {
        if self.most >= WORTH_IT && now <= self.most / 4 {
            trim();
            return Self { most: now };
        }
        Self { most: self.most.max(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_a_crowd() {
        let mut trims = Vec::new();
        let mut crowd = Crowd::default();
        for (tick, now) in [0, 100, 0, 2000, 1900, 501, 500, 400, 0, 10, 0].into_iter().enumerate() {
            crowd = crowd.seen(now, || trims.push(tick));
        }
        // After the first trim 500 are left, which are a crowd themselves.
        assert_eq!(trims, [6, 8]);
    }
}
