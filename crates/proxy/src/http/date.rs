//! The value of `date`, written once a second for each worker.
//!
//! Source      RFC 9110 §5.6.7 (IMF-fixdate), §6.6.1 (who has a clock adds one); days to dates by Howard Hinnant's
//!             `civil_from_days`

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub(super) type Date = [u8; 29];

thread_local! {
    static LAST: Cell<(u64, Date)> = const { Cell::new((u64::MAX, [0; 29])) };
}

/// The date at `now`.
pub(super) fn date(now: SystemTime) -> Date {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with(|last| {
        let (of, date) = last.get();
        if of == seconds {
            return date;
        }
        let date = format(seconds);
        last.set((seconds, date));
        date
    })
}

fn format(seconds: u64) -> Date {
    const DAYS: &[u8] = b"ThuFriSatSunMonTueWed";
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let name = |names: &[u8], at: u64| -> [u8; 3] {
        let start = usize::try_from(at * 3).unwrap_or_default();
        names.get(start..start + 3).and_then(|name| name.try_into().ok()).unwrap_or_default()
    };
    date[0..3].copy_from_slice(&name(DAYS, days % 7));
    date[8..11].copy_from_slice(&name(MONTHS, month - 1));
    let numbers =
        [(5, day), (12, year / 100), (14, year), (17, second / 3600), (20, second / 60 % 60), (23, second % 60)];
    for (at, number) in numbers {
        date[at] = b'0' + (number / 10 % 10) as u8;
        date[at + 1] = b'0' + (number % 10) as u8;
    }
    date
}

/// Year, month and day of a day since 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years begin in March, so that the day that some of them lack is their last one.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ];
        for (seconds, expected) in cases {
            let found = date(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(std::str::from_utf8(&found), Ok(expected));
        }
    }
}
