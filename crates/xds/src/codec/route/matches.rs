use leno_ir::{
    CookieMatch, Flavor, HeaderMatch, HeaderMatchKind, PathMatch, QueryMatch, QueryMatchKind, RouteMatch, StringMatch,
    TlsMatch,
};
use leno_proto::envoy::config::route::v3::{
    CookieMatcher, HeaderMatcher, QueryParameterMatcher, RouteMatch as Proto, header_matcher::HeaderMatchSpecifier,
    query_parameter_matcher::QueryParameterMatchSpecifier, route_match,
};
use leno_proto::envoy::r#type::v3::Int64Range;

use super::rewrite::literal;
use super::template;
use crate::codec::common::{bool_value, read_fraction, runtime_fraction};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::{matching, metadata};

pub(super) fn encode(matches: &RouteMatch, flavor: Flavor) -> Proto {
    use route_match::PathSpecifier;
    let (path, ignore_case) = match &matches.path {
        PathMatch::Connect => (PathSpecifier::ConnectMatcher(route_match::ConnectMatcher {}), false),
        PathMatch::Exact { text, ignore_case } => (PathSpecifier::Path(text.clone()), *ignore_case),
        PathMatch::PathSeparatedPrefix { text, ignore_case } if flavor == Flavor::Grpc => {
            (PathSpecifier::SafeRegex(matching::regex(&whole_segments(text, *ignore_case))), false)
        }
        PathMatch::PathSeparatedPrefix { text, ignore_case } => {
            (PathSpecifier::PathSeparatedPrefix(text.clone()), *ignore_case)
        }
        PathMatch::Prefix { text, ignore_case } => (PathSpecifier::Prefix(text.clone()), *ignore_case),
        PathMatch::Regex(pattern) => (PathSpecifier::SafeRegex(matching::regex(pattern.as_str())), false),
    };
    Proto {
        path_specifier: Some(path),
        case_sensitive: ignore_case.then_some(leno_proto::google::protobuf::BoolValue { value: false }),
        headers: matches.headers.iter().map(encode_header).collect(),
        query_parameters: matches.query.iter().map(encode_query).collect(),
        grpc: matches.grpc.then(route_match::GrpcRouteMatchOptions::default),
        runtime_fraction: matches.fraction.map(runtime_fraction),
        cookies: matches.cookies.iter().map(encode_cookie).collect(),
        tls_context: (!matches.tls.is_any()).then(|| route_match::TlsContextMatchOptions {
            presented: matches.tls.presented.and_then(bool_value),
            validated: matches.tls.validated.and_then(bool_value),
        }),
        dynamic_metadata: matches.metadata.iter().map(metadata::encode_match).collect(),
        ..Proto::default()
    }
}

pub(super) fn decode(matches: &Proto) -> Result<RouteMatch> {
    use route_match::PathSpecifier;
    refuse!(matches, filter_state);
    let ignore_case = matches.case_sensitive.as_ref().is_some_and(|sensitive| !sensitive.value);
    let path = match &matches.path_specifier {
        Some(PathSpecifier::Path(text)) => PathMatch::Exact { text: text.clone(), ignore_case },
        Some(PathSpecifier::PathSeparatedPrefix(text)) => {
            PathMatch::PathSeparatedPrefix { text: text.clone(), ignore_case }
        }
        Some(PathSpecifier::Prefix(text)) => PathMatch::Prefix { text: text.clone(), ignore_case },
        Some(PathSpecifier::SafeRegex(regex)) => PathMatch::Regex(matching::read_regex(regex).at("safe_regex")?),
        Some(PathSpecifier::ConnectMatcher(_)) => PathMatch::Connect,
        Some(PathSpecifier::PathMatchPolicy(policy)) => template::decode_match(policy)?,
        None => return Err(DecodeError::new("path_specifier", "is missing")),
    };
    let mut headers = Vec::with_capacity(matches.headers.len());
    for (index, header) in matches.headers.iter().enumerate() {
        headers.push(decode_header(header).at_index("headers", index)?);
    }
    let mut query = Vec::with_capacity(matches.query_parameters.len());
    for (index, parameter) in matches.query_parameters.iter().enumerate() {
        query.push(decode_query(parameter).at_index("query_parameters", index)?);
    }
    let mut cookies = Vec::with_capacity(matches.cookies.len());
    for (index, cookie) in matches.cookies.iter().enumerate() {
        cookies.push(decode_cookie(cookie).at_index("cookies", index)?);
    }
    let metadata = |(index, matcher)| metadata::decode_match(matcher).at_index("dynamic_metadata", index);
    let metadata = matches.dynamic_metadata.iter().enumerate().map(metadata).collect::<Result<_>>()?;
    let tls = matches.tls_context.unwrap_or_default();
    let share = matches.runtime_fraction.as_ref().and_then(|share| share.default_value.as_ref());
    Ok(RouteMatch {
        path,
        headers,
        query,
        grpc: matches.grpc.is_some(),
        cookies,
        tls: TlsMatch {
            presented: tls.presented.map(|wanted| wanted.value),
            validated: tls.validated.map(|wanted| wanted.value),
        },
        metadata,
        fraction: share.map(read_fraction).transpose().at("runtime_fraction")?,
    })
}

