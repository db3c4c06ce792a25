use std::borrow::Cow;

use leno_ir::{HeaderMatch, HeaderMatchKind, PathMatch, QueryMatch, QueryMatchKind, RouteMatch};

use crate::request::{HeaderView, RequestView, split_path};

/// Whether all parts of `matches` hold. `random` decides about `fraction`.
pub(crate) fn is_match(matches: &RouteMatch, request: &impl RequestView, random: u64) -> bool {
    let (path, rest) = split_path(request.path());
    path_matches(&matches.path, path)
        && (!matches.grpc || is_grpc(request))
        && matches.headers.iter().all(|header| header_matches(header, request))
        && (matches.query.is_empty() || matches.query.iter().all(|query| query_matches(query, rest)))
        && matches.fraction.is_none_or(|fraction| random % 1_000_000 < u64::from(fraction.parts_per_million()))
}

fn path_matches(matches: &PathMatch, path: &str) -> bool {
    match matches {
        PathMatch::Exact { text, ignore_case } => equal(path, text, *ignore_case),
        PathMatch::Prefix { text, ignore_case } => has_prefix(path, text, *ignore_case),
        PathMatch::PathSeparatedPrefix { text, ignore_case } => {
            has_prefix(path, text, *ignore_case) && matches!(path.as_bytes().get(text.len()), None | Some(b'/'))
        }
        PathMatch::Regex(pattern) => pattern.is_match(path),
    }
}

fn equal(path: &str, text: &str, ignore_case: bool) -> bool {
    if ignore_case { path.eq_ignore_ascii_case(text) } else { path == text }
}

fn has_prefix(path: &str, text: &str, ignore_case: bool) -> bool {
    path.as_bytes().get(..text.len()).is_some_and(|head| {
        if ignore_case { head.eq_ignore_ascii_case(text.as_bytes()) } else { head == text.as_bytes() }
    })
}

/// `application/grpc`, alone or followed by `+format` or parameters.
fn is_grpc(request: &impl RequestView) -> bool {
    let value = request.header("content-type").unwrap_or_default();
    value.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Whether a message has the header as described.
pub fn header_matches(matches: &HeaderMatch, headers: &impl HeaderView) -> bool {
    value_matches(matches, header_value(&matches.name, headers))
}

/// As [`header_matches`], where there is no request and so no header.
pub fn absent_header_matches(matches: &HeaderMatch) -> bool {
    value_matches(matches, None)
}

fn value_matches(matches: &HeaderMatch, value: Option<Cow<'_, str>>) -> bool {
    let value = match (&matches.kind, value) {
        (HeaderMatchKind::Present(present), value) => return (value.is_some() == *present) != matches.invert,
        (_, Some(value)) => value,
        (_, None) if matches.treat_missing_as_empty => Cow::Borrowed(""),
        // An absent header matches no value, inverted or not (Envoy `HeaderMatcher.treat_missing_header_as_empty`).
        (_, None) => return false,
    };
    let holds = match &matches.kind {
        HeaderMatchKind::Present(_) => true,
        HeaderMatchKind::Range { start, end } => {
            value.parse::<i64>().is_ok_and(|number| (*start..*end).contains(&number))
        }
        HeaderMatchKind::Value(matcher) => matcher.is_match(&value),
    };
    holds != matches.invert
}

/// Several lines of one name are joined with ",", as Envoy does before it matches.
pub fn header_value<'a>(name: &'a str, headers: &'a impl HeaderView) -> Option<Cow<'a, str>> {
    if name.starts_with(':') || name == "host" {
        return headers.pseudo_header(name).map(Cow::Borrowed);
    }
    let mut values = headers.header_values(name);
    let first = values.next()?;
    let Some(second) = values.next() else { return Some(String::from_utf8_lossy(first)) };
    let mut joined = first.to_vec();
    for value in std::iter::once(second).chain(values) {
        joined.push(b',');
        joined.extend_from_slice(value);
    }
    Some(Cow::Owned(String::from_utf8_lossy(&joined).into_owned()))
}

/// `rest` begins with `?` when there is a query. The first parameter of a name counts; nothing is percent-decoded.
fn query_matches(matches: &QueryMatch, rest: &str) -> bool {
    let query = rest.strip_prefix('?').unwrap_or_default();
    let query = query.split('#').next().unwrap_or_default();
    let value = query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (!pair.is_empty() && name == matches.name).then_some(value)
    });
    match (&matches.kind, value) {
        (QueryMatchKind::Present(present), value) => value.is_some() == *present,
        (QueryMatchKind::Value(matcher), Some(value)) => matcher.is_match(value),
        (QueryMatchKind::Value(_), None) => false,
    }
}
