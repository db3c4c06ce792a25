use std::cmp::Reverse;

use leno_ir::{PathMatch, Pattern, QueryMatch, QueryMatchKind, RouteMatch, StringMatch};
use leno_model::api::{GrpcMethodMatch, GrpcRouteMatch, HttpRouteMatch, PathKind, ValueMatch, ValueMatchKind};

use crate::headers::header;

/// Smaller comes first. HTTPRoute: exact path, longest prefix, method, most headers, most query parameters. GRPCRoute: longest
/// service, longest method, most headers.
pub(crate) type Rank = (u8, Reverse<usize>, Reverse<usize>, bool, Reverse<usize>, Reverse<usize>);

pub(super) struct Condition {
    pub(super) rank: Rank,
    pub(super) matches: RouteMatch,
}

/// `None` when a pattern is not usable; those were reported when the object was read.
pub(super) fn http(condition: &HttpRouteMatch) -> Option<Condition> {
    let mut matches = RouteMatch::any();
    let path = condition.path.as_ref();
    let kind = path.and_then(|path| path.r#type).unwrap_or(PathKind::PathPrefix);
    let text = path.and_then(|path| path.value.as_deref()).unwrap_or("/");
    let class = match kind {
        PathKind::Exact => {
            matches.path = PathMatch::Exact { text: text.to_owned(), ignore_case: false };
            0
        }
        // Where patterns stand is the implementation's choice; before prefixes, as they are more specific.
        PathKind::RegularExpression => {
            matches.path = PathMatch::Regex(Pattern::new(text).ok()?);
            1
        }
        PathKind::PathPrefix => {
            let prefix = text.trim_end_matches('/');
            if !prefix.is_empty() {
                matches.path = PathMatch::PathSeparatedPrefix { text: prefix.to_owned(), ignore_case: false };
            }
            2
        }
    };
    if let Some(method) = &condition.method {
        matches.headers.push(header(":method".to_owned(), StringMatch::exact(method)));
    }
    headers(&condition.headers, &mut matches)?;
    for entry in &condition.query_params {
        let kind = QueryMatchKind::Value(string_match(entry)?);
        matches.query.push(QueryMatch { name: entry.name.clone(), kind });
    }
    let (headers, query) = (Reverse(condition.headers.len()), Reverse(condition.query_params.len()));
    let rank = (class, Reverse(text.len()), Reverse(0), condition.method.is_none(), headers, query);
    Some(Condition { rank, matches })
}

/// The path of a gRPC request is `/service/method`.
pub(super) fn grpc(condition: &GrpcRouteMatch) -> Option<Condition> {
    let mut matches = RouteMatch::any();
    let none = GrpcMethodMatch::default();
    let method = condition.method.as_ref().unwrap_or(&none);
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (service, name) = (filled(&method.service), filled(&method.method));
    let is_pattern = method.r#type == Some(ValueMatchKind::RegularExpression);
    let lengths = (service.as_ref().map_or(0, String::len), name.as_ref().map_or(0, String::len));
    matches.path = match (service, name, is_pattern) {
        (None, None, _) => matches.path,
        (Some(service), Some(name), false) => {
            PathMatch::Exact { text: format!("/{service}/{name}"), ignore_case: false }
        }
        (Some(service), None, false) => {
            PathMatch::PathSeparatedPrefix { text: format!("/{service}"), ignore_case: false }
        }
        (None, Some(name), false) => PathMatch::Regex(Pattern::new(&format!("/[^/]+/{name}")).ok()?),
        (service, name, true) => {
            let part = |text: Option<String>| text.map_or_else(|| "[^/]+".to_owned(), |text| format!("(?:{text})"));
            PathMatch::Regex(Pattern::new(&format!("/{}/{}", part(service), part(name))).ok()?)
        }
    };
    headers(&condition.headers, &mut matches)?;
    let class = u8::from(is_pattern);
    let count = Reverse(condition.headers.len());
    let rank = (class, Reverse(lengths.0), Reverse(lengths.1), true, count, Reverse(0));
    Some(Condition { rank, matches })
}

fn headers(written: &[ValueMatch], matches: &mut RouteMatch) -> Option<()> {
    for entry in written {
        matches.headers.push(header(entry.name.to_ascii_lowercase(), string_match(entry)?));
    }
    Some(())
}

fn string_match(entry: &ValueMatch) -> Option<StringMatch> {
    match entry.r#type.unwrap_or(ValueMatchKind::Exact) {
        ValueMatchKind::Exact => Some(StringMatch::exact(&entry.value)),
        ValueMatchKind::RegularExpression => Pattern::new(&entry.value).ok().map(StringMatch::Regex),
    }
}