/// gRPC refuses a table with `path_separated_prefix` (A28), but its regular expressions match whole paths.
fn whole_segments(prefix: &str, ignore_case: bool) -> String {
    literal(prefix, ignore_case) + "(/.*)?"
}

pub(in crate::codec) fn encode_header(header: &HeaderMatch) -> HeaderMatcher {
    HeaderMatcher {
        name: header.name.clone(),
        invert_match: header.invert,
        treat_missing_header_as_empty: header.treat_missing_as_empty,
        header_match_specifier: Some(match &header.kind {
            HeaderMatchKind::Present(present) => HeaderMatchSpecifier::PresentMatch(*present),
            HeaderMatchKind::Range { start, end } => {
                HeaderMatchSpecifier::RangeMatch(Int64Range { start: *start, end: *end })
            }
            HeaderMatchKind::Value(value) => HeaderMatchSpecifier::StringMatch(matching::encode(value)),
        }),
    }
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
pub(in crate::codec) fn decode_header(header: &HeaderMatcher) -> Result<HeaderMatch> {
    let value = |matches| HeaderMatchKind::Value(matches);
    let loose = |text: &String| (text.clone(), false);
    let kind = match &header.header_match_specifier {
        None => HeaderMatchKind::Present(true),
        Some(HeaderMatchSpecifier::PresentMatch(present)) => HeaderMatchKind::Present(*present),
        Some(HeaderMatchSpecifier::RangeMatch(range)) => HeaderMatchKind::Range { start: range.start, end: range.end },
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => value(matching::decode(matcher).at("string_match")?),
        Some(HeaderMatchSpecifier::ExactMatch(text)) => value(StringMatch::exact(text.clone())),
        Some(HeaderMatchSpecifier::PrefixMatch(text)) => value(StringMatch::prefix(text.clone())),
        Some(HeaderMatchSpecifier::SuffixMatch(text)) => {
            let (text, ignore_case) = loose(text);
            value(StringMatch::Suffix { text, ignore_case })
        }
        Some(HeaderMatchSpecifier::ContainsMatch(text)) => {
            let (text, ignore_case) = loose(text);
            value(StringMatch::Contains { text, ignore_case })
        }
        Some(HeaderMatchSpecifier::SafeRegexMatch(regex)) => {
            value(StringMatch::Regex(matching::read_regex(regex).at("safe_regex_match")?))
        }
    };
    Ok(HeaderMatch {
        name: header.name.to_ascii_lowercase(),
        kind,
        invert: header.invert_match,
        treat_missing_as_empty: header.treat_missing_header_as_empty,
    })
}

pub(super) fn encode_query(query: &QueryMatch) -> QueryParameterMatcher {
    QueryParameterMatcher {
        name: query.name.clone(),
        query_parameter_match_specifier: Some(match &query.kind {
            QueryMatchKind::Present(present) => QueryParameterMatchSpecifier::PresentMatch(*present),
            QueryMatchKind::Value(value) => QueryParameterMatchSpecifier::StringMatch(matching::encode(value)),
        }),
    }
}

pub(super) fn decode_query(parameter: &QueryParameterMatcher) -> Result<QueryMatch> {
    let kind = match &parameter.query_parameter_match_specifier {
        None => QueryMatchKind::Present(true),
        Some(QueryParameterMatchSpecifier::PresentMatch(present)) => QueryMatchKind::Present(*present),
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => {
            QueryMatchKind::Value(matching::decode(matcher).at("string_match")?)
        }
    };
    Ok(QueryMatch { name: parameter.name.clone(), kind })
}

fn encode_cookie(cookie: &CookieMatch) -> CookieMatcher {
    CookieMatcher {
        name: cookie.name.clone(),
        string_match: Some(matching::encode(&cookie.value)),
        invert_match: cookie.invert,
    }
}

fn decode_cookie(cookie: &CookieMatcher) -> Result<CookieMatch> {
    let matcher = cookie.string_match.as_ref().ok_or_else(|| DecodeError::new("string_match", "is missing"))?;
    let value = matching::decode(matcher).at("string_match")?;
    Ok(CookieMatch { name: cookie.name.clone(), value, invert: cookie.invert_match })
}
