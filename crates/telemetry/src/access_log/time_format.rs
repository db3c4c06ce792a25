use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use time::{OffsetDateTime, UtcOffset};

use super::FormatError;

const DEFAULT_LOCAL: &str = "%Y-%m-%dT%H:%M:%S.%3f%z";

/// Directives of `strftime` that are supported, and Envoy's `%f`, `%3f`, `%6f`, `%9f` for fractions of a second.
pub(super) fn check(format: &str) -> Result<(), FormatError> {
    let wrong = |part: &str| FormatError::UnknownTimeFormat { format: format.to_owned(), part: part.to_owned() };
    for part in (Parts { rest: format }) {
        if let Part::Directive(directive) = part
            && !matches!(
                directive,
                "Y" | "m" | "d" | "H" | "M" | "S" | "y" | "j" | "s" | "F" | "T" | "Z" | "z" | "b" | "e" | "a" | "%"
            )
            && digits(directive).is_none()
        {
            return Err(wrong(&format!("%{directive}")));
        }
    }
    Ok(())
}

/// Where the clock hangs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Zone {
    /// As the system is set (`TZ`, `/etc/localtime`).
    Local,
    Utc,
}

/// As [`write_start_time`], in any of the two zones; local times end in their offset where no format is given.
pub(super) fn write_in(zone: Zone, since_1970: Duration, format: Option<&str>, out: &mut Vec<u8>) {
    if zone == Zone::Utc {
        return write_start_time(since_1970, format, out);
    }
    let at = i64::try_from(since_1970.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let zone = TimeZone::system();
    let info = zone.to_offset_info(at.unwrap_or_default());
    let offset = UtcOffset::from_whole_seconds(info.offset().seconds()).unwrap_or(UtcOffset::UTC);
    // Writing to a Vec cannot fail.
    let _ = write_time(moment(since_1970).to_offset(offset), info.abbreviation(), format.unwrap_or(DEFAULT_LOCAL), out);
}

fn moment(since_1970: Duration) -> OffsetDateTime {
    let nanoseconds = i128::try_from(since_1970.as_nanos()).unwrap_or(0);
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Appends the time in UTC; without a format as `2024-05-07T10:23:11.123Z`.
pub fn write_start_time(since_1970: Duration, format: Option<&str>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write_time(moment(since_1970), "UTC", format.unwrap_or("%Y-%m-%dT%H:%M:%S.%3fZ"), out);
}

fn write_time(at: OffsetDateTime, zone: &str, format: &str, out: &mut Vec<u8>) -> std::io::Result<()> {
    for part in (Parts { rest: format }) {
        match part {
            Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Part::Directive("Y") => write!(out, "{:04}", at.year())?,
            Part::Directive("y") => write!(out, "{:02}", at.year().rem_euclid(100))?,
            Part::Directive("m") => write!(out, "{:02}", u8::from(at.month()))?,
            Part::Directive("d") => write!(out, "{:02}", at.day())?,
            Part::Directive("e") => write!(out, "{:2}", at.day())?,
            Part::Directive("H") => write!(out, "{:02}", at.hour())?,
            Part::Directive("M") => write!(out, "{:02}", at.minute())?,
            Part::Directive("S") => write!(out, "{:02}", at.second())?,
            Part::Directive("j") => write!(out, "{:03}", at.ordinal())?,
            Part::Directive("s") => write!(out, "{}", at.unix_timestamp())?,
            Part::Directive("F") => write_time(at, zone, "%Y-%m-%d", out)?,
            Part::Directive("T") => write_time(at, zone, "%H:%M:%S", out)?,
            Part::Directive("Z") => out.extend_from_slice(zone.as_bytes()),
            Part::Directive("z") => {
                let (hours, minutes, _) = at.offset().as_hms();
                let sign = if at.offset().is_negative() { '-' } else { '+' };
                write!(out, "{sign}{:02}{:02}", hours.unsigned_abs(), minutes.unsigned_abs())?;
            }
            Part::Directive("b") => out.extend_from_slice(&at.month().to_string().as_bytes()[..3]),
            Part::Directive("a") => out.extend_from_slice(&at.weekday().to_string().as_bytes()[..3]),
            Part::Directive("%") => out.push(b'%'),
            Part::Directive(directive) => match digits(directive) {
                Some(3) => write!(out, "{:03}", at.millisecond())?,
                Some(6) => write!(out, "{:06}", at.microsecond())?,
                _ => write!(out, "{:09}", at.nanosecond())?,
            },
        }
    }
    Ok(())
}

/// Of a fraction of a second.
fn digits(directive: &str) -> Option<u8> {
    match directive {
        "f" | "9f" => Some(9),
        "6f" => Some(6),
        "3f" => Some(3),
        _ => None,
    }
}

#[derive(Debug)]
enum Part<'a> {
    Literal(&'a str),
    /// Without its `%`.
    Directive(&'a str),
}

#[derive(Debug)]
struct Parts<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some(directive) = self.rest.strip_prefix('%') {
            let digits = directive.bytes().take_while(u8::is_ascii_digit).count();
            let letter = directive[digits..].chars().next().map_or(0, char::len_utf8);
            let (directive, rest) = directive.split_at(digits + letter);
            self.rest = rest;
            return Some(Part::Directive(directive));
        }
        let (literal, rest) = self.rest.split_at(self.rest.find('%').unwrap_or(self.rest.len()));
        self.rest = rest;
        Some(Part::Literal(literal))
    }
}
