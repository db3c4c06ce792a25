use leno_names::Fraction;
use serde::Serialize;

use crate::{MetadataMatch, Pattern, StringMatch};

/// All parts must hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteMatch {
    pub path: PathMatch,
    /// Pseudo-headers `:method`, `:authority`, `:scheme` included.
    pub headers: Vec<HeaderMatch>,
    pub query: Vec<QueryMatch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<CookieMatch>,
    #[serde(skip_serializing_if = "TlsMatch::is_any")]
    pub tls: TlsMatch,
    /// On what filters have said when the route is looked for: before the first of them nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<MetadataMatch>,
    /// Only requests with `content-type: application/grpc…`.
    pub grpc: bool,
    /// Only this share of the requests that match otherwise.
    pub fraction: Option<Fraction>,
}

impl RouteMatch {
    pub fn any() -> Self {
        Self {
            path: PathMatch::Prefix { text: "/".to_owned(), ignore_case: false },
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
            tls: TlsMatch::default(),
            metadata: Vec::new(),
            grpc: false,
            fraction: None,
        }
    }
}

/// On the path without query.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// `CONNECT`, which has no path; nothing else matches it.
    Connect,
    Exact {
        text: String,
        ignore_case: bool,
    },
    /// `/a` matches `/a` and `/a/b`, not `/ab`. Never ends in `/`.
    PathSeparatedPrefix {
        text: String,
        ignore_case: bool,
    },
    Prefix {
        text: String,
        ignore_case: bool,
    },
    Regex(Pattern),
}

/// Of several lines of one name any may match.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    pub kind: HeaderMatchKind,
    pub invert: bool,
    /// A header that is absent is compared as "" instead of failing the match.
    pub treat_missing_as_empty: bool,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderMatchKind {
    /// `true`: must be there; `false`: must not.
    Present(bool),
    /// The value as a decimal integer, `start <= value < end`.
    Range {
        start: i64,
        end: i64,
    },
    Value(StringMatch),
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct QueryMatch {
    pub name: String,
    pub kind: QueryMatchKind,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryMatchKind {
    Present(bool),
    Value(StringMatch),
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CookieMatch {
    pub name: String,
    pub value: StringMatch,
    /// A cookie that is absent matches then, too.
    pub invert: bool,
}

/// What the client's certificate must be like; `None`: either way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct TlsMatch {
    pub presented: Option<bool>,
    pub validated: Option<bool>,
}

impl TlsMatch {
    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }
}
