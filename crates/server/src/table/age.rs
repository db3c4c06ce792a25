use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const UNKNOWN: &str = "<unknown>";

/// Since the object was made, in at most two units, as kubectl has it.
pub(super) fn of(object: &Value, now: SystemTime) -> String {
    let made =
        object["metadata"]["creationTimestamp"].as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    made.map_or_else(|| UNKNOWN.to_owned(), |made| show(now.duration_since(made.into()).unwrap_or_default()))
}

fn show(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |large: u64, unit: char, small: u64, small_unit: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        _ => two(days / 365, 'y', days % 365, 'd'),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_age_has_at_most_two_units() {
        for (seconds, wanted) in [
            (0, "0s"),
            (119, "119s"),
            (125, "2m5s"),
            (7200, "120m"),
            (18_300, "5h5m"),
            (180_000, "2d2h"),
            (864_000, "10d"),
        ] {
            assert_eq!(show(Duration::from_secs(seconds)), wanted);
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
        assert_eq!(of(&json!({ "metadata": { "creationTimestamp": "1970-01-01T00:00:10Z" } }), now), "50s");
        assert_eq!(of(&json!({}), now), "<unknown>");
    }
}
