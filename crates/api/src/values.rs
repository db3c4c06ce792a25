use std::str::FromStr;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time in Go's notation, as Istio writes it: `5s`, `1m30s`, `0.25s`, `10ms`. Never negative.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct GoDuration(pub Duration);

/// A span of time by GEP-2257: one to four parts of at most five digits each, `h`, `m`, `s` or `ms`, no decimals.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct GatewayDuration(pub Duration);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("\"{text}\" is not a duration; write it like {example}")]
pub struct DurationError {
    text: String,
    example: &'static str,
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError { text: text.to_owned(), example: "500ms, 5s or 1m30s" };
        if text == "0" {
            return Ok(Self::default());
        }
        let nanos = sum(text).ok_or_else(error)?;
        Ok(Self(Duration::from_nanos(nanos)))
    }
}

impl FromStr for GatewayDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError { text: text.to_owned(), example: "500ms, 5s or 1m30s (no decimals)" };
        let parts = text.split_inclusive(|c: char| c.is_ascii_alphabetic()).filter(|p| p.len() > 1).count();
        let digits = text.split(|c: char| !c.is_ascii_digit()).all(|run| run.len() <= 5);
        let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'h' | b'm' | b's'));
        if !(plain && digits && (1..=4).contains(&parts)) {
            return Err(error());
        }
        sum(text).map(|nanos| Self(Duration::from_nanos(nanos))).ok_or_else(error)
    }
}

/// The nanoseconds of `1m30s`; `None` when it is anything else or does not fit into 64 bits.
fn sum(mut text: &str) -> Option<u64> {
    let mut total = 0_f64;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = text.get(..number_end)?.parse().ok()?;
        text = text.get(number_end..)?;
        let unit_end = text.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(text.len());
        total += number
            * match text.get(..unit_end)? {
                "h" => 3.6e12,
                "m" => 6e10,
                "s" => 1e9,
                "ms" => 1e6,
                "us" | "µs" => 1e3,
                "ns" => 1.0,
                _ => return None,
            };
        text = text.get(unit_end..)?;
    }
    (total < 9.2e18).then_some(total.round() as u64)
}

/// The shortest notation that means the same.
fn render(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")]
        .into_iter()
        .find(|(unit, _)| nanos.is_multiple_of(*unit))
        .map_or_else(|| format!("{nanos}ns"), |(unit, name)| format!("{}{name}", nanos / unit))
}

macro_rules! as_text {
    ($type:ident) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&render(self.0))
            }
        }
    };
}
as_text!(GoDuration);
as_text!(GatewayDuration);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_add_up() {
        let parse = |text: &str| text.parse::<GoDuration>().ok().map(|d| d.0);
        assert_eq!(parse("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse("0.25s"), Some(Duration::from_millis(250)));
        for bad in ["", "5", "-1s", "s", "5 s", "1e3s", "99999999999h"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn gateway_durations_have_no_decimals() {
        assert!("1h30m".parse::<GatewayDuration>().is_ok());
        for bad in ["0.5s", "100000s", "5us", "0"] {
            assert!(bad.parse::<GatewayDuration>().is_err(), "{bad}");
        }
    }
}
