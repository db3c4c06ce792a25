use std::fmt;

use serde::{Deserialize, Serialize};

/// A share of a whole, in parts per million: exact for percentages with up to four decimals.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Fraction(u32);

impl Fraction {
    pub const ZERO: Self = Self(0);
    pub const ONE: Self = Self(1_000_000);

    /// `None` above one million.
    pub const fn from_parts_per_million(parts: u32) -> Option<Self> {
        if parts > 1_000_000 { None } else { Some(Self(parts)) }
    }

    /// `None` above one hundred.
    pub const fn from_percent(percent: u32) -> Option<Self> {
        if percent > 100 { None } else { Some(Self(percent * 10_000)) }
    }

    /// From a percentage with decimals, rounded to one part per million.
    ///
    /// # Errors
    /// When `percent` is not a number between 0 and 100.
    pub fn from_percent_f64(percent: f64) -> Result<Self, FractionError> {
        if (0.0..=100.0).contains(&percent) {
            Ok(Self((percent * 10_000.0).round() as u32))
        } else {
            Err(FractionError { percent: percent.to_string() })
        }
    }

    pub const fn parts_per_million(self) -> u32 {
        self.0
    }

    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1_000_000.0
    }

    /// `whole` times this fraction, rounded down.
    pub const fn of(self, whole: u64) -> u64 {
        ((whole as u128 * self.0 as u128) / 1_000_000) as u64
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{percent} is not a percentage between 0 and 100")]
pub struct FractionError {
    percent: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_whole_is_rounded_down() {
        assert_eq!(Fraction::from_percent(20).map(|f| f.of(9)), Some(1));
        assert_eq!(Fraction::ONE.of(u64::MAX), u64::MAX);
    }

    #[test]
    fn percentages_outside_the_range_are_refused() {
        assert!(Fraction::from_percent_f64(100.1).is_err());
        assert!(Fraction::from_percent_f64(f64::NAN).is_err());
        assert_eq!(Fraction::from_percent_f64(0.5).map(Fraction::parts_per_million), Ok(5_000));
    }
}
