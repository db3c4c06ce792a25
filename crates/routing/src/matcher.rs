use leno_ir::{CookieMatch, HeaderMatch, HeaderMatchKind, PathMatch, QueryMatch, QueryMatchKind, RouteMatch, TlsMatch};

use crate::request::{HeaderView, RequestView, split_path};

/// Whether all parts of `matches` hold; its path has been looked at. `random` decides about `fraction`.
fn rest_matches(matches: &RouteMatch, request: &impl RequestView, rest: &str, random: u64) -> bool {
    (!matches.grpc || is_grpc(request))
        && matches.headers.iter().all(|header| header_matches(header, request))
        && (matches.query.is_empty() || matches.query.iter().all(|query| query_matches(query, rest)))
        && matches.cookies.iter().all(|cookie| cookie_matches(cookie, request))
        && matches.metadata.iter().all(|matcher| request.metadata_matches(matcher))
        && (matches.tls.is_any() || tls_matches(&matches.tls, request))
        && matches.fraction.is_none_or(|fraction| random % 1_000_000 < u64::from(fraction.parts_per_million()))
}

/// Whether all parts of `matches` hold. The path is as [`split_path`](crate::request::split_path) cuts it; `random` decides
/// about `fraction`.
pub(crate) fn is_match(
    matches: &RouteMatch,
    (path, rest): (&str, &str),
    request: &impl RequestView,
    random: u64,
) -> bool {
    path_matches(&matches.path, path) && rest_matches(matches, request, rest, random)
}

/// As [`is_match`], for a `CONNECT`, which has no path.
pub(crate) fn is_connect_match(matches: &RouteMatch, request: &impl RequestView, random: u64) -> bool {
    matches.path == PathMatch::Connect && rest_matches(matches, request, "", random)
}

fn path_matches(matches: &PathMatch, path: &str) -> bool {
    match matches {
        PathMatch::Connect => false,
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

fn is_grpc(request: &impl RequestView) -> bool {
    request.header("content-type").is_some_and(is_grpc_type)
}

/// `application/grpc`, alone or followed by `+format`, letter by letter, as Envoy: with parameters, or for browsers
/// (`application/grpc-web`), it is something else.
pub fn is_grpc_type(content_type: &[u8]) -> bool {
    content_type.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
}

/// Whether a message has the header as described: of several lines of its name any may fit.
pub fn header_matches(matches: &HeaderMatch, headers: &impl HeaderView) -> bool {
    let name = matches.name.as_str();
    if name.starts_with(':') || name == "host" {
        return values_match(matches, headers.pseudo_header(name).map(str::as_bytes).into_iter());
    }
    values_match(matches, headers.header_values(name))
}

/// As [`header_matches`], where there is no request and so no header.
pub fn absent_header_matches(matches: &HeaderMatch) -> bool {
    values_match(matches, std::iter::empty())
}

fn values_match<'a>(matches: &HeaderMatch, mut values: impl Iterator<Item = &'a [u8]>) -> bool {
    let first = values.next();
    let first = match (&matches.kind, first) {
        (HeaderMatchKind::Present(present), first) => {
            return ((first.is_some() || matches.treat_missing_as_empty) == *present) != matches.invert;
        }
        (_, Some(first)) => first,
        (_, None) if matches.treat_missing_as_empty => b"",
        // An absent header matches no value, inverted or not (Envoy `HeaderMatcher.treat_missing_header_as_empty`).
        (_, None) => return false,
    };
    let holds = |value: &[u8]| {
        let value = String::from_utf8_lossy(value);
        match &matches.kind {
            HeaderMatchKind::Present(_) => true,
            HeaderMatchKind::Range { start, end } => {
                value.parse::<i64>().is_ok_and(|number| (*start..*end).contains(&number))
            }
            HeaderMatchKind::Value(matcher) => matcher.is_match(&value),
        }
    };
    (holds(first) || values.any(holds)) != matches.invert
}

/// Cookies that are absent match only inverted.
fn cookie_matches(matches: &CookieMatch, request: &impl RequestView) -> bool {
    let holds = cookie(request.header_values("cookie"), &matches.name)
        .is_some_and(|value| matches.value.is_match(&String::from_utf8_lossy(value)));
    holds != matches.invert
}

/// The value of the first cookie of that name in lines of `cookie`, without quotes (RFC 6265 §5.4).
pub fn cookie<'a>(mut lines: impl Iterator<Item = &'a [u8]>, name: &str) -> Option<&'a [u8]> {
    lines.find_map(|line| cookie_of_line(line, name))
}

fn cookie_of_line<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let pairs = line.split(|byte| *byte == b';');
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(value))
    })
}

fn tls_matches(matches: &TlsMatch, request: &impl RequestView) -> bool {
    let (presented, validated) = request.client_certificate();
    matches.presented.is_none_or(|wanted| wanted == presented)
        && matches.validated.is_none_or(|wanted| wanted == validated)
}

/// `rest` begins with `?` when there is a query. The first parameter of a name counts; nothing is percent-decoded.
fn query_matches(matches: &QueryMatch, rest: &str) -> bool {
    query_value_matches(&matches.kind, value_in(rest, &matches.name))
}

/// The value of the first parameter of that name, as it came.
pub fn query_parameter<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    value_in(split_path(path).1, name)
}

fn value_in<'a>(rest: &'a str, wanted: &str) -> Option<&'a str> {
    let query = rest.strip_prefix('?').unwrap_or_default();
    let query = query.split('#').next().unwrap_or_default();
    query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (!pair.is_empty() && name == wanted).then_some(value)
    })
}

/// Whether a parameter is as described; `None`: it is not there.
pub fn query_value_matches(kind: &QueryMatchKind, value: Option<&str>) -> bool {
    match (kind, value) {
        (QueryMatchKind::Present(present), value) => value.is_some() == *present,
        (QueryMatchKind::Value(matcher), Some(value)) => matcher.is_match(value),
        (QueryMatchKind::Value(_), None) => false,
    }
}
